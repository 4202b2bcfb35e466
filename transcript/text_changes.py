"""What a job changes in its texts, in this order: the custom vocabulary, redaction, and the mask.

`tokens` and `logprobs` say what was decoded. With redaction or a mask, segments have none.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from transcript.checks import Check, never
from transcript.edits import edit_segments, edit_transcript
from transcript.masking import Masker
from transcript.transcript import Redacted, Segment, Transcript
from transcript.vocabulary import Corrector

if TYPE_CHECKING:
    from transcript.redaction import Redactor


@dataclass(frozen=True)
class TextChanges:
    """The changes of one job's texts.

    Attributes:
        corrector: the custom vocabulary.
        redactor: None: no redaction.
        masker: None: no mask.
    """

    corrector: Corrector = field(default_factory=lambda: Corrector({}))
    redactor: Redactor | None = None
    masker: Masker | None = None

    def apply(self, transcript: Transcript, check: Check = never) -> None:
        """Change a transcript and its translation, and note in it how often, and what was redacted when."""
        transcript.vocabulary = self.corrector.correct(transcript, check)
        transcript.redacted = self._hide(transcript, check)
        if transcript.translation is not None:
            self.corrector.correct(transcript.translation, check)
            in_translation = self._hide(transcript.translation, check)
            transcript.redacted = _join(transcript.redacted, in_translation)

    def _hide(self, transcript: Transcript, check: Check) -> list[Redacted]:
        redacted = [] if self.redactor is None else self.redactor.redact(transcript, check)
        if self.masker is not None:
            edit_transcript(transcript, self.masker.find, check)
        if self.hides:
            transcript.segments = [_without_tokens(segment) for segment in transcript.segments]
        return redacted

    @property
    def hides(self) -> bool:
        """True if something of what was said is not in the texts."""
        return self.redactor is not None or self.masker is not None

    def hide_in(self, text: str, transcript: Transcript) -> str:
        """Return a text that is told beside a transcript, such as a term, with the same redaction and mask."""
        if self.redactor is not None:
            text = self.redactor.redact_text(text, transcript)
        return self._mask(text)

    def hide_in_draft(self, text: str, language: str) -> str:
        """Return what is certain of a text that grows, with the same redaction and mask."""
        if self.redactor is not None:
            text = self.redactor.redact_draft(text, language)
        return self._mask(text)

    def _mask(self, text: str) -> str:
        for edit in reversed(self.masker.find([text]) if self.masker is not None else []):
            text = text[: edit.start] + edit.text + text[edit.end :]
        return text


class ChangedSegments:
    """Segments of one channel as they are streamed, each with its changes.

    With redaction, a segment waits for the next one while personal data may go on in it: what was sent cannot be taken
    back.

    Args:
        changes: of the job's texts.
    """

    def __init__(self, changes: TextChanges) -> None:
        self._changes = changes
        self._waiting: list[Segment] = []

    def add(self, segment: Segment, transcript: Transcript) -> list[Segment]:
        """Take the next segment of a transcript, and return those that are final."""
        self._waiting.append(self._changes.corrector.correct_alone(segment))
        redactor = self._changes.redactor
        if redactor is None:
            final, self._waiting = self._waiting, []
        else:
            final, self._waiting = redactor.redact_waiting(self._waiting, transcript)
        return self._hide(final)

    def finish(self, transcript: Transcript) -> list[Segment]:
        """Return the segments that wait: there is no next one."""
        final, self._waiting = self._waiting, []
        if self._changes.redactor is not None and final:
            final = self._changes.redactor.redact_segments(final, transcript)
        return self._hide(final)

    def _hide(self, segments: list[Segment]) -> list[Segment]:
        if self._changes.masker is not None:
            segments = [replace(segment) for segment in segments]
            edit_segments(segments, self._changes.masker.find)
        return [_without_tokens(segment) for segment in segments] if self._changes.hides else segments


def _without_tokens(segment: Segment) -> Segment:
    return replace(segment, tokens=[], logprobs=None if segment.logprobs is None else [])


def _join(redacted: list[Redacted], in_translation: list[Redacted]) -> list[Redacted]:
    """Return what was redacted in either text: what is in both is told once, with the times of the spoken one."""
    added = [
        found
        for found in in_translation
        if not any(
            known.kind == found.kind
            and known.channel == found.channel
            and known.start < found.end
            and known.end > found.start
            for known in redacted
        )
    ]
    return sorted([*redacted, *added])
