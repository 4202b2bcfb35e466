"""Applies the caller's custom vocabulary: corrects misheard terms in texts, segments and words alike.

Inserted terms are not searched again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from transcript.checks import Check, never
from transcript.edits import Edit, edit_transcript
from transcript.phrases import PhraseMatcher
from transcript.transcript import Segment, Transcript


class Corrector:
    """The corrections of one job, whose many phrases are made ready once, when the first text needs them.

    Args:
        corrections: each term with its "heard as" phrases.
    """

    def __init__(self, corrections: Mapping[str, Sequence[str]]) -> None:
        self._corrections = corrections

    @cached_property
    def _finder(self) -> _TermFinder:
        return _TermFinder(self._corrections)

    def correct(self, transcript: Transcript, check: Check = never) -> dict[str, int]:
        """Replace each "heard as" phrase in the transcript by its term, in place.

        Occurrences of the term itself, in any case, stay unless they are a "heard as" phrase too: "New York" does not
        turn "New York City" into "New York City City". Segments and words follow as `transcript.edits` says.

        Args:
            transcript: changed in place; its translation is not.
            check: ends the work by an exception.

        Returns:
            The number of replacements by each term, 0 included.
        """
        if not self._corrections:
            return {}
        edits = edit_transcript(transcript, self._finder.find, check)
        counts = Counter(placed.edit.text for placed in edits)
        return {term: counts[_to_one_line(term)] for term in self._corrections}

    def correct_alone(self, segment: Segment) -> Segment:
        """Return a corrected copy of one segment, for streaming: as `correct` would leave it without its neighbours."""
        if not self._corrections:
            return segment
        alone = Transcript("", 1.0, segment.end, [replace(segment)])
        self.correct(alone)
        return replace(alone.segments[0], id=segment.id) if alone.segments else segment


def vocabulary_prompt(hints: Sequence[str]) -> str:
    """Return a prompt that makes Whisper expect these terms.

    Whisper reads a prompt as the preceding text and continues in its style: it would continue a bare list, while a
    glossary with a full stop is a finished sentence (the form in OpenAI's guide to prompting Whisper). Of a prompt over
    223 tokens Whisper reads only the end, so the first terms are lost.
    """
    return f"Glossary: {', '.join(_to_one_line(hint) for hint in hints)}." if hints else ""


class _TermFinder:
    """Finds what was heard, and the term that it stands for."""

    def __init__(self, corrections: Mapping[str, Sequence[str]]) -> None:
        heard = [(phrase, _to_one_line(term)) for term, phrases in corrections.items() for phrase in phrases]
        # Terms are found too, so that no phrase inside one is; what is heard comes first where it is a term as well.
        self._matcher = PhraseMatcher([*(phrase for phrase, _ in heard), *corrections])
        self._terms = [*(term for _, term in heard), *(None for _ in corrections)]

    def find(self, parts: Sequence[str], check: Check = never) -> list[Edit]:
        text, edits = "".join(parts), []
        for number, start, end in self._matcher.find(parts, check):
            term = self._terms[number]
            if term is not None and text[start:end] != term:
                edits.append(Edit(start, end, term))
        return edits


def _to_one_line(term: str) -> str:
    return " ".join(term.split())
