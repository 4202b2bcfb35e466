"""Measures accuracy side by side with peers: errors by kind of recording, with intervals and paired differences.

    python -m benchmarks.accuracy FOLDER [--systems 'ours*' 'openai-whisper*'] [--kinds long telephone] [--model base]

FOLDER has a manifest.json that lists for each file its `language`, `kind` and `text`, and where they exist an `rttm`
file with speaker turns or a `words` file with word times. All systems transcribe with the same weights, in the language
of the recording. The report has, for each system:

- word error rate (character error rate for languages without spaces) by language and kind, with a 95% interval;
- substitutions, deletions and insertions per 100 words;
- words in recordings without speech;
- recall: the share of the reference speech inside the system's segments;
- the paired difference from the first system, with a 95% interval: one without 0 is not due to chance.

Intervals are percentiles of a bootstrap over recordings, which are the independent samples; words of one recording are
not. Transcripts are saved with the report, and `--report FILE` repeats the report from them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peer_weights import NoWeights, weights_for
from benchmarks.recordings import Reference, merge_spans, read_references
from benchmarks.report import describe_run, markdown_table
from benchmarks.scoring import Edits, count_edits, split_units
from benchmarks.system_process import Request, SystemFailed, SystemProcess
from benchmarks.systems import SYSTEMS, Span, select

RESULTS = Path(__file__).with_name("results")
DRAWS = 4000
"""Resamples of the bootstrap: the interval's ends are stable to about a tenth of its width."""

Rate = tuple[float, float, float]
"""A rate in percent and the ends of its 95% interval."""


@dataclass(frozen=True)
class Transcribed:
    """One recording as one system transcribed it."""

    system: str
    file: str
    text: str
    spans: list[Span]
    """Start and end of the segments, in seconds."""
    seconds: float
    """Processing time."""


def transcribe_all(references: Sequence[Reference], patterns: Sequence[str], model: str) -> list[Transcribed]:
    """Run the systems one after another over all recordings; one that fails is left out, with a line that says why."""
    transcribed = []
    for system in select(patterns):
        results = []
        try:
            with SystemProcess(system, weights_for(system.engine, model)) as process:
                for number, reference in enumerate(references, 1):
                    answer = process.transcribe(Request([reference.path], reference.language))
                    results.append(
                        Transcribed(
                            system.name,
                            reference.name,
                            answer.transcriptions[0].text,
                            list(answer.transcriptions[0].spans),
                            answer.seconds,
                        )
                    )
                    print(f"\r{system.name}: {number}/{len(references)} {reference.name[:40]:40}", end="", flush=True)
        except (NoWeights, SystemFailed) as error:
            print(f"\n{system.name} is left out: {error}")
            continue
        print()
        transcribed += results
    return transcribed


def report(references: Sequence[Reference], transcribed: Sequence[Transcribed]) -> str:
    """Return the tables as Markdown."""
    systems = list(dict.fromkeys(item.system for item in transcribed))
    by_key = {(item.system, item.file): item for item in transcribed}
    spoken = [reference for reference in references if reference.text]
    edits = {
        (system, reference.name): count_edits(
            reference.text or "", by_key[system, reference.name].text, reference.language
        )
        for system in systems
        for reference in spoken
    }
    sections = [
        ("Error rate in percent, with its 95% interval", _error_table(systems, spoken, edits)),
        (f"Difference from {systems[0]}, in points, paired", _difference_table(systems, spoken, edits)),
        ("Kinds of errors, per 100 words", _kinds_table(systems, spoken, edits)),
        ("Words in recordings without speech", _phantom_table(systems, references, by_key)),
        ("Recall of speech and speed", _recall_table(systems, references, by_key)),
    ]
    return "\n\n".join(f"## {title}\n\n{table}" for title, table in sections)


def _groups(references: Sequence[Reference]) -> dict[str, list[Reference]]:
    """Return the recordings by language and kind, then of all English and of all other languages."""
    groups: dict[str, list[Reference]] = {}
    for reference in sorted(references, key=lambda reference: (reference.language or "", reference.kind)):
        groups.setdefault(f"{reference.language} {reference.kind}", []).append(reference)
    english = [reference for reference in references if reference.language == "en"]
    others = [reference for reference in references if reference.language != "en"]
    return groups | {name: group for name, group in (("English", english), ("other languages", others)) if group}


def _error_table(systems: Sequence[str], references: Sequence[Reference], edits: dict[tuple[str, str], Edits]) -> str:
    rows = []
    for name, group in _groups(references).items():
        cells = [_format(error_rate([edits[system, reference.name] for reference in group])) for system in systems]
        words = sum(edits[systems[0], reference.name].total for reference in group)
        rows.append([name, str(len(group)), str(words), *cells])
    return markdown_table(["", "recordings", "words", *systems], rows)


def _difference_table(
    systems: Sequence[str], references: Sequence[Reference], edits: dict[tuple[str, str], Edits]
) -> str:
    rows = []
    for name, group in _groups(references).items():
        first, *others = ([edits[system, reference.name] for reference in group] for system in systems)
        rows.append([name, *(_format(rate_difference(other, first), sign="+") for other in others)])
    return markdown_table(["", *systems[1:]], rows)


def _kinds_table(systems: Sequence[str], references: Sequence[Reference], edits: dict[tuple[str, str], Edits]) -> str:
    rows = []
    for system in systems:
        for name in ("English", "other languages"):
            group = _groups(references).get(name)
            if not group:
                continue
            counts = [edits[system, reference.name] for reference in group]
            total = sum(count.total for count in counts) / 100
            kinds = [
                sum(getattr(count, kind) for count in counts) / total
                for kind in ("substitutions", "deletions", "insertions")
            ]
            rows.append([system, name, *(f"{kind:.1f}" for kind in kinds)])
    return markdown_table(["system", "", "substitutions", "deletions", "insertions"], rows)


def _phantom_table(
    systems: Sequence[str], references: Sequence[Reference], by_key: dict[tuple[str, str], Transcribed]
) -> str:
    silent = [reference for reference in references if reference.text == "" or reference.kind in ("music", "silence")]
    rows = []
    for system in systems:
        counts = [len(split_units(by_key[system, reference.name].text, None)) for reference in silent]
        rows.append([system, str(sum(counts)), f"{sum(map(bool, counts))} of {len(silent)}"])
    return markdown_table(["system", "words", "recordings with words"], rows)


def _recall_table(
    systems: Sequence[str], references: Sequence[Reference], by_key: dict[tuple[str, str], Transcribed]
) -> str:
    with_speech = [reference for reference in references if reference.speech]
    rows = []
    for system in systems:
        items = [by_key[system, reference.name] for reference in references]
        covered = sum(overlap(reference.speech, by_key[system, reference.name].spans) for reference in with_speech)
        speech = sum(end - start for reference in with_speech for start, end in reference.speech)
        recall = f"{100 * covered / speech:.1f}%" if speech else "-"
        speed = sum(reference.seconds for reference in references) / sum(item.seconds for item in items)
        rows.append([system, recall, f"{speed:.1f}"])
    return markdown_table(["system", f"recall ({len(with_speech)} recordings)", "x real time"], rows)


def error_rate(edits: Sequence[Edits]) -> Rate:
    """Return the error rate over recordings, in percent, with the interval of a bootstrap over them."""
    return _with_interval(_rates(edits, _draws(len(edits))), _rates(edits, np.arange(len(edits))[None])[0])


def rate_difference(edits: Sequence[Edits], baseline: Sequence[Edits]) -> Rate:
    """Return the error rate less the baseline's, in points; each resample takes the same recordings of both."""
    draws, every = _draws(len(edits)), np.arange(len(edits))[None]
    difference = _rates(edits, draws) - _rates(baseline, draws)
    return _with_interval(difference, _rates(edits, every)[0] - _rates(baseline, every)[0])


def _draws(count: int) -> NDArray[np.intp]:
    return np.random.default_rng(0).integers(0, count, (DRAWS, count))


def _rates(edits: Sequence[Edits], draws: NDArray[np.intp]) -> NDArray[np.float64]:
    wrong = np.array([edit.sum for edit in edits])[draws].sum(axis=1)
    total = np.array([edit.total for edit in edits])[draws].sum(axis=1)
    return np.asarray(100 * wrong / total, np.float64)


def _with_interval(resampled: NDArray[np.float64], value: float) -> Rate:
    low, high = np.percentile(resampled, [2.5, 97.5])
    return float(value), float(low), float(high)


def _format(rate: Rate, sign: str = "") -> str:
    return "{:{sign}.1f} ({:{sign}.1f} to {:{sign}.1f})".format(*rate, sign=sign)


def overlap(reference: Iterable[Span], spans: Iterable[Span]) -> float:
    """Return the seconds of `reference`, whose spans do not overlap, that lie inside any of `spans`."""
    merged = merge_spans(spans)
    return sum(max(0.0, min(end, b) - max(start, a)) for start, end in reference for a, b in merged)


def main() -> None:
    """Transcribe, or read earlier transcripts, and print and save the report."""
    arguments = _parse_arguments()
    references = [
        reference
        for reference in read_references(arguments.folder)
        if not arguments.kinds or reference.kind in arguments.kinds
    ]
    if arguments.report:
        raw: list[dict[str, Any]] = json.loads(arguments.report.read_text(encoding="utf-8"))
        names = {reference.name for reference in references}
        transcribed = [Transcribed(**item) for item in raw if item["file"] in names]
    else:
        transcribed = transcribe_all(references, arguments.systems, arguments.model)
        arguments.out.mkdir(parents=True, exist_ok=True)
        saved = json.dumps([asdict(item) for item in transcribed], ensure_ascii=False, indent=1)
        (arguments.out / "accuracy.json").write_text(saved, encoding="utf-8")
    text = f"# Accuracy: {arguments.model}\n\n{describe_run()}\n\n{report(references, transcribed)}\n"
    print(f"\n{text}")
    if not arguments.report:
        (arguments.out / "accuracy.md").write_text(text, encoding="utf-8")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with a manifest.json")
    parser.add_argument("--model", default="base", help="the same for all systems (default: %(default)s)")
    parser.add_argument("--kinds", nargs="+", default=[], help="only recordings of these kinds (default: all)")
    names = ", ".join(system.name for system in SYSTEMS)
    parser.add_argument("--systems", nargs="+", default=["ours"], metavar="PATTERN", help=f"shell patterns of: {names}")
    parser.add_argument("--report", type=Path, metavar="FILE", help="an earlier accuracy.json to report on")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
