"""Values of flags: the forms that people type, and what is refused before anything is sent."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from client import option_values
from client.errors import WrongUsage
from client.option_values import parse_options
from media.sandbox import ffmpeg_executable
from tests.client.conftest import CLIPS


@pytest.mark.parametrize(
    ("given", "formats"),
    [
        (["srt"], ["srt"]),
        (["SRT"], ["srt"]),
        (["txt"], ["text"]),
        ([".srt, .VTT"], ["srt", "vtt"]),
        (["webvtt", "subrip"], ["vtt", "srt"]),
        (["verbose-json,plain"], ["verbose_json", "text"]),
        (['["srt", "TXT"]'], ["srt", "text"]),
        (["all"], ["all"]),
        (["srt, "], ["srt"]),
        (["", "srt"], ["srt"]),
    ],
)
def test_formats_are_taken_as_people_write_them(given: list[str], formats: list[str]) -> None:
    assert parse_options({"output_format": given}) == {"output_format": formats}


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("temperature", ["0,0.4"], [0.0, 0.4]),
        ("temperature", ["0", "0.4"], [0.0, 0.4]),
        ("suppress_tokens", ["-1"], [-1]),
        ("language_candidates", ["de, Deutsch", "en-US"], ["de", "Deutsch", "en-US"]),
        ("clip_timestamps", ["0,10,1:00"], [[0.0, 10.0], [60.0, None]]),
        ("clip_timestamps", ["1:15.5,1:00:00"], [[75.5, 3600.0]]),
        ("clip_timestamps", ["[[0, 30], [75.5, null]]"], [[0.0, 30.0], [75.5, None]]),
        ("custom_vocabulary", ["vixen=fox"], {"vixen": ["fox"]}),
        ("custom_vocabulary", ["vixen=fox", "vixen=fax, facts", "b=c"], {"vixen": ["fox", "fax", "facts"], "b": ["c"]}),
        ("custom_vocabulary", ["vixen", "Zürich, Bern"], ["vixen", "Zürich", "Bern"]),
        ("custom_vocabulary", ['{"vixen": "fox"}'], {"vixen": ["fox"]}),
        ("speakers", ["Ada=https://example.com/a=b.wav"], {"Ada": {"url": "https://example.com/a=b.wav"}}),
        ("speakers", ["Ada=s3://voices/ada.wav"], {"Ada": {"url": "s3://voices/ada.wav"}}),
        ("speakers", ["Ada=volume:voices/ada.wav"], {"Ada": {"volume": "voices/ada.wav"}}),
        ("speakers", ['{"Ada": {"volume": "ada.wav"}}'], {"Ada": {"volume": "ada.wav"}}),
        ("speakers", ['{"Ada": "https://example.com/a.wav"}'], {"Ada": {"url": "https://example.com/a.wav"}}),
        ("language", "Deutsch", "Deutsch"),
        ("language", "English (US)", "English (US)"),
        ("language", "", ""),
        ("beam_size", None, None),
        ("output_format", [], None),
        ("output_format", [""], None),
        ("temperature", [" "], None),
        ("temperature", ["0,"], [0.0]),
        ("suppress_tokens", ["[]"], []),
        ("custom_vocabulary", ["vixen=fox\nBern=burn\n"], {"vixen": ["fox"], "Bern": ["burn"]}),
    ],
)
def test_lists_and_objects_have_several_forms(name: str, given: Any, value: Any) -> None:
    assert parse_options({name: given}) == ({} if value is None else {name: value})


def test_a_file_holds_json_or_lines(tmp_path: Path) -> None:
    file = tmp_path / "terms"
    file.write_text('{"vixen": ["fox"]}')
    assert parse_options({"custom_vocabulary": [f"@{file}"]}) == {"custom_vocabulary": {"vixen": ["fox"]}}
    file.write_text("vixen\nBern\n", encoding="utf-8-sig")
    assert parse_options({"custom_vocabulary": [f"@{file}"]}) == {"custom_vocabulary": ["vixen", "Bern"]}
    file.write_text("vixen=fox\n\n Bern = burn, bairn \n")
    vocabulary = {"vixen": ["fox"], "Bern": ["burn", "bairn"]}
    assert parse_options({"custom_vocabulary": [f"@{file}"]}) == {"custom_vocabulary": vocabulary}
    file.write_text("Ada=https://example.com/a.wav\nBob=https://example.com/b.wav\n")
    assert list(parse_options({"speakers": [f"@{file}"]})["speakers"]) == ["Ada", "Bob"]
    file.write_text("\n")
    with pytest.raises(WrongUsage, match=r"--custom-vocabulary: .*terms is empty"):
        parse_options({"custom_vocabulary": [f"@{file}"]})


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("output_format", ["docx"], "--format: docx is not a format; known ones are all, text, srt"),
        ("output_format", [","], "--format must contain at least 1 items"),
        ("temperature", ["warm"], "--temperature: give numbers with commas"),
        ("temperature", ["0,1.5"], r"--temperature: \[1\] must be smaller than or equal to 1"),
        ("temperature", ["0"] * 11, "--temperature must contain less than or equal to 10 items"),
        ("temperature", ["3"], "^--temperature must be smaller than or equal to 1$"),
        ("suppress_tokens", ["60000"], "--suppress-tokens must be smaller than 50257"),
        ("patience", 0.0, "--patience must be bigger than 0"),
        ("vad_threshold", 1.0, "--vad-threshold must be smaller than 1"),
        ("language", "x" * 61, "--language must be shorter than or equal to 60 characters"),
        ("clip_timestamps", ["30,20"], "each with a start before its end"),
        ("clip_timestamps", ["a,b"], "seconds or mm:ss"),
        ("clip_timestamps", ["1:2:3:4,5"], "seconds or mm:ss"),
        ("custom_vocabulary", ["{"], "--custom-vocabulary: not JSON"),
        ("custom_vocabulary", ["vixen=fox", "Bern"], "either corrections, each as TERM=HEARD, or terms"),
        ("custom_vocabulary", ["a=b,c=d"], "each correction a flag of its own"),
        ("custom_vocabulary", ["=fox"], "each correction a flag of its own"),
        ("custom_vocabulary", ['{"vixen": 3}'], "--custom-vocabulary: vixen must be array"),
        ("custom_vocabulary", ["@nowhere"], "--custom-vocabulary: nowhere cannot be read: No such file"),
        ("custom_vocabulary", ['["a"]', '["b"]'], "--custom-vocabulary: give JSON only once"),
        ("speakers", ["Ada"], "--speakers: give each speaker a flag of its own, such as Ada=ada.wav"),
        ("speakers", ["Ada=nowhere.wav"], "--speakers Ada: there is no file nowhere.wav"),
        ("speakers", ['["Ada"]'], "--speakers: give an object"),
        ("speakers", ['{"Ada": {"path": "x"}}'], '--speakers Ada: give a file, {"url": "https://..."} or {"base64": '),
        ("speakers", ['{"Ada": 5}'], "--speakers Ada: give a file, "),
        (
            "speakers",
            ['{"Ada": {"url": "https://a.com", "path": "x"}}'],
            "--speakers Ada: must not contain path: known keys",
        ),
        ("speakers", ['{"Ada": {"embedding": [0.5], "url": "x"}}'], "--speakers Ada: must not contain url: known keys"),
        ("speakers", ["Ada=http://a/a.flac", " Ada =http://a/b.flac"], "--speakers: Ada is given 2 times"),
        ("speakers", ['{"Ada": "http://a/a", "Ada": "http://a/b"}'], "--speakers: Ada is given 2 times"),
        ("speakers", [f"Ada={os.devnull}"], f"--speakers Ada: {os.devnull} is not a regular file"),
    ],
)
def test_other_values_are_refused_in_one_sentence(name: str, given: Any, sentence: str) -> None:
    with pytest.raises(WrongUsage, match=sentence) as refused:
        parse_options({name: given})
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.process
def test_a_local_sample_is_sent_by_its_content(tmp_path: Path) -> None:
    sample = Path(shutil.copy(CLIPS / "demo.ogg", tmp_path / "ada = 1.ogg"))
    options = parse_options({"speakers": [f"Ada={sample}", "Bob=https://example.com/b.wav"]})
    assert base64.b64decode(options["speakers"]["Ada"]["base64"]) == sample.read_bytes()
    assert options["speakers"]["Bob"] == {"url": "https://example.com/b.wav"}
    assert (
        parse_options({"speakers": [json.dumps({"Ada": str(sample)})]})["speakers"]["Ada"] == options["speakers"]["Ada"]
    )


@pytest.mark.process
def test_a_large_sample_is_compressed_and_a_long_one_refused(tmp_path: Path) -> None:
    sample = make_wav(tmp_path / "ada.wav", seconds=20)
    content = parse_options({"speakers": [f"Ada={sample}"]})["speakers"]["Ada"]["base64"]
    assert base64.b64decode(content).startswith(b"OggS")
    assert len(content) < 200_000 < sample.stat().st_size
    with pytest.raises(WrongUsage, match="--speakers Ada: the sample lasts 70 s, more than 60; cut it"):
        parse_options({"speakers": [f"Ada={make_wav(sample, seconds=70)}"]})
    sample.write_bytes(bytes(21 << 20))
    with pytest.raises(WrongUsage, match="--speakers Ada: the sample has 21 MiB, more than 20; cut it"):
        parse_options({"speakers": [f"Ada={sample}"]})
    sample.write_text("nothing")
    with pytest.raises(WrongUsage, match=r"--speakers Ada: ada\.wav"):
        parse_options({"speakers": [f"Ada={sample}"]})


def make_wav(path: Path, seconds: int) -> Path:
    command = [ffmpeg_executable(), "-v", "error", "-y", "-f", "lavfi", "-i", f"sine=440:duration={seconds}", str(path)]
    subprocess.run(command, check=True)
    return path


def test_the_keys_of_a_voice_are_those_of_the_schema() -> None:
    kinds = json.loads(option_values.SCHEMA_FILE.read_text())["$defs"]
    assert set(kinds["AudioSource"]["properties"]) == option_values.SAMPLE_KEYS
    assert set(kinds["VoiceEmbedding"]["properties"]) == option_values.EMBEDDING_KEYS
