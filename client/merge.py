"""The outputs of a recording's parts -> one output, as if one job had made it. Pure.

Parts are asked for `json` besides what the user wants, since segments are the one form in which a text can be joined as
it was parted. Subtitles are not made anew from them: their lines are laid out by the worker, and shifted here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from client.speakers import summed

Output = dict[str, Any]


@dataclass(frozen=True)
class Piece:
    """A part's place in the recording, in seconds, and what the worker made of it."""

    start: float
    end: float
    output: Output


def to_ask_for(formats: Sequence[str]) -> list[str]:
    """The formats that parts need so that `merged` can give these."""
    return list(dict.fromkeys([*formats, "json"]))


def merged(pieces: Sequence[Piece], formats: Sequence[str]) -> Output:
    """One output, with times of the whole recording.

    Args:
        formats: what was wanted; `json` is left out again if it was not.
    """
    metadata = _metadata(pieces)
    output: Output = {}
    for name in ("transcription", "translation"):
        if all(name in piece.output for piece in pieces):
            output[name] = _transcription(pieces, name, formats, metadata)
    return {**output, "metadata": metadata}


def language_of(pieces: Sequence[Piece]) -> str:
    """The language in which most of the recording is, by the time that was taken as speech."""
    seconds: dict[str, float] = {}
    for piece in pieces:
        metadata = piece.output["metadata"]
        language = metadata["language"]
        seconds[language] = seconds.get(language, 0.0) + (metadata.get("speech_duration") or 0.001)
    return max(seconds, key=lambda language: seconds[language])


def shifted(segments: Sequence[dict[str, Any]], offset: float, first_id: int = 0) -> list[dict[str, Any]]:
    """Segments that begin `offset` seconds later, numbered from `first_id` on."""
    return [
        {
            **_later(segment, offset),
            "id": number,
            **({"seek": segment["seek"] + round(offset * 100)} if "seek" in segment else {}),
            **({"words": [_later(word, offset) for word in segment["words"]]} if "words" in segment else {}),
        }
        for number, segment in enumerate(segments, start=first_id)
    ]


def _transcription(pieces: Sequence[Piece], name: str, formats: Sequence[str], metadata: Output) -> Output:
    parts = [piece.output[name] for piece in pieces]
    segments: list[dict[str, Any]] = []
    for piece, part in zip(pieces, parts, strict=True):
        segments += shifted(part["segments"], piece.start, len(segments))
    known: Output = {"text": _text(segments), "language": metadata["language"], "segments": segments}
    wants_segments = bool({"json", "all"} & set(formats))
    whole: Output = {}
    for key in parts[0]:
        if key in ("language", "segments", "speaker_turns") and not wants_segments:
            continue
        if key in known:
            whole[key] = known[key]
        elif key == "speakers":
            whole[key] = summed([piece.start for piece in pieces], [part[key] for part in parts])
        elif key == "speaker_turns":
            whole[key] = [
                _later(turn, piece.start) for piece, part in zip(pieces, parts, strict=True) for turn in part[key]
            ]
        elif key == "verbose_json":
            whole[key] = _verbose([part[key] for part in parts], pieces, known, metadata)
        else:
            whole[key] = _SUBTITLES[key]([part[key] for part in parts], [_ms(piece.start) for piece in pieces])
    return whole


def _text(segments: Sequence[dict[str, Any]]) -> str:
    """All of it in one piece; where voices are told apart, a line for each turn, as with the worker."""
    turns = [(voice, "".join(one["text"] for one in turn).strip()) for voice, turn in groupby(segments, _voice)]
    return "\n".join(f"{voice}: {text}" if voice else text for voice, text in turns)


def _voice(segment: dict[str, Any]) -> str:
    if segment.get("speaker") is not None:
        return str(segment["speaker"])
    return f"CHANNEL_{segment['channel']}" if segment.get("channel") is not None else ""


def _verbose(parts: Sequence[Output], pieces: Sequence[Piece], known: Output, metadata: Output) -> Output:
    """OpenAI's `verbose_json`: words stand beside the segments."""
    words = [_later(word, piece.start) for part, piece in zip(parts, pieces, strict=True) for word in part["words"]]
    plain = [{key: value for key, value in segment.items() if key != "words"} for segment in known["segments"]]
    return {
        **parts[0],
        "duration": metadata["audio_duration"],
        "text": known["text"],
        "segments": plain,
        "words": words,
    }


def _later(timed: dict[str, Any], offset: float) -> dict[str, Any]:
    return {**timed, "start": round(timed["start"] + offset, 3), "end": round(timed["end"] + offset, 3)}


# --- subtitles: texts and offsets (ms) of the parts -> one text


def _srt(parts: Sequence[str], offsets: Sequence[int]) -> str:
    cues = [cue for part, offset in zip(parts, offsets, strict=True) for cue in _cues(part, offset, ",")]
    # The number is the line before each time; those of the parts all begin with 1.
    numbered = (re.sub(r"\A\d+", str(number), cue) for number, cue in enumerate(cues, start=1))
    return "\n".join(f"{cue}\n" for cue in numbered)


def _vtt(parts: Sequence[str], offsets: Sequence[int]) -> str:
    header = "WEBVTT\n\n"
    bodies = (part.removeprefix(header) for part in parts)
    cues = [cue for part, offset in zip(bodies, offsets, strict=True) for cue in _cues(part, offset, ".")]
    return header + "\n".join(f"{cue}\n" for cue in cues)


def _cues(text: str, offset: int, mark: str) -> list[str]:
    """Blocks between blank lines, their timing lines shifted; no line of a cue's text is blank."""
    time = rf"(\d+:\d\d:\d\d\{mark}\d{{3}})"

    def later(found: re.Match[str]) -> str:
        start, end = (_clock(_milliseconds(value) + offset, mark) for value in found.groups())
        return f"{start} --> {end}"

    blocks = (block for block in text.rstrip("\n").split("\n\n") if block)
    return [re.sub(rf"^{time} --> {time}$", later, block, count=1, flags=re.MULTILINE) for block in blocks]


def _tsv(parts: Sequence[str], offsets: Sequence[int]) -> str:
    """A part in which nothing is said has no column for the speaker in its header."""
    header = max((part.partition("\n")[0] for part in parts), key=len)
    rows = []
    for part, offset in zip(parts, offsets, strict=True):
        for row in part.splitlines(keepends=True)[1:]:
            start, end, rest = row.split("\t", 2)
            rows.append(f"{int(start) + offset}\t{int(end) + offset}\t{rest}")
    return f"{header}\n" + "".join(rows)


def _rttm(parts: Sequence[str], offsets: Sequence[int]) -> str:
    lines = []
    for part, offset in zip(parts, offsets, strict=True):
        for line in part.splitlines(keepends=True):
            kind, file, channel, start, rest = line.split(" ", 4)
            lines.append(f"{kind} {file} {channel} {float(start) + offset / 1000:.3f} {rest}")
    return "".join(lines)


def _lrc(parts: Sequence[str], offsets: Sequence[int]) -> str:
    """Lines `[mm:ss.xx]`, words `<mm:ss.xx>`; the length of the whole is where the last part begins, and its own."""

    def later(offset: int) -> Callable[[re.Match[str]], str]:
        def moved(found: re.Match[str]) -> str:
            opening, minutes, seconds, hundredths, closing = found.groups()
            time = (int(minutes) * 60 + int(seconds)) * 100 + int(hundredths) + offset // 10
            return f"{opening}{time // 6000:02d}:{time // 100 % 60:02d}.{time % 100:02d}{closing}"

        return moved

    lines, length = [], 0
    for part, offset in zip(parts, offsets, strict=True):
        header, _, body = part.partition("\n")
        if found := re.fullmatch(r"\[length:(\d+):(\d\d)\]", header):
            length = round(offset / 1000) + int(found[1]) * 60 + int(found[2])
        lines.append(re.sub(r"([\[<])(\d+):(\d\d)\.(\d\d)([\]>])", later(offset), body))
    return f"[length:{length // 60:02d}:{length % 60:02d}]\n" + "".join(lines)


def _ass(parts: Sequence[str], offsets: Sequence[int]) -> str:
    """The header of the first part, and the dialogue of all; times in hundredths of a second."""

    def later(offset: int) -> Callable[[re.Match[str]], str]:
        def moved(found: re.Match[str]) -> str:
            times = (_milliseconds(f"{value}0") + offset for value in found.groups()[1:])
            return found[1] + ",".join(_clock(time, ".")[1 if time < 36_000_000 else 0 : -1] for time in times)

        return moved

    start = parts[0].find("\nDialogue: ")
    header = parts[0] if start < 0 else parts[0][: start + 1]
    lines = [
        re.sub(r"^(Dialogue: \d+,)(\d+:\d\d:\d\d\.\d\d),(\d+:\d\d:\d\d\.\d\d)", later(offset), line)
        for part, offset in zip(parts, offsets, strict=True)
        for line in part.splitlines(keepends=True)
        if line.startswith("Dialogue: ")
    ]
    return header + "".join(lines)


_SUBTITLES: dict[str, Callable[[Sequence[str], Sequence[int]], str]] = {
    "srt": _srt,
    "vtt": _vtt,
    "tsv": _tsv,
    "lrc": _lrc,
    "ass": _ass,
    "rttm": _rttm,
}


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _milliseconds(clock: str) -> int:
    hours, minutes, seconds, thousandths = map(int, re.split(r"[:.,]", clock))
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths


def _clock(time: int, mark: str) -> str:
    seconds, thousandths = divmod(time, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{mark}{thousandths:03d}"


# --- metadata

_SUMMED = ("processing_time", "audio_duration", "speech_duration", "repaired_speech")


def _metadata(pieces: Sequence[Piece]) -> Output:
    """Sums of what adds up; means of probabilities; what is the same in all parts as it is, or else a list by part."""
    parts = [piece.output["metadata"] for piece in pieces]
    whole: Output = {key: _same_or_all([part.get(key) for part in parts]) for key in parts[0]}
    for key in _SUMMED:
        if key in whole:
            values = [part.get(key) for part in parts]
            whole[key] = None if None in values else round(sum(values), 3)
    for key in ("timings", "dropped"):
        if key in whole:
            whole[key] = _totals([part.get(key, {}) for part in parts])
    whole["language"] = language_of(pieces)
    for key in ("language_probability", "languages"):
        if key in whole:
            whole[key] = _mean(pieces, whole["language"], key)
    whole["real_time_factor"] = round(whole["processing_time"] / whole["audio_duration"], 4)
    whole["uncovered_speech"] = [
        [round(time + piece.start, 3) for time in span]
        for piece in pieces
        for span in piece.output["metadata"].get("uncovered_speech", [])
    ]
    whole["warnings"] = list(dict.fromkeys(warning for part in parts for warning in part.get("warnings", [])))
    whole["parts"] = [[round(piece.start, 3), round(piece.end, 3)] for piece in pieces]
    return whole


def _same_or_all(values: list[Any]) -> Any:
    return values[0] if all(value == values[0] for value in values) else values


def _totals(counts: Sequence[dict[str, float]]) -> dict[str, float]:
    keys = dict.fromkeys(key for count in counts for key in count)
    return {key: round(sum(count.get(key, 0) for count in counts), 3) for key in keys}


def _mean(pieces: Sequence[Piece], language: str, key: str) -> Any:
    """Of the parts in the recording's language, by their length."""
    own = [piece for piece in pieces if piece.output["metadata"]["language"] == language]
    total = sum(piece.end - piece.start for piece in own)
    weights = [(piece.end - piece.start) / total for piece in own]
    values = [piece.output["metadata"][key] for piece in own]
    if isinstance(values[0], dict):
        names = dict.fromkeys(name for value in values for name in value)
        return {
            name: round(sum(value.get(name, 0) * weight for value, weight in zip(values, weights, strict=True)), 4)
            for name in names
        }
    return round(sum(value * weight for value, weight in zip(values, weights, strict=True)), 4)
