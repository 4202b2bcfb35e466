"""Answers of broken and hostile endpoints: reduced to a worker's shape, or refused in a sentence."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from client.errors import BadAnswer, ClientError
from client.merge.outputs import PartOutput
from client.merged_parts import merge_parts
from client.output import target_paths, write_files
from client.settings import EndpointSettings
from client.transport.answers import check_output, check_segments, clean_line, parse_json
from client.transport.endpoint import Endpoint
from client.transport.fanout import JobSpec, ProgressListener, run_jobs
from client.transport.jobs import extract_output, join_chunks
from client.transport.journal import Journal
from tests.client.scripted_worker import make_answer
from transcript.formats.layout import PRESETS
from transcript.formats.render import OUTPUT_FORMATS, render
from transcript.transcript import Diarization, Segment, Speaker, Transcript, Turn, Word

SEGMENT = {"id": 0, "seek": 0, "start": 1.0, "end": 2.0, "text": " a", "words": [{"word": " a", "start": 1, "end": 2}]}
LEFT_OUT = "the endpoint's answer is malformed in places, which are left out"


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ('{"a": NaN, "b": [Infinity, -Infinity, 1e999, -1e999, 1.5]}', {"a": None, "b": [None] * 4 + [1.5]}),
        (r'{"a": "\u001b[31mred\u0007\r\n\tb\u0000\u009b1m\u007f\ud800"}', {"a": "[31mred\n\tb1m"}),
        (r'{"\u001b]0;title\u0007key": ["\u0008"]}', {"]0;titlekey": [""]}),
        ('{"a": "日本 🎤 \\ud83c\\udfa4 \u200f\u2067"}', {"a": "日本 🎤 🎤 \u200f\u2067"}),
    ],
)
def test_numbers_are_finite_and_texts_have_no_control_characters(content: str, value: Any) -> None:
    assert parse_json(content) == parse_json(content.encode()) == value


@pytest.mark.parametrize("content", [b"", b"<html>", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5000])
def test_what_is_not_json_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_json(content)


def test_a_message_is_one_line_of_bounded_length() -> None:
    assert clean_line("wrong\x1b[2J \n Wrote  talk.srt\r") == "wrong[2J Wrote talk.srt"
    assert len(clean_line("x" * 10_000)) == 2000


@pytest.mark.parametrize(
    ("segment", "kept"),
    [
        (SEGMENT, SEGMENT),
        ({**SEGMENT, "speaker": "A", "channel": 1, "avg_logprob": None}, ...),
        ({**SEGMENT, "start": 0, "end": 0}, ...),
        ({**SEGMENT, "start": "0"}, None),
        ({**SEGMENT, "start": None}, None),
        ({**SEGMENT, "start": True}, None),
        ({**SEGMENT, "start": -1.0}, None),
        ({**SEGMENT, "end": float("nan")}, None),
        ({**SEGMENT, "end": float("inf")}, None),
        ({**SEGMENT, "end": 10**400}, None),
        ({**SEGMENT, "text": 5}, None),
        ({"start": 0, "end": 1}, None),
        ({"text": "x"}, None),
        (5, None),
        (None, None),
        ([], None),
        ({**SEGMENT, "words": 5}, {**SEGMENT, "words": []}),
        ({**SEGMENT, "words": [5, {"word": "x"}, {"word": 1, "start": 0, "end": 1}]}, {**SEGMENT, "words": []}),
        ({**SEGMENT, "speaker": ["A"], "channel": {}}, SEGMENT),
        ({**SEGMENT, "seek": "0"}, {key: value for key, value in SEGMENT.items() if key != "seek"}),
    ],
)
def test_segments_without_a_text_or_times_are_left_out(segment: Any, kept: Any) -> None:
    expected = segment if kept is ... else kept
    assert check_segments([segment]) == ([] if expected is None else [expected])


@pytest.mark.parametrize("segments", [None, 5, "x", {}, [None], [[]]])
def test_what_is_not_a_list_of_segments_is_none(segments: Any) -> None:
    assert check_segments(segments) == []


def test_a_workers_answer_is_unchanged() -> None:
    output = make_answer("hello")["output"]
    output["metadata"]["speech_duration"] = None
    output["captioned_video"] = {"filename": "a.mp4", "bytes": 5, "base64": "AAAA"}
    assert check_output(deepcopy(output)) == output


def test_every_format_of_a_worker_is_unchanged() -> None:
    words = [Word("hello " * 20, 0.0, 0.1, 0.9, speaker="SPEAKER_00")]
    segment = Segment(0, 0, 0.0, 0.1, "hello " * 20, [], 0.0, -0.1, 1.0, 0.0, words, speaker="SPEAKER_00")
    diarization = Diarization([Turn(0.0, 0.1, "SPEAKER_00")], [Speaker("SPEAKER_00", 0.1, 1, 0.0, [1.0])])
    transcript = Transcript("en", 1.0, 1.0, [segment], diarization=diarization)
    formats = [name for name in OUTPUT_FORMATS if name != "verbose_json"]  # which needs openai-whisper
    texts = render(transcript, formats, PRESETS["broadcast"], embedding_model="model")
    assert texts["cue_report"]["over_limits"]
    output = {"transcription": texts, "metadata": make_answer("hello")["output"]["metadata"]}
    assert check_output(deepcopy(output)) == output


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("warnings", 5),
        ("warnings", ["right", 5, None]),
        ("warnings", {"a": 1}),
        ("audio_duration", "long"),
        ("audio_duration", 1e300),
        ("processing_time", None),
        ("language", ["en"]),
    ],
)
def test_metadata_have_the_types_that_are_relied_on(key: str, value: Any) -> None:
    output = make_answer("hello")["output"]
    output["metadata"][key] = value
    metadata = check_output(output)["metadata"]
    assert all(isinstance(warning, str) for warning in metadata["warnings"])
    assert isinstance(metadata["audio_duration"] + metadata["processing_time"], float)
    assert isinstance(metadata["language"], str)
    assert (LEFT_OUT in metadata["warnings"]) == (value is not None)


@pytest.mark.parametrize("output", [{"a": 1}, {"transcription": None}, {"transcription": "x"}, {"files": ["x"]}])
def test_an_answer_without_a_transcript_is_not_a_workers(output: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer, match="has no transcription"):
        extract_output({"status": "COMPLETED", "output": output})


ODD_VALUES: list[Any] = [
    None,
    True,
    5,
    -1,
    10**400,
    "x",
    "\ud800\x1b[2J",
    [],
    [5],
    [[]],
    [None],
    {},
    {"a": 1},
    {"a": {}},
]


def paths(value: Any) -> list[tuple[Any, ...]]:
    """Return the keys that lead to each value in nested objects and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(), *((key, *rest) for key, item in items for rest in paths(item))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    copy = deepcopy(value)
    *folders, last = path
    place = copy
    for key in folders:
        place = place[key]
    if new is ...:
        del place[last]
    else:
        place[last] = new
    return copy


def full_output() -> dict[str, Any]:
    output: dict[str, Any] = make_answer("hello")["output"]
    texts = output["transcription"]
    texts["segments"][0] |= {"speaker": "SPEAKER_00", "words": [{"word": " hello", "start": 1.0, "end": 2.0}]}
    texts["speakers"] = [{"speaker": "SPEAKER_00", "seconds": 1.0, "turns": 1, "start": 1.0, "embedding": [0.6, 0.8]}]
    texts["speaker_turns"] = [{"speaker": "SPEAKER_00", "start": 1.0, "end": 2.0}]
    texts["verbose_json"] = {"text": "hello", "words": [{"word": "hello", "start": 1.0, "end": 2.0}]}
    over = {"limit": 20.0, "count": 1, "worst": 25.0, "first": [1.0]}
    texts["cue_report"] = {"cues": 1, "over_limits": {"max_chars_per_second": over}}
    texts["vtt"] = "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nhello\n"
    texts["tsv"] = "start\tend\ttext\n1000\t2000\thello\n"
    output["metadata"] |= {"languages": {"en": 0.5}, "dropped": {"loops": 1}}
    output["captioned_video"] = {"filename": "a.mp4", "bytes": 3, "base64": "AAAA"}
    return output


def use_files(output: dict[str, Any], folder: Path) -> None:
    write_files(output, target_paths(folder / "talk", ["all", "verbose_json"]))


def use_merged(output: dict[str, Any], _: Path) -> None:
    parts = [PartOutput(0.0, 10.0, full_output()), PartOutput(10.0, 20.0, output)]
    merge_parts(parts, {"diarize": True}, ["all", "verbose_json"])


@pytest.mark.slow
@pytest.mark.parametrize("use", [use_files, use_merged])
def test_any_value_in_any_place_is_left_out_or_refused(
    tmp_path: Path, use: Callable[[dict[str, Any], Path], None]
) -> None:
    whole = full_output()
    use(extract_output({"status": "COMPLETED", "output": whole}), tmp_path)
    tried = 0
    for path, value in itertools.product(paths(whole)[1:], [*ODD_VALUES, ...]):
        try:
            output = extract_output({"status": "COMPLETED", "output": replaced(whole, path, value)})
            use(output, tmp_path)
        except ClientError:
            pass
        tried += 1
    assert tried > 700


class OddEndpoint(Endpoint):
    """Answers a job with an odd progress and an odd stream, before its output."""

    def __init__(self, settings: EndpointSettings, progress: Any) -> None:
        super().__init__(settings)
        self.answers = [{"status": ["x"], "output": progress}, {"status": "COMPLETED", **make_answer("hello")}]

    def submit(self, job_input: dict[str, Any], **fields: Any) -> str:
        return "job"

    def status(self, job_id: str) -> dict[str, Any]:
        return self.answers.pop(0)

    def stream(self, job_id: str) -> dict[str, Any]:
        return {"stream": [5, {"output": {"segments": [5, SEGMENT]}}, {"output": 5}, {}]} if self.answers else {}


@pytest.mark.parametrize(
    ("progress", "stage"),
    [
        (None, "working"),
        (5, "working"),
        ({}, "working"),
        ({"stage": 5}, "working"),
        ({"stage": "a", "percent": "5"}, "a"),
        ({"stage": "a\x1b", "percent": 1e308}, "a"),
        ({"stage": "a", "percent": -5}, "a"),
    ],
)
def test_odd_progress_and_streams_do_not_end_a_job(tmp_path: Path, progress: Any, stage: str) -> None:
    streamed: list[Any] = []
    updates: list[tuple[float, str]] = []
    listener = ProgressListener(
        lambda fraction, stage: updates.append((fraction, stage)), lambda _, segments: streamed.extend(segments)
    )
    endpoint = OddEndpoint(EndpointSettings(), progress)
    jobs = [JobSpec("file", lambda: {"input": {}})]
    journal = Journal("key", tmp_path)
    (output,) = run_jobs(endpoint, jobs, journal, parallel=1, stop=threading.Event(), listener=listener)
    assert output["transcription"]["text"] == "hello"
    assert streamed == [SEGMENT]
    assert (updates[0], updates[-1]) == ((0.0, "sending the recording"), (1.0, "done"))
    assert (0.0, stage) in updates


@pytest.mark.parametrize("chunks", [[5], [{"a": {"x": "a"}}, {"a": {"x": [1]}}, {}], [{"a": 5}, {"a": {"x": 1}}, {}]])
def test_odd_chunks_are_joined_without_an_error(chunks: list[Any]) -> None:
    join_chunks(chunks)
