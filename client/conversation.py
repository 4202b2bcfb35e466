"""Transcribes tracks of one conversation, a speaker on each, with as many jobs as they need.

Every job has all tracks, since the worker leaves out what a microphone took up of another track's speaker. Where the
files do not fit into one request, only their sound is sent; where that does not fit either, all of them are cut at the
same times of their common clock, at pauses of the whole conversation.
"""

from __future__ import annotations

import json
import tempfile
import threading
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from client.errors import BadRecording, Stopped, WrongUsage
from client.files import describe
from client.job_request import (
    SIZE_MARGIN,
    Options,
    RunSettings,
    build_request,
    check_no_webhook,
    encode_base64,
    max_audio_bytes,
    requested_formats,
)
from client.journaled_run import run_in_journal, save_warnings, saved_warnings, with_warnings
from client.media.audio import FRAME_S, AudioPart, OpusTrack, compress, cut, decode_pcm
from client.media.clips import add_cuts_around_clips, clips_in_span, parse_clips
from client.media.splitter import cut_points
from client.merge.outputs import PartOutput, formats_for_parts
from client.merged_parts import merge_parts
from client.recognition import encodable_path
from client.recording import check_file, find_recording
from client.remote_audio import check_headers, remote_audio
from client.tracks import Track, check_tracks
from client.transport.answers import JsonObject
from client.transport.endpoint import Endpoint
from client.transport.fanout import JobSpec, ProgressListener, format_clock, run_jobs
from client.transport.journal import Journal, file_sha256, make_key
from media.track_clock import TrackClock, find_clocks, map_pcm

_TRACK_BYTES = 200
"""Of a request, for the fields of a track beside its sound."""

_SILENCE_DB = -120.0

_CLOCKS_FILE = "clocks.json"


class _Piece(NamedTuple):
    """A track's share of a part."""

    track: int
    """Number of the track."""
    source: Path | str
    start: float
    """In seconds, on the common clock."""


@dataclass(frozen=True)
class _Part:
    """A span of the conversation, with a piece of each track that has sound in it."""

    name: str
    pieces: list[_Piece]
    start: float = 0.0
    """In seconds, on the common clock."""
    end: float | None = None
    """None for files as they are, whose length is not known."""


def transcribe_conversation(
    endpoint: Endpoint,
    tracks: Sequence[Track],
    options: Options,
    settings: RunSettings,
    *,
    stop: threading.Event,
    listener: ProgressListener,
    deliver: Callable[[JsonObject], object] = lambda _output: None,
    cache: Path | None = None,
) -> JsonObject:
    """Return one output for all tracks, with the names of their speakers.

    Args:
        endpoint: where the jobs run.
        tracks: of the conversation.
        options: the worker's, by name.
        settings: how the jobs are run.
        stop: when set, ends the compression and cancels the running jobs.
        listener: receives the progress.
        deliver: receives the output: see `transcribe_recording`.
        cache: folder of the journals; by default in the user's cache.

    Raises:
        ClientError: see `client/errors.py`; the sentence names the track, if it is about one.
    """
    tracks = check_tracks(tracks)
    sources = [find_recording(track.recording) for track in tracks]
    check_headers(settings.headers, sources)
    for track, source in zip(tracks, sources, strict=True):
        if isinstance(source, Path):
            with _named(track):
                check_file(source)
    journal = Journal(_journal_key(endpoint, tracks, sources, options, settings), cache)
    conversation = _Conversation(endpoint, tracks, sources, options, settings, journal, stop, listener)
    return run_in_journal(journal, conversation.transcribe, stop=stop, listener=listener, deliver=deliver)


@contextmanager
def _named(track: Track) -> Iterator[None]:
    """Put the name of a track before the sentence of an error."""
    try:
        yield
    except (BadRecording, WrongUsage) as error:
        raise type(error)(f"{track.name}: {error}") from None


@dataclass(frozen=True)
class _Conversation:
    """The arguments of `transcribe_conversation`, and its steps."""

    endpoint: Endpoint
    tracks: list[Track]
    sources: list[Path | str]
    options: Options
    settings: RunSettings
    journal: Journal
    stop: threading.Event
    listener: ProgressListener

    def transcribe(self) -> JsonObject:
        """Return the output; see the module's docstring for the steps."""
        if sum(path.stat().st_size for path in self._files.values()) <= self._max_bytes:
            whole = _Part("tracks", [self._whole(number, source) for number, source in enumerate(self.sources)])
            return self._run([self._job(whole, self.options)])[0]
        parts = _to_parts(self.journal.parts() or self._compress())
        options = {name: value for name, value in self.options.items() if name != "audio_track"}  # the only one sent
        if len(parts) > 1 or parts[0].start > 0:
            output = self._transcribe_parts(parts, options)
        else:
            remote = [
                self._whole(number, source) for number, source in enumerate(self.sources) if isinstance(source, str)
            ]
            whole = _Part(parts[0].name, sorted([*parts[0].pieces, *remote]), 0.0, None if remote else parts[0].end)
            output = self._run([self._job(whole, options)])[0]
        return with_warnings(output, saved_warnings(self.journal))

    def _transcribe_parts(self, parts: Sequence[_Part], options: Options) -> JsonObject:
        check_no_webhook(self.settings)
        formats = requested_formats(options)
        part_options = {**options, "output_format": formats_for_parts(formats)}
        outputs = self._run([self._job(part, part_options, in_parts=True) for part in parts])
        merged = [
            PartOutput(part.start, part.end or part.start, _with_track_numbers(output, part))
            for part, output in zip(parts, outputs, strict=True)
        ]
        joined = merge_parts(merged, options, formats)
        clocks = json.loads((self.journal.folder / _CLOCKS_FILE).read_text(encoding="utf-8"))
        return {**joined, "metadata": {**joined["metadata"], "tracks": clocks}}

    def _run(self, jobs: Sequence[JobSpec]) -> list[JsonObject]:
        return run_jobs(
            self.endpoint,
            jobs,
            self.journal,
            parallel=self.settings.parallel,
            stop=self.stop,
            listener=self.listener,
        )

    def _job(self, part: _Part, options: Options, *, in_parts: bool = False) -> JobSpec:
        if part.end is not None and (clips := parse_clips(options)):
            options = {**options, "clip_timestamps": clips_in_span(clips, part.start, part.end)}
        seconds = None if part.end is None else part.end - part.start

        def build() -> JsonObject:
            audio = [self._audio(piece, piece.start - part.start, in_parts=in_parts) for piece in part.pieces]
            return build_request(audio, options, self.settings, seconds)

        return JobSpec(part.name, build, seconds or 1.0, part.start)

    def _audio(self, piece: _Piece, offset: float, *, in_parts: bool) -> JsonObject:
        """Return an item of a job's `audio`."""
        track, source = self.tracks[piece.track], piece.source
        audio = remote_audio(source, self.settings.headers) if isinstance(source, str) else encode_base64(source)
        is_known = in_parts or track.offset is not None or offset > 0
        return {**audio, "name": track.name, **({"offset": round(offset, 3)} if is_known else {})}

    @property
    def _files(self) -> dict[int, Path]:
        return {number: source for number, source in enumerate(self.sources) if isinstance(source, Path)}

    @property
    def _max_bytes(self) -> int:
        return max_audio_bytes(self.options, self.settings) - _TRACK_BYTES * len(self.tracks)

    def _whole(self, number: int, source: Path | str) -> _Piece:
        return _Piece(number, source, self._offset(number))

    def _offset(self, number: int) -> float:
        return self.tracks[number].offset or 0.0

    def _compress(self) -> list[AudioPart]:
        """Return the pieces of all tracks, as files whose names `_to_parts` reads; times are of the common clock."""
        compressed = {number: self._compress_track(number, path) for number, path in self._files.items()}
        fits = sum(track.path.stat().st_size for track in compressed.values()) <= self._max_bytes
        clocks = self._given_clocks() if fits else self._find_clocks(compressed)
        warnings = [
            f"{self.tracks[number].name}: {text}" for number, track in compressed.items() for text in track.warnings
        ]
        warnings += [
            f"{track.name}: {clocks[number].describe()}"
            for number, track in enumerate(self.tracks)
            if track.offset is None and clocks[number] != TrackClock(0.0)
        ]
        times = [] if fits else self._choose_cut_points(compressed, clocks)
        pieces = [
            piece
            for number, track in compressed.items()
            for piece in self._cut_track(number, track, clocks[number], times)
        ]
        pieces = self._pieces_with_clips(pieces)
        save_warnings(self.journal, warnings)
        self._save_clocks(clocks)
        self.journal.save_parts(pieces)
        return pieces

    def _compress_track(self, number: int, path: Path) -> OpusTrack:
        track = self.tracks[number]
        stage = f"compressing {track.name}"
        self.listener.on_progress(0.0, stage)
        folder = self.journal.folder / f"track-{number:02d}"
        folder.mkdir(exist_ok=True)
        with encodable_path(path) as readable, _named(track):
            return compress(
                readable,
                folder,
                audio_track=self.options.get("audio_track"),
                strict=bool(self.options.get("strict")),
                stop=self.stop,
                on_seconds=lambda seconds: self.listener.on_progress(0.0, f"{stage}, {format_clock(seconds)}"),
            )

    def _save_clocks(self, clocks: dict[int, TrackClock]) -> None:
        """Keep the clocks as the `tracks` of the metadata, which a part's answer has by the part's clock."""
        found = [
            {
                "name": track.name,
                "offset": round(clocks[number].offset, 3),
                "drift_ppm": round(clocks[number].drift * 1e6, 1),
                "by_ear": track.offset is None and clocks[number] != TrackClock(0.0),
            }
            for number, track in enumerate(self.tracks)
        ]
        (self.journal.folder / _CLOCKS_FILE).write_text(json.dumps(found), encoding="utf-8")

    def _given_clocks(self) -> dict[int, TrackClock]:
        return {number: TrackClock(self._offset(number)) for number in range(len(self.tracks))}

    def _find_clocks(self, compressed: dict[int, OpusTrack]) -> dict[int, TrackClock]:
        """Return the tracks' clocks, by ear where no offset is given: for the worker a part may be too short."""
        known = {number: track.offset for number, track in enumerate(self.tracks) if track.offset is not None}
        if len(compressed) < len(self.tracks) or len(known) == len(self.tracks):
            return self._given_clocks()
        self.listener.on_progress(0.0, "comparing the tracks")
        with tempfile.TemporaryDirectory(dir=self.journal.folder) as folder:
            files = [decode_pcm(compressed[number].path, Path(folder), self.stop) for number in range(len(self.tracks))]
            pcms = [map_pcm(file) for file in files]
            return self._given_clocks() | find_clocks(pcms, known, partial(_check, self.stop))

    def _choose_cut_points(self, compressed: dict[int, OpusTrack], clocks: dict[int, TrackClock]) -> list[float]:
        if len(compressed) < len(self.tracks):
            raise WrongUsage(
                "the files are too large for one request, and tracks that are URLs cannot be sent in parts: give all "
                "tracks as files, or the large ones as URLs"
            )
        check_no_webhook(self.settings)
        levels = _common_levels(compressed, clocks)
        max_part_s = self._max_bytes / sum(track.bytes_per_second for track in compressed.values()) / SIZE_MARGIN
        times = cut_points(levels, FRAME_S, max_part_s, wanted=self.settings.parallel)
        clips = parse_clips(self.options)
        return times if clips is None else add_cuts_around_clips(clips, times, len(levels) * FRAME_S)

    def _cut_track(self, number: int, track: OpusTrack, clock: TrackClock, times: Sequence[float]) -> list[AudioPart]:
        """Return a track's pieces; within each, the drift of its clock is too small to matter."""
        cuts = [(time - clock.offset) / (1 + clock.drift) for time in times]
        pieces = []
        inside = [time for time in cuts if 0 < time < track.seconds]
        for piece in cut(track, inside, track.path.parent, stop=self.stop):
            part = bisect(cuts, (piece.start + piece.end) / 2)
            path = piece.path.replace(self.journal.folder / f"{part:04d}-{number:02d}.ogg")
            start, end = (clock.offset + time * (1 + clock.drift) for time in (piece.start, piece.end))
            pieces.append(AudioPart(path, start, end))
        return pieces

    def _pieces_with_clips(self, pieces: list[AudioPart]) -> list[AudioPart]:
        clips = parse_clips(self.options)
        if clips is None:
            return pieces
        parts = _to_parts(pieces)
        wanted = {part.name for part in parts if clips_in_span(clips, part.start, part.end or part.start)}
        if not wanted:
            raise WrongUsage(f"clip_timestamps begin after the conversation's end, {max(p.end for p in pieces):.1f} s")
        return [piece for piece in pieces if _part_name(piece) in wanted]


def _common_levels(compressed: dict[int, OpusTrack], clocks: dict[int, TrackClock]) -> list[float]:
    """Return the loudness of the loudest track in each frame of the common clock."""
    levels = [
        [*[_SILENCE_DB] * round(clocks[number].offset / FRAME_S), *track.levels] for number, track in compressed.items()
    ]
    return [max(frame) for frame in zip_longest(*levels, fillvalue=_SILENCE_DB)]


def _check(stop: threading.Event) -> None:
    if stop.is_set():
        raise Stopped("stopped")


def _part_name(piece: AudioPart) -> str:
    return f"part-{piece.path.name[:4]}"


def _to_parts(pieces: Sequence[AudioPart]) -> list[_Part]:
    """Group pieces by their parts; the first part begins when the common clock does."""
    by_part: dict[str, list[AudioPart]] = defaultdict(list)
    for piece in pieces:
        by_part[_part_name(piece)].append(piece)
    return [
        _Part(
            name,
            [_Piece(int(piece.path.name[5:7]), piece.path, piece.start) for piece in of_part],
            0.0 if name == "part-0000" else min(piece.start for piece in of_part),
            max(piece.end for piece in of_part),
        )
        for name, of_part in sorted(by_part.items())
    ]


def _with_track_numbers(output: JsonObject, part: _Part) -> JsonObject:
    """Return a part's output with the tracks' numbers in the conversation: a part may lack some of them."""

    def renumber(value: Any) -> Any:
        if isinstance(value, list):
            return [renumber(item) for item in value]
        if not isinstance(value, dict):
            return value
        renumbered = {key: renumber(item) for key, item in value.items()}
        if isinstance(value.get("channel"), int):
            renumbered["channel"] = part.pieces[value["channel"]].track
        return renumbered

    renumbered: JsonObject = renumber(output)
    return renumbered


def _journal_key(
    endpoint: Endpoint, tracks: Sequence[Track], sources: Sequence[Path | str], options: Options, settings: RunSettings
) -> str:
    """Identify the work, as for one recording."""
    origins: list[Any] = []
    for track, source in zip(tracks, sources, strict=True):
        try:
            origin = source if isinstance(source, str) else [str(source.resolve()), file_sha256(source)]
        except OSError as error:
            raise BadRecording(f"{track.name}: {source} cannot be read: {describe(error)}") from None
        origins.append([track.name, track.offset, origin])
    return make_key(origins, options, endpoint.settings.url, settings.request_limit)
