"""The page's form: where the recording is, and what is asked of the worker."""

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
from client.page.job import SUBTITLES

LANGUAGES = [
    ("Detect it", ""), ("Arabic", "ar"), ("Chinese", "zh"), ("Czech", "cs"), ("Danish", "da"), ("Dutch", "nl"),
    ("English", "en"), ("Finnish", "fi"), ("French", "fr"), ("German", "de"), ("Greek", "el"), ("Hebrew", "he"),
    ("Hindi", "hi"), ("Hungarian", "hu"), ("Indonesian", "id"), ("Italian", "it"), ("Japanese", "ja"), ("Korean", "ko"),
    ("Norwegian", "no"), ("Polish", "pl"), ("Portuguese", "pt"), ("Romanian", "ro"), ("Russian", "ru"),
    ("Spanish", "es"), ("Swedish", "sv"), ("Thai", "th"), ("Turkish", "tr"), ("Ukrainian", "uk"), ("Vietnamese", "vi"),
]  # fmt: skip
"""The languages most asked for; the field takes the names and codes of all others that Whisper knows."""


HINTS = {
    "file": "Drop a file on the field above, or choose one.",
    "recording": "Press Record, and Stop at the end.",
    "address": "Paste the web address of an audio or video file.",
}
"""What is to be done first, by the tab that is open."""

RECORDING = "Press Stop at the end; then the recording is uploaded."

SPEAKERS = [("Not told apart", ""), ("Told apart by voice", "voices"), ("One on each channel", "channels")]
CAPTIONS = [("None", ""), ("In a track", "mux"), ("In the picture", "burn")]


@dataclass(frozen=True)
class Asked:
    """What somebody asked for."""

    source: Path | str
    """A file on this machine, or the web address of one."""
    options: dict[str, Any]

    @property
    def title(self) -> str:
        """The recording's name without its ending, as any file may be called."""
        path = self.source if isinstance(self.source, Path) else Path(unquote(urlsplit(self.source).path))
        return re.sub(r"[^\w .,()+-]", "_", path.stem)[:60] or "transcript"


class Form:
    """Lays itself out where it is made; `fields` are an event's inputs, `asked` makes sense of their values.

    `more` is the part that can be folded away.
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
            with gr.Tab("Address") as address_tab:
                self._address = gr.Textbox(label="Web address", placeholder="https://example.com/episode-12.mp3")
        self._tabs = {"file": file_tab, "recording": recording_tab, "address": address_tab}
        with gr.Row():
            self._language = gr.Dropdown(LANGUAGES, value="", label="Language", allow_custom_value=True, min_width=180)
            self._task = gr.Dropdown(
                [("Transcribe", "transcribe"), ("Translate into English", "translate")], label="Task", min_width=180
            )
            self._speakers = gr.Dropdown(SPEAKERS, value="", label="Speakers", min_width=180)
            self._captions = gr.Dropdown(CAPTIONS, value="", label="Captions", min_width=180)
        with gr.Accordion("More options", open=False) as self.more:
            self._prompt = gr.Textbox(label="Names and words that occur", placeholder="Zoltán, RunPod, whisper.cpp")
            self._denoise = gr.Checkbox(label="Reduce noise first")
            self._subtitles = gr.Checkbox(label="Subtitles as broadcasters want them")
            self._others = gr.Textbox(label="Other options, as JSON", placeholder='{"beam_size": 5}', lines=2)

    def when_changed(self, ready: Callable[..., Any], button: gr.Button, hint: gr.HTML) -> None:
        """Calls `ready` with the values of `fields` when there is something else to transcribe, or nothing any more.

        Args:
            button: the one that starts; nothing starts while a recording is made, or on its way here.
            hint: says so.
        """
        quiet: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
        outputs = [button, hint]
        for name, tab in self._tabs.items():
            tab.select(lambda name=name: name, None, self._tab, **quiet).then(ready, self.fields, outputs, **quiet)
        for field in (self._file, self._recording, self._address):
            field.change(ready, self.fields, outputs, **quiet)
        # Gradio tells of the end of a recording only when it has been uploaded.
        self._recording.start_recording(
            lambda: (gr.update(interactive=False), viewer.hint(RECORDING)), None, outputs, **quiet
        )

    @staticmethod
    def missing(values: Sequence[Any]) -> str | None:
        """What is to be done before there is something to transcribe."""
        tab, file, recording, address = values[:4]
        return None if {"file": file, "recording": recording, "address": (address or "").strip()}[tab] else HINTS[tab]

    @property
    def fields(self) -> list[Any]:
        return [
            self._tab, self._file, self._recording, self._address, self._language, self._task,
            self._speakers, self._captions,
            self._prompt, self._denoise, self._subtitles, self._others,
        ]  # fmt: skip

    @staticmethod
    def asked(values: Sequence[Any]) -> Asked:
        """The job, from the values of `fields`.

        Raises:
            WrongUsage: something is missing or malformed.
        """
        tab, file, recording, address, language, task, speakers, captions, prompt, denoise, subtitles, others = values
        if missing := Form.missing(values):
            raise WrongUsage(missing)
        given = {"file": file, "recording": recording, "address": (address or "").strip()}[tab]
        if tab == "address" and urlsplit(given).scheme not in ("http", "https"):
            raise WrongUsage("a web address starts with http:// or https://")
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
        # Words are asked for in any case: the page highlights them.
        options = {**chosen, **_other(others), "output_format": ["json", *SUBTITLES], "word_timestamps": True}
        return Asked(given if tab == "address" else Path(given), options)


def _other(text: str | None) -> dict[str, Any]:
    try:
        others = json.loads(text or "{}")
    except ValueError:
        others = None
    if not isinstance(others, dict):
        raise WrongUsage('other options should be JSON such as {"beam_size": 5}')
    return others
