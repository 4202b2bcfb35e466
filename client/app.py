"""The web page: upload a recording, follow the progress, edit the transcript, download files. Run it with `make ui`.

The API key stays in this process: the browser talks only to this server, and loads nothing from elsewhere.
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

from client.console import exit_on_client_error
from client.errors import ClientError, Stopped
from client.files import add_suffix
from client.media.video import save_video
from client.options import with_connection
from client.page import viewer
from client.page.exports import WRITERS, ExportContent, export
from client.page.form import HINTS, Form, FormRequest
from client.page.job import JobResult, ProgressUpdate, stream_updates
from client.page.lines import Corrections
from client.settings import EndpointSettings
from client.transport.endpoint import Endpoint

THEME = gr.themes.Default(primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
FILE_LIFETIME_S = 24 * 3600
"""Uploads and downloads are deleted from this machine after this time."""

TRANSCRIPT_HINT = "Click a line to play it. Keyboard: ↑ ↓ move between lines, Enter plays, F2 edits, Esc cancels."
_HIDDEN_EVENT: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

ComponentUpdates = dict[Any, Any]
html = partial(gr.HTML, apply_default_css=False)


class Page:
    """The page's layout and event handlers.

    Args:
        endpoint: where the jobs run.

    Attributes:
        blocks: the Gradio app.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._stop_events: dict[str, threading.Event] = {}
        """Events that stop running jobs, by browser session."""
        with gr.Blocks(title="Whisper", analytics_enabled=False, delete_cache=(3600, FILE_LIFETIME_S)) as self.blocks:
            self._result = gr.State(None)
            self._collected = gr.JSON(visible=False)
            gr.Markdown("# Transcribe a recording")
            with gr.Row():
                with gr.Column(scale=2, min_width=300):
                    self._form = Form()
                    with gr.Row():
                        self._start_button = gr.Button("Transcribe", variant="primary", interactive=False)
                        self._stop_button = gr.Button("Stop", variant="stop", visible=False)
                    self._hint = html(viewer.hint(HINTS["file"]), elem_id="hint")
                    self._status = html(elem_id="job-status")
                    self._player = html(elem_id="recording")
                with gr.Column(scale=3, min_width=300):
                    self._transcript = html(viewer.EMPTY, elem_id="transcript")
                    with gr.Column(visible=False) as self._downloads:
                        gr.Markdown(TRANSCRIPT_HINT)
                        with gr.Row(elem_id="files"):
                            buttons = {suffix: gr.Button(f"↓ {suffix}", size="sm", min_width=60) for suffix in WRITERS}
                            self._video = gr.DownloadButton("↓ video", size="sm", min_width=60, visible=False)
                    self._file = gr.DownloadButton(visible="hidden", elem_id="file")
            self._connect_events(buttons)

    def _connect_events(self, download_buttons: dict[str, gr.Button]) -> None:
        outputs = {
            self._result, self._start_button, self._stop_button, self._status, self._player, self._transcript,
            self._downloads, self._form.more, self._video,
        }  # fmt: skip
        self._start_button.click(self._transcribe, self._form.fields, outputs, concurrency_limit=None, **_HIDDEN_EVENT)
        self._form.on_change(self._update_start_button, self._start_button, self._hint)
        self._stop_button.click(self._stop, None, None, concurrency_limit=None, **_HIDDEN_EVENT)
        for suffix, button in download_buttons.items():
            button.click(
                partial(self._export, suffix),
                [self._result, self._collected],
                self._file,
                js="(result) => [result, viewer.corrections()]",
                **_HIDDEN_EVENT,
            ).then(None, js="() => document.querySelector('#file').click()")

    def _update_start_button(self, request: gr.Request, *values: Any) -> ComponentUpdates:
        missing = self._form.missing_step(values)
        is_running = str(request.session_hash) in self._stop_events
        return {
            self._start_button: gr.update(interactive=not missing and not is_running),
            self._hint: viewer.hint(missing or ""),
        }

    def _transcribe(self, request: gr.Request, *values: Any) -> Iterator[ComponentUpdates]:
        """Run a job, and yield updates of the page up to the transcript or an error message."""
        stop = self._stop_events[str(request.session_hash)] = threading.Event()
        yield self._reset()
        try:
            form_request = self._form.parse(values)
            yield {self._player: viewer.player(form_request.source)}
            yield from self._show_updates(form_request, stop)
        except Stopped:
            yield {self._status: viewer.notice("Stopped.")}
        except ClientError as error:
            yield {self._status: viewer.problem(_to_sentence(error))}
        finally:
            self._stop_events.pop(str(request.session_hash), None)
        yield {self._start_button: gr.update(interactive=True), self._stop_button: gr.update(visible=False)}

    def _show_updates(self, form_request: FormRequest, stop: threading.Event) -> Iterator[ComponentUpdates]:
        for update in stream_updates(self._endpoint, form_request.source, form_request.options, stop):
            if isinstance(update, ProgressUpdate):
                yield {self._status: viewer.progress(update.stage, update.percent)}
            elif isinstance(update, JobResult):
                yield self._show_result(form_request, update)
            else:
                yield {self._transcript: viewer.transcript(update, complete=False)}

    def _show_result(self, form_request: FormRequest, result: JobResult) -> ComponentUpdates:
        segments = result.segments
        return {
            self._result: ExportContent(
                segments, form_request.title, result.language, form_request.options, result.subtitles
            ),
            self._status: viewer.notice(_summary(result)),
            self._transcript: viewer.transcript(segments, complete=True) if segments else viewer.EMPTY,
            self._downloads: gr.update(visible=bool(segments)),
            **self._show_video(form_request, result),
        }

    def _show_video(self, form_request: FormRequest, result: JobResult) -> ComponentUpdates:
        """Offer the captioned video for download; the player shows it if its captions are burned in."""
        with tempfile.TemporaryDirectory(prefix="video-") as folder:
            try:
                saved = save_video(result.output, Path(folder) / form_request.title)
            except ClientError as error:
                return {self._status: viewer.problem(_to_sentence(error))}
            if saved is None:
                return {}
            # The folder that Gradio serves files from, and deletes them after a day.
            path = save_file_to_cache(saved, self.blocks.GRADIO_CACHE)
        burned_in = form_request.options.get("captions") == "burn"
        player = {self._player: viewer.player(Path(path))} if burned_in else {}
        return {self._video: gr.update(value=path, visible=True), **player}

    def _reset(self) -> ComponentUpdates:
        return {
            self._result: None,
            self._start_button: gr.update(interactive=False),
            self._stop_button: gr.update(visible=True),
            self._status: viewer.progress("sending the recording"),
            self._player: "",
            self._transcript: viewer.EMPTY,
            self._downloads: gr.update(visible=False),
            self._video: gr.update(value=None, visible=False),
            self._form.more: gr.update(open=False),  # makes room for the player
        }

    def _stop(self, request: gr.Request) -> None:
        if stop := self._stop_events.get(str(request.session_hash)):
            stop.set()

    def _export(self, suffix: str, content: ExportContent, collected: Any) -> str:
        """Write a file with the corrected transcript, named after the recording, and return its path."""
        with tempfile.TemporaryDirectory(prefix="transcript-") as folder:
            path = add_suffix(Path(folder) / content.title, f".{suffix}")
            path.write_bytes(export(suffix, content.corrected(Corrections.from_page(collected))))
            # The folder that Gradio serves files from, and deletes them after a day.
            return str(save_file_to_cache(path, self.blocks.GRADIO_CACHE))


def _to_sentence(error: ClientError) -> str:
    """Capitalise and punctuate an error message."""
    text = str(error)
    first, _, rest = text.partition(" ")
    # Names, such as those of options, are not capitalised.
    return f"{first[:1].upper() + first[1:] if first.isalpha() else first} {rest}{'' if text[-1:] in '.?!' else '.'}"


def _summary(result: JobResult) -> str:
    """Describe a finished job: lengths of audio and processing, language, and the worker's warnings."""
    if not result.segments:
        return "No speech was found in this recording."
    metadata = result.metadata
    duration, seconds = float(metadata.get("audio_duration") or 0), float(metadata.get("processing_time") or 0)
    done = f"Done: {duration:.0f} s of audio in {seconds:.1f} s, language {result.language or 'unknown'}."
    warnings = [f"{str(warning).removesuffix('.')}." for warning in metadata.get("warnings") or []]
    return " ".join([done, *warnings])


@exit_on_client_error
@with_connection
def main(
    connection: EndpointSettings,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 admits the whole network, at your endpoint's cost.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 7860,
) -> None:
    """Serve a web page for an endpoint, or with --base-url http://localhost:8000 for `make serve`, without a key."""
    Page(Endpoint(connection)).blocks.launch(
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
