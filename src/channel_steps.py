"""The steps from the decoded channels of a recording to its transcript."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from src.audio.clips import clip_regions, clip_warnings
from src.audio.pcm import SAMPLE_RATE, Pcm, Recording, Region
from src.engine.scheduler import Client
from src.job_control import JobControl
from src.model_fit import fit_warnings
from src.request.options import Options
from src.speakers.clustering import SpeakerCounts
from src.speakers.enrollment import enroll
from src.speakers.pipeline import transcribe_and_diarize
from src.stage_options import to_batched_options, to_sequential_options, to_vad_options
from src.transcription.batched import transcribe_in_windows
from src.transcription.language_detection import detect_language
from src.transcription.model_cache import LoadedModel
from src.transcription.sequential import transcribe_sequentially
from src.transcription.windows import find_windows
from transcript.channels import merge_channels, name_speakers_by_channel
from transcript.chinese_script import convert_transcript
from transcript.transcript import Transcript


def transcribe_channels(
    model: LoadedModel, channels: Sequence[Pcm], options: Options, control: JobControl, samples: Mapping[str, Path]
) -> Transcript:
    """Transcribe all channels of a recording, and with `diarize` tell the speakers of each apart.

    Args:
        model: the loaded model.
        channels: equally long.
        options: of the job.
        control: receives progress and segments by channel, and can stop the job.
        samples: files with the voices of known speakers, by their names.

    Raises:
        WorkerError: a sample cannot be used, or the job was stopped.
        EngineLost: the device failed permanently.
    """
    clips = clip_regions(options.clip_timestamps, len(channels[0]))

    def transcribe(pcm: Pcm) -> Transcript:
        return transcribe_channel(model, pcm, clips, options, control)

    def diarize(pcm: Pcm, samples: Mapping[str, Path], voices: Mapping[str, Sequence[float]]) -> Transcript:
        counts = SpeakerCounts(*options.speaker_counts)
        return transcribe_and_diarize(lambda: transcribe(pcm), pcm, counts, clips, samples, voices, control)

    if not options.diarize:
        transcript = merge_channels([transcribe(pcm) for _, pcm in each_channel(channels, control)])
    elif len(channels) == 1:
        [transcript] = [diarize(pcm, samples, options.voice_embeddings) for _, pcm in each_channel(channels, control)]
    else:
        # Not as samples: a voice is on one of the channels, and its absence from the others is no warning.
        enrolled = {name: embedding.tolist() for name, embedding in enroll(samples, control).items()}
        transcripts = []
        for number, pcm in each_channel(channels, control):
            transcripts.append(diarize(pcm, {}, {**options.voice_embeddings, **enrolled}))
            name_speakers_by_channel(transcripts[-1], number)
        transcript = merge_channels(transcripts)
        transcript.timings["diarization"] = sum(channel.timings["diarization"] for channel in transcripts)
        transcript.warnings += _absence_warnings(transcript, samples)
    transcript.warnings += clip_warnings(options.clip_timestamps, len(channels[0]))
    return transcript


def each_channel(channels: Sequence[Pcm], control: JobControl) -> Iterator[tuple[int, Pcm]]:
    """Yield the channels with their numbers, to which reports are attributed meanwhile."""
    for number, pcm in enumerate(channels):
        with control.channel(number, len(channels)):
            control.progress("transcribing", 0.0, len(pcm) / SAMPLE_RATE)
            yield number, pcm


def _absence_warnings(transcript: Transcript, names: Iterable[str]) -> list[str]:
    found = {speaker.label for speaker in transcript.diarization.speakers} if transcript.diarization else set()
    return [f"speakers: nobody on any channel sounds like {name}" for name in names if name not in found]


def transcribe_channel(
    model: LoadedModel, pcm: Pcm, clips: Sequence[Region], options: Options, control: JobControl
) -> Transcript:
    """Transcribe the clips of one channel, or time the text that the option `align` gives; raises as above."""
    if options.align is None:
        return _recognise(model, pcm, clips, options, control)
    with control.without_segments():
        recognised = _recognise(model, pcm, clips, options, control)
    from src.transcription.text_timing import time_given_text  # for few jobs

    vad = to_vad_options(options) if options.vad else None
    return time_given_text(model.engine, pcm, recognised, options.align, vad, control)


def _recognise(
    model: LoadedModel, pcm: Pcm, clips: Sequence[Region], options: Options, control: JobControl
) -> Transcript:
    if options.chunking == "vad":
        return recognise_in_windows(model, pcm, clips, options, control)
    return _finish(_recognise_sequentially(model, pcm, clips, options, control), model, options)


def recognise_in_windows(
    model: LoadedModel,
    pcm: Recording,
    clips: Sequence[Region] | None,
    options: Options,
    control: JobControl,
    previous_language: str | None = None,
) -> Transcript:
    """Transcribe windows of one channel, all at once.

    Args:
        model: the loaded model.
        pcm: the sound, which may still be growing.
        clips: what to transcribe; None: all.
        options: of the job.
        control: receives progress and segments, and can stop the job.
        previous_language: of what was said before: see `BatchedOptions`.

    Raises:
        WorkerError: the recording cannot be decoded to its end, or the job was stopped.
        EngineLost: the device failed permanently.
    """
    batched = replace(to_batched_options(options), previous_language=previous_language)
    return _finish(transcribe_in_windows(model.engine, pcm, clips, batched, control), model, options)


def _finish(transcript: Transcript, model: LoadedModel, options: Options) -> Transcript:
    """Add what can be said of a channel alone."""
    transcript.warnings += fit_warnings(transcript, model, options)
    if options.chinese_script is not None:
        convert_transcript(transcript, options.chinese_script)
    return transcript


def _recognise_sequentially(
    model: LoadedModel, pcm: Pcm, clips: Sequence[Region], options: Options, control: JobControl
) -> Transcript:
    sequential = to_sequential_options(options)
    if options.language is not None:
        return transcribe_sequentially(model.sequential, pcm, clips, sequential, options.language, control)
    vad = to_vad_options(options) if options.vad else None
    client = Client()
    with control.on_cancel(lambda: model.engine.cancel(client)):
        windows = find_windows(pcm, clips, vad, check=control.check)
        detected, _ = detect_language(
            model.engine,
            client,
            windows,
            pcm,
            clips,
            vad,
            sequential.decoding.candidate_languages,
            first_window_only=False,
        )
    language = detected.language if detected else "en"
    transcript = transcribe_sequentially(model.sequential, pcm, clips, sequential, language, control)
    transcript.language_probability = None
    if detected is not None:
        transcript.language_probability, transcript.languages = detected.probability, detected.languages
        transcript.warnings += detected.warnings
    return transcript
