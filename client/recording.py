"""One recording, a local file of any size or a URL -> the job's output, by as many jobs as it takes.

A URL, or a file that fits into a request as it is, is one job. A larger file is sent as its sound alone, in as many
parts as the limit and the workers ask for; their outputs are merged.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from client.audio import FRAME, Part, Sound, compress, cut
from client.clips import clips_of, seams_around, within
from client.endpoint import Answer, Endpoint
from client.errors import BadRecording, WrongUsage
from client.fanout import Observer, Task, run
from client.jobs import policy
from client.journal import Journal, content_of, key_of
from client.merge import Piece, language_of, merged, to_ask_for
from client.speakers import to_ask_parts_for, with_one_set
from client.splitter import seams

RUN_LIMIT = 10_000_000
"""Bytes of one request that RunPod's /run takes."""

_RESERVE = 20_000  # bytes, for what stands around the audio besides the options

Options = dict[str, Any]


@dataclass(frozen=True)
class Terms:
    """How the work is to be done; nothing of it changes the transcript."""

    parallel: int = 4
    """Jobs at once, for a recording in parts."""
    timeout: float | None = None
    """Seconds that one job may run; None: by the length of its audio."""
    webhook: str | None = None
    """URL that the worker tells of the outcome."""
    limit: int = RUN_LIMIT
    """Bytes of one request."""


def transcribed(
    endpoint: Endpoint,
    source: Path | str,
    options: Options,
    terms: Terms,
    *,
    stop: threading.Event,
    observer: Observer,
    cache: Path | None = None,
) -> Answer:
    """The output of a recording: `transcription` (or `files`) and `metadata`.

    What an earlier call did before it ended is taken from the journal in `cache`.

    Args:
        source: a file, or a URL that the worker can reach.

    Raises:
        ClientError: see `client/errors.py`.
    """
    if isinstance(source, Path) and source.is_dir():
        raise WrongUsage(f"{source} is a folder: client.batch does those")
    if isinstance(source, Path) and not source.is_file():
        raise BadRecording(f"there is no file {source}")
    journal = Journal(_key(endpoint, source, options, terms), cache)
    if isinstance(source, str):
        tasks = [Task("url", lambda: _request({"url": source}, options, terms))]
    elif _fits(source.stat().st_size, options, terms):
        tasks = [Task("file", lambda: _request(_base64(source), options, terms))]
    else:
        _check_sent_whole(source, options)
        parts = journal.parts() or _cut(source, options, terms, journal)
        if len(parts) > 1 or parts[0].start > 0:
            output = _in_parts(endpoint, parts, options, terms, journal, stop, observer)
            journal.discard()
            return output
        tasks = [_task(parts[0], options, terms)]
    output = run(endpoint, tasks, journal, parallel=1, stop=stop, observer=observer)[0]
    journal.discard()
    return output


def _in_parts(
    endpoint: Endpoint,
    parts: Sequence[Part],
    options: Options,
    terms: Terms,
    journal: Journal,
    stop: threading.Event,
    observer: Observer,
) -> Answer:
    _check_divisible(terms)
    formats = _formats(options)
    asked = {**options, "output_format": to_ask_for(formats)}
    if options.get("diarize"):
        asked, observer = to_ask_parts_for(asked), _without_speakers(observer)
    tasks = [_task(part, asked, terms) for part in parts]
    outputs = run(endpoint, tasks, journal, parallel=terms.parallel, stop=stop, observer=observer)
    pieces = [Piece(part.start, part.end, output) for part, output in zip(parts, outputs, strict=True)]
    if not options.get("language") and not options.get("multilingual"):
        pieces = _in_one_language(endpoint, parts, pieces, asked, terms, journal, stop)
    if options.get("diarize"):
        starts, outputs = [piece.start for piece in pieces], [piece.output for piece in pieces]
        told = with_one_set(starts, outputs, options)
        pieces = [Piece(piece.start, piece.end, output) for piece, output in zip(pieces, told, strict=True)]
    return merged(pieces, formats)


def _without_speakers(observer: Observer) -> Observer:
    """Who speaks in a part is known by that part's own labels until all are done."""
    tell = observer.segments
    if tell is None:
        return observer

    def segments(task: Task, told: list[dict[str, Any]]) -> None:
        tell(task, [{key: value for key, value in one.items() if key != "speaker"} for one in told])

    return replace(observer, segments=segments)


def _in_one_language(
    endpoint: Endpoint,
    parts: Sequence[Part],
    pieces: Sequence[Piece],
    options: Options,
    terms: Terms,
    journal: Journal,
    stop: threading.Event,
) -> list[Piece]:
    """Parts taken for another language than most are done again in that of most: one job hears one language too."""
    language = language_of(pieces)
    others = [n for n, piece in enumerate(pieces) if piece.output["metadata"]["language"] != language]
    if not others:
        return list(pieces)
    tasks = [_task(parts[n], {**options, "language": language}, terms, f"-{language}") for n in others]
    again = run(endpoint, tasks, journal, parallel=terms.parallel, stop=stop, observer=Observer())
    better = dict(zip(others, again, strict=True))
    return [Piece(piece.start, piece.end, better.get(n, piece.output)) for n, piece in enumerate(pieces)]


def _cut(source: Path, options: Options, terms: Terms, journal: Journal) -> list[Part]:
    journal.folder.mkdir(parents=True, exist_ok=True)
    sound = compress(source, journal.folder, mono=options.get("channels") != "split")
    parts = _wanted(cut(sound, _seams(sound, options, terms), journal.folder), options)
    if len(parts) > 1:
        _check_divisible(terms)
        sound.path.unlink()
    journal.note_parts(parts)
    return parts


def _wanted(parts: list[Part], options: Options) -> list[Part]:
    """The parts of which something is to be transcribed."""
    clips = clips_of(options)
    if clips is None:
        return parts
    wanted = [part for part in parts if within(clips, part.start, part.end)]
    if not wanted:
        raise WrongUsage(f"clip_timestamps begin after the recording's end, {parts[-1].end:.1f} s")
    return wanted


def _seams(sound: Sound, options: Options, terms: Terms) -> list[float]:
    # Opus takes more bytes for what is harder to say: a tenth to spare.
    longest = _room(options, terms) / sound.bytes_per_second / 1.1
    places = seams(sound.levels, FRAME, longest, wanted=terms.parallel if longest < sound.seconds else 1)
    clips = clips_of(options)
    return places if clips is None else seams_around(clips, places, sound.seconds)


def _check_sent_whole(source: Path, options: Options) -> None:
    """
    Raises:
        WrongUsage: captions are asked for, and only the sound would be sent.
    """
    if options.get("captions"):
        raise WrongUsage(
            f"captions need the video itself, and {source.name} is too large for one request: give its URL instead, or "
            "leave captions out, take its subtitles with --format srt, and add them on this machine: "
            "ffmpeg -i VIDEO -i VIDEO.srt -map 0 -map 1 -c copy -c:s mov_text CAPTIONED.mp4"
        )


def _check_divisible(terms: Terms) -> None:
    """
    Raises:
        WrongUsage: something is asked for that a recording in parts cannot have.
    """
    remedy = "the recording is too large for one request: give its URL instead, or leave that out"
    if terms.webhook:
        raise WrongUsage(f"a webhook would be told of each part by itself, and {remedy}")


def _task(part: Part, options: Options, terms: Terms, suffix: str = "") -> Task:
    seconds = part.end - part.start
    if clips := clips_of(options):
        options = {**options, "clip_timestamps": within(clips, part.start, part.end)}

    def request() -> Answer:
        return _request(_base64(part.path), options, terms, seconds)

    return Task(f"{part.path.stem}{suffix}", request, seconds, part.start)


def _request(audio: Answer, options: Options, terms: Terms, seconds: float | None = None) -> Answer:
    """What goes to /run."""
    job_input: Answer = {"audio": audio, "options": options}
    if terms.webhook:
        job_input["webhook"] = {"url": terms.webhook}
    return {"input": job_input, "policy": policy(seconds, terms.timeout)}


def _base64(path: Path) -> Answer:
    return {"base64": base64.b64encode(path.read_bytes()).decode()}


def _fits(size: int, options: Options, terms: Terms) -> bool:
    return size <= _room(options, terms)


def _room(options: Options, terms: Terms) -> int:
    """Bytes of audio in one request: base64 has four for three of them."""
    around = _RESERVE + len(json.dumps(options)) + len(terms.webhook or "")
    return (terms.limit - around) // 4 * 3


def _formats(options: Options) -> list[str]:
    """What is asked for, by the worker's own default and spelling."""
    formats = options.get("output_format") or ["all"]
    return [one.strip() for one in formats.split(",")] if isinstance(formats, str) else list(formats)


def _key(endpoint: Endpoint, source: Path | str, options: Options, terms: Terms) -> str:
    """Of the work: the same recording, options and endpoint go on where they were."""
    where = source if isinstance(source, str) else [str(source.resolve()), content_of(source)]
    return key_of(where, options, endpoint.settings.url, terms.limit)
