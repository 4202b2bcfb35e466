"""The web page: a recording goes in; progress, transcript, corrections and files come out. `make ui`.

The endpoint's key stays in this process: the browser talks to this server alone, and gets nothing from anywhere else.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

# Before Gradio is imported: it tells its makers of every start otherwise.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
import typer

from client.endpoint import Endpoint
from client.errors import ClientError, WrongUsage
from client.page import viewer
from client.page.exports import FORMS, export
from client.page.form import Asked, Form
from client.page.job import follow, job_input
from client.page.lines import Corrections, corrected
from client.settings import find_settings

THEME = gr.themes.Default(primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
KEEP = 24 * 3600
"""Seconds after which uploads and downloads are removed from this machine."""

HINT = "Click a line to play it. On the keyboard: ↑ ↓ go from line to line, Enter plays, F2 corrects, Esc gives up."

Changes = dict[Any, Any]


plain = partial(gr.HTML, apply_default_css=False)


class Page:
    """The layout; what happens on it is in its methods."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        with gr.Blocks(title="Whisper", analytics_enabled=False, delete_cache=(3600, KEEP)) as self.blocks:
            self._job = gr.State(None)
            self._result = gr.State(None)
            self._collected = gr.JSON(visible=False)
            gr.Markdown("# Transcribe a recording")
            with gr.Row():
                with gr.Column(scale=2, min_width=300):
                    self._form = Form()
                    with gr.Row():
                        self._start = gr.Button("Transcribe", variant="primary", elem_id="start")
                        self._stop = gr.Button("Stop", variant="stop", visible=False, elem_id="stop")
                    self._told = plain(elem_id="told")
                    self._player = plain(elem_id="recording")
                with gr.Column(scale=3, min_width=300):
                    self._transcript = plain(viewer.EMPTY, elem_id="transcript")
                    with gr.Column(visible=False) as self._after:
                        gr.Markdown(HINT, elem_id="hint")
                        with gr.Row(elem_id="files"):
                            downloads = {form: gr.Button(f"↓ {form}", size="sm", min_width=60) for form in FORMS}
                    self._file = gr.DownloadButton(visible="hidden", elem_id="file")
            self._wire(downloads)

    def _wire(self, downloads: dict[str, gr.Button]) -> None:
        private: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        self._start.click(self._transcribe, self._form.fields, self._outputs, concurrency_limit=None, **private)
        self._stop.click(self._cancel, self._job, None, concurrency_limit=None, **private)
        for form, button in downloads.items():
            button.click(
                partial(self._download, form),
                [self._result, self._collected],
                self._file,
                js="(result) => [result, viewer.corrections()]",
                **private,
            ).then(None, js="() => document.querySelector('#file').click()")

    @property
    def _outputs(self) -> list[Any]:
        return [
            self._job, self._result, self._start, self._stop, self._told, self._player, self._transcript, self._after
        ]  # fmt: skip

    def _transcribe(self, *values: Any) -> Iterator[Changes]:
        """From the click to the transcript, or to a sentence that says why there is none."""
        yield self._cleared()
        try:
            asked = self._form.asked(values)
            yield {self._player: viewer.player(viewer.address_of(asked.source), asked.source)}
            yield from self._followed(asked)
        except ClientError as error:
            yield {self._told: viewer.problem(_sentence(error))}
        finally:
            yield self._ended()

    def _followed(self, asked: Asked) -> Iterator[Changes]:
        shown = 0
        for step in follow(self._endpoint, job_input(asked.source, asked.options)):
            changes: Changes = {self._job: step.job_id, self._told: viewer.progress(step.text, step.percent)}
            if len(step.segments) > shown:
                shown = len(step.segments)
                changes[self._transcript] = viewer.transcript(step.segments, complete=False)
            yield changes
        yield self._complete(asked, step.answer or {})

    def _complete(self, asked: Asked, answer: dict[str, Any]) -> Changes:
        segments = answer["transcription"]["segments"]
        return {
            self._result: {
                "segments": segments,
                "language": answer["transcription"].get("language") or "",
                "title": asked.title,
                "options": asked.options,
            },
            self._told: viewer.notice(_summary(answer)),
            self._transcript: viewer.transcript(segments, complete=True) if segments else viewer.EMPTY,
            self._after: gr.update(visible=bool(segments)),
        }

    def _cleared(self) -> Changes:
        return {
            self._job: None,
            self._result: None,
            self._start: gr.update(interactive=False),
            self._stop: gr.update(visible=True),
            self._told: viewer.progress("Sending the recording"),
            self._player: "",
            self._transcript: viewer.EMPTY,
            self._after: gr.update(visible=False),
        }

    def _ended(self) -> Changes:
        return {self._start: gr.update(interactive=True), self._stop: gr.update(visible=False)}

    def _cancel(self, job: str | None) -> None:
        if job:
            self._endpoint.cancel(job)

    @staticmethod
    def _download(form: str, result: dict[str, Any], collected: Any) -> str:
        """Path of a file with the corrected transcript, under the recording's name."""
        segments = corrected(result["segments"], Corrections.from_page(collected))
        content = export(
            form, segments, title=result["title"], language=result["language"], options=result["options"]
        )
        path = Path(tempfile.mkdtemp(prefix="transcript-")) / f"{result['title']}.{form}"
        path.write_bytes(content)
        return str(path)


def _sentence(error: ClientError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _summary(answer: dict[str, Any]) -> str:
    """How long it was and how long it took, and what the worker has to say besides."""
    metadata = answer.get("metadata") or {}
    duration, seconds = float(metadata.get("audio_duration") or 0), float(metadata.get("processing_time") or 0)
    if not answer["transcription"]["segments"]:
        return "No speech was found in this recording."
    done = f"Done: {duration:.0f} s of sound in {seconds:.1f} s, language {metadata.get('language', 'unknown')}."
    return " ".join([done, *(f"{warning}." for warning in metadata.get("warnings") or [])])


def main(
    host: str = typer.Option("127.0.0.1", help="Where the page listens; 0.0.0.0 lets others in, on your endpoint's bill."),
    port: int = typer.Option(7860, help="Its port."),
    endpoint: str | None = typer.Option(None, help="Id of the endpoint (RUNPOD_ENDPOINT_ID)."),
    api_key: str | None = typer.Option(None, help="RunPod's API key (RUNPOD_API_KEY); it never reaches the browser."),
    base_url: str | None = typer.Option(None, help="RUNPOD_BASE_URL; http://localhost:8000 is `make serve`."),
) -> None:
    """A web page for the endpoint."""
    try:
        page = Page(Endpoint(find_settings(endpoint, api_key, base_url)))
    except WrongUsage as error:
        raise SystemExit(f"The page cannot start: {error}") from None
    page.blocks.launch(
        server_name=host,
        server_port=port,
        theme=THEME,
        head=viewer.head(),
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        quiet=False,
    )


if __name__ == "__main__":
    typer.run(main)
