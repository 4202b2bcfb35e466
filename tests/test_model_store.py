"""Models are found on disk, and arrive complete and verified or not at all."""

import hashlib
import random
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import pytest
import whisper

from builder import fetch_models
from builder.development_weights import Member, WheelSource, development_sources
from src.errors import ModelUnavailable
from src.models import sources, store
from src.models.sources import UrlSource, sources_of
from src.models.store import fetch_model, find_model, is_model_name

ROOT = Path(__file__).resolve().parents[1]
CONTENT = random.Random(0).randbytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Answers(BaseHTTPRequestHandler):
    """`/whole/*` sends the content, `/broken/*` disconnects half-way, `/stalled/*` stops half-way; others 404."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        behaviour = self.path.split("/")[1]
        if behaviour not in ("whole", "broken", "stalled"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT if behaviour == "whole" else CONTENT[: len(CONTENT) // 2])
        self.wfile.flush()
        if behaviour == "stalled":
            cast(HostServer, self.server).released.wait(20)

    def log_message(self, *_: object) -> None:
        pass


class Host:
    """A host on the loopback interface."""

    def __init__(self, server: ThreadingHTTPServer, asked: list[str]) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self.asked = asked

    def source(self, behaviour: str, sha256: str = SHA256) -> UrlSource:
        return UrlSource(f"{self.url}/{behaviour}/tiny.en.pt", sha256)


class HostServer(ThreadingHTTPServer):
    released: threading.Event


@pytest.fixture
def host() -> Iterator[Host]:
    asked: list[str] = []
    server = HostServer(("127.0.0.1", 0), type("Handler", (Answers,), {"asked": asked}))
    server.released = threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield Host(server, asked)
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def unreachable() -> UrlSource:
    """A source at a port that is closed."""
    return UrlSource("http://127.0.0.1:1/whole/tiny.en.pt", SHA256)


# --- Finding --------------------------------------------------------------------------------------------------------


def place(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_checkpoints_and_conversions_are_found_by_name_in_the_order_of_the_folders(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    place(second / "base" / "model.bin")
    assert find_model("base", [first, second]) == second / "base"
    place(first / "base.pt")
    assert find_model("base", [first, second]) == first / "base.pt"
    assert find_model("base", [second, first]) == second / "base"


@pytest.mark.parametrize(
    ("alias", "file"),
    [("turbo", "large-v3-turbo.pt"), ("large", "large-v3.pt"), ("large-v3-turbo", "large-v3-turbo.pt")],
)
def test_an_alias_finds_the_file_by_its_published_name(tmp_path, alias, file):
    path = place(tmp_path / file)
    assert find_model(alias, [tmp_path]) == path


def test_a_custom_model_is_found_by_name_and_by_path(tmp_path):
    path = place(tmp_path / "models" / "custom.pt")
    conversion = place(tmp_path / "models" / "converted" / "model.bin")
    assert find_model("custom", [tmp_path / "models"]) == path
    assert find_model(str(path), []) == path
    assert find_model(str(conversion), []) == conversion
    assert find_model(str(conversion.parent), []) == conversion.parent


def test_only_models_are_found(tmp_path):
    place(tmp_path / "empty" / "readme.txt")
    for name in ("base", "empty", "", ".", str(tmp_path), str(tmp_path / "empty"), str(tmp_path / "empty/readme.txt")):
        assert find_model(name, [tmp_path, tmp_path / "missing"]) is None


@pytest.mark.parametrize("name", ["../secret", "a/../../secret", "..", "/etc/passwd", "secret\0", "", ".hidden", "a\n"])
def test_a_name_does_not_lead_out_of_its_folder(tmp_path, name):
    place(tmp_path / "secret.pt")
    place(tmp_path / "models" / "a" / "model.bin")
    assert not is_model_name(name)
    assert find_model(name, [tmp_path / "models"]) is None


def test_finding_reads_no_file(tmp_path, monkeypatch):
    place(tmp_path / "base.pt")
    monkeypatch.setattr(store, "sha256_of", lambda _: pytest.fail("hashed"))
    assert find_model("base", [tmp_path])


# --- Fetching over HTTP ---------------------------------------------------------------------------------------------


def test_a_fetched_model_is_the_hosts_file(tmp_path, host):
    lines: list[str] = []
    path = fetch_model("tiny.en", tmp_path / "new", sources=[host.source("whole")], report=lines.append)
    assert path == tmp_path / "new" / "tiny.en.pt"
    assert path.read_bytes() == CONTENT
    assert names(tmp_path / "new") == ["tiny.en.pt"]
    assert len(lines) == 1
    assert "127.0.0.1" in lines[0]


def test_an_intact_model_is_not_fetched_again(tmp_path, host):
    (tmp_path / "tiny.en.pt").write_bytes(CONTENT)
    lines: list[str] = []
    fetch_model("tiny.en", tmp_path, sources=[host.source("whole")], report=lines.append)
    assert host.asked == []
    assert "already" in lines[0]


def test_a_damaged_model_is_replaced(tmp_path, host):
    (tmp_path / "tiny.en.pt").write_bytes(CONTENT[:-1])
    assert fetch_model("tiny.en", tmp_path, sources=[host.source("whole")]).read_bytes() == CONTENT


def test_a_model_that_is_there_in_another_form_stays(tmp_path, host):
    place(tmp_path / "tiny.en" / "model.bin")
    lines: list[str] = []
    assert fetch_model("tiny.en", tmp_path, sources=[host.source("whole")], report=lines.append) == tmp_path / "tiny.en"
    assert host.asked == []
    assert "not checked" in lines[0]


def test_a_failed_fetch_leaves_what_was_there(tmp_path, host):
    (tmp_path / "tiny.en.pt").write_bytes(b"mine")
    with pytest.raises(ModelUnavailable):
        fetch_model("tiny.en", tmp_path, sources=[host.source("broken")])
    assert (tmp_path / "tiny.en.pt").read_bytes() == b"mine"


def test_the_next_source_is_tried_when_one_fails(tmp_path, host):
    sources = [unreachable(), host.source("absent"), host.source("broken"), host.source("whole")]
    assert fetch_model("tiny.en", tmp_path, sources=sources).read_bytes() == CONTENT
    assert host.asked == ["/absent/tiny.en.pt", "/broken/tiny.en.pt", "/whole/tiny.en.pt"]


@pytest.mark.parametrize(
    ("behaviour", "sha256", "reason"),
    [("whole", "0" * 64, "SHA-256"), ("broken", SHA256, "broke off"), ("absent", SHA256, "status 404")],
)
def test_a_failure_says_why_and_leaves_nothing(tmp_path, host, behaviour, sha256, reason):
    with pytest.raises(ModelUnavailable, match=reason) as caught:
        fetch_model("tiny.en", tmp_path, sources=[host.source(behaviour, sha256)])
    assert "tiny.en" in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    assert names(tmp_path) == []


def test_a_silent_host_times_out(tmp_path, host, monkeypatch):
    monkeypatch.setattr(sources, "_IDLE_TIMEOUT_S", 0.2)
    with pytest.raises(ModelUnavailable, match="fell silent"):  # the host hangs up later
        fetch_model("tiny.en", tmp_path, sources=[host.source("stalled")])
    assert names(tmp_path) == []


def test_every_failed_source_is_in_the_message(tmp_path, host):
    with pytest.raises(ModelUnavailable) as caught:
        fetch_model("tiny.en", tmp_path, sources=[unreachable(), host.source("absent")])
    assert "127.0.0.1:1: " in str(caught.value)
    assert "status 404" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_interrupted_fetch_leaves_nothing(tmp_path, host, monkeypatch):
    def interrupted(chunks, file, *_):
        file.write(next(iter(chunks)))
        raise KeyboardInterrupt

    monkeypatch.setattr(sources, "write_chunks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch_model("tiny.en", tmp_path, sources=[host.source("whole")])
    assert names(tmp_path) == []


def test_a_model_is_not_found_before_it_is_verified(tmp_path):
    class Watched:
        files = {"tiny.en.pt": SHA256}  # noqa: RUF012

        def fetch(self, into: Path) -> None:
            (into / "tiny.en.pt").write_bytes(CONTENT)
            assert find_model("tiny.en", [tmp_path]) is None

    fetch_model("tiny.en", tmp_path, sources=[Watched()])
    assert find_model("tiny.en", [tmp_path]) == tmp_path / "tiny.en.pt"


# --- Fetching packages ----------------------------------------------------------------------------------------------


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """A folder of wheels as pip's only index: two halves of a model, the first with its config."""
    folder = tmp_path / "index"
    folder.mkdir()
    half = len(CONTENT) // 2
    make_wheel(folder, "half_one", {"half_one/config.json": b"{}", "half_one/model.1": CONTENT[:half]})
    make_wheel(folder, "half_two", {"half_two/model.2": CONTENT[half:]})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def make_wheel(folder: Path, name: str, members: dict[str, bytes]) -> None:
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        for path, data in members.items():
            wheel.writestr(path, data)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def halves(sha256: str = SHA256, last: str = "half_two/model.2") -> WheelSource:
    return WheelSource(
        files={"mini/model.bin": sha256, "mini/config.json": hashlib.sha256(b"{}").hexdigest()},
        members=(
            Member("half-one==1.0", "half_one/config.json", "mini/config.json"),
            Member("half-one==1.0", "half_one/model.1", "mini/model.bin"),
            Member("half-two==1.0", last, "mini/model.bin"),
        ),
    )


@pytest.mark.process
def test_a_model_in_several_packages_is_joined_to_one_folder(tmp_path, index):
    path = fetch_model("mini", tmp_path / "models", sources=[unreachable(), halves()])
    assert path == tmp_path / "models" / "mini"
    assert (path / "model.bin").read_bytes() == CONTENT
    assert names(path) == ["config.json", "model.bin"]
    assert names(tmp_path / "models") == ["mini"]


@pytest.mark.process
def test_a_damaged_folder_is_replaced_as_a_whole(tmp_path, index):
    place(tmp_path / "models" / "mini" / "model.bin")
    place(tmp_path / "models" / "mini" / "left-over")
    path = fetch_model("mini", tmp_path / "models", sources=[halves()])
    assert names(path) == ["config.json", "model.bin"]


@pytest.mark.process
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (halves(sha256="0" * 64), "model.bin is damaged"),
        (halves(last="half_two/other"), "does not hold half_two/other"),
    ],
)
def test_packages_with_other_contents_are_refused(tmp_path, index, source, reason):
    with pytest.raises(ModelUnavailable, match=reason):
        fetch_model("mini", tmp_path / "models", sources=[source])
    assert names(tmp_path / "models") == []


@pytest.mark.process
def test_a_package_that_cannot_be_downloaded_is_named(tmp_path, index):
    (index / "half_two-1.0-py3-none-any.whl").unlink()
    with pytest.raises(ModelUnavailable, match=r"pip could not download half-two==1\.0"):
        fetch_model("mini", tmp_path / "models", sources=[halves()])
    assert names(tmp_path / "models") == []


# --- Sources --------------------------------------------------------------------------------------------------------


def test_openais_server_is_the_only_source_and_its_digest_comes_from_the_url():
    (source,) = sources_of("turbo")
    assert source.files == {"large-v3-turbo.pt": "aff26ae408abcba5fbf8813c21e62b0941638c5f6eebfb145be0c9839262a19a"}


@pytest.mark.parametrize("name", ["tiny.en", "base"])
def test_only_development_has_mirrors_of_the_models_of_the_tests(name):
    openai, mirror = development_sources(name)
    assert [openai] == sources_of(name)
    assert mirror.files.keys() == {f"{name}/model.bin", f"{name}/config.json"}
    assert development_sources("turbo") is None


def test_the_only_default_source_is_openai():
    hosts = {str(source) for name in whisper.available_models() for source in sources_of(name)}
    assert hosts == {"openaipublic.azureedge.net"}


@pytest.mark.model
@pytest.mark.process
def test_the_model_of_the_tests_is_the_published_one():
    lines: list[str] = []
    path = fetch_model("tiny.en", ROOT / "models", sources=development_sources("tiny.en"), report=lines.append)
    assert path in (ROOT / "models" / "tiny.en", ROOT / "models" / "tiny.en.pt")
    assert "with the right SHA-256" in lines[0]


def test_an_unknown_name_is_refused_with_the_known_ones_and_the_nearest(tmp_path):
    with pytest.raises(ModelUnavailable, match=r'large-v3-turbo.*did you mean "tiny\.en"\?'):
        fetch_model("tinyen", tmp_path)
    with pytest.raises(ModelUnavailable, match="large-v3-turbo"):
        fetch_model("../../x", tmp_path)


# --- The command line -----------------------------------------------------------------------------------------------


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "builder/fetch_models.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.process
def test_the_command_fails_with_one_line_and_a_hint(tmp_path):
    done = run("tinyen", "--to", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert 'did you mean "tiny.en"?' in done.stderr


def test_the_commands_help_shows_examples(capsys):
    with pytest.raises(SystemExit) as caught:
        fetch_models.main(["--help"])
    assert caught.value.code == 0
    assert "python builder/fetch_models.py tiny.en" in capsys.readouterr().out


@pytest.mark.model
@pytest.mark.process
def test_the_command_reports_a_model_that_is_there(capsys):
    assert fetch_models.main(["tiny.en"]) == 0
    assert "tiny.en: already in" in capsys.readouterr().out


@pytest.mark.model
@pytest.mark.process
def test_the_command_accepts_names_as_in_whisper_models(capsys):
    assert fetch_models.main(["tiny.en,tiny.en, "]) == 0
    assert capsys.readouterr().out.count("tiny.en: already in") == 2


def wait_for(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_ctrl_c_exits_with_130_and_leaves_no_file(tmp_path, host):
    script = (
        "import sys; sys.path.insert(0, '.')\n"
        "from builder import fetch_models; from src.models.sources import UrlSource\n"
        f"source = UrlSource('{host.url}/stalled/tiny.en.pt', '{SHA256}')\n"
        "sys.exit(fetch_models.main(['tiny.en', '--to', sys.argv[1]], sources_of=lambda name: [source]))"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: list(tmp_path.glob(".fetch-*/fresh/tiny.en.pt")))
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert names(tmp_path) == []
