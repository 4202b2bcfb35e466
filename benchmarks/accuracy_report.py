"""The tables of the accuracy benchmark, as Markdown: one for each question."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.intervals import Rate, error_rate, rate_difference
from benchmarks.recordings import Reference, merge_spans
from benchmarks.report import markdown_table
from benchmarks.scoring import Edits, count_edits, count_words, sum_edits
from benchmarks.systems import Span

KINDS_WITHOUT_SPEECH = ("non-speech", "noise", "silence")
"""Kinds in which every word is invented. Music may be sung: there it takes an empty reference text to say so."""

MAX_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class Transcribed:
    """One recording as one system transcribed it."""

    system: str
    file: str
    text: str
    spans: Sequence[Span]
    """Start and end of the segments, in seconds."""
    seconds: float
    """Processing time."""


@dataclass(frozen=True)
class Results:
    """The same recordings as several systems transcribed them."""

    references: Sequence[Reference]
    systems: Sequence[str]
    """In the order of the tables."""
    transcribed: Mapping[tuple[str, str], Transcribed]
    """By system and file."""
    edits: Mapping[tuple[str, str], Edits]
    """Errors by system and file, of recordings with a reference text."""

    @property
    def spoken(self) -> list[Reference]:
        """The recordings with a reference text that is not empty."""
        return [reference for reference in self.references if (self.systems[0], reference.name) in self.edits]

    def edits_of(self, system: str, references: Iterable[Reference]) -> list[Edits]:
        """Return a system's errors in recordings with a reference text."""
        return [self.edits[system, reference.name] for reference in references]


def collect_results(references: Sequence[Reference], transcribed: Sequence[Transcribed]) -> Results:
    """Count the errors in the recordings that all systems have transcribed.

    Raises:
        SystemExit: There is no such recording.
    """
    systems = list(dict.fromkeys(item.system for item in transcribed))
    by_key = {(item.system, item.file): item for item in transcribed}
    common = [reference for reference in references if all((system, reference.name) in by_key for system in systems)]
    if not systems or not common:
        raise SystemExit("there is no recording that all systems have transcribed")
    edits = {
        (system, reference.name): count_edits(reference.text, by_key[system, reference.name].text, reference.language)
        for system in systems
        for reference in common
        if reference.text
    }
    return Results(common, systems, by_key, {key: edit for key, edit in edits.items() if edit.total})


def write_report(results: Results, baseline: str) -> str:
    """Return the tables; differences are from the system `baseline`."""
    sections = []
    if results.spoken:
        sections = [
            ("Error rate in percent, with its 95% interval", _error_table(results)),
            (f"Difference from {baseline} in points, paired; * is not due to chance", _gap_table(results, baseline)),
            ("Kinds of errors, per 100 words", _kinds_table(results)),
        ]
    sections += [
        ("Words in recordings without speech", _phantom_count_table(results)),
        ("What was invented", _phantom_list_table(results)),
        ("Recall in percent", _recall_table(results)),
        ("Speed", _speed_table(results)),
    ]
    return "\n\n".join(f"## {title}\n\n{table}" for title, table in sections)


def _error_table(results: Results) -> str:
    rows = []
    for name, group in _groups(results.spoken).items():
        words = sum(edits.total for edits in results.edits_of(results.systems[0], group))
        rates = [_format(error_rate(results.edits_of(system, group))) for system in results.systems]
        rows.append([name, str(len(group)), str(words), *rates])
    return markdown_table(["", "recordings", "words", *results.systems], rows)


def _gap_table(results: Results, baseline: str) -> str:
    others = [system for system in results.systems if system != baseline]
    rows = []
    for name, group in _groups(results.spoken).items():
        reference = results.edits_of(baseline, group)
        gaps = [rate_difference(results.edits_of(system, group), reference) for system in others]
        rows.append([name, *(_format(gap, "+") + (" *" if gap.excludes_zero else "") for gap in gaps)])
    return markdown_table(["", *others], rows)


def _groups(references: Sequence[Reference]) -> dict[str, list[Reference]]:
    """Return the recordings of English and of all other languages, then by language and kind."""
    groups = _language_groups(references)
    for reference in sorted(references, key=lambda reference: (reference.language or "", reference.kind)):
        groups.setdefault(f"{reference.language} {reference.kind}", []).append(reference)
    return groups


def _language_groups(references: Sequence[Reference]) -> dict[str, list[Reference]]:
    groups = defaultdict(list)
    for reference in sorted(references, key=lambda reference: reference.language != "en"):
        groups["English" if reference.language == "en" else "other languages"].append(reference)
    return dict(groups)


def _kinds_table(results: Results) -> str:
    rows = []
    for name, group in _language_groups(results.spoken).items():
        for system in results.systems:
            edits = sum_edits(results.edits_of(system, group))
            counts = (edits.substitutions, edits.deletions, edits.insertions)
            rows.append([name, system, *(f"{100 * count / edits.total:.1f}" for count in counts)])
    return markdown_table(["", "system", "substitutions", "deletions", "insertions"], rows)


def _phantom_count_table(results: Results) -> str:
    silent = [reference for reference in results.references if _is_without_speech(reference)]
    rows = []
    for system in results.systems:
        counts = [count_words(results.transcribed[system, reference.name].text) for reference in silent]
        rows.append([system, str(sum(counts)), f"{sum(map(bool, counts))} of {len(silent)}"])
    return markdown_table(["system", "words", "recordings with words"], rows)


def _phantom_list_table(results: Results) -> str:
    rows = []
    for reference in results.references:
        if not _is_without_speech(reference) and reference.kind != "music":
            continue
        kind = reference.kind + ("" if _is_without_speech(reference) else " (may be sung, not counted)")
        for system in results.systems:
            text = results.transcribed[system, reference.name].text
            if words := count_words(text):
                rows.append([reference.name, kind, system, str(words), _as_cell(text)])
    return markdown_table(["recording", "kind", "system", "words", "text"], rows) if rows else "Nothing."


def _is_without_speech(reference: Reference) -> bool:
    return reference.text == "" or (reference.text is None and reference.kind in KINDS_WITHOUT_SPEECH)


def _as_cell(text: str) -> str:
    """Return a text as it can be in a cell of a table: one line, shortened."""
    line = " ".join(text.split()).replace("|", "\\|")
    return line if len(line) <= MAX_SHOWN_CHARACTERS else f"{line[:MAX_SHOWN_CHARACTERS]} ..."


def _recall_table(results: Results) -> str:
    """Return the shares of speech inside segments, and of words that are not deleted."""
    timed = [reference for reference in results.references if reference.speech]
    with_text = [reference for reference in timed if reference in results.spoken]
    spans = {
        "one person at a time": [reference.solo_speech for reference in timed],
        "all speech": [reference.speech for reference in timed],
        "aligned words": [reference.word_spans for reference in timed],
    }
    rows = []
    for system in results.systems:
        segments = [results.transcribed[system, reference.name].spans for reference in timed]
        shares = [*(time_recall(speech, segments) for speech in spans.values())]
        shares.append(word_recall(results.edits_of(system, with_text)))
        rows.append([system, *("-" if share is None else f"{100 * share:.1f}" for share in shares)])
    headings = [f"{name} ({sum(map(bool, speech))} recordings)" for name, speech in spans.items()]
    return markdown_table(["system", *headings, f"words not deleted ({len(with_text)} recordings)"], rows)


def time_recall(speech: Sequence[Sequence[Span]], segments: Sequence[Sequence[Span]]) -> float | None:
    """Return the share of speech, given as spans without overlap, inside segments; None without speech."""
    seconds = sum(end - start for spans in speech for start, end in spans)
    covered = sum(overlap(spans, found) for spans, found in zip(speech, segments, strict=True))
    return covered / seconds if seconds else None


def overlap(reference: Iterable[Span], spans: Iterable[Span]) -> float:
    """Return the seconds of `reference`, whose spans do not overlap, that are inside any of `spans`."""
    merged = merge_spans(spans)
    return sum(max(0.0, min(end, b) - max(start, a)) for start, end in reference for a, b in merged)


def word_recall(edits: Sequence[Edits]) -> float | None:
    """Return the share of words that are not deleted, though they may be wrong; None without words."""
    counts = sum_edits(edits)
    return 1 - counts.deletions / counts.total if counts.total else None


def _speed_table(results: Results) -> str:
    rows = []
    for system in results.systems:
        seconds = sum(results.transcribed[system, reference.name].seconds for reference in results.references)
        speed = sum(reference.seconds for reference in results.references) / seconds
        rows.append([system, f"{speed:.1f}"])
    return markdown_table(["system", "x real time"], rows)


def _format(rate: Rate, sign: str = "") -> str:
    numbers = [f"{number:{sign}.1f}" for number in (rate.value, *(rate.interval or ()))]
    return "{} ({} to {})".format(*numbers) if rate.interval else numbers[0]
