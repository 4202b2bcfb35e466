"""The page's form: the recording, and the worker's options."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import gradio as gr

from client.errors import WrongUsage
from client.page import viewer
from client.page.job import SUBTITLE_FORMATS

LANGUAGES = [
    ("Detect automatically", ""), ("Arabic", "ar"), ("Chinese", "zh"), ("Czech", "cs"), ("Danish", "da"),
    ("Dutch", "nl"), ("English", "en"), ("Finnish", "fi"), ("French", "fr"), ("German", "de"), ("Greek", "el"),
    ("Hebrew", "he"), ("Hindi", "hi"), ("Hungarian", "hu"), ("Indonesian", "id"), ("Italian", "it"),
    ("Japanese", "ja"), ("Korean", "ko"), ("Norwegian", "no"), ("Polish", "pl"), ("Portuguese", "pt"),
    ("Romanian", "ro"), ("Russian", "ru"), ("Spanish", "es"), ("Swedish", "sv"), ("Thai", "th"), ("Turkish", "tr"),
    ("Ukrainian", "uk"), ("Vietnamese", "vi"),
]  # fmt: skip
"""Common languages; the field accepts the names and codes of all others that Whisper supports."""


HINTS = {
    "file": "Drop a file above, or choose one.",
    "recording": "Press Record, then Stop when you are done.",
    "url": "Paste the URL of an audio or video file.",
}
"""The first step to take, by open tab."""

RECORDING_HINT = "Press Stop to finish and upload the recording."

SPEAKER_CHOICES = [("Don't identify", ""), ("Identify by voice", "voices"), ("One per channel", "channels")]
CAPTION_CHOICES = [("None", ""), ("Subtitle track", "mux"), ("Burned in", "burn")]


@dataclass(frozen=True)
class FormRequest:
    """A filled-in form."""

    source: Path | str
    """A file on this machine, or a URL."""
    options: dict[str, Any]

    @property
    def title(self) -> str:
        """The recording's name without its suffix, restricted to characters that are safe in file names."""
        path = self.source if isinstance(self.source, Path) else Path(unquote(urlsplit(self.source).path))
        return re.sub(r"[^\w .,()+-]", "_", path.stem)[:60] or "transcript"


class Form:
    """The form's components, laid out where the object is created.

    Attributes:
        more: the collapsible section of further options.
    """

    def __init__(self) -> None:
        self._tab = gr.State("file")
        with gr.Tabs():
            with gr.Tab("File") as file_tab:
                self._file = gr.File(label="Audio or video", height=140, elem_id="upload")
            with gr.Tab("Microphone") as recording_tab:
                self._recording = gr.Audio(
                    sources=["microphone"],
                    type="filepath",
                    buttons=["download"],
                    label="Recording",
                    elem_id="microphone",
                )
            with gr.Tab("URL") as url_tab:
                self._url = gr.Textbox(label="Media URL", placeholder="https://example.com/episode-12.mp3")
        self._tabs = {"file": file_tab, "recording": recording_tab, "url": url_tab}
        with gr.Row():
            self._language = gr.Dropdown(LANGUAGES, value="", label="Language", allow_custom_value=True, min_width=180)
            self._task = gr.Dropdown(
                [("Transcribe", "transcribe"), ("Translate to English", "translate")], label="Task", min_width=180
            )
            self._speakers = gr.Dropdown(SPEAKER_CHOICES, value="", label="Speakers", min_width=180)
            self._captions = gr.Dropdown(CAPTION_CHOICES, value="", label="Captions", min_width=180)
        with gr.Accordion("More options", open=False) as self.more:
            self._prompt = gr.Textbox(label="Names and terms to expect", placeholder="Zoltán, RunPod, whisper.cpp")
            self._denoise = gr.Checkbox(label="Reduce background noise")
            self._subtitles = gr.Checkbox(label="Broadcast-style subtitles")
            self._other_options = gr.Textbox(label="Other options (JSON)", placeholder='{"beam_size": 5}', lines=2)

    def on_change(self, update: Callable[..., Any], button: gr.Button, hint: gr.HTML) -> None:
        """Call `update` with the values of `fields` when the recording to transcribe changes.

        Args:
            update: returns new states of the button and the hint.
            button: starts the job; disabled while a recording is in progress or being uploaded.
            hint: says what to do next.
        """
        event: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
        outputs = [button, hint]
        for name, tab in self._tabs.items():
            tab.select(lambda name=name: name, None, self._tab, **event).then(update, self.fields, outputs, **event)
        for field in (self._file, self._recording, self._url):
            field.change(update, self.fields, outputs, **event)
        # Gradio reports the end of a recording only once it is uploaded.
        self._recording.start_recording(
            lambda: (gr.update(interactive=False), viewer.hint(RECORDING_HINT)), None, outputs, **event
        )

    @staticmethod
    def missing_step(values: Sequence[Any]) -> str | None:
        """Return the step to take before there is a recording to transcribe; None if there is one."""
        tab, file, recording, url = values[:4]
        return None if {"file": file, "recording": recording, "url": (url or "").strip()}[tab] else HINTS[tab]

    @property
    def fields(self) -> list[Any]:
        """The components whose values `missing_step` and `parse` take, as inputs of an event."""
        return [
            self._tab, self._file, self._recording, self._url, self._language, self._task,
            self._speakers, self._captions,
            self._prompt, self._denoise, self._subtitles, self._other_options,
        ]  # fmt: skip

    @staticmethod
    def parse(values: Sequence[Any]) -> FormRequest:
        """Make a request from the values of `fields`.

        Raises:
            WrongUsage: a value is missing or malformed.
        """
        tab, file, recording, url, language, task, speakers, captions, prompt, denoise, subtitles, other = values
        if missing := Form.missing_step(values):
            raise WrongUsage(missing)
        source = {"file": file, "recording": recording, "url": (url or "").strip()}[tab]
        if tab == "url" and urlsplit(source).scheme not in ("http", "https"):
            raise WrongUsage("a URL starts with http:// or https://")
        choices = {
            "language": (language or "").strip(),
            "task": task if task != "transcribe" else None,
            "captions": captions,
            "initial_prompt": (prompt or "").strip(),
            "diarize": speakers == "voices",
            "channels": "split" if speakers == "channels" else None,
            "denoise": denoise,
            "subtitle_preset": "broadcast" if subtitles else None,
        }
        chosen = {name: value for name, value in choices.items() if value}
        # The page always needs word timestamps, for highlighting.
        page_options = {"output_format": ["json", *SUBTITLE_FORMATS], "word_timestamps": True}
        options = {**chosen, **_parse_other_options(other), **page_options}
        return FormRequest(source if tab == "url" else Path(source), options)


def _parse_other_options(text: str | None) -> dict[str, Any]:
    try:
        options = json.loads(text or "{}")
    except ValueError:
        options = None
    if not isinstance(options, dict):
        raise WrongUsage('other options should be JSON such as {"beam_size": 5}')
    return options
