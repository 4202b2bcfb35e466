"""Measures speed, errors and memory of this worker, openai-whisper, faster-whisper and whisper.cpp, side by side.

    .venv/bin/python -m benchmarks.transcription [AUDIO...] [--systems 'ours*' '*beam 5'] [--scenario clip]

`make bench` installs the other systems first. All systems have the same weights and recordings and take turns: load on
the machine affects all of them, so that the ratio of two systems within a round is more reliable than either time. All
others are idle while one runs. Each answers one request before the first measured one.

The figures depend on the CPU, its memory bandwidth and its bfloat16 support, and on an idle machine: where threads
wait for each other by spinning (OpenMP, whisper.cpp), another busy process costs many times its share.

AUDIO are files, or folders with a manifest.json that holds their reference texts.

scenarios:
  long      whole recordings, one after another
  clip      the first 10 s of each, alone
  together  eight clips of 10 s at once and the same one after another (ours only)
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import report, together
from benchmarks.peer_weights import NoWeights, weights_for
from benchmarks.recordings import REPOSITORY_CLIPS, Recording, cut_recording, find_recordings
from benchmarks.summary import Run, summarise
from benchmarks.system_process import Answer, Request, SystemFailed, SystemProcess
from benchmarks.systems import SYSTEMS, System, select

RESULTS = Path(__file__).with_name("results")
CLIP_SECONDS = 10


class Comparison:
    """Runs systems in turn over the same recordings. A system that fails is dropped, and the reason is printed."""

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self.recordings = recordings
        self.runs: list[Run] = []
        self.peaks_mb: dict[str, float] = {}
        self._processes: list[SystemProcess] = []

    def start(self, systems: Sequence[System], model: str, stack: ExitStack) -> None:
        """Load the systems until `stack` is closed, and have each transcribe the shortest recording."""
        shortest = min(self.recordings, key=lambda recording: recording.seconds)
        for system in systems:
            print(f"loading {system.name} ...", flush=True)
            try:
                process = stack.enter_context(SystemProcess(system, weights_for(system.engine, model)))
                process.transcribe(_make_request(shortest))
            except (NoWeights, SystemFailed) as error:
                print(f"  {system.name} is dropped: {error}")
            else:
                self._processes.append(process)
        if not self._processes:
            raise SystemExit("no system is left to compare")

    def run(self, rounds: int) -> None:
        """Have every system transcribe every recording once per round."""
        for round_ in range(rounds):
            for recording in self.recordings:
                for process in list(self._processes):
                    self._transcribe(process, recording, round_, f"round {round_ + 1}/{rounds}")
            self._processes = self._processes[1:] + self._processes[:1]  # so that no system is always first

    def _transcribe(self, process: SystemProcess, recording: Recording, round_: int, label: str) -> None:
        name = process.system.name
        try:
            answer: Answer = process.transcribe(_make_request(recording))
        except SystemFailed as error:
            print(f"  {name} is dropped: {recording.name}: {error}")
            self._processes.remove(process)
            self.runs = [run for run in self.runs if run.system != name]
            return
        self.runs.append(Run(name, recording.name, round_, answer.seconds, answer.transcriptions[0].text))
        self.peaks_mb[name] = answer.peak_mb
        print(
            f"{label}  {recording.name:32} {name:40} {answer.seconds:8.2f} s"
            f" {recording.seconds / answer.seconds:8.1f} x real time",
            flush=True,
        )


def _make_request(recording: Recording) -> Request:
    return Request([recording.path], recording.language)


def compare(recordings: Sequence[Recording], systems: Sequence[System], arguments: argparse.Namespace) -> None:
    """Run the systems, print their summary and save it in `arguments.out`."""
    comparison = Comparison(recordings)
    with ExitStack() as stack:
        comparison.start(systems, arguments.model, stack)
        comparison.run(arguments.rounds)
    rows = summarise(systems, recordings, comparison.runs, comparison.peaks_mb)
    facts = {"model": arguments.model, "scenario": arguments.scenario}
    seconds = sum(recording.seconds for recording in recordings)
    title = f"{arguments.model}, {arguments.scenario}: {seconds:.0f} s of audio"
    text = f"# {title}\n\n{report.describe_run()}\n\nMedian of {arguments.rounds} rounds.\n\n"
    text += f"{report.comparison_table(rows)}\n"
    if any(recording.text for recording in recordings):
        text += f"\n{report.recordings_table(rows, recordings)}\n"
    print(f"\n{text}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    stem = arguments.out / arguments.scenario
    stem.with_suffix(".md").write_text(text, encoding="utf-8")
    stem.with_suffix(".json").write_text(report.to_json(rows, recordings, comparison.runs, **facts), encoding="utf-8")
    report.plot(rows, title, stem.with_suffix(".png"))
    print(f"saved as {stem}.md, .json and .png")


def main() -> None:
    """Run the scenario of the command line."""
    arguments = _parse_arguments()
    systems = select(arguments.systems)
    recordings = find_recordings(arguments.audio)
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.scenario == "clip":
            with_speech = [recording for recording in recordings if recording.text != ""]
            recordings = [cut_recording(recording, 0, CLIP_SECONDS, Path(scratch)) for recording in with_speech]
        if arguments.scenario == "together":
            clips = together.cut_clips(recordings, Path(scratch))
            together.compare(clips, arguments.model, arguments.rounds, arguments.out)
        else:
            compare(recordings, systems, arguments)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ", ".join(system.name for system in SYSTEMS)
    parser.add_argument(
        "audio",
        type=Path,
        nargs="*",
        default=[REPOSITORY_CLIPS],
        metavar="AUDIO",
        help="audio files or folders (default: the repository's clips)",
    )
    parser.add_argument("--model", default="base", help="model of all systems (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each system (default: %(default)s)")
    parser.add_argument(
        "--systems", nargs="+", default=["*"], metavar="PATTERN", help=f"names or patterns (default: all of {names})"
    )
    parser.add_argument(
        "--scenario", choices=["long", "clip", "together"], default="long", help="(default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
