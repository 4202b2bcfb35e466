"""The web page: a recording goes in; progress, transcript, corrections and files come out. `make ui`.

The endpoint's key stays in this process: the browser talks to this server alone, and gets nothing from anywhere else.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import gradio as gr
import typer
from gradio.processing_utils import save_file_to_cache

from client.console import told
from client.endpoint import Endpoint
from client.errors import ClientError, Stopped
from client.page import viewer
from client.page.exports import WRITERS, Written, export
from client.page.form import HINTS, Asked, Form
from client.page.job import Progress, Transcript, followed
from client.page.lines import Corrections
from client.settings import find_settings
from client.video import save

THEME = gr.themes.Default(primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
KEEP = 24 * 3600
"""Seconds after which uploads and downloads are removed from this machine."""

HINT = "Click a line to play it. On the keyboard: ↑ ↓ go from line to line, Enter plays, F2 corrects, Esc gives up."
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

Changes = dict[Any, Any]
html = partial(gr.HTML, apply_default_css=False)


class Page:
    """The layout; what happens on it is in its methods."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._running: dict[str, threading.Event] = {}
        """What stops a job, by the browser's session."""
        with gr.Blocks(title="Whisper", analytics_enabled=False, delete_cache=(3600, KEEP)) as self.blocks:
            self._result = gr.State(None)
            self._collected = gr.JSON(visible=False)
            gr.Markdown("# Transcribe a recording")
            with gr.Row():
                with gr.Column(scale=2, min_width=300):
                    self._form = Form()
                    with gr.Row():
                        self._start = gr.Button("Transcribe", variant="primary", interactive=False)
                        self._stop = gr.Button("Stop", variant="stop", visible=False)
                    self._hint = html(viewer.hint(HINTS["file"]), elem_id="hint")
                    self._told = html(elem_id="told")
                    self._player = html(elem_id="recording")
                with gr.Column(scale=3, min_width=300):
                    self._transcript = html(viewer.EMPTY, elem_id="transcript")
                    with gr.Column(visible=False) as self._after:
                        gr.Markdown(HINT)
                        with gr.Row(elem_id="files"):
                            downloads = {form: gr.Button(f"↓ {form}", size="sm", min_width=60) for form in WRITERS}
                            self._video = gr.DownloadButton("↓ video", size="sm", min_width=60, visible=False)
                    self._file = gr.DownloadButton(visible="hidden", elem_id="file")
            self._wire(downloads)

    def _wire(self, downloads: dict[str, gr.Button]) -> None:
        outputs = {
            self._result, self._start, self._stop, self._told, self._player, self._transcript, self._after,
            self._form.more, self._video,
        }  # fmt: skip
        self._start.click(self._transcribe, self._form.fields, outputs, concurrency_limit=None, **_QUIET)
        self._form.when_changed(self._ready, self._start, self._hint)
        self._stop.click(self._end, None, None, concurrency_limit=None, **_QUIET)
        for form, button in downloads.items():
            button.click(
                partial(self._download, form),
                [self._result, self._collected],
                self._file,
                js="(result) => [result, viewer.corrections()]",
                **_QUIET,
            ).then(None, js="() => document.querySelector('#file').click()")

    def _ready(self, request: gr.Request, *values: Any) -> Changes:
        missing = self._form.missing(values)
        running = str(request.session_hash) in self._running
        return {
            self._start: gr.update(interactive=not missing and not running),
            self._hint: viewer.hint(missing or ""),
        }

    def _transcribe(self, request: gr.Request, *values: Any) -> Iterator[Changes]:
        """From the click to the transcript, or to a sentence that says why there is none."""
        stop = self._running[str(request.session_hash)] = threading.Event()
        yield self._cleared()
        try:
            asked = self._form.asked(values)
            yield {self._player: viewer.player(asked.source)}
            yield from self._followed(asked, stop)
        except Stopped:
            yield {self._told: viewer.notice("Stopped.")}
        except ClientError as error:
            yield {self._told: viewer.problem(_sentence(error))}
        finally:
            self._running.pop(str(request.session_hash), None)
        yield {self._start: gr.update(interactive=True), self._stop: gr.update(visible=False)}

    def _followed(self, asked: Asked, stop: threading.Event) -> Iterator[Changes]:
        for news in followed(self._endpoint, asked.source, asked.options, stop):
            if isinstance(news, Progress):
                yield {self._told: viewer.progress(news.stage, news.percent)}
            elif isinstance(news, Transcript):
                yield self._complete(asked, news)
            else:
                yield {self._transcript: viewer.transcript(news, complete=False)}

    def _complete(self, asked: Asked, transcript: Transcript) -> Changes:
        segments = transcript.segments
        return {
            self._result: Written(segments, asked.title, transcript.language, asked.options, transcript.subtitles),
            self._told: viewer.notice(_summary(transcript)),
            self._transcript: viewer.transcript(segments, complete=True) if segments else viewer.EMPTY,
            self._after: gr.update(visible=bool(segments)),
            **self._captioned(asked, transcript),
        }

    def _captioned(self, asked: Asked, transcript: Transcript) -> Changes:
        """The captioned video to download; captions that are drawn can be seen here too."""
        with tempfile.TemporaryDirectory(prefix="video-") as folder:
            try:
                saved = save(transcript.output, Path(folder) / asked.title)
            except ClientError as error:
                return {self._told: viewer.problem(_sentence(error))}
            if saved is None:
                return {}
            # Where Gradio serves files from, and removes them after a day.
            path = save_file_to_cache(saved, self.blocks.GRADIO_CACHE)
        shown = {self._player: viewer.player(Path(path))} if asked.options.get("captions") == "burn" else {}
        return {self._video: gr.update(value=path, visible=True), **shown}

    def _cleared(self) -> Changes:
        return {
            self._result: None,
            self._start: gr.update(interactive=False),
            self._stop: gr.update(visible=True),
            self._told: viewer.progress("sending the recording"),
            self._player: "",
            self._transcript: viewer.EMPTY,
            self._after: gr.update(visible=False),
            self._video: gr.update(value=None, visible=False),
            self._form.more: gr.update(open=False),  # so that the player is in sight
        }

    def _end(self, request: gr.Request) -> None:
        if stop := self._running.get(str(request.session_hash)):
            stop.set()

    @staticmethod
    def _download(form: str, result: Written, collected: Any) -> str:
        """Path of a file with the corrected transcript, under the recording's name."""
        path = Path(tempfile.mkdtemp(prefix="transcript-")) / f"{result.title}.{form}"
        path.write_bytes(export(form, result.corrected(Corrections.from_page(collected))))
        return str(path)


def _sentence(error: ClientError) -> str:
    text = str(error)
    first, _, rest = text.partition(" ")
    # A name, such as that of an option, stays as it is.
    return f"{first[:1].upper() + first[1:] if first.isalpha() else first} {rest}{'' if text[-1:] in '.?!' else '.'}"


def _summary(transcript: Transcript) -> str:
    """How long it was and how long it took, and what the worker has to say besides."""
    if not transcript.segments:
        return "No speech was found in this recording."
    metadata = transcript.metadata
    duration, seconds = float(metadata.get("audio_duration") or 0), float(metadata.get("processing_time") or 0)
    done = f"Done: {duration:.0f} s of sound in {seconds:.1f} s, language {transcript.language or 'unknown'}."
    return " ".join([done, *(f"{str(one).removesuffix('.')}." for one in metadata.get("warnings") or [])])


@told
def main(
    host: Annotated[
        str, typer.Option(help="0.0.0.0 lets the whole network in, at your endpoint's cost.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Where the page listens.")] = 7860,
    endpoint: Annotated[str | None, typer.Option(help="Its id; else RUNPOD_ENDPOINT_ID.")] = None,
    api_key: Annotated[str | None, typer.Option(help="Better in RUNPOD_API_KEY: others may see arguments.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Else RUNPOD_BASE_URL, else RunPod's own.")] = None,
    config: Annotated[Path | None, typer.Option(help="Else ~/.config/worker-whisper.toml.")] = None,
) -> None:
    """A web page for the endpoint, or with --base-url http://localhost:8000 for `make serve`, which needs no key."""
    settings = find_settings(endpoint, api_key, base_url, config=config)
    Page(Endpoint(settings)).blocks.launch(
        server_name=host,
        server_port=port,
        theme=THEME,
        head=viewer.head(),
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        share=False,
    )


if __name__ == "__main__":
    typer.run(main)
