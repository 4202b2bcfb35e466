"""Keeps the voice of a transcription in the folder of known voices, and says what seems wrong with it."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace
from typing import Any

from client.errors import BadAnswer, BadRecording
from client.known_voices import (
    EMBEDDING_SIZE,
    Voice,
    VoiceFolder,
    VoiceSample,
    find_similar,
    is_embedding,
    is_same_name,
)
from client.transport.answers import is_number

ENOUGH_SPEECH_S = 5.0
"""Seconds of speech below which an embedding is uncertain: samples of 2 s are recognised, but narrowly."""


@dataclass(frozen=True)
class KeptVoice:
    """A voice that was kept.

    Attributes:
        voice: with the new sample.
        notes: what seems wrong, in sentences without a full stop.
    """

    voice: Voice
    notes: list[str]

    @property
    def message(self) -> str:
        """What was kept, as a sentence without a full stop."""
        count = f", with {len(self.voice.samples)} samples" if len(self.voice.samples) > 1 else ""
        return f"Kept the voice of {self.voice.name}: {self.voice.samples[-1].seconds:.0f} s of speech{count}"


def keep_voice(folder: VoiceFolder, name: str, transcription: dict[str, Any], *, replaces: bool = False) -> KeptVoice:
    """Keep the voice that speaks most in a transcription.

    Args:
        folder: of known voices.
        name: of the person, as `clean_name` returns it.
        transcription: of a job with `speaker_embeddings`.
        replaces: whether earlier samples of the voice are forgotten.

    Raises:
        BadRecording: nobody speaks.
        BadAnswer: it has no embedding.
        OutputFailed: it cannot be written.
    """
    model, sample, notes = read_sample(transcription)
    with folder.locked():
        known = None if replaces else folder.find(name)
        others = [voice for voice in folder.load_all() if not is_same_name(voice.name, name)]
        if known is not None and known.model != model:
            notes.append(f"the earlier samples of {known.name} are forgotten: they were made with another model")
            known = None
        if known is not None and find_similar(sample, model, [known]) is None:
            notes.append(f"this does not sound like the earlier samples of {known.name}: check the recording")
        if other := find_similar(sample, model, others):
            notes.append(f"this sounds like {other.name}, who is known already")
        voice = Voice(name, model, (sample,)) if known is None else replace(known, name=name).with_sample(sample)
        folder.save(voice)
    return KeptVoice(voice, notes)


def read_sample(transcription: dict[str, Any]) -> tuple[str | None, VoiceSample, list[str]]:
    """Return the model and the embedding of the voice in a transcription, and notes on what seems wrong with it.

    Raises:
        BadRecording: nobody speaks.
        BadAnswer: it has no embedding.
    """
    speakers = transcription.get("speakers")
    if speakers == []:
        raise BadRecording("nobody speaks in the recording: give one in which the person speaks for some seconds")
    if not speakers or not all(is_number(speaker.get("seconds")) for speaker in speakers):
        raise BadAnswer("the answer has no speakers: check that the endpoint runs this version of worker-whisper")
    first, *others = sorted(speakers, key=lambda speaker: -float(speaker["seconds"]))
    if not is_embedding(first.get("embedding")):
        raise BadAnswer(f"the answer has no embedding of {EMBEDDING_SIZE} numbers: update the client or the endpoint")
    model, seconds = first.get("embedding_model"), float(first["seconds"])
    notes = []
    if others:
        rest = sum(float(speaker["seconds"]) for speaker in others)
        notes.append(
            f"there seem to be {len(speakers)} voices: the one that speaks most, {seconds:.0f} s, is kept, and the "
            f"others, {rest:.0f} s, are not; better take speech of one person"
        )
    if seconds < ENOUGH_SPEECH_S:
        notes.append(f"{seconds:.1f} s of speech are little to know a voice by: 10 s or more are better")
    today = datetime.date.today().isoformat()
    sample = VoiceSample(tuple(first["embedding"]), seconds, today)
    return model if isinstance(model, str) else None, sample, notes
