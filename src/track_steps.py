"""The steps from a conversation's tracks, one speaker on each, to its transcript."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from src.audio.clips import clip_regions, clip_warnings
from src.audio.decode import DecodedAudio, decode_recording
from src.audio.pcm import SAMPLE_RATE, Pcm
from src.channel_steps import each_channel, transcribe_channel
from src.errors import TooLarge, prefix_errors
from src.job_control import JobControl
from src.request.options import Options
from src.request.tracks import TrackFile, track_place
from src.settings import get_settings
from src.stage_options import to_audio_options
from src.transcription.bleed_filter import drop_bleed
from src.transcription.model_cache import LoadedModel
from transcript.tracks import merge_tracks
from transcript.transcript import Transcript


def decode_tracks(
    tracks: Sequence[TrackFile], folder: Path, options: Options, control: JobControl
) -> list[DecodedAudio]:
    """Decode all tracks to files in `folder`; the limits apply to all of them together, since each is transcribed.

    Raises:
        WorkerError: its message begins with the track's number and speaker.
    """
    settings, decoded = get_settings(), list[DecodedAudio]()
    for number, track in enumerate(tracks):
        track_folder = folder / str(number)
        track_folder.mkdir()
        samples = sum(len(audio.channels[0]) for audio in decoded)
        max_seconds = settings.max_audio_seconds - samples / SAMPLE_RATE - (track.offset or 0.0)
        max_bytes = settings.max_audio_bytes - samples * 2
        with prefix_errors(track_place(number, track.speaker)), _limits_of_all(settings.max_audio_seconds):
            if max_seconds * SAMPLE_RATE < 1 or max_bytes < 2:
                raise TooLarge("nothing of the limit is left for it: send the tracks in parts")
            decoded.append(
                decode_recording(
                    track.path,
                    track_folder,
                    to_audio_options(options),
                    max_seconds=max_seconds,
                    max_bytes=max_bytes,
                    control=control,
                )
            )
    return decoded


@contextmanager
def _limits_of_all(max_seconds: float) -> Iterator[None]:
    """Say that a limit is that of all tracks: what is left of it for one of them is no limit that the caller knows."""
    try:
        yield
    except TooLarge as error:
        raise TooLarge(f"{error} (the limit of {max_seconds:g} s is for all tracks together, with offsets)") from None


def transcribe_tracks(
    model: LoadedModel, pcms: Sequence[Pcm], speakers: Sequence[str], options: Options, control: JobControl
) -> Transcript:
    """Transcribe tracks of one clock into one transcript, without what a microphone took up of another's speaker.

    Args:
        model: the loaded model.
        pcms: the tracks' sound.
        speakers: their names.
        options: of the job; `diarize` has no effect.
        control: can stop the job.

    Raises:
        WorkerError: the job was stopped.
        EngineLost: the device failed permanently.
    """
    with_words = options.model_copy(update={"word_timestamps": True})  # bleed is recognized word by word
    transcripts = []
    for _, pcm in each_channel(pcms, control):
        clips = clip_regions(options.clip_timestamps, len(pcm))
        transcripts.append(transcribe_channel(model, pcm, clips, with_words, control))
    dropped = drop_bleed(transcripts, pcms, control.check)
    transcript = merge_tracks(transcripts, speakers)
    transcript.warnings += clip_warnings(options.clip_timestamps, max(map(len, pcms)))
    if dropped:
        words_were = "1 word was" if dropped == 1 else f"{dropped} words were"
        transcript.warnings.append(
            f"{words_were} left out where a microphone took up the voice of another track's speaker"
        )
    return transcript
