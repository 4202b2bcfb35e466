"""Sends segments to a job's caller as soon as they are final, as the transcript will have them."""

from __future__ import annotations

from collections.abc import Iterable

from src.job_control import JobControl
from transcript.chinese_script import ChineseScript, in_script
from transcript.text_changes import ChangedSegments, TextChanges
from transcript.transcript import Segment, Transcript


class SegmentSender:
    """Sends the segments of one channel; it does nothing if nobody wants them.

    Args:
        control: of the job.
        text_changes: of its texts.
        chinese_script: of its Chinese texts.
    """

    def __init__(self, control: JobControl, text_changes: TextChanges, chinese_script: ChineseScript | None) -> None:
        self._control = control
        self._changed = ChangedSegments(text_changes)
        self._chinese_script = chinese_script

    def send(self, segments: Iterable[Segment], transcript: Transcript) -> None:
        """Send the next segments of a transcript, or those before that waited for them."""
        if not self._control.streams:
            return
        for segment in segments:
            for ready in self._changed.add(in_script(segment, self._chinese_script, transcript), transcript):
                self._control.segment(ready)

    def finish(self, transcript: Transcript) -> None:
        """Send what waits."""
        for ready in self._changed.finish(transcript):
            self._control.segment(ready)
