"""Merges the outputs of a recording's parts into one, as if a single job had produced it. Pure.

Parts are requested with `json` in addition to the user's formats, since only segments allow the text to be joined as it
was split. Subtitles are not regenerated: the worker lays them out, and only their times are shifted here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil
from typing import Any

from client.merge.speakers import sum_speakers
from transcript.paragraphs import Piece, join_paragraphs

Output = dict[str, Any]

_MAX_LISTED_CUES = 10
"""Of a limit in `cue_report`, as in the worker's (`transcript/formats/cue_report.py`)."""


@dataclass(frozen=True)
class PartOutput:
    """A part's position in the recording, in seconds, and the worker's output for it."""

    start: float
    end: float
    output: Output


def formats_for_parts(formats: Sequence[str]) -> list[str]:
    """Return the formats to request from parts, so that `merge_outputs` can produce `formats`."""
    return list(dict.fromkeys([*formats, "json"]))


def merge_outputs(parts: Sequence[PartOutput], formats: Sequence[str], *, paragraphs: bool = False) -> Output:
    """Return one output with times relative to the whole recording.

    Args:
        parts: in order.
        formats: the user's formats; `json` is dropped again if it is not one of them.
        paragraphs: the user's option of this name.
    """
    metadata = _merge_metadata(parts)
    output: Output = {}
    for name in ("transcription", "translation"):
        if all(name in part.output for part in parts):
            output[name] = _merge_texts(parts, name, formats, metadata, paragraphs=paragraphs)
    return {**output, "metadata": metadata}


def majority_language(parts: Sequence[PartOutput]) -> str:
    """Return the language with the most speech in the recording."""
    seconds: dict[str, float] = {}
    for part in parts:
        metadata = part.output["metadata"]
        language = metadata["language"]
        seconds[language] = seconds.get(language, 0.0) + (metadata.get("speech_duration") or 0.001)
    return max(seconds, key=lambda language: seconds[language])


def shift_segments(segments: Sequence[dict[str, Any]], offset: float, first_id: int = 0) -> list[dict[str, Any]]:
    """Return the segments `offset` seconds later, with ids from `first_id` on."""
    return [
        {
            **_shift_times(segment, offset),
            "id": number,
            **({"seek": segment["seek"] + round(offset * 100)} if segment.get("seek") is not None else {}),
            **({"words": [_shift_times(word, offset) for word in segment["words"]]} if segment.get("words") else {}),
        }
        for number, segment in enumerate(segments, start=first_id)
    ]


def _merge_texts(
    parts: Sequence[PartOutput], name: str, formats: Sequence[str], metadata: Output, *, paragraphs: bool
) -> Output:
    """Merge the transcriptions or the translations, and add to the warnings what the whole cannot hold."""
    texts = [part.output[name] for part in parts]
    starts = [part.start for part in parts]
    segments: list[dict[str, Any]] = []
    for start, part_text in zip(starts, texts, strict=True):
        segments += shift_segments(part_text["segments"], start, len(segments))
    text = _join_paragraphs(segments) if paragraphs else _join_text(segments)
    common: Output = {"text": text, "language": metadata["language"], "segments": segments}
    wants_segments = bool({"json", "all"} & set(formats))
    merged: Output = {}
    for key in texts[0]:
        if key in ("language", "segments", "speaker_turns") and not wants_segments:
            continue
        values = [text[key] for text in texts]
        if key in common:
            merged[key] = common[key]
        elif key == "speakers":
            merged[key] = sum_speakers(starts, values)
        elif key == "speaker_turns":
            merged[key] = _shift_all(values, starts)
        elif key == "cue_report":
            merged[key] = _merge_cue_reports(values, starts)
        elif key == "verbose_json":
            merged[key] = _merge_verbose_json(values, starts, common, metadata)
        elif key == "stl":
            merged[key] = _merge_stl(values, [_to_ms(start) for start in starts], metadata["warnings"])
        else:
            merged[key] = _SUBTITLE_MERGERS[key](values, [_to_ms(start) for start in starts])
    return merged


def _join_text(segments: Sequence[dict[str, Any]]) -> str:
    """Join the segments' texts; with speakers or channels, one line per turn, as the worker does."""
    turns = [
        (speaker, "".join(segment["text"] for segment in turn).strip()) for speaker, turn in groupby(segments, _speaker)
    ]
    return "\n".join(f"{speaker}: {text}" if speaker else text for speaker, text in turns)


def _join_paragraphs(segments: Sequence[dict[str, Any]]) -> str:
    return join_paragraphs(
        Piece(segment["start"], segment["end"], segment["text"], _speaker(segment)) for segment in segments
    )


def _speaker(segment: dict[str, Any]) -> str:
    if segment.get("speaker") is not None:
        return str(segment["speaker"])
    return f"CHANNEL_{segment['channel']}" if segment.get("channel") is not None else ""


def _merge_verbose_json(texts: Sequence[Output], starts: Sequence[float], common: Output, metadata: Output) -> Output:
    """Merge OpenAI's `verbose_json`, where words, if requested, are listed apart from the segments."""
    apart = ("words", "logprobs")
    segments = [{key: value for key, value in segment.items() if key not in apart} for segment in common["segments"]]
    duration = metadata["audio_duration"]
    merged = {**texts[0], "duration": duration, "text": common["text"], "segments": segments}
    if "usage" in merged and duration is not None:
        merged["usage"] = {"type": "duration", "seconds": ceil(duration)}  # rounded up once, not in each part
    if "words" in merged:
        merged["words"] = _shift_all([text.get("words", []) for text in texts], starts)
    return merged


def _shift_all(parts: Sequence[Sequence[dict[str, Any]]], starts: Sequence[float]) -> list[dict[str, Any]]:
    return [_shift_times(item, start) for items, start in zip(parts, starts, strict=True) for item in items]


def _shift_times(item: dict[str, Any], offset: float) -> dict[str, Any]:
    return {**item, "start": round(item["start"] + offset, 3), "end": round(item["end"] + offset, 3)}


# --- subtitles: texts of the parts and their offsets in milliseconds -> one text


def _merge_srt(parts: Sequence[str], offsets: Sequence[int]) -> str:
    cues = [cue for part, offset in zip(parts, offsets, strict=True) for cue in _shift_cues(part, offset, ",")]
    # A cue begins with its number, which restarts at 1 in each part.
    numbered = (re.sub(r"\A\d+", str(number), cue) for number, cue in enumerate(cues, start=1))
    text = "\n".join(f"{cue}\n" for cue in numbered)
    if '<font color="#' not in text:
        return text
    from client.merge.speaker_colors import recolor_srt  # 0.1 s of tables, for few recordings

    return recolor_srt(text)


def _merge_vtt(parts: Sequence[str], offsets: Sequence[int]) -> str:
    header = "WEBVTT\n\n"
    bodies = (part.removeprefix(header) for part in parts)
    cues = [cue for part, offset in zip(bodies, offsets, strict=True) for cue in _shift_cues(part, offset, ".")]
    return header + "\n".join(f"{cue}\n" for cue in cues)


def _shift_cues(text: str, offset: int, decimal_mark: str) -> list[str]:
    """Split a text into its cues, with shifted times; cues are separated by blank lines and contain none."""
    time = rf"(\d+:\d\d:\d\d\{decimal_mark}\d{{3}})"

    def shift(found: re.Match[str]) -> str:
        start, end = (_format_clock(_parse_clock(value) + offset, decimal_mark) for value in found.groups())
        return f"{start} --> {end}"

    blocks = (block for block in text.rstrip("\n").split("\n\n") if block)
    return [re.sub(rf"^{time} --> {time}$", shift, block, count=1, flags=re.MULTILINE) for block in blocks]


def _merge_tsv(parts: Sequence[str], offsets: Sequence[int]) -> str:
    """Keep the longest header: a part without speech has no speaker column."""
    header = max((part.partition("\n")[0] for part in parts), key=len)
    rows = []
    for part, offset in zip(parts, offsets, strict=True):
        for row in part.splitlines(keepends=True)[1:]:
            start, end, rest = row.split("\t", 2)
            rows.append(f"{int(start) + offset}\t{int(end) + offset}\t{rest}")
    return f"{header}\n" + "".join(rows)


def _merge_rttm(parts: Sequence[str], offsets: Sequence[int]) -> str:
    lines = []
    for part, offset in zip(parts, offsets, strict=True):
        for line in part.splitlines(keepends=True):
            kind, file, channel, start, rest = line.split(" ", 4)
            lines.append(f"{kind} {file} {channel} {float(start) + offset / 1000:.3f} {rest}")
    return "".join(lines)


def _merge_lrc(parts: Sequence[str], offsets: Sequence[int]) -> str:
    """Shift lines `[mm:ss.xx]` and words `<mm:ss.xx>`; the total length is the last part's offset plus its length."""

    def shift_by(offset: int) -> Callable[[re.Match[str]], str]:
        def shift(found: re.Match[str]) -> str:
            opening, minutes, seconds, hundredths, closing = found.groups()
            time = (int(minutes) * 60 + int(seconds)) * 100 + int(hundredths) + offset // 10
            return f"{opening}{time // 6000:02d}:{time // 100 % 60:02d}.{time % 100:02d}{closing}"

        return shift

    lines, length = [], 0
    for part, offset in zip(parts, offsets, strict=True):
        header, _, body = part.partition("\n")
        if found := re.fullmatch(r"\[length:(\d+):(\d\d)\]", header):
            length = round(offset / 1000) + int(found[1]) * 60 + int(found[2])
        lines.append(re.sub(r"([\[<])(\d+):(\d\d)\.(\d\d)([\]>])", shift_by(offset), body))
    return f"[length:{length // 60:02d}:{length % 60:02d}]\n" + "".join(lines)


def _merge_ass(parts: Sequence[str], offsets: Sequence[int]) -> str:
    """Take the header of the first part and the dialogue of all; times are in hundredths of a second."""

    def shift_by(offset: int) -> Callable[[re.Match[str]], str]:
        def shift(found: re.Match[str]) -> str:
            times = (_parse_clock(f"{value}0") + offset for value in found.groups()[1:])
            # The hours have one digit, below ten hours.
            return found[1] + ",".join(_format_clock(time, ".")[1 if time < 36_000_000 else 0 : -1] for time in times)

        return shift

    start = parts[0].find("\nDialogue: ")
    header = parts[0] if start < 0 else parts[0][: start + 1]
    lines = [
        re.sub(r"^(Dialogue: \d+,)(\d+:\d\d:\d\d\.\d\d),(\d+:\d\d:\d\d\.\d\d)", shift_by(offset), line)
        for part, offset in zip(parts, offsets, strict=True)
        for line in part.splitlines(keepends=True)
        if line.startswith("Dialogue: ")
    ]
    text = header + "".join(lines)
    if r"{\1c&H" not in text:
        return text
    from client.merge.speaker_colors import recolor_ass  # 0.1 s of tables, for few recordings

    return recolor_ass(text)


def _merge_ttml(parts: Sequence[str], offsets: Sequence[int]) -> str:
    """Take head and body of the first part that has cues, and the paragraphs of all; each is on a line of its own."""
    paragraphs: list[str] = []
    for part, offset in zip(parts, offsets, strict=True):
        for line in part.splitlines(keepends=True):
            if line.lstrip().startswith("<p "):
                start, end = (
                    _format_clock(_parse_clock(value) + offset, ".") for value in re.findall(_TTML_TIME, line)
                )
                number = len(paragraphs) + 1
                head = f'<p xml:id="s{number}" region="bottom" begin="{start}" end="{end}">'
                indent = line[: len(line) - len(line.lstrip())]
                paragraphs.append(indent + head + line.partition(">")[2])
    frame = next((part for part in parts if "<p " in part), parts[0])
    lines = frame.splitlines(keepends=True)
    at = next((at for at, line in enumerate(lines) if line.lstrip().startswith("<p ")), len(lines))
    kept = [line for line in lines if not line.lstrip().startswith("<p ")]
    return "".join([*kept[:at], *paragraphs, *kept[at:]])


_TTML_TIME = r'(?:begin|end)="(\d+:\d\d:\d\d\.\d{3})"'


def _merge_stl(parts: Sequence[str], offsets: Sequence[int], warnings: list[str]) -> str:
    """Join the files; the whole may lose what no part has lost, such as the letters of another alphabet."""
    from client.merge.stl import merge_stl  # 0.1 s of tables, for few recordings

    return merge_stl(parts, offsets, warnings.append)


_SUBTITLE_MERGERS: dict[str, Callable[[Sequence[str], Sequence[int]], str]] = {
    "srt": _merge_srt,
    "vtt": _merge_vtt,
    "tsv": _merge_tsv,
    "lrc": _merge_lrc,
    "ass": _merge_ass,
    "ttml": _merge_ttml,
    "rttm": _merge_rttm,
}


def _to_ms(seconds: float) -> int:
    return round(seconds * 1000)


def _parse_clock(clock: str) -> int:
    """Return the milliseconds of `01:02:03,456`."""
    hours, minutes, seconds, milliseconds = map(int, re.split(r"[:.,]", clock))
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + milliseconds


def _format_clock(time: int, decimal_mark: str) -> str:
    seconds, milliseconds = divmod(time, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{decimal_mark}{milliseconds:03d}"


def _merge_cue_reports(reports: Sequence[Output], starts: Sequence[float]) -> Output:
    """Sum the counts; the first cues of the recording are listed, as many as a part lists."""
    merged: dict[str, Output] = {}
    for report, start in zip(reports, starts, strict=True):
        for name, over in report["over_limits"].items():
            first = [round(time + start, 3) for time in over["first"]]
            if name not in merged:
                merged[name] = {**over, "first": first}
                continue
            known = merged[name]
            worst = min if name.startswith("min_") else max
            known["count"] += over["count"]
            known["worst"] = worst(known["worst"], over["worst"])
            known["first"] = [*known["first"], *first][:_MAX_LISTED_CUES]
    return {"cues": sum(report["cues"] for report in reports), "over_limits": merged}


# --- metadata

_SUMMED_KEYS = ("processing_time", "audio_duration", "speech_duration", "repaired_speech")


def _merge_metadata(parts: Sequence[PartOutput]) -> Output:
    """Sum durations and counts, average probabilities; other values become a list by part where they differ."""
    sources = [part.output["metadata"] for part in parts]
    merged: Output = {key: _single_or_all([source.get(key) for source in sources]) for key in sources[0]}
    for key in _SUMMED_KEYS:
        if key in merged:
            values = [source.get(key) for source in sources]
            merged[key] = None if None in values else round(sum(values), 3)
    for key in ("timings", "dropped"):
        if key in merged:
            merged[key] = _sum_by_key([source.get(key, {}) for source in sources])
    merged["language"] = majority_language(parts)
    for key in ("language_probability", "languages"):
        if key in merged:
            merged[key] = _mean_probability(parts, merged["language"], key)
    merged["real_time_factor"] = round(merged["processing_time"] / (merged["audio_duration"] or 1.0), 4)
    merged["uncovered_speech"] = [
        [round(time + part.start, 3) for time in span]
        for part in parts
        for span in part.output["metadata"].get("uncovered_speech", [])
    ]
    merged["doubtful_speech"] = [
        {**look, "start": round(look["start"] + part.start, 3), "end": round(look["end"] + part.start, 3)}
        for part in parts
        for look in part.output["metadata"].get("doubtful_speech", [])
    ]
    if "redacted" in merged:
        redacted = [part.output["metadata"].get("redacted", []) for part in parts]
        merged["redacted"] = _shift_all(redacted, [part.start for part in parts])
    merged["warnings"] = list(dict.fromkeys(warning for source in sources for warning in source.get("warnings", [])))
    merged["parts"] = [[round(part.start, 3), round(part.end, 3)] for part in parts]
    return merged


def _single_or_all(values: list[Any]) -> Any:
    return values[0] if all(value == values[0] for value in values) else values


def _sum_by_key(counts: Sequence[dict[str, float]]) -> dict[str, float]:
    keys = dict.fromkeys(key for count in counts for key in count)
    return {key: round(sum(count.get(key, 0) for count in counts), 3) for key in keys}


def _mean_probability(parts: Sequence[PartOutput], language: str, key: str) -> Any:
    """Average over the parts in the recording's language where it was measured, weighted by their length."""
    matching = [part for part in parts if part.output["metadata"]["language"] == language]
    matching = [part for part in matching if part.output["metadata"][key] is not None]
    if not matching:
        return None
    total = sum(part.end - part.start for part in matching)
    weights = [(part.end - part.start) / total for part in matching]
    values = [part.output["metadata"][key] for part in matching]
    if isinstance(values[0], dict):
        names = dict.fromkeys(name for value in values for name in value)
        return {
            name: round(sum(value.get(name, 0) * weight for value, weight in zip(values, weights, strict=True)), 4)
            for name in names
        }
    return round(sum(value * weight for value, weight in zip(values, weights, strict=True)), 4)
