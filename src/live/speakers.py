"""Tells the speakers of a stream apart: those of each piece, as in a recording, are found among those before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from src.audio.pcm import Pcm
from src.request.known_voices import EMBEDDING_SIZE
from src.speakers.assignment import assign_speakers
from src.speakers.clustering import MERGE_THRESHOLD, MIN_SPEAKER_SECONDS, OUTLIER_THRESHOLD
from src.speakers.diarization import diarize
from src.speakers.embeddings import Embedding
from transcript.checks import Check
from transcript.transcript import Speaker, Transcript

MAX_SPEAKERS = 100
"""Of a stream; further voices are taken for the most similar ones."""


class SpeakerTracker:
    """The voices of a stream: `SPEAKER_00` and so on by first speech."""

    def __init__(self) -> None:
        self._sums: list[Embedding] = []
        """Of the embeddings of each speaker, by seconds of speech."""

    def assign(self, transcript: Transcript, pcm: Pcm, check: Check) -> None:
        """Add the speakers of the stream to the transcript of a piece, in place."""
        found = diarize(pcm, check=check)
        labels = {speaker.label: self._find(speaker) for speaker in found.speakers}
        turns = [turn._replace(speaker=labels[turn.speaker]) for turn in found.turns]
        assign_speakers(transcript, replace(found, turns=turns), check)

    def _find(self, speaker: Speaker) -> str:
        """Return the label of the stream's speaker with a voice, who may be new."""
        voice = np.asarray(speaker.embedding, np.float32)
        similarities = [float(voice @ total / np.linalg.norm(total)) for total in self._sums]
        # As in clustering: little speech makes a speaker only if it is like nobody's.
        enough = MERGE_THRESHOLD if speaker.seconds >= MIN_SPEAKER_SECONDS else OUTLIER_THRESHOLD
        nearest = max(range(len(similarities)), key=similarities.__getitem__, default=None)
        if nearest is None or (similarities[nearest] < enough and len(self._sums) < MAX_SPEAKERS):
            nearest = len(self._sums)
            self._sums.append(np.zeros(EMBEDDING_SIZE, np.float32))
        self._sums[nearest] += np.float32(speaker.seconds) * voice
        return f"SPEAKER_{nearest:02d}"
