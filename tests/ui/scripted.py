"""The page in front of a scripted transcriber: a server that a test can hold, fail and restart.

    python -m tests.ui.scripted --kind talk --seconds 10

serves it for trying it by hand.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from api.http.app import create_app
from api.http.door import DoorSettings
from api.http.loading_server import LoadingServer
from api.http.server import listen
from api.page.settings import KnownVoices, PageSettings
from api.transcriber import Answer, Job, Listener, Schema
from tests.support.live import ScriptedLiveRecognizer
from tests.ui import transcripts


@dataclass
class ScriptedTranscriber:
    """Answers each job alike; what a test sets counts for running jobs too.

    Attributes:
        answer: what a job answers; it streams the segments.
        seconds: what a job takes, from its beginning.
        held: while true, jobs do not end.
        stage: what running jobs do.
        fraction: how much of it is done; None: as much as time has passed.
        streamed: number of segments that a running job has found; None: as many as time has passed.
        jobs: those that began.
        cancelled: number of those that were cancelled.
    """

    answer: Answer = field(default_factory=transcripts.talk)
    seconds: float = 0.0
    held: bool = False
    stage: str = "transcribing"
    fraction: float | None = None
    streamed: int | None = None
    jobs: list[Job] = field(default_factory=list)
    cancelled: int = 0

    async def run(self, job: Job, listener: Listener) -> Answer:
        self.jobs.append(job)
        began, sent = time.monotonic(), 0
        try:
            while True:
                passed = min((time.monotonic() - began) / self.seconds, 1.0) if self.seconds else 1.0
                listener.on_progress(self.stage, passed if self.fraction is None else self.fraction)
                sent = self._stream(listener, sent, passed)
                if passed == 1.0 and not self.held:
                    return self.answer
                await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def models(self, wanted: str | None = None) -> list[str]:
        return ["base", "turbo"]

    def option_schemas(self) -> Mapping[str, Schema]:
        return transcripts.option_schemas()

    def _stream(self, listener: Listener, sent: int, passed: float) -> int:
        segments = self.answer.get("transcription", {}).get("segments", [])
        known = int(len(segments) * passed * (not self.held)) if self.streamed is None else self.streamed
        if known > sent and listener.on_segments:
            listener.on_segments(segments[sent:known])
        return max(known, sent)


class _Server(LoadingServer):
    """The homes' own server, on a thread, which gets no signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class ScriptedHome:
    """A server of the page, on a port that stays its own when it is restarted.

    Args:
        folder: of the page.
        settings: of the HTTP API.
        port: to listen at; 0: a free one.
        home: what the page is told about where it is.
        known_voices: of the machine's user; None: it keeps none.
    """

    def __init__(
        self,
        folder: Path,
        settings: DoorSettings | None = None,
        port: int = 0,
        home: str = "worker",
        known_voices: KnownVoices | None = None,
    ) -> None:
        self.transcriber = ScriptedTranscriber()
        self.live: ScriptedLiveRecognizer | None = ScriptedLiveRecognizer()
        self.folder = folder
        self.settings = settings or DoorSettings()
        self._home: Any = home
        self._known_voices = known_voices
        with closing(socket.create_server(("127.0.0.1", port))) as probe:
            self.port: int = probe.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        page = PageSettings(folder=self.folder, home=self._home, known_voices=self._known_voices)
        app = create_app(self.transcriber, self.settings, page=page, live=self.live)
        assert app.state.page
        self.owners_link = f"{self.url}{app.state.page.own_visitor.link}"
        self._server = _Server(lambda: app, "/ping")
        listening = listen("127.0.0.1", self.port, "the scripted home")  # as the real ones do: answers are sent at once
        self._thread = threading.Thread(target=self._server.run_until_signal, args=([listening],), daemon=True)
        self._thread.start()
        wait_until(lambda: self._server.started)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()

    def restart(self) -> None:
        """Stop the server with what runs on it, and start it again with the same folder."""
        self.stop()
        self.start()

    def use(self, **changes: Any) -> None:
        """Begin a test's script: all fields of the transcriber as they are by default, except for these."""
        if self.live is not None:
            self.live.__dict__.update(ScriptedLiveRecognizer().__dict__)
        self.transcriber.__dict__.update(replace(ScriptedTranscriber(), **changes).__dict__)


def wait_until(condition: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"still not true after {seconds:.0f} s"
        time.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.ui.scripted", description="The page, to try it by hand.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--kind", choices=transcripts.KINDS, default="talk", help="what every recording is")
    parser.add_argument("--seconds", type=float, default=5.0, help="what a job takes")
    parser.add_argument("--key", help="password of the page")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = DoorSettings(api_keys=frozenset({arguments.key} if arguments.key else ()))
        home = ScriptedHome(Path(folder), settings, arguments.port)
        home.use(answer=transcripts.KINDS[arguments.kind](), seconds=arguments.seconds)
        home.start()
        print(home.url, flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            home.stop()


if __name__ == "__main__":
    main()
