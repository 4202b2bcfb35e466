"""Tells the speakers of a stream apart: those of each piece, as in a recording, are found among those before.

A speaker who sounds like a known voice has its name, from the piece on with which that becomes clear.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from src.audio.pcm import Pcm
from src.request.known_voices import EMBEDDING_SIZE
from src.speakers.assignment import assign_speakers
from src.speakers.clustering import MERGE_THRESHOLD, MIN_SPEAKER_SECONDS, OUTLIER_THRESHOLD
from src.speakers.diarization import ENROLL_THRESHOLD, diarize
from src.speakers.embeddings import Embedding
from src.speakers.enrollment import to_embedding
from transcript.checks import Check
from transcript.transcript import Speaker, Transcript

MAX_SPEAKERS = 100
"""Of a stream; further voices are taken for the most similar ones."""


class SpeakerTracker:
    """The voices of a stream: `SPEAKER_00` and so on by first speech, or the names of known voices."""

    def __init__(self) -> None:
        self._sums: list[Embedding] = []
        """Of the embeddings of each speaker, by seconds of speech."""
        self._names: dict[int, str] = {}
        """Those of known voices, by speaker; once given, a name stays."""

    def assign(self, transcript: Transcript, pcm: Pcm, voices: Mapping[str, Sequence[float]], check: Check) -> None:
        """Add the speakers of the stream to the transcript of a piece, in place.

        Args:
            transcript: of the piece.
            pcm: the piece.
            voices: embeddings of known voices, by name.
            check: called between steps of some 0.1 s; its exceptions end the work.
        """
        found = diarize(pcm, check=check)
        numbers = {speaker.label: self._find(speaker) for speaker in found.speakers}
        self._recognize({*numbers.values()}, {name: to_embedding(voice) for name, voice in voices.items()})
        labels = {label: self._names.get(number, f"SPEAKER_{number:02d}") for label, number in numbers.items()}
        turns = [turn._replace(speaker=labels[turn.speaker]) for turn in found.turns]
        assign_speakers(transcript, replace(found, turns=turns), check)

    def _recognize(self, numbers: Iterable[int], voices: Mapping[str, Embedding]) -> None:
        """Give speakers without a name that of the most similar known voice, whom nobody else in the stream is."""
        means = {number: self._sums[number] / np.linalg.norm(self._sums[number]) for number in numbers}
        pairs = [
            (float(mean @ voice), number, name) for number, mean in means.items() for name, voice in voices.items()
        ]
        for similarity, number, name in sorted(pairs, reverse=True):
            is_free = number not in self._names and name not in self._names.values()
            if similarity >= ENROLL_THRESHOLD and is_free:
                self._names[number] = name

    def _find(self, speaker: Speaker) -> int:
        """Return the number of the stream's speaker with a voice, who may be new."""
        voice = np.asarray(speaker.embedding, np.float32)
        similarities = [float(voice @ total / np.linalg.norm(total)) for total in self._sums]
        # As in clustering: little speech makes a speaker only if it is like nobody's.
        enough = MERGE_THRESHOLD if speaker.seconds >= MIN_SPEAKER_SECONDS else OUTLIER_THRESHOLD
        nearest = max(range(len(similarities)), key=similarities.__getitem__, default=None)
        if nearest is None or (similarities[nearest] < enough and len(self._sums) < MAX_SPEAKERS):
            nearest = len(self._sums)
            self._sums.append(np.zeros(EMBEDDING_SIZE, np.float32))
        self._sums[nearest] += np.float32(speaker.seconds) * voice
        return nearest
