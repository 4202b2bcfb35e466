"""One set of speakers for a recording in parts. Pure.

Each part tells its own speakers apart, and sends a voiceprint of each. Those that are alike get one label, in order of
first speech over the whole recording; names of known voices stay.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Output = dict[str, Any]

ALIKE = 0.6
"""Cosine of two voiceprints from which they are of one voice, as within a part (`src/speakers/clustering.py`)."""

MOST_ALIKE = 0.75
"""The same where more speakers are asked for than are found."""

_LABEL = re.compile(r"SPEAKER_\d+")

Labels = dict[str, str]
"""A part's own label of a speaker -> the whole recording's."""


def to_ask_parts_for(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a part: it need not have all speakers, but has no more of them."""
    asked = {key: value for key, value in options.items() if key not in ("num_speakers", "min_speakers")}
    most = options.get("num_speakers") or options.get("max_speakers")
    return {**asked, "speaker_embeddings": True, **({"max_speakers": most} if most else {})}


def with_one_set(starts: Sequence[float], outputs: Sequence[Output], options: dict[str, Any]) -> list[Output]:
    """The parts' outputs with labels of the whole recording, and without embeddings unless `options` asks for them.

    Args:
        starts: where each part begins, in seconds.
    """
    least = options.get("num_speakers") or options.get("min_speakers") or 1
    most = options.get("num_speakers") or options.get("max_speakers") or math.inf
    clusters = sorted(_clusters(starts, outputs, least, most), key=lambda one: one.start)
    names: list[Labels] = [{} for _ in outputs]
    for number, cluster in enumerate(clusters):
        for part, label in cluster.members:
            names[part][label] = cluster.name or f"SPEAKER_{number:02d}"
    warnings = []
    if 0 < len(clusters) < least:
        warnings = [f"{least} speakers were asked for, but no more than {len(clusters)} can be told apart"]
    keep = bool(options.get("speaker_embeddings"))
    return [_relabelled(output, own, warnings, keep) for output, own in zip(outputs, names, strict=True)]


@dataclass
class _Cluster:
    """Speakers of parts, by piece and label, who are one."""

    members: list[tuple[int, str]]
    start: float
    name: str
    """Of a known voice; empty: none."""
    sum: list[float]
    """Of the voiceprints, by the seconds that each is of."""

    def may_join(self, other: _Cluster) -> bool:
        """Whether no part tells them apart."""
        return not (self.name and other.name) and not {piece for piece, _ in self.members} & {
            piece for piece, _ in other.members
        }

    def join(self, other: _Cluster) -> None:
        self.members += other.members
        self.start = min(self.start, other.start)
        self.name = self.name or other.name
        self.sum = [one + more for one, more in zip(self.sum, other.sum, strict=True)]


def _clusters(starts: Sequence[float], outputs: Sequence[Output], least: int, most: float) -> list[_Cluster]:
    for alike in (ALIKE, (ALIKE + MOST_ALIKE) / 2, MOST_ALIKE):
        clusters = _joined(_of_parts(starts, outputs), alike, most)
        if len(clusters) >= least:
            break
    return clusters


def _of_parts(starts: Sequence[float], outputs: Sequence[Output]) -> list[_Cluster]:
    """A cluster for each speaker of each part, but one for each name."""
    clusters: list[_Cluster] = []
    named: dict[str, _Cluster] = {}
    for part, (offset, output) in enumerate(zip(starts, outputs, strict=True)):
        for one in output.get("transcription", {}).get("speakers", []):
            name = "" if _LABEL.fullmatch(one["speaker"]) else one["speaker"]
            total = [_weight(one) * value for value in one["embedding"]]
            fresh = _Cluster([(part, one["speaker"])], offset + one["start"], name, total)
            if name in named:
                named[name].join(fresh)
                continue
            clusters.append(fresh)
            if name:
                named[name] = fresh
    return clusters


def _joined(clusters: list[_Cluster], alike: float, most: float) -> list[_Cluster]:
    """The two most alike are made one as long as any are alike, or there are more than `most`."""
    likeness = {
        (one, other): _cosine(clusters[one].sum, clusters[other].sum)
        for one in range(len(clusters))
        for other in range(one)
    }
    left = set(range(len(clusters)))
    while likeness:
        too_many = len(left) > most
        pairs = [pair for pair in likeness if too_many or likeness[pair] >= alike]
        apart = [(one, other) for one, other in pairs if clusters[one].may_join(clusters[other])]
        if too_many and not apart:  # two of one part after all
            apart = [(one, other) for one, other in pairs if not (clusters[one].name and clusters[other].name)]
        if not apart:
            break
        one, other = max(apart, key=lambda pair: likeness[pair])
        clusters[one].join(clusters[other])
        left.remove(other)
        likeness = {pair: value for pair, value in likeness.items() if other not in pair}
        for pair in (pair for pair in likeness if one in pair):
            likeness[pair] = _cosine(clusters[pair[0]].sum, clusters[pair[1]].sum)
    return [clusters[number] for number in left]


def _weight(speaker: dict[str, Any]) -> float:
    return max(float(speaker["seconds"]), 0.001)


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return float(sum(map(operator.mul, one, other)) / (math.hypot(*one) * math.hypot(*other) or 1.0))


# --- labels in what a part said


def _relabelled(output: Output, names: Labels, warnings: list[str], keep_embeddings: bool) -> Output:
    said: Output = {key: _texts(output[key], names) for key in ("transcription", "translation") if key in output}
    for speaker in (one for text in said.values() for one in text.get("speakers", [])):
        if not keep_embeddings:
            speaker.pop("embedding")
    metadata = {**output["metadata"], "warnings": [*output["metadata"].get("warnings", []), *warnings]}
    return {**output, **said, "metadata": metadata}


def _texts(said: Output, names: Labels) -> Output:
    return {key: _FORMS[key](value, names) if key in _FORMS else value for key, value in said.items()}


def _spoken(value: Any, names: Labels) -> Any:
    """Segments with their words, turns, speakers: whatever has the key `speaker`."""
    if isinstance(value, list):
        return [_spoken(one, names) for one in value]
    if not isinstance(value, dict):
        return value
    changed = {key: _spoken(one, names) for key, one in value.items()}
    return changed | ({"speaker": names.get(value["speaker"], value["speaker"])} if "speaker" in value else {})


def _by(pattern: str, written: Callable[[str], str] = str) -> Callable[[str, Labels], str]:
    """Replaces the labels in a text where `pattern` has `{}`.

    Args:
        written: how a label stands there.
    """
    before, after = pattern.split("{}")

    def replaced(text: str, names: Labels) -> str:
        new = {written(label): written(name) for label, name in names.items()}
        labels = "|".join(map(re.escape, new))
        place = rf"({before})({labels})(?={after})"
        return re.sub(place, lambda found: found[1] + new[found[2]], text, flags=re.MULTILINE) if new else text

    return replaced


_FORMS: dict[str, Callable[[Any, Labels], Any]] = {
    "text": _by("^{}: "),
    "srt": _by(r" --> .*\n{}: "),
    "vtt": _by(r" --> .*\n<v {}>"),
    "tsv": _by(r"^\d+\t\d+\t{}\t"),
    "ass": _by(r"^Dialogue: \d+,[^,]*,[^,]*,[^,]*,{},"),
    "rttm": _by(r"^SPEAKER audio 1 \S+ \S+ <NA> <NA> {} ", lambda label: label.replace(" ", "_")),
    **dict.fromkeys(("segments", "speakers", "speaker_turns", "verbose_json"), _spoken),
}


# --- speakers of the whole


def summed(starts: Sequence[float], parts: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The speakers of all parts, in order of first speech; their labels are the whole's already.

    Args:
        starts: where each part begins, in seconds.
    """
    whole: dict[str, list[dict[str, Any]]] = {}
    for offset, speakers in zip(starts, parts, strict=True):
        for one in speakers:
            whole.setdefault(one["speaker"], []).append({**one, "start": round(one["start"] + offset, 3)})
    return sorted(map(_sum, whole.values()), key=lambda one: float(one["start"]))


def _sum(same: Sequence[dict[str, Any]]) -> dict[str, Any]:
    speaker = {
        "speaker": same[0]["speaker"],
        "seconds": round(sum(one["seconds"] for one in same), 3),
        "turns": sum(one["turns"] for one in same),
        "start": min(one["start"] for one in same),
    }
    if "embedding" in same[0]:
        weighted = [[_weight(one) * value for value in one["embedding"]] for one in same]
        total = [sum(values) for values in zip(*weighted, strict=True)]
        length = math.hypot(*total) or 1.0
        speaker["embedding"] = [round(value / length, 4) for value in total]
    return speaker
