"""Unifies the speakers of a recording in parts. Pure.

Each part is diarized by itself, and includes an embedding of each of its speakers. Speakers with similar embeddings get
one label, numbered by first speech in the whole recording; names of enrolled speakers are kept.
"""

from __future__ import annotations

import html
import json
import math
import operator
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Output = dict[str, Any]

THRESHOLDS_FILE = Path(__file__).with_name("speaker_thresholds.json")
"""Written by `builder/write_tables.py` from the worker's own."""

_THRESHOLDS: dict[str, float] = json.loads(THRESHOLDS_FILE.read_text(encoding="utf-8"))

MERGE_THRESHOLD = _THRESHOLDS["merge"]
"""Cosine similarity of two embeddings from which they count as one speaker."""

STRICT_MERGE_THRESHOLD = _THRESHOLDS["strict_merge"]
"""The same where more speakers are requested than were found."""

ENROLL_THRESHOLD = _THRESHOLDS["enroll"]
"""Cosine similarity from which a speaker is taken for a known voice."""

_GENERATED_LABEL = re.compile(r"(CHANNEL_\d+_)?SPEAKER_\d+")

Labels = dict[str, str]
"""Labels of the whole recording by a part's own labels."""


def options_for_parts(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a part: not all speakers need occur in it, but there are no more of them."""
    kept = {key: value for key, value in options.items() if key not in ("num_speakers", "min_speakers")}
    maximum = options.get("num_speakers") or options.get("max_speakers")
    return {**kept, "speaker_embeddings": True, **({"max_speakers": maximum} if maximum else {})}


def unify_speakers(starts: Sequence[float], outputs: Sequence[Output], options: dict[str, Any]) -> list[Output]:
    """Return the parts' outputs with the labels of the whole recording.

    Args:
        starts: start of each part, in seconds.
        outputs: of the parts.
        options: the user's; embeddings are removed unless `speaker_embeddings` is set.
    """
    channels = max(1, len({channel for output in outputs for channel in _channels(output)}))  # each has these counts
    minimum = channels * (options.get("num_speakers") or options.get("min_speakers") or 1)
    maximum = channels * (options.get("num_speakers") or options.get("max_speakers") or math.inf)
    clusters = sorted(_find_clusters(starts, outputs, minimum, maximum), key=lambda cluster: cluster.start)
    labels_by_part: list[Labels] = [{} for _ in outputs]
    numbers: Counter[str] = Counter()
    for cluster in clusters:
        name = cluster.name or f"{cluster.channel}SPEAKER_{numbers[cluster.channel]:02d}"
        numbers[cluster.channel] += 1
        for part, label in cluster.members:
            labels_by_part[part][label] = name
    warnings = []
    if 0 < len(clusters) < minimum:
        warnings = [f"{minimum} speakers were requested, but only {len(clusters)} can be distinguished"]
    keep = bool(options.get("speaker_embeddings"))
    return [_relabel(output, labels, warnings, keep) for output, labels in zip(outputs, labels_by_part, strict=True)]


@dataclass
class _SpeakerCluster:
    """Speakers of several parts who are the same person."""

    members: list[tuple[int, str]]
    """Index of a part, and the speaker's label in it."""
    start: float
    name: str
    """Name of an enrolled speaker, or empty."""
    channel: str
    """Start of its labels, as `CHANNEL_0_`; empty for an enrolled speaker, and where channels are not apart."""
    sum: list[float]
    """Sum of the members' embeddings, weighted by their seconds of speech."""

    def can_merge(self, other: _SpeakerCluster) -> bool:
        """True if they may be one person, and no part contains both."""
        parts, other_parts = ({part for part, _ in cluster.members} for cluster in (self, other))
        return self.may_be(other) and not parts & other_parts

    def may_be(self, other: _SpeakerCluster) -> bool:
        """True if the two are not both named, nor on different channels."""
        apart = self.channel and other.channel and self.channel != other.channel
        return not (self.name and other.name) and not apart

    def merge(self, other: _SpeakerCluster) -> None:
        self.members += other.members
        self.start = min(self.start, other.start)
        self.name = self.name or other.name
        self.channel = self.channel or other.channel
        self.sum = [value + other_value for value, other_value in zip(self.sum, other.sum, strict=True)]


def _find_clusters(
    starts: Sequence[float], outputs: Sequence[Output], minimum: int, maximum: float
) -> list[_SpeakerCluster]:
    for threshold in (MERGE_THRESHOLD, (MERGE_THRESHOLD + STRICT_MERGE_THRESHOLD) / 2, STRICT_MERGE_THRESHOLD):
        clusters = _merge_similar(_initial_clusters(starts, outputs), threshold, maximum)
        if len(clusters) >= minimum:
            break
    return clusters


def _initial_clusters(starts: Sequence[float], outputs: Sequence[Output]) -> list[_SpeakerCluster]:
    """Make a cluster for each speaker of each part, but only one per name."""
    clusters: list[_SpeakerCluster] = []
    named: dict[str, _SpeakerCluster] = {}
    for part, (offset, output) in enumerate(zip(starts, outputs, strict=True)):
        for speaker in output.get("transcription", {}).get("speakers", []):
            label = speaker["speaker"]
            name = "" if _GENERATED_LABEL.fullmatch(label) else label
            weighted = [_weight(speaker) * value for value in speaker["embedding"]]
            cluster = _SpeakerCluster([(part, label)], offset + speaker["start"], name, _channel(label), weighted)
            if name in named:
                named[name].merge(cluster)
                continue
            clusters.append(cluster)
            if name:
                named[name] = cluster
    return clusters


def _channel(label: str) -> str:
    found = _GENERATED_LABEL.fullmatch(label)
    return (found[1] or "") if found else ""


def _channels(output: Output) -> set[str]:
    """Return the channels that have speakers without names."""
    labels = (speaker["speaker"] for speaker in output.get("transcription", {}).get("speakers", []))
    return {_channel(label) for label in labels if _GENERATED_LABEL.fullmatch(label)}


def _merge_similar(clusters: list[_SpeakerCluster], threshold: float, maximum: float) -> list[_SpeakerCluster]:
    """Merge the two most similar clusters while any reach the threshold, or there are more than `maximum`."""
    similarity = {
        (first, second): _cosine(clusters[first].sum, clusters[second].sum)
        for first in range(len(clusters))
        for second in range(first)
    }
    remaining = set(range(len(clusters)))
    while similarity:
        too_many = len(remaining) > maximum
        pairs = [pair for pair in similarity if too_many or similarity[pair] >= threshold]
        mergeable = [(first, second) for first, second in pairs if clusters[first].can_merge(clusters[second])]
        if too_many and not mergeable:  # accept two speakers of one part
            mergeable = [(first, second) for first, second in pairs if clusters[first].may_be(clusters[second])]
        if not mergeable:
            break
        first, second = max(mergeable, key=lambda pair: similarity[pair])
        clusters[first].merge(clusters[second])
        remaining.remove(second)
        similarity = {pair: value for pair, value in similarity.items() if second not in pair}
        for pair in (pair for pair in similarity if first in pair):
            similarity[pair] = _cosine(clusters[pair[0]].sum, clusters[pair[1]].sum)
    return [clusters[index] for index in remaining]


def _weight(speaker: dict[str, Any]) -> float:
    return max(float(speaker["seconds"]), 0.001)


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    return float(sum(map(operator.mul, a, b)) / (math.hypot(*a) * math.hypot(*b) or 1.0))


# --- new labels in a part's output


def _relabel(output: Output, labels: Labels, warnings: list[str], keep_embeddings: bool) -> Output:
    lost: list[str] = []
    texts: Output = {
        key: _relabel_formats(output[key], labels, lost) for key in ("transcription", "translation") if key in output
    }
    if not keep_embeddings:
        for speaker in (speaker for formats in texts.values() for speaker in formats.get("speakers", [])):
            speaker.pop("embedding")
            speaker.pop("embedding_model", None)
    metadata = {**output["metadata"], "warnings": [*output["metadata"].get("warnings", []), *warnings, *lost]}
    return {**output, **texts, "metadata": metadata}


def _relabel_formats(formats: Output, labels: Labels, lost: list[str]) -> Output:
    """Return the formats with the new labels, and add to `lost` a sentence on what a format cannot hold."""
    relabeled = {
        name: _RELABELERS[name](value, labels) if name in _RELABELERS else value for name, value in formats.items()
    }
    if "stl" in formats:
        from client.merge.stl import relabel_stl  # 0.1 s of tables, for few recordings

        relabeled["stl"] = relabel_stl(formats["stl"], labels, lost.append)
    return relabeled


def _relabel_json(value: Any, labels: Labels) -> Any:
    """Replace the labels in `speaker` and `other_speakers`: in segments, words, turns and speakers."""
    if isinstance(value, list):
        return [_relabel_json(item, labels) for item in value]
    if not isinstance(value, dict):
        return value
    relabeled = {key: _relabel_json(item, labels) for key, item in value.items()}
    if "speaker" in value:
        relabeled["speaker"] = labels.get(value["speaker"], value["speaker"])
    if "other_speakers" in value:
        relabeled["other_speakers"] = [labels.get(label, label) for label in value["other_speakers"]]
    return relabeled


def _text_relabeler(pattern: str, encode: Callable[[str], str] = str) -> Callable[[str, Labels], str]:
    """Make a function that replaces the labels in a text where `pattern` has `{}`.

    Args:
        pattern: a regular expression around `{}`.
        encode: spelling of a label in this format.
    """
    before, after = pattern.split("{}")

    def relabel(text: str, labels: Labels) -> str:
        encoded = {encode(label): encode(new_label) for label, new_label in labels.items()}
        alternatives = "|".join(map(re.escape, encoded))
        labelled = rf"({before})({alternatives})(?={after})"
        if not encoded:
            return text
        return re.sub(labelled, lambda found: found[1] + encoded[found[2]], text, flags=re.MULTILINE)

    return relabel


_MARKS = r"[\u200f\u202b]*"
"""Marks of direction before right-to-left text, `OPENING_MARKS` of `transcript/formats/cues.py`."""

_RELABELERS: dict[str, Callable[[Any, Labels], Any]] = {
    "text": _text_relabeler("^{}: "),
    "srt": _text_relabeler(rf' --> .*\n(?:\{{\\an8\}})?(?:<font color="#[0-9A-F]{{6}}">)?{_MARKS}{{}}: '),
    "vtt": _text_relabeler(r" --> .*\n<v {}>"),
    "tsv": _text_relabeler(r"^\d+\t\d+\t{}\t"),
    "ass": _text_relabeler(r"^Dialogue: \d+,[^,]*,[^,]*,[^,]*,{},"),
    "ttml": _text_relabeler(
        rf'<p [^>]*><span style="text">{_MARKS}{{}}: ', lambda label: html.escape(label, quote=False)
    ),
    "rttm": _text_relabeler(r"^SPEAKER audio 1 \S+ \S+ <NA> <NA> {} ", lambda label: label.replace(" ", "_")),
    **dict.fromkeys(("segments", "speakers", "speaker_turns", "verbose_json"), _relabel_json),
}
"""By format."""


# --- speakers of the whole recording


def sum_speakers(starts: Sequence[float], parts: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the speakers of all parts, ordered by first speech.

    Args:
        starts: start of each part, in seconds.
        parts: the speakers of each part, with the labels of the whole recording.
    """
    by_label: dict[str, list[dict[str, Any]]] = {}
    for offset, speakers in zip(starts, parts, strict=True):
        for speaker in speakers:
            shifted = {**speaker, "start": round(speaker["start"] + offset, 3)}
            by_label.setdefault(speaker["speaker"], []).append(shifted)
    return sorted(map(_sum_speaker, by_label.values()), key=lambda speaker: float(speaker["start"]))


def _sum_speaker(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    speaker = {
        "speaker": entries[0]["speaker"],
        "seconds": round(sum(entry["seconds"] for entry in entries), 3),
        "turns": sum(entry["turns"] for entry in entries),
        "start": min(entry["start"] for entry in entries),
    }
    if "embedding" in entries[0]:
        weighted = [[_weight(entry) * value for value in entry["embedding"]] for entry in entries]
        total = [sum(values) for values in zip(*weighted, strict=True)]
        length = math.hypot(*total) or 1.0
        speaker["embedding"] = [round(value / length, 4) for value in total]
        if "embedding_model" in entries[0]:
            speaker["embedding_model"] = entries[0]["embedding_model"]
    return speaker
