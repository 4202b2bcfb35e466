"""Measures accuracy side by side with peers: errors by kind of recording, with intervals and paired differences.

    python -m benchmarks.accuracy FOLDER [--systems 'ours*' 'openai-whisper*'] [--kinds long telephone] [--model base]
    python -m benchmarks.accuracy FOLDER --options 'pad 800' '{"speech_pad_ms": 800}' --options ... --out FOLDER
    python -m benchmarks.accuracy FOLDER --report FILE [FILE ...] [--baseline NAME]

FOLDER has a manifest.json that lists for each file its `language`, `kind` and `text`, and where they exist an `rttm`
file with speaker turns or a `words` file with word times. All systems transcribe with the same weights, in the language
of the recording. The report has, for each system:

- word error rate (character error rate for zh, ja, ko, th and others) by language and kind, with a 95% interval;
- the paired difference from the baseline, marked where it is not due to chance;
- substitutions, deletions and insertions per 100 words;
- each word in recordings without speech;
- recall: the shares of speech inside the system's segments, and of words that are not deleted.

Transcripts are saved after each system. `--report` repeats the report from such files, of one run or of several. A
system that transcribed a recording in more than one of them is named by the file's folder as well, to compare versions.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.accuracy_report import Transcribed, collect_results, write_report
from benchmarks.peer_weights import NoWeights, weights_for
from benchmarks.recordings import Reference, read_references
from benchmarks.report import describe_run
from benchmarks.system_process import Request, SystemFailed, SystemProcess
from benchmarks.systems import ACCURACY_SYSTEMS, System, select
from src.request.options import Options

RESULTS = Path(__file__).with_name("results")


def transcribe_all(
    references: Sequence[Reference], systems: Sequence[System], model: str, out: Path
) -> list[Transcribed]:
    """Run the systems one after another over all recordings; one that fails is left out, with a line that says why."""
    transcribed: list[Transcribed] = []
    for system in systems:
        try:
            transcribed += list(_transcribe(references, system, model))  # all of a system, or nothing
        except (NoWeights, SystemFailed) as error:
            print(f"\n{system.name} is left out: {error}")
            continue
        print()
        saved = json.dumps([asdict(item) for item in transcribed], ensure_ascii=False, indent=1)
        (out / "accuracy.json").write_text(saved, encoding="utf-8")
    return transcribed


def _transcribe(references: Sequence[Reference], system: System, model: str) -> Iterator[Transcribed]:
    with SystemProcess(system, weights_for(system.engine, model)) as process:
        for number, reference in enumerate(references, 1):
            answer = process.transcribe(Request([reference.path], reference.language))
            (transcription,) = answer.transcriptions
            print(f"\r{system.name}: {number}/{len(references)} {reference.name[:40]:40}", end="", flush=True)
            yield Transcribed(system.name, reference.name, transcription.text, transcription.spans, answer.seconds)


def merge_runs(runs: Mapping[str, Sequence[Transcribed]]) -> list[Transcribed]:
    """Join the transcripts of several runs, by the runs' names.

    A system that transcribed a recording in more than one run becomes several systems, named by their runs as well.
    """
    counts = Counter((item.system, item.file) for run in runs.values() for item in run)
    repeated = {system for (system, _), count in counts.items() if count > 1}
    return [
        replace(item, system=f"{item.system} ({name})") if item.system in repeated else item
        for name, run in runs.items()
        for item in run
    ]


def name_runs(files: Sequence[Path]) -> dict[str, Path]:
    """Return the files by the names of their folders, or by their paths if these names are not unique."""
    folders = {file.resolve().parent.name: file for file in files}
    return folders if len(folders) == len(files) else {str(file): file for file in files}


def main() -> None:
    """Transcribe, or read earlier transcripts, and print and save the report."""
    arguments = _parse_arguments()
    references = [
        reference
        for reference in read_references(arguments.folder)
        if not arguments.kinds or reference.kind in arguments.kinds
    ]
    if arguments.report:
        runs = name_runs(arguments.report)
        transcribed = merge_runs({name: read_transcribed(file) for name, file in runs.items()})
    else:
        arguments.out.mkdir(parents=True, exist_ok=True)
        transcribed = transcribe_all(references, arguments.systems, arguments.model, arguments.out)
    results = collect_results(references, transcribed)
    baseline = arguments.baseline or results.systems[0]
    if baseline not in results.systems:
        raise SystemExit(f"no results of {baseline}; the systems are: {', '.join(results.systems)}")
    scope = f"{len(results.references)} of {len(references)} recordings, which all systems have transcribed."
    text = f"# Accuracy\n\n{describe_run()}\n\n{scope}\n\n{write_report(results, baseline)}\n"
    print(f"\n{text}")
    if not arguments.report:
        (arguments.out / "accuracy.md").write_text(text, encoding="utf-8")


def read_transcribed(file: Path) -> list[Transcribed]:
    """Read an accuracy.json."""
    return [Transcribed(**item) for item in json.loads(file.read_text(encoding="utf-8"))]


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with a manifest.json")
    parser.add_argument("--model", default="base", help="the same for all systems (default: %(default)s)")
    parser.add_argument("--kinds", nargs="+", default=[], help="only recordings of these kinds (default: all)")
    names = ", ".join(system.name for system in ACCURACY_SYSTEMS)
    parser.add_argument("--systems", nargs="+", default=[], metavar="PATTERN", help=f"shell patterns of: {names}")
    parser.add_argument(
        "--options",
        nargs=2,
        action="append",
        default=[],
        metavar=("LABEL", "JSON"),
        help="ours with a job's options, as a system named `ours LABEL`; may be repeated",
    )
    parser.add_argument("--report", type=Path, nargs="+", metavar="FILE", help="earlier accuracy.json to report on")
    parser.add_argument("--baseline", metavar="NAME", help="system to compare the others with (default: the first)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        variants = [make_variant(label, options) for label, options in arguments.options]
    except ValueError as error:
        parser.error(str(error))
    patterns = arguments.systems or ([] if variants else ["ours"])
    arguments.systems = (select(patterns, ACCURACY_SYSTEMS) if patterns else []) + variants
    return arguments


def make_variant(label: str, options: str) -> System:
    """Return ours with options, a JSON object as in a job.

    Raises:
        ValueError: The options are no JSON object, or not valid.
    """
    raw = json.loads(options)
    Options.model_validate(raw)
    return System("ours", label=label, options=raw)


if __name__ == "__main__":
    main()
