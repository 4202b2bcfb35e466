"""The command: what it prints and writes, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from client.known_voices import Voice, VoiceFolder, VoiceSample
from client.live import app
from tests.client.conftest import environment, run_command, wait_until
from tests.client.hearing_server import UNIT_BYTES, HearingServer, sound

pytestmark = pytest.mark.process

Run = Callable[..., tuple[str, str]]

NUMBERS = (0, 1, 2, 3, 0, 0, 0, 0, 4, 5, 0, 0, 0, 0)
PRINTED = "[00:00:00.100 --> 00:00:00.400] 1 2 3\n[00:00:00.800 --> 00:00:01.000] 4 5\n"
SRT = "1\n00:00:00,100 --> 00:00:00,400\n1 2 3\n\n2\n00:00:00,800 --> 00:00:01,000\n4 5\n"


@pytest.fixture
def server() -> Iterator[HearingServer]:
    with HearingServer() as server:
        yield server


@pytest.fixture
def spoken(folder: Path) -> Path:
    """A recording of numbers."""
    return write_wav(folder / "numbers.wav", sound(*NUMBERS))


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process, and checks its exit code."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    monkeypatch.setenv("RUNPOD_API_KEY", "key")
    monkeypatch.delenv("RUNPOD_ENDPOINT_ID", raising=False)

    def run(where: HearingServer | None, *arguments: str, code: int = 0) -> tuple[str, str]:
        monkeypatch.setenv("RUNPOD_BASE_URL", "http://localhost:9" if where is None else where.url)
        try:
            app([*arguments], standalone_mode=False)
            ended = 0
        except SystemExit as end:
            ended = int(end.code or 0)
        printed = capsys.readouterr()
        assert ended == code, printed.err
        return printed.out, printed.err

    return run


def signalled(server: HearingServer, *numbers: int) -> threading.Thread:
    """Sends this process the first signal once 0.3 s are heard, and others once the text is asked for."""

    def send() -> None:
        wait_until(lambda: server.sessions and server.sessions[0].received >= 3 * UNIT_BYTES, 60)
        server.is_mute = len(numbers) > 1
        os.kill(os.getpid(), numbers[0])
        for number in numbers[1:]:
            wait_until(lambda: server.was_asked_to_finish, 60)
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def run_piped(server: HearingServer, folder: Path, content: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "client.live", "-"]
    env = environment(server.url, folder.parent)
    return subprocess.run(command, cwd=folder, env=env, input=content, capture_output=True, timeout=120)


def write_wav(path: Path, pcm: bytes) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(pcm)
    return path


@pytest.mark.usefixtures("spoken")
def test_a_recording_is_printed_as_it_is_heard_and_written_at_the_end(
    run: Run, server: HearingServer, folder: Path
) -> None:
    files = [f"--{name}=out.{name}" for name in ("srt", "vtt", "txt", "json")]
    out, err = run(server, "numbers.wav", *files)
    assert out == PRINTED
    assert (folder / "out.srt").read_text() == SRT
    assert (folder / "out.vtt").read_text().startswith("WEBVTT\n\n00:00:00.100 --> ")
    assert (folder / "out.txt").read_text() == "1 2 3 4 5\n"
    written = json.loads((folder / "out.json").read_text())
    assert written["transcription"]["segments"][1]["text"] == " 4 5"
    assert written["metadata"] == {"language": "en", "audio_duration": 1.4, "warnings": []}
    assert err.splitlines() == [f"Wrote out.{name}" for name in ("srt", "vtt", "txt", "json")]


@pytest.mark.usefixtures("spoken")
def test_options_are_those_of_openais_session(run: Run, server: HearingServer) -> None:
    flags = (
        "--language=de",
        "--language",
        "en,fr",
        "--keyword=Zürich",
        "--prompt=Namen",
        "--delay=high",
        "--diarize",
        "--redact=card,iban",
        "--mask=damn",
    )
    run(server, "numbers.wav", *flags, "--model=turbo")
    assert server.sessions[0].settings == {
        "type": "transcription",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 16000},
                "transcription": {
                    **{"languages": ["de", "en", "fr"], "keywords": ["Zürich"], "prompt": "Namen", "delay": "high"},
                    **{"diarize": True, "model": "turbo", "redact": ["card", "iban"], "mask": ["damn"]},
                },
            }
        },
    }


@pytest.mark.slow
@pytest.mark.usefixtures("spoken")
def test_known_voices_are_sent_with_diarize(run: Run, server: HearingServer, folder: Path) -> None:
    sample = VoiceSample((1.0, *[0.0] * 191), 10.0, "2026-11-30")
    VoiceFolder(folder / "voices").save(Voice("Ada", None, (sample,)))
    for number, flags in enumerate((["--diarize"], ["--diarize", "--no-known-voices"], [])):
        _, err = run(server, "numbers.wav", "--voices", str(folder / "voices"), *flags)
        transcription = server.sessions[number].settings["audio"]["input"]["transcription"]
        is_named = flags == ["--diarize"]
        assert [*transcription.get("speakers", {})] == (["Ada"] if is_named else [])
        assert ("Note: speakers are compared with the known voice; --no-known-voices" in err) is is_named


def test_a_pipe_is_heard(server: HearingServer, spoken: Path, folder: Path) -> None:
    done = run_piped(server, folder, spoken.read_bytes())
    assert done.stdout.decode() == PRINTED


@pytest.mark.slow
@pytest.mark.usefixtures("spoken")
def test_a_broken_connection_costs_no_word(run: Run) -> None:
    with HearingServer([2 * UNIT_BYTES, 9 * UNIT_BYTES]) as server:
        assert run(server, "numbers.wav") == (PRINTED, "Note: the connection was closed; trying again\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_waits_for_the_last_words_and_writes(
    run: Run, server: HearingServer, folder: Path, number: int
) -> None:
    write_wav(folder / "long.wav", sound(*range(1, 1000)))
    sending = signalled(server, number)
    out, err = run(server, "long.wav", "--txt=out.txt")
    sending.join()
    heard = (folder / "out.txt").read_text().split()
    assert heard == [str(number) for number in range(1, len(heard) + 1)]
    assert 3 <= len(heard) < 999
    assert out.endswith(f"] {' '.join(heard)}\n")
    assert "Note: waiting for the last words; Ctrl-C again does not wait\n" in err


@pytest.mark.slow
def test_the_second_signal_writes_what_is_there_at_once(run: Run, server: HearingServer, folder: Path) -> None:
    write_wav(folder / "long.wav", sound(*range(1, 1000)))
    sending = signalled(server, signal.SIGINT, signal.SIGINT)
    _, err = run(server, "long.wav", "--txt=out.txt", code=130)
    sending.join()
    assert "Error: stopped before the last words were final" in err
    assert (folder / "out.txt").read_text().startswith("1 2")


@pytest.mark.slow
@pytest.mark.usefixtures("spoken")
def test_what_was_heard_is_written_if_the_worker_fails_for_good(run: Run, folder: Path) -> None:
    with HearingServer([10 * UNIT_BYTES]) as server:
        server.refusals_after_break = [(401, {})]
        _, err = run(server, "numbers.wav", "--srt=out.srt", code=5)
    assert "Error: the API key is wrong or missing" in err
    assert (folder / "out.srt").read_text().startswith("1\n00:00:00,100 --> 00:00:00,400\n1 2 3\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nope.wav"], 2, "there is no file nope.wav"),
        (["text.txt"], 3, "text.txt is not a recording: it is text"),
        (["numbers.wav", "--srt=a.srt", "--txt=a.srt"], 2, "two formats would be written into the same file"),
        (["numbers.wav", "--srt=text.txt"], 2, "text.txt already exists: --overwrite replaces it"),
        (["numbers.wav", "--srt=numbers.wav", "--overwrite"], 2, "numbers.wav is the recording itself"),
        (["numbers.wav", "--server=localhost:8000"], 2, "is not an http(s) address such as http://localhost:8000"),
        (["numbers.wav", "--server=http://localhost:8000/v2/ID"], 2, "needs a worker in HTTP mode"),
    ],
)
@pytest.mark.usefixtures("spoken")
def test_a_mistake_is_told_in_a_sentence(run: Run, folder: Path, arguments: list[str], code: int, message: str) -> None:
    (folder / "text.txt").write_text("no sound")
    assert message in run(None, *arguments, code=code)[1]


@pytest.mark.slow
def test_a_pipe_without_a_header_is_told_what_it_needs(server: HearingServer, folder: Path) -> None:
    done = run_piped(server, folder, b"no sound")
    assert done.returncode == 3
    assert "a pipe needs a format with a header, such as WAV" in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.slow
@pytest.mark.usefixtures("spoken")
def test_words_without_a_final_text_are_an_incomplete_result(run: Run) -> None:
    with HearingServer() as server:
        server.failure = "out of memory"
        _, err = run(server, "numbers.wav", code=6)
    assert "Note: what was said at 0 s has no final text: out of memory" in err
    assert "Error: 2 utterances have no final text" in err


@pytest.mark.slow
def test_help_is_plain_text_in_groups_with_examples(folder: Path) -> None:
    text = run_command("live", "--help", where="http://localhost:9", folder=folder).stdout
    positions = [text.index(f"\n{group}:\n") for group in ("Speech", "Output", "Connection", "General")]
    assert positions == sorted(positions)
    assert max(map(len, text.splitlines())) <= 80
    assert text.isascii()
    assert "\n    python -m client.live " in text[text.index("Examples:") :]
