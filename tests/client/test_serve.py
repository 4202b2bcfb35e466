"""The bridge's command: its start, who may use it, and its end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest
import requests

from tests.client.conftest import CLIPS, environment, run_command, wait_until
from tests.client.scripted_worker import ScriptedWorker, make_answer
from tests.platform.emulator import Platform
from tests.support.servers import free_port

pytestmark = pytest.mark.process

NOWHERE = "http://localhost:9"
START_S = 5.0
"""Limit for a start on a machine with other work; alone it takes half a second."""


@contextmanager
def started(
    module: str, where: Platform | str, folder: Path, *arguments: str, **env: str
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a command that serves, in a folder where all of its files go; yields its address and its process."""
    port = free_port()
    command = [sys.executable, "-m", f"client.{module}", "--port", str(port), *arguments]
    folders = {"TMPDIR": str(folder), "XDG_DATA_HOME": str(folder / "data")}
    variables = {**environment(where, folder), **folders, **env}
    process = subprocess.Popen(command, cwd=folder, env=variables, stderr=subprocess.PIPE, text=True)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: process.poll() is not None or is_loaded(address), START_S)
        yield address, process
    finally:
        process.kill()
        process.communicate()


def served(
    where: Platform | str, folder: Path, *arguments: str
) -> AbstractContextManager[tuple[str, subprocess.Popen[str]]]:
    return started("serve", where, folder, "--no-page", *arguments)


def is_loaded(address: str) -> bool:
    with suppress(requests.RequestException):
        return requests.get(f"{address}/ping", timeout=2).status_code == 200
    return False


def connected(address: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])))


def end(process: subprocess.Popen[str], number: int) -> str:
    """End the command by a signal, and return what it has printed."""
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return err


@contextmanager
def running_request(
    platform: Platform, folder: Path
) -> Iterator[tuple[ScriptedWorker, subprocess.Popen[str], list[requests.Response]]]:
    """A bridge with a request whose job a worker has taken; yields the worker, the bridge, and the request's answer."""
    with (
        ScriptedWorker(platform, lambda _: make_answer("hello")) as worker,
        served(platform, folder) as (address, process),
    ):
        worker.held_after = 0
        answers: list[requests.Response] = []
        caller = threading.Thread(target=lambda: answers.append(post(address)))
        caller.start()
        wait_until(lambda: len(worker.jobs) == 1)
        yield worker, process, answers
        caller.join(20)


def send_first(process: subprocess.Popen[str], number: int) -> None:
    """Send the command its first signal, and wait until it says what a second one does."""
    process.send_signal(number)
    assert process.stderr is not None
    sentence = "stopping once the running requests are answered; a second signal cancels them"
    assert any(sentence in line for line in process.stderr)


def post(address: str, **headers: str) -> requests.Response:
    with (CLIPS / "demo.ogg").open("rb") as file:
        return requests.post(
            f"{address}/v1/audio/transcriptions",
            files={"file": file},
            data={"model": "whisper-1"},
            headers=headers,
            timeout=30,
        )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_without_its_endpoint_and_says_what_programs_need(folder: Path, number: int) -> None:
    with served(NOWHERE, folder) as (address, process):
        assert requests.get(f"{address}/v1/models", timeout=5).json()["data"][0]["id"] == "whisper-1"
        text = end(process, number)
    assert f"base URL  {address}/v1\n" in text
    assert f"  curl {address}/v1/audio/transcriptions -F file=@talk.mp3 -F model=whisper-1\n" in text
    assert list(folder.iterdir()) == []


def test_the_printed_command_gets_the_text(platform: Platform, folder: Path) -> None:
    with ScriptedWorker(platform, lambda _: make_answer("hello")), served(platform, folder) as (address, _):
        assert post(address).json()["text"] == "hello"


@pytest.mark.slow
def test_an_endpoint_out_of_reach_is_an_answer_that_programs_show_and_a_line_in_the_terminal(folder: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        where = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with served(where, folder) as (address, process):
            answer = post(address, **{"x-request-id": "mine-1"})
            text = end(process, signal.SIGTERM)
    message = answer.json()["error"]["message"]
    assert answer.status_code == 503
    assert message.startswith("the endpoint cannot be reached: start the worker")
    assert f"\nrequest mine-1 failed: {message}\n" in text


@pytest.mark.slow
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_beyond_this_machine_it_asks_for_a_key(folder: Path, host: str) -> None:
    err = run_command("serve", "--host", host, where=NOWHERE, folder=folder, code=2).stderr
    assert "give a key that programs must send, with --serve-key or WHISPER_SERVE_KEY, or --no-key" in err


@pytest.mark.slow
def test_the_key_is_the_bridges_own(platform: Platform, folder: Path) -> None:
    arguments = ("--host", "0.0.0.0", "--serve-key", "own")
    with (
        ScriptedWorker(platform, lambda _: make_answer("hello")),
        served(platform, folder, *arguments) as (address, process),
    ):
        assert post(address).status_code == 401
        assert post(address, Authorization=f"Bearer {platform.api_key}").status_code == 401
        answer = post(address, Authorization="Bearer own")
        assert answer.json()["text"] == "hello"
        text = end(process, signal.SIGTERM)
    assert platform.api_key not in text + str(answer.headers) + answer.text
    assert "own" not in text.replace("its own", "").split()


@pytest.mark.slow
def test_pages_of_other_sites_are_allowed_by_name(folder: Path) -> None:
    origin = "https://notes.example.org"
    preflight = {"Access-Control-Request-Method": "POST"}
    with served(NOWHERE, folder, "--allow-origin", origin) as (address, _):
        url = f"{address}/v1/audio/transcriptions"
        allowed = requests.options(url, headers={**preflight, "Origin": origin}, timeout=5)
        refused = requests.options(url, headers={**preflight, "Origin": "https://evil.example"}, timeout=5)
    assert allowed.headers["Access-Control-Allow-Origin"] == origin
    assert "Access-Control-Allow-Origin" not in refused.headers


def test_too_large_an_upload_is_refused(folder: Path) -> None:
    with served(NOWHERE, folder, "--max-upload", "5000") as (address, process):
        answer = post(address)
        end(process, signal.SIGTERM)
    assert answer.status_code == 413
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_a_port_in_use_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        err = run_command("serve", "--port", port, where=NOWHERE, folder=folder, code=1).stderr
    assert (
        f"the bridge cannot listen at port {port} of 127.0.0.1: another program listens there, choose another port"
        in err
    )


def test_the_first_signal_waits_for_what_runs(platform: Platform, folder: Path) -> None:
    with running_request(platform, folder) as (worker, process, answers):
        send_first(process, signal.SIGTERM)
        worker.release()
        process.wait(20)
    assert answers[0].json()["text"] == "hello"


@pytest.mark.slow
def test_the_second_signal_cancels_what_runs(platform: Platform, folder: Path) -> None:
    with running_request(platform, folder) as (_, process, answers):
        send_first(process, signal.SIGINT)
        process.send_signal(signal.SIGINT)
        process.wait(20)
        assert process.stderr is not None
        text = process.stderr.read()
    assert (answers[0].status_code, answers[0].json()["error"]["message"]) == (
        503,
        "the server stops: send the request again",
    )
    assert "Traceback" not in text
    assert [job.status for job in platform.jobs.values()] == ["CANCELLED"]
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_what_a_killed_bridge_has_left_is_removed_at_the_next_start(folder: Path) -> None:
    form = "Content-Type: multipart/form-data; boundary=b"
    part = '--b\r\nContent-Disposition: form-data; name="audio_file"\r\n\r\nRIFF'
    with served(NOWHERE, folder) as (address, process), connected(address) as connection:
        connection.sendall(f"POST /asr HTTP/1.1\r\nHost: a\r\n{form}\r\nContent-Length: 999\r\n\r\n{part}".encode())
        wait_until(lambda: any(folder.rglob("upload")))
        process.kill()  # before its caller hangs up, after which it would remove the upload itself
        process.wait()
    assert any(folder.rglob("upload"))
    with served(NOWHERE, folder) as (_, first):
        (its_folder,) = folder.iterdir()
        assert not any(its_folder.rglob("upload"))
        with served(NOWHERE, folder) as (_, second):
            assert its_folder in folder.iterdir()
            end(second, signal.SIGTERM)
        assert list(folder.iterdir()) == [its_folder]
        end(first, signal.SIGTERM)
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_the_folder_of_a_bridge_that_is_about_to_lock_it_stays(folder: Path) -> None:
    lock = folder / "worker-whisper-starting" / "in-use"
    lock.parent.mkdir()
    lock.touch()
    with served(NOWHERE, folder) as (_, process):
        end(process, signal.SIGTERM)
    assert list(folder.rglob("*")) == [lock.parent, lock]


@pytest.mark.slow
def test_help_is_plain_text_in_groups_with_examples(folder: Path) -> None:
    text = run_command("serve", "--help", where=NOWHERE, folder=folder).stdout
    positions = [text.index(f"\n{group}:\n") for group in ("Server", "Access", "Connection", "General")]
    assert positions == sorted(positions)
    assert max(map(len, text.splitlines())) <= 80
    assert text.isascii()
    assert "\n    python -m client.serve " in text[text.index("Examples:") :]
    assert "\n    base URL  http://127.0.0.1:8080/v1\n" in text
