"""The bridge's server: OpenAI's audio API and the web page on this machine; an endpoint transcribes.

`client.serve` and `client.page` start it. RunPod's key stays in its process.
"""

from __future__ import annotations

import inspect
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from filelock import FileLock, Timeout
from rich.console import Console

from api.http.addresses import is_loopback, origin_of
from api.page.folders import default_folder
from client.console import printable
from client.errors import WrongUsage
from client.job_request import RUN_LIMIT_BYTES, RunSettings
from client.known_voices import VoiceFolder, voices_folder
from client.options import Command, ParallelFlag, PayloadLimitFlag, TimeoutFlag, with_connection, with_flags
from client.settings import EndpointSettings
from client.transport.endpoint import Endpoint

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp

    from api.http.door import DoorSettings
    from client.bridge import EndpointTranscriber

SERVER, ACCESS = "Server", "Access"
"""Groups of flags."""

KEY_VARIABLE = "WHISPER_SERVE_KEY"
DEFAULT_PORT = 8080
MAX_UPLOAD_BYTES = 4 << 30
UPLOAD_SECONDS = 3600.0
"""Time limit of an upload: 4 GiB take 6 minutes at 100 Mbit/s."""

_FOLDER_PREFIX, _LOCK_NAME, _LOCKED_NAME = "worker-whisper-", "in-use", "locked"

HostFlag = Annotated[
    str, typer.Option(metavar="ADDRESS", rich_help_panel=SERVER, help="Address to listen at; 0.0.0.0 for all.")
]
PortFlag = Annotated[
    int, typer.Option(min=1, max=65535, metavar="N", rich_help_panel=SERVER, help="Port to listen at.")
]
RecordingsFlag = Annotated[
    int,
    typer.Option(min=1, metavar="N", rich_help_panel=SERVER, help="Maximum number of recordings at once; others wait."),
]
MaxUploadFlag = Annotated[
    int, typer.Option(min=1_000, metavar="BYTES", rich_help_panel=SERVER, help="Maximum size of an upload.")
]
PageFolderFlag = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        rich_help_panel=SERVER,
        help="Folder for the page's transcripts and recordings; default: ~/.local/share/worker-whisper/bridge.",
    ),
]
ServeKeyFlag = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        rich_help_panel=ACCESS,
        help="Key that programs must send, and the page's password; better set "
        f"{KEY_VARIABLE}, since other users may see arguments. It is not RunPod's.",
    ),
]
NoKeyFlag = Annotated[
    bool,
    typer.Option("--no-key", rich_help_panel=ACCESS, help="Ask for no key, although other machines can connect."),
]


@dataclass(frozen=True)
class BridgeSettings:
    """Settings of the bridge's server.

    Attributes:
        connection: to the endpoint.
        host: address to listen at.
        port: to listen at.
        key: that programs must send, and the page's password; empty: nobody is asked for one.
        recordings: maximum number of recordings at once.
        max_upload: maximum size of an upload in bytes.
        run: how the jobs of a recording are run.
        page_folder: for the page's files; None: no page.
        needs_page: true if the server is not to start without the page; false if it then serves the API alone.
        origins: of web sites whose pages may use the API.
    """

    connection: EndpointSettings
    host: str
    port: int
    key: str
    recordings: int
    max_upload: int
    run: RunSettings
    page_folder: Path | None
    needs_page: bool
    origins: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        """The server's address, without a slash at the end."""
        return origin_of(self.host, self.port)

    @property
    def target(self) -> str:
        """What transcribes, for messages."""
        connection = self.connection
        return "the worker at --base-url" if connection.is_single_worker else f"endpoint {connection.endpoint_id}"


def with_server(command: Command) -> Command:
    """Give a command the flags of the server and of its endpoint; they arrive as its parameter `settings`."""
    flags = list(inspect.signature(_make_settings, eval_str=True).parameters.values())
    return with_connection(with_flags(command, "settings", flags, lambda values: _make_settings(**values)))


def serve_bridge(settings: BridgeSettings, on_ready: Callable[[Console, str | None], None]) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        settings: of the server.
        on_ready: called once the server can answer, with the terminal, and, if there is a page, with its link for the
            owner (`api/page/own_visitor.py`).
    """
    console = Console(stderr=True)
    endpoint = Endpoint(settings.connection, on_retry=lambda reason: show(console, reason))
    with _own_folder() as folder:
        bridge: EndpointTranscriber | None = None

        def load() -> ASGIApp:
            # The server's packages, which no other command needs.
            from api.http.door import DoorSettings
            from client.bridge import EndpointTranscriber

            nonlocal bridge
            bridge = EndpointTranscriber(endpoint, settings.run, folder, recordings=settings.recordings)
            access = frozenset({settings.key} if settings.key else ())
            door = DoorSettings(access, settings.origins, settings.max_upload, UPLOAD_SECONDS)
            application = _create_app(bridge, door, settings, console)
            application.state.door.folder = folder
            page = application.state.page
            on_ready(console, page and f"{settings.origin}/{page.own_visitor.link}")
            return application

        from api.http.server import serve

        try:
            serve(load, host=settings.host, ports=[settings.port], name="the bridge")
        finally:
            if bridge is not None:
                bridge.close()


def show(console: Console, text: str) -> None:
    """Print a text without markup or colours."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _make_settings(
    *,
    connection: EndpointSettings,
    host: HostFlag = "127.0.0.1",
    port: PortFlag = DEFAULT_PORT,
    recordings: RecordingsFlag = 4,
    max_upload: MaxUploadFlag = MAX_UPLOAD_BYTES,
    page_folder: PageFolderFlag = None,
    serve_key: ServeKeyFlag = None,
    no_key: NoKeyFlag = False,
    parallel: ParallelFlag = 4,
    timeout: TimeoutFlag = None,
    payload_limit: PayloadLimitFlag = RUN_LIMIT_BYTES,
) -> BridgeSettings:
    return BridgeSettings(
        connection=connection,
        host=host,
        port=port,
        key=_find_key(serve_key, host, none_needed=no_key),
        recordings=recordings,
        max_upload=max_upload,
        run=RunSettings(parallel, timeout, request_limit=payload_limit),
        page_folder=page_folder or default_folder("bridge"),
        needs_page=page_folder is not None,
    )


def _find_key(argument: str | None, host: str, *, none_needed: bool) -> str:
    """Return the key that callers must send; empty: none.

    Args:
        argument: from the command line; None: the environment variable counts.
        host: to listen at.
        none_needed: true if everybody who can connect may use the endpoint.

    Raises:
        WrongUsage: others could use the endpoint.
    """
    key = (argument or os.environ.get(KEY_VARIABLE, "")).strip()
    if not (key or none_needed or is_loopback(host)):
        raise WrongUsage(
            f"at {host} others could use your endpoint: give a key that programs must send, with --serve-key or "
            f"{KEY_VARIABLE}, or --no-key if everybody who can connect may use it"
        )
    return key


def _create_app(
    bridge: EndpointTranscriber, door: DoorSettings, settings: BridgeSettings, console: Console
) -> Starlette:
    """The API in front of the bridge, with the page if its folder can be used.

    Raises:
        WrongUsage: it cannot, and the page is needed.
    """
    from api.http.app import create_app
    from api.page.settings import PageSettings
    from api.page.tables import StoreUnusable
    from client.page_voices import PageVoices

    # Names of people are for the user of this machine, and not for others who can connect.
    known = PageVoices(VoiceFolder(voices_folder()), lambda problem: show(console, printable(problem)))
    voices = known if is_loopback(settings.host) else None
    page = None if settings.page_folder is None else PageSettings(settings.page_folder, "bridge", known_voices=voices)
    try:
        return create_app(bridge, door, page=page)
    except StoreUnusable as error:
        if settings.needs_page:
            raise WrongUsage(f"{error} (--page-folder)") from None
        show(console, f"No web page: {error} (--page-folder)")
        return create_app(bridge, door)


@contextmanager
def _own_folder() -> Iterator[Path]:
    """A folder for recordings until the block ends; folders that killed bridges left behind are removed."""
    with tempfile.TemporaryDirectory(prefix=_FOLDER_PREFIX) as name:
        folder = Path(name)
        with FileLock(folder / _LOCK_NAME):
            (folder / _LOCKED_NAME).touch()  # before that, another bridge would take the lock and remove the folder
            for other in folder.parent.glob(f"{_FOLDER_PREFIX}*"):
                with suppress(OSError, Timeout):
                    if other.lstat().st_uid == folder.lstat().st_uid and (other / _LOCKED_NAME).is_file():
                        with FileLock(other / _LOCK_NAME, timeout=0):
                            shutil.rmtree(other, ignore_errors=True)
            yield folder
