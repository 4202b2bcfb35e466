"""Keeps the voice of a transcript's speaker, so that later transcripts name it.

The parts of the recording in which the speaker speaks alone are sent as a job of their own, which answers with the
voice's embedding. What was asked, and what became of it, is in memory until the server ends.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Literal

import ffmpeg
from starlette.concurrency import run_in_threadpool

from api.page.ffmpeg import Bounds, MediaFailed, run_ffmpeg
from api.page.jobs import Run
from api.page.lines import Line
from api.page.records import Record
from api.page.settings import KeptVoice, KnownVoices, VoicesFailed
from api.transcriber import Answer, Job, Listener
from media.sandbox import sandboxed_input

MAX_SECONDS = 60.0
"""Of speech that is sent; more makes an embedding no better."""

MAX_SPANS = 16

MIN_SPAN_SECONDS = 0.5

MAX_JOB_S = 1800.0
"""For a worker that has to start first."""

_RATE = 16000
_CUT_SECONDS = 300.0
"""That cutting the speech may take."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Keeping:
    """A voice that is kept, or will be.

    Attributes:
        name: of the person.
        state: `failed`: it is not kept.
        message: sentences on what became of it; empty while it is `working`.
    """

    name: str
    state: Literal["working", "done", "failed"] = "working"
    message: str = ""


class VoiceKeeper:
    """Keeps voices of transcripts' speakers; belongs to one event loop.

    Args:
        known: the voices that are kept.
        run: runs a job.
    """

    def __init__(self, known: KnownVoices, run: Run) -> None:
        self._known, self._run = known, run
        self._kept: dict[str, dict[str, Keeping]] = {}
        """By transcript and speaker."""

    def kept(self, transcript_id: str) -> Mapping[str, Keeping]:
        """Return what was asked of a transcript, by speaker."""
        return self._kept.get(transcript_id, {})

    def begin(self, transcript_id: str, speaker: str, name: str) -> bool:
        """Note that a voice is to be kept; False: it is being kept already."""
        known = self._kept.setdefault(transcript_id, {})
        if speaker in known and known[speaker].state == "working":
            return False
        known[speaker] = Keeping(name)
        return True

    async def keep(self, record: Record, speaker: str, lines: Sequence[Line], recording: Path | None) -> None:
        """Keep a voice that was begun, and note what became of it.

        Args:
            record: of the transcript.
            speaker: the key of one of its speakers.
            lines: of the transcript.
            recording: its file; None: the worker fetches the recording.
        """
        name = self._kept[record.id][speaker].name
        try:
            answer = await asyncio.wait_for(self._ask(record, find_spans(lines, speaker), recording), MAX_JOB_S)
            if "error" in answer:
                raise VoicesFailed(str(answer["error"]))
            sentences = await run_in_threadpool(self._known.keep, name, answer)
            self._note(record.id, speaker, Keeping(name, "done", " ".join(map(_to_sentence, sentences))))
        except (VoicesFailed, MediaFailed) as error:
            self._note(record.id, speaker, _failed(name, str(error)))
        except asyncio.TimeoutError:
            self._note(record.id, speaker, _failed(name, "the worker took too long: try again later"))
        except Exception as error:
            _log.error("a voice cannot be kept: %s", type(error).__name__)
            self._note(record.id, speaker, _failed(name, "the server failed: try again"))

    async def list_all(self) -> list[KeptVoice]:
        """Return the voices that are kept, by name.

        Raises:
            VoicesFailed: they cannot be read.
        """
        return await run_in_threadpool(self._known.list_all)

    async def forget_voice(self, name: str) -> None:
        """Remove a voice, of which transcripts then no longer say that it is kept.

        Raises:
            VoicesFailed: there is none, or it cannot be removed.
        """
        await run_in_threadpool(self._known.forget, name)
        for transcript_id, kept in self._kept.items():
            self._kept[transcript_id] = {
                speaker: each
                for speaker, each in kept.items()
                if each.state != "done" or each.name.casefold() != name.casefold()
            }

    def forget(self, transcript_id: str) -> None:
        """Forget what was asked of a transcript, which is removed or made again; the voices stay."""
        self._kept.pop(transcript_id, None)

    def _note(self, transcript_id: str, speaker: str, keeping: Keeping) -> None:
        if transcript_id in self._kept:
            self._kept[transcript_id][speaker] = keeping

    async def _ask(self, record: Record, spans: Sequence[tuple[float, float]], recording: Path | None) -> Answer:
        options: dict[str, Any] = {"diarize": True, "speaker_embeddings": True, "output_format": "json"}
        if not spans:
            raise VoicesFailed("this speaker says nothing in the transcript")
        if recording is None:
            clips = [[start, end] for start, end in spans]
            track = {name: value for name, value in record.options.items() if name == "audio_track"}
            job = Job({"audio": {"url": record.source.url}, "options": {**options, **track, "clip_timestamps": clips}})
            return await self._run(job, Listener())
        speech = recording.with_name(f"voice-{secrets.token_hex(8)}.part.flac")
        try:
            await run_in_threadpool(_cut, recording, spans, speech)
            return await self._run(Job({"options": options}, speech), Listener())
        finally:
            speech.unlink(missing_ok=True)


def find_spans(lines: Iterable[Line], speaker: str) -> list[tuple[float, float]]:
    """Return where a speaker speaks alone, in seconds: the longest lines, in order.

    Lines during which somebody else speaks are taken only if there are no others.
    """
    lines = list(lines)
    own = [line for line in lines if line.speaker == speaker and line.end - line.start >= MIN_SPAN_SECONDS]
    others = [line for line in lines if line.speaker != speaker]
    alone = [line for line in own if not any(other.start < line.end and line.start < other.end for other in others)]
    spans: list[tuple[float, float]] = []
    left = MAX_SECONDS
    for line in sorted(alone or own, key=lambda line: line.start - line.end)[:MAX_SPANS]:
        spans.append((line.start, min(line.end, round(line.start + left, 3))))
        left -= spans[-1][1] - spans[-1][0]
        if left < MIN_SPAN_SECONDS:
            break
    return sorted(spans)


def _cut(recording: Path, spans: Sequence[tuple[float, float]], target: Path) -> None:
    """Write parts of a recording, one after another.

    Raises:
        MediaFailed: the recording cannot be decoded.
    """
    pieces = [
        sandboxed_input(recording, ss=start, t=end - start)["a:0"]
        .filter("aresample", _RATE)
        .filter("aformat", channel_layouts="mono")
        for start, end in spans
    ]
    output = ffmpeg.output(ffmpeg.concat(*pieces, v=0, a=1), f"file:{target}", format="flac")
    bounds = Bounds(_CUT_SECONDS, int(2 * _RATE * MAX_SECONDS * 2))
    if run_ffmpeg(output, bounds, Event()).status != 0:
        raise MediaFailed("the recording cannot be decoded")


def _failed(name: str, reason: str) -> Keeping:
    return Keeping(name, "failed", _to_sentence(f"the voice is not kept: {reason}"))


def _to_sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
