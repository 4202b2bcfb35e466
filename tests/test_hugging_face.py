"""Repositories of the Hugging Face hub: found in RunPod's cache, and fetched from a local hub."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import huggingface_hub.constants
import pytest
from safetensors.torch import save

from src.errors import ModelUnavailable
from src.models import hugging_face
from src.models.hub import Repository, parse_repository
from src.models.store import fetch_model, find_model
from src.models.weights import load_weights
from src.request.options import Options
from src.settings import get_settings
from src.whisper_processor import WhisperProcessor
from tests.support.clips import CLIPS, ROOT, assert_spoken

NAME = "acme/whisper-custom"
COMMIT, OLDER = "0" * 39 + "1", "0" * 39 + "2"
TOKEN = "hf_secretsecretsecret"
WEIGHTS = b"weights " * 40_000
WHOLE = {"config.json": b"{}", "generation_config.json": b"{}", "model.safetensors": WEIGHTS}


# --- A hub ----------------------------------------------------------------------------------------------------------


class Hub:
    """A hub at `localhost`, which redirects large files to the same server under the name `127.0.0.1`."""

    def __init__(self, files: dict[str, bytes], **behaviour: bool) -> None:
        self.files = files
        self.private = behaviour.get("private", False)
        self.gated = behaviour.get("gated", False)
        self.damaged = behaviour.get("damaged", False)
        self.breaks = 1 if behaviour.get("breaks_once") else 99 if behaviour.get("breaks") else 0
        self.ignores_ranges = behaviour.get("ignores_ranges", False)
        self.asked: list[tuple[str, str]] = []
        self.tokens: dict[str, set[str | None]] = {}
        self.ranges: list[str | None] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def etag(self, name: str) -> str:
        digest = hashlib.sha256(self.files[name]).hexdigest()
        return digest if self.is_large(name) else digest[:40]

    def is_large(self, name: str) -> bool:
        return not name.endswith(".json")


class Answers(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path, host = unquote(urlsplit(self.path).path), self.headers["Host"].partition(":")[0]
        self.hub.asked.append((host, path))
        self.hub.tokens.setdefault(host, set()).add(self.headers.get("Authorization"))
        if path.startswith("/large/"):
            self._send_large(path.removeprefix("/large/"))
            return
        if self.hub.private and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._send(401, {"X-Error-Message": "Invalid username or password."})
        elif NAME not in path:
            self._send(404, {"X-Error-Code": "RepoNotFound"})
        elif self.hub.gated:
            self._send(403, {"X-Error-Code": "GatedRepo"})
        else:
            self._send_repository(path)

    def _send_repository(self, path: str) -> None:
        about, _, rest = path.partition(NAME)
        kind, revision, *name = rest.strip("/").split("/")
        commit = {"main": COMMIT, "older": OLDER}.get(revision, revision)
        if commit not in (COMMIT, OLDER):
            self._send(404, {"X-Error-Code": "RevisionNotFound"})
        elif about == "/api/models/" and kind == "revision":
            self._send_json({"id": NAME, "sha": commit, "siblings": [{"rfilename": name} for name in self.hub.files]})
        elif about == "/api/models/" and kind == "tree":
            self._send_json([self._entry(name) for name in self.hub.files])
        elif name and name[0] in self.hub.files:
            self._send_file(name[0], commit)
        else:
            self._send(404, {"X-Error-Code": "EntryNotFound"})

    def _entry(self, name: str) -> dict[str, object]:
        size = len(self.hub.files[name])
        entry = {"type": "file", "path": name, "size": size, "oid": self.hub.etag(name)[:40]}
        lfs = {"lfs": {"oid": self.hub.etag(name), "size": size, "pointerSize": 134}} if self.hub.is_large(name) else {}
        return entry | lfs

    def _send_file(self, name: str, commit: str) -> None:
        headers = {"X-Repo-Commit": commit, "ETag": f'"{self.hub.etag(name)}"'}
        if not self.hub.is_large(name):
            self._send(200, headers, self.hub.files[name])
            return
        headers |= {"X-Linked-ETag": headers["ETag"], "X-Linked-Size": str(len(self.hub.files[name]))}
        self._send(302, headers | {"Location": f"http://127.0.0.1:{self.hub.port}/large/{name}?Signature=geheim"})

    def _send_large(self, name: str) -> None:
        content = self.hub.files[name]
        asked = self.headers.get("Range")
        self.hub.ranges.append(asked)
        start = 0 if asked is None or self.hub.ignores_ranges else int(asked.removeprefix("bytes=").partition("-")[0])
        if self.hub.damaged:
            content = bytes(len(content))
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        if self.hub.breaks:
            self.hub.breaks -= 1
            self._send(
                206 if start else 200, headers, content[start:], upto=0 if self.hub.breaks else len(content) // 2
            )
            self.close_connection = True
        else:
            self._send(206 if start else 200, headers, content[start:])

    def _send_json(self, value: object) -> None:
        self._send(200, {"Content-Type": "application/json"}, json.dumps(value).encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes = b"", upto: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:upto])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def start(monkeypatch) -> Iterator[object]:
    """Starts hubs; the latest is the one in use."""
    servers: list[ThreadingHTTPServer] = []

    def started(files: dict[str, bytes], **behaviour: bool) -> Hub:
        hub = Hub(files, **behaviour)
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Answers,), {"hub": hub}))
        hub.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        servers.append(server)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        return hub

    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(time, "sleep", lambda _: None)  # the library's pause between two attempts
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1 << 14)
    yield started
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def no_secrets_logged(caplog, capfd) -> Iterator[None]:
    yield
    told = caplog.text + "".join(capfd.readouterr())
    assert not [secret for secret in (TOKEN, "Signature", "geheim") if secret in told]


def refusal(to: Path, name: str = NAME) -> str:
    with pytest.raises(ModelUnavailable) as caught:
        fetch_model(name, to)
    message = str(caught.value)
    assert "\n" not in message
    assert TOKEN not in message
    assert TOKEN[::-1] not in message
    assert "Signature" not in message
    assert find_model(name, [to]) is None
    return message


# --- Fetching -------------------------------------------------------------------------------------------------------


def test_a_fetched_repository_is_found_afterwards(tmp_path, start):
    hub = start(WHOLE | {"model.fp32-00001-of-00002.safetensors": b"x", "pytorch_model.bin": b"x", "README.md": b"x"})
    lines: list[str] = []
    path = fetch_model(NAME, tmp_path, report=lines.append)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == WHOLE  # and no other file
    assert len(lines) == 1
    assert find_model(NAME, [tmp_path]) == path
    assert find_model(f"{NAME}@{COMMIT}", [tmp_path]) == path
    assert find_model(f"{NAME}@older", [tmp_path]) is None
    hub.asked.clear()
    assert fetch_model(NAME, tmp_path) == path
    assert not [asked for asked in hub.asked if asked[1].startswith("/large/")]


def test_a_revision_is_fetched_beside_another(tmp_path, start):
    start(WHOLE)
    newest, older = fetch_model(NAME, tmp_path), fetch_model(f"{NAME}@older", tmp_path)
    assert newest.name == COMMIT
    assert older.name == OLDER
    assert find_model(f"{NAME}@older", [tmp_path]) == older
    assert find_model(NAME, [tmp_path]) == newest


@pytest.mark.parametrize(
    "files",
    [
        {"model.bin": b"x", "config.json": b"{}"},
        {"pytorch_model.bin": b"x", "config.json": b"{}"},
        {
            "model.safetensors.index.json": b'{"weight_map": {"a": "model-00001-of-00001.safetensors"}}',
            "model-00001-of-00001.safetensors": b"x",
            "config.json": b"{}",
        },
    ],
)
def test_every_form_is_fetched_completely(tmp_path, start, files):
    start(files)
    path = fetch_model(NAME, tmp_path)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == files
    assert find_model(NAME, [tmp_path]) == path


@pytest.mark.parametrize("ignores_ranges", [False, True])
def test_an_interrupted_download_is_resumed_or_restarted(tmp_path, start, ignores_ranges):
    hub = start(WHOLE, breaks_once=True, ignores_ranges=ignores_ranges)
    assert (fetch_model(NAME, tmp_path) / "model.safetensors").read_bytes() == WEIGHTS
    first, second = hub.ranges
    assert first is None
    assert second is not None  # the received part was not requested again


def test_a_download_that_keeps_failing_leaves_no_model(tmp_path, start):
    start(WHOLE, breaks=True, ignores_ranges=True)
    assert "broke off" in refusal(tmp_path)


def test_damaged_weights_are_not_kept(tmp_path, start):
    start(WHOLE, damaged=True)
    assert "damaged" in refusal(tmp_path)
    start(WHOLE)
    assert (fetch_model(NAME, tmp_path) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_private_repository_needs_the_token_which_is_sent_to_the_hub_only(tmp_path, start, monkeypatch):
    hub = start(WHOLE, private=True)
    assert "HF_TOKEN" in refusal(tmp_path)
    monkeypatch.setenv("HF_TOKEN", TOKEN[::-1])
    assert "HF_TOKEN" in refusal(tmp_path)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    fetch_model(NAME, tmp_path)
    assert hub.tokens["127.0.0.1"] == {None}


@pytest.mark.parametrize(
    ("name", "behaviour", "said"),
    [
        ("acme/nothing", {}, "no such model"),
        (f"{NAME}@nowhere", {}, "revision"),
        (NAME, {"gated": True}, "terms"),
    ],
)
def test_a_refusal_of_the_hub_becomes_one_sentence(tmp_path, start, name, behaviour, said):
    start(WHOLE, **behaviour)
    message = refusal(tmp_path, name)
    assert said in message
    assert name in message


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"README.md": b""}, "model.safetensors"),
        ({"adapter_config.json": b"{}", "adapter_model.safetensors": b"x"}, "adapter"),
        (WHOLE | {"config.json": b"{}", "model.safetensors": b""}, None),
        ({"model.safetensors": b"x"}, "parts"),
        (
            {
                "model.safetensors.index.json": b'{"weight_map": {"a": "model-00001-of-00002.safetensors"}}',
                "config.json": b"{}",
            },
            "parts",
        ),
    ],
)
def test_a_repository_without_usable_weights_is_refused(tmp_path, start, files, said):
    start(files)
    if said is None:
        with pytest.raises(ModelUnavailable, match=f"^{NAME} "):
            load_weights(fetch_model(NAME, tmp_path))
    else:
        assert said in refusal(tmp_path)


def test_an_unreachable_hub_is_named(tmp_path, start, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://user:geheim@127.0.0.1:1")
    message = refusal(tmp_path)
    assert "127.0.0.1:1: it cannot be reached" in message
    assert "geheim" not in message


def test_the_librarys_offline_variable_is_respected(tmp_path, start, monkeypatch):
    start(WHOLE)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in refusal(tmp_path)


# --- Finding --------------------------------------------------------------------------------------------------------


def cached(folder: Path, name: str = NAME, *, commit: str = COMMIT, ref: bool = True) -> Path:
    """A repository in the layout of the hub's library and of RunPod: links to blobs."""
    home = folder / f"models--{name.replace('/', '--')}"
    snapshot = home / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (home / "blobs").mkdir(exist_ok=True)
    for file in ("config.json", "model.safetensors"):
        (home / "blobs" / file).touch()
        (snapshot / file).symlink_to(f"../../blobs/{file}")
    if ref:
        (home / "refs").mkdir(exist_ok=True)
        (home / "refs" / "main").write_text(commit)
    return snapshot


def test_runpods_cache_comes_before_the_volume(tmp_path):
    volume = cached(tmp_path / "volume")
    assert find_model(NAME, [tmp_path / "runpod", tmp_path / "volume"]) == volume
    assert find_model(NAME, [tmp_path / "runpod", tmp_path / "volume"]) == volume
    first = cached(tmp_path / "runpod")
    assert find_model(NAME, [tmp_path / "runpod", tmp_path / "volume"]) == first


def test_the_workers_folders_begin_with_runpods_cache_and_end_with_the_volume(monkeypatch):
    monkeypatch.setenv("MODEL_DIR", "/data/models")
    get_settings.cache_clear()
    folders = [str(folder) for folder in get_settings().model_folders]
    get_settings.cache_clear()
    assert folders == ["/runpod-volume/huggingface-cache/hub", str(ROOT / "models"), "/data/models"]


def test_names_in_lower_case_and_without_refs_are_found(tmp_path):
    path = cached(tmp_path, "openai/whisper-large-v3", ref=False)
    assert find_model("OpenAI/Whisper-Large-v3", [tmp_path]) == path
    assert find_model("OpenAI/Whisper-Large-v3@other", [tmp_path]) is None


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("turbo", "openai/whisper-large-v3-turbo"),
        ("large", "openai/whisper-large-v3"),
        ("large-v1", "openai/whisper-large"),
        ("tiny.en", "openai/whisper-tiny.en"),
    ],
)
def test_openais_names_are_found_as_its_repositories(tmp_path, name, repository):
    path = cached(tmp_path, repository)
    assert find_model(name, [tmp_path]) == path


@pytest.mark.parametrize(
    ("repository", "checkpoint"),
    [
        ("openai/whisper-medium", "medium.pt"),
        ("openai/whisper-large-v3-turbo", "large-v3-turbo.pt"),
        ("openai/whisper-large", "large-v1.pt"),
        ("OpenAI/Whisper-Tiny.en", "tiny.en.pt"),
    ],
)
def test_openais_repositories_are_found_as_its_checkpoints(tmp_path, repository, checkpoint):
    (tmp_path / checkpoint).touch()
    assert find_model(repository, [tmp_path]) == tmp_path / checkpoint
    assert find_model(f"{repository}@v2", [tmp_path]) is None, "a revision may have other weights"
    assert find_model(f"{repository}-ours", [tmp_path]) is None
    snapshot = cached(tmp_path, repository)
    assert find_model(repository, [tmp_path]) == snapshot


def test_nobody_elses_repository_is_found_as_openais_checkpoint(tmp_path):
    (tmp_path / "medium.pt").touch()
    assert find_model("acme/whisper-medium", [tmp_path]) is None


def test_an_incomplete_snapshot_is_not_found(tmp_path):
    snapshot = cached(tmp_path)
    (snapshot / "model.safetensors").unlink()
    assert find_model(NAME, [tmp_path]) is None
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    (snapshot / "model-00001-of-00002.safetensors").touch()
    assert find_model(NAME, [tmp_path]) is None
    (snapshot / "model-00002-of-00002.safetensors").touch()
    assert find_model(NAME, [tmp_path]) == snapshot


def test_a_branch_resolves_to_its_commit_only(tmp_path):
    newest, older = cached(tmp_path), cached(tmp_path, commit=OLDER, ref=False)
    assert find_model(NAME, [tmp_path]) == newest
    assert find_model(f"{NAME}@{OLDER}", [tmp_path]) == older
    (newest.parents[1] / "refs" / "main").write_text("../../../../../etc")
    assert find_model(NAME, [tmp_path]) is None


@pytest.mark.parametrize(
    "name",
    ["a/b/c", "a", "/a/b", "a/", "../a", "a/..", "a/b@", "a/b@../c", "a/b@c/d", "a--b/c", "a/b c", ".a/b", "a/b\n"],
)
def test_other_texts_are_not_parsed_as_repositories(name):
    assert parse_repository(name) is None


def test_a_name_includes_the_revision():
    assert parse_repository("a/b@v1.0") == Repository("a/b", "v1.0")
    assert str(parse_repository("a/b")) == "a/b"


# --- The whole worker -----------------------------------------------------------------------------------------------


def as_hugging_face(model: Path) -> dict[str, bytes]:
    """A model's files as transformers would write them."""
    weights = load_weights(model)
    names = {ours: theirs for theirs, ours in hugging_face._OTHER_NAMES.items()}
    modules = {ours: theirs for theirs, ours in hugging_face._LAYER_MODULES.items()}

    def renamed(name: str) -> str:
        side, _, rest = name.partition(".blocks.")
        if not rest:
            return "model." + names.get(name, name)
        layer, module = rest.split(".", 1)
        module, _, parameter = module.rpartition(".")
        return f"model.{side}.layers.{layer}.{modules[module]}.{parameter}"

    state = {renamed(name): tensor.half().contiguous() for name, tensor in weights.state_dict().items()}
    config = {
        "model_type": "whisper",
        "encoder_attention_heads": weights.dims.n_audio_head,
        "decoder_attention_heads": weights.dims.n_text_head,
    }
    return {
        "model.safetensors": save(state),
        "config.json": json.dumps(config).encode(),
    }


@pytest.mark.model
@pytest.mark.process
def test_a_worker_fetches_a_repository_and_warns_of_unknown_alignment_heads(tmp_path, start, monkeypatch):
    start(as_hugging_face(ROOT / "models" / "tiny.en"))
    monkeypatch.setenv("MODEL_DIR", str(tmp_path))
    monkeypatch.setenv("COMPUTE_TYPE", "float32")  # in bfloat16 some CPUs make "jump" of "jumps"
    get_settings.cache_clear()
    processor = WhisperProcessor(NAME)
    plain = processor.transcribe(CLIPS / "demo.ogg", Options(language="en"))
    timed = processor.transcribe(CLIPS / "demo.ogg", Options(language="en", word_timestamps=True))
    processor.close()
    get_settings.cache_clear()
    assert_spoken(plain.text, "demo.ogg")
    assert plain.warnings == []
    assert ["generation_config.json" in warning for warning in timed.warnings] == [True]
