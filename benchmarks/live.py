"""Measures live transcription: when words arrive after they are spoken, and how right they are.

    .venv/bin/python -m benchmarks.live FOLDER --sessions 1 2 4 --model base

FOLDER has a manifest.json; files will do. A worker in HTTP mode is started, and each recording is played to it at
real time in a session of its own, as OpenAI's clients do. With N sessions, N such players go through all recordings at
once, each in an order of its own. Before that, the same worker transcribes the recordings as files.

- first word: from the start of an utterance's first word until any text of the utterance is there
- words: from the end of each word of the complete text until it is there to stay: with a delta, or else with the
  complete text. When words were spoken is taken from the manifest's `words`, or else from the file's transcript
- complete: from the end of an utterance's speech until its complete text is there
- errors: of all complete texts against the reference text, beside those of the file's transcript

Seconds are medians, with the 95th percentile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from openai import OpenAI, omit

from benchmarks.intervals import Rate, error_rate, rate_difference
from benchmarks.live_delays import Delay, completion_delays, first_word_delays, word_delays
from benchmarks.live_session import Utterance, play
from benchmarks.recordings import Recording, TimedWord, find_recordings, load_pcm
from benchmarks.report import describe_run, markdown_table, run_facts
from benchmarks.scoring import Edits, count_edits, sum_edits
from tests.support.http_worker import KEY, HttpWorker, http_worker

STAGGER_SECONDS = 0.37
"""Between the starts of two players, so that their drafts do not fall due together."""


@dataclass(frozen=True)
class Transcript:
    """A recording's transcript as a file."""

    text: str
    words: Sequence[TimedWord]


@dataclass(frozen=True)
class Played:
    """A recording that was played once."""

    recording: Recording
    utterances: Sequence[Utterance]

    @property
    def text(self) -> str:
        """All complete texts."""
        return " ".join(utterance.text for utterance in self.utterances)


@dataclass(frozen=True)
class Measurement:
    """All that some sessions at once heard.

    Attributes:
        cores: CPUs that the worker kept busy.
        counters: What the worker's counters of live transcription grew by.
    """

    sessions: int
    played: Sequence[Played]
    cores: float
    counters: dict[str, float]


def main() -> None:
    """Measure, and print the tables."""
    arguments = parse_arguments()
    recordings = [recording for recording in find_recordings(arguments.audio) if recording.text != ""]
    most = max(arguments.sessions)
    print(describe_run(), flush=True)
    with http_worker(WHISPER_MODEL=arguments.model, LIVE_SESSIONS=str(max(most, 32))) as worker:
        files = {recording.name: transcribe_file(worker, recording) for recording in recordings}
        measurements = []
        for sessions in arguments.sessions:
            measurements.append(measure(worker, recordings, sessions))
            print(f"{sessions} sessions played", flush=True)
    print(delay_table(measurements, files), error_table(measurements, files), sep="\n\n")
    if arguments.out:
        save(measurements, files, arguments.out)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("audio", type=Path, nargs="+", metavar="AUDIO", help="files, or folders with a manifest.json")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1], help="at once (default: 1)")
    parser.add_argument("--model", default="base", help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, help="a JSON file for all that arrived, with times")
    return parser.parse_args()


def transcribe_file(worker: HttpWorker, recording: Recording) -> Transcript:
    """Transcribe a recording as a file, with the times of its words."""
    client = OpenAI(base_url=f"{worker.url}/v1", api_key=KEY)
    answer = client.audio.transcriptions.create(
        model="whisper-1",
        file=recording.path,
        response_format="verbose_json",
        timestamp_granularities=["word"],
        language=recording.language or omit,
    )
    return Transcript(answer.text, [TimedWord(word.word, word.start, word.end) for word in answer.words or []])


def measure(worker: HttpWorker, recordings: Sequence[Recording], sessions: int) -> Measurement:
    """Play all recordings in each of some sessions at once."""
    counters, cpu, began = read_counters(worker), cpu_seconds(worker), time.perf_counter()
    played = asyncio.run(play_all(worker, recordings, sessions))
    cores = (cpu_seconds(worker) - cpu) / (time.perf_counter() - began)
    grown = {name: value - counters.get(name, 0.0) for name, value in read_counters(worker).items()}
    return Measurement(sessions, played, cores, grown)


async def play_all(worker: HttpWorker, recordings: Sequence[Recording], sessions: int) -> list[Played]:
    """Start a player for each session; each begins with another recording."""
    shift = len(recordings) / sessions
    orders = [[*recordings[(first := round(number * shift)) :], *recordings[:first]] for number in range(sessions)]
    parts = await asyncio.gather(
        *(play_one_after_another(worker, order, number * STAGGER_SECONDS) for number, order in enumerate(orders))
    )
    return [played for part in parts for played in part]


async def play_one_after_another(worker: HttpWorker, recordings: Sequence[Recording], delay: float) -> list[Played]:
    """Play recordings in turn, each in a session of its own, beginning after some seconds."""
    await asyncio.sleep(delay)
    return [
        Played(recording, await play(worker.url, KEY, load_pcm(recording.path), language=recording.language))
        for recording in recordings
    ]


def read_counters(worker: HttpWorker) -> dict[str, float]:
    """Return the worker's counters of live transcription."""
    lines = [line.split() for line in worker.get("/metrics")[1].splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines if "live" in name and name.endswith("_total")}


def cpu_seconds(worker: HttpWorker) -> float:
    """Return the CPU time that the worker has used."""
    fields = Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def delay_table(measurements: Sequence[Measurement], files: dict[str, Transcript]) -> str:
    """Return a table of delays by the number of sessions."""
    headings = ["sessions", "first word s", "words", "matched", "by a delta", "words s", "of a delta s", "complete s"]
    return markdown_table([*headings, "CPUs", "counters"], [_delay_cells(one, files) for one in measurements])


def _delay_cells(measurement: Measurement, files: dict[str, Transcript]) -> list[str]:
    first: list[float] = []
    words: list[Delay] = []
    complete: list[float] = []
    for played in measurement.played:
        spoken = played.recording.words or files[played.recording.name].words
        first += first_word_delays(played.utterances, spoken)
        words += word_delays(played.utterances, spoken)
        complete += completion_delays(played.utterances)
    total = sum(len(played.text.split()) for played in measurement.played)
    early = [word.seconds for word in words if word.is_early]
    return [
        str(measurement.sessions),
        _format_seconds(first),
        str(total),
        f"{100 * len(words) / max(total, 1):.0f}%",
        f"{100 * len(early) / max(len(words), 1):.0f}%",
        _format_seconds([word.seconds for word in words]),
        _format_seconds(early),
        _format_seconds(complete),
        f"{measurement.cores:.2f}",
        ", ".join(f"{name} {value:g}" for name, value in measurement.counters.items()),
    ]


def _format_seconds(seconds: Sequence[float]) -> str:
    if not seconds:
        return "-"
    middle, high = np.percentile(seconds, [50, 95])
    return f"{middle:.2f} ({high:.2f})"


def error_table(measurements: Sequence[Measurement], files: dict[str, Transcript]) -> str:
    """Return a table of the errors of live and file transcripts, by the number of sessions."""
    headings = ["sessions", "recordings", "errors live", "as a file", "difference", "live against the file's text"]
    return markdown_table(headings, [_error_cells(one, files) for one in measurements])


def _error_cells(measurement: Measurement, files: dict[str, Transcript]) -> list[str]:
    live, as_file, between = [], [], []
    for name, transcript in files.items():
        plays = [played for played in measurement.played if played.recording.name == name]
        recording = plays[0].recording
        between.append(_edits([(transcript.text, played.text) for played in plays], recording.language))
        if recording.text:
            live.append(_edits([(recording.text, played.text) for played in plays], recording.language))
            as_file.append(_edits([(recording.text, transcript.text)] * len(plays), recording.language))
    rates: list[Rate | None] = [None] * 3
    if live:
        rates = [error_rate(live), error_rate(as_file), rate_difference(live, as_file)]
    return [
        str(measurement.sessions),
        str(len(live)),
        *(_format_rate(rate) for rate in rates),
        _format_rate(error_rate(between)),
    ]


def _edits(pairs: Sequence[tuple[str, str]], language: str | None) -> Edits:
    return sum_edits(count_edits(reference, transcript, language) for reference, transcript in pairs)


def _format_rate(rate: Rate | None) -> str:
    if rate is None:
        return "-"
    interval = f" ({rate.interval[0]:.1f} to {rate.interval[1]:.1f})" if rate.interval else ""
    return f"{rate.value:.1f}{interval}"


def save(measurements: Sequence[Measurement], files: dict[str, Transcript], path: Path) -> None:
    """Write all that arrived, and the transcripts of the files."""
    document = {
        **run_facts(),
        "files": {name: asdict(transcript) for name, transcript in files.items()},
        "measurements": [
            {
                "sessions": measurement.sessions,
                "cores": measurement.cores,
                "counters": measurement.counters,
                "played": [
                    {"recording": played.recording.name, "utterances": [asdict(one) for one in played.utterances]}
                    for played in measurement.played
                ],
            }
            for measurement in measurements
        ],
    }
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
