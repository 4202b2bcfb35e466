"""Flags of the commands: the endpoint's settings, the worker's options, and flags that commands share.

The worker's options take their names, types, ranges and help from `job_input.schema.json`, which
`builder/write_tables.py` generates from the worker's own classes, so that nothing of `src/` is imported.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from client.command_help import CONNECTION, GENERAL
from client.known_voices import KnownVoices
from client.option_values import Schema, alternatives, option_schemas, parse_options
from client.remote_audio import parse_headers
from client.settings import EndpointSettings, find_http_server, find_settings
from client.tracks import Track, parse_tracks

Command = Callable[..., None]

TimeoutFlag = Annotated[
    float | None,
    typer.Option(min=5, metavar="SECONDS", rich_help_panel=CONNECTION, help="Time limit of a job, in seconds."),
]
ParallelFlag = Annotated[
    int,
    typer.Option(
        min=1, metavar="N", rich_help_panel=CONNECTION, help="Maximum number of jobs at once for a large recording."
    ),
]
PayloadLimitFlag = Annotated[
    int,
    typer.Option(min=50_000, metavar="BYTES", rich_help_panel=CONNECTION, help="Maximum size of a request, in bytes."),
]
VoicesFlag = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        rich_help_panel=GENERAL,
        help="Folder of known voices; default: WORKER_WHISPER_VOICES, else ~/.local/share/worker-whisper/voices.",
    ),
]
QuietFlag = Annotated[bool, typer.Option("--quiet", "-q", rich_help_panel=GENERAL, help="Hide the progress.")]

_CONNECTION_FLAGS = {
    "endpoint": Annotated[
        str | None,
        typer.Option(metavar="ID", rich_help_panel=CONNECTION, help="Endpoint id; default: RUNPOD_ENDPOINT_ID."),
    ],
    "api_key": Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            rich_help_panel=CONNECTION,
            help="API key; better set RUNPOD_API_KEY, since other users may see arguments.",
        ),
    ],
    "base_url": Annotated[
        str | None,
        typer.Option(
            metavar="URL", rich_help_panel=CONNECTION, help="API address; default: RUNPOD_BASE_URL, else RunPod's."
        ),
    ],
    "config": Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=CONNECTION,
            help="Configuration file; default: ~/.config/worker-whisper.toml.",
        ),
    ],
}

_VOICE_FLAGS = {
    "known_voices": Annotated[
        bool | None,
        typer.Option(
            "--known-voices/--no-known-voices",
            show_default=False,
            rich_help_panel="Speakers",
            help="With --diarize: name the voices that `voices add` has kept. Default: if there are any.",
        ),
    ],
    "voices": VoicesFlag,
}

_TRACK_FLAGS = {
    "track": Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE|URL",
            rich_help_panel="Recording",
            help="In place of FILE: a recording of this speaker, once for each track of a conversation.",
        ),
    ],
    "track_offset": Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SECONDS",
            rich_help_panel="Recording",
            help="How long after the earliest track this one begins.",
        ),
    ],
}

_HEADER_FLAGS = {
    "header": Annotated[
        list[str] | None,
        typer.Option(
            metavar="HEADER",
            rich_help_panel="Recording",
            help='Of the request for a URL, such as "Authorization: Bearer ..."; @FILE has one a line.',
        ),
    ],
}

_SERVER_FLAG = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        rich_help_panel=CONNECTION,
        help="A worker in HTTP mode; default: RUNPOD_BASE_URL, else that of the endpoint, else http://localhost:8000.",
    ),
]

PANELS: dict[str, tuple[str, ...]] = {
    "Output": ("output_format", "paragraphs", "word_timestamps", "token_logprobs"),
    "Language": ("task", "language", "language_candidates", "multilingual", "chinese_script", "translate"),
    "Recording": ("clip_timestamps", "audio_track", "channels", "denoise", "strict"),
    "Speakers": ("diarize", "num_speakers", "min_speakers", "max_speakers", "speakers", "speaker_embeddings"),
    "Vocabulary": ("align", "custom_vocabulary", "initial_prompt", "carry_initial_prompt"),
    "Privacy": ("redact", "mask", "mask_style"),
    "Subtitles": (
        *("subtitle_preset", "max_line_width", "max_line_count", "max_words_per_line", "highlight_words"),
        *("min_cue_duration", "max_cue_duration", "min_cue_gap", "max_chars_per_second"),
        *("speaker_colors", "stl_frame_rate", "stl_start"),
    ),
    "Captions in the video": (
        *("captions", "caption_font", "caption_size", "caption_position", "caption_color"),
        *("caption_outline_color", "caption_highlight_color", "caption_box_color"),
    ),
    "Model and decoding": (
        *("model", "temperature", "beam_size", "best_of", "patience", "length_penalty", "suppress_tokens"),
        *("compression_ratio_threshold", "logprob_threshold", "no_speech_threshold", "condition_on_previous_text"),
        *("drop_hallucinations", "chunking", "vad", "vad_threshold", "min_speech_ms", "min_silence_ms"),
        "speech_pad_ms",
    ),
}
"""Groups of the worker's options in `--help`, in order."""

_NAMES = {"output_format": ("--format", "-f", "--output-format")}
_METAVARS = {
    "output_format": "FORMAT,...",
    "language": "LANGUAGE",
    "language_candidates": "LANGUAGE,...",
    "model": "NAME",
    "clip_timestamps": "START,END,...",
    "audio_track": "TRACK",
    "speakers": "NAME=FILE|URL",
    "align": "FILE|TEXT",
    "custom_vocabulary": "TERM=HEARD",
    "redact": "KIND,...",
    "mask": "WORD,...",
    "temperature": "NUMBER,...",
    "suppress_tokens": "ID,...",
    "initial_prompt": "TEXT",
    "caption_font": "NAME",
    "caption_color": "COLOUR",
    "caption_outline_color": "COLOUR",
    "caption_highlight_color": "COLOUR",
    "caption_box_color": "COLOUR",
}
"""Forms of the values of flags; others follow from the option's type."""

_HELP = {
    "output_format": "Files to write: text (or txt), srt, vtt, tsv, lrc, ass, ttml (EBU-TT-D), stl (EBU STL), rttm, "
    "json, verbose_json; all stands for text, srt, vtt, tsv and json. Default: all.",
    "clip_timestamps": "Transcribe only these parts: times in seconds or mm:ss, or JSON [[START, END], ...].",
    "speakers": "With --diarize: a sample of a known voice, at most 60 s; once for each speaker, or JSON.",
    "align": "The text that is said, if it is known: a file of text, srt, vtt or lrc, or the text itself. It gets "
    "times, line by line, in place of a transcript. In a batch: the folder of the texts, talk.txt for talk.mp3.",
    "custom_vocabulary": 'Correct what is misheard, such as "Kubernetes=cooper netties", once for each; TERM,... '
    "without = goes into the prompt. Also JSON, or @FILE with either, one a line.",
}
"""Descriptions of options whose flags take other forms than a job; `builder/write_tables.py` has those of a job."""


def with_options(command: Command) -> Command:
    """Give a command a flag for each of the worker's options; those set arrive as its parameter `options`."""
    schemas = option_schemas()
    ordered = {name: panel for panel, names in PANELS.items() for name in names}
    flags = [_option_flag(name, schemas[name], panel) for name, panel in ordered.items()]
    return with_flags(command, "options", flags, parse_options)


def with_connection(command: Command) -> Command:
    """Give a command the flags that select an endpoint; they arrive as its parameter `connection`."""
    flags = [_keyword(name, annotation) for name, annotation in _CONNECTION_FLAGS.items()]
    return with_flags(command, "connection", flags, _find_connection)


def with_known_voices(command: Command) -> Command:
    """Give a command the flags that choose known voices; they arrive as its parameter `known_voices`."""
    flags = [_keyword(name, annotation) for name, annotation in _VOICE_FLAGS.items()]
    return with_flags(command, "known_voices", flags, _choose_voices)


def with_tracks(command: Command) -> Command:
    """Give a command the flags for several recordings; they arrive as its parameter `tracks`."""
    flags = [_keyword(name, annotation) for name, annotation in _TRACK_FLAGS.items()]
    return with_flags(command, "tracks", flags, _parse_tracks)


def with_headers(command: Command) -> Command:
    """Give a command the flag for headers of a URL's request; they arrive as its parameter `headers`."""
    flags = [_keyword(name, annotation) for name, annotation in _HEADER_FLAGS.items()]
    return with_flags(command, "headers", flags, lambda values: parse_headers(values["header"] or []))


def with_server(command: Command) -> Command:
    """Give a command the flags that select a worker in HTTP mode; they arrive as its parameter `connection`."""
    others = {name: annotation for name, annotation in _CONNECTION_FLAGS.items() if name != "base_url"}
    flags = [_keyword(name, annotation) for name, annotation in {"server": _SERVER_FLAG, **others}.items()]
    return with_flags(command, "connection", flags, _find_server)


def with_flags(
    command: Command, name: str, flags: Sequence[inspect.Parameter], parse: Callable[[dict[str, Any]], Any]
) -> Command:
    """Replace the parameter `name` of a command by flags; `parse` converts their values to its argument."""
    existing = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [*(parameter for parameter in existing if parameter.name != name), *flags]

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> None:
        values = {flag.name: arguments.pop(flag.name) for flag in flags}
        command(**arguments, **{name: parse(values)})

    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapper


def _keyword(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _choose_voices(values: dict[str, Any]) -> KnownVoices:
    return KnownVoices(values["known_voices"], values["voices"])


def _parse_tracks(values: dict[str, Any]) -> list[Track]:
    return parse_tracks(values["track"] or [], values["track_offset"] or [])


def _find_connection(values: dict[str, Any]) -> EndpointSettings:
    return find_settings(values["endpoint"], values["api_key"], values["base_url"], config=values["config"])


def _find_server(values: dict[str, Any]) -> EndpointSettings:
    return find_http_server(values["endpoint"], values["api_key"], values["server"], config=values["config"])


def _option_flag(name: str, schema: Schema, panel: str) -> inspect.Parameter:
    kebab = name.replace("_", "-")
    value_schema = alternatives(schema)[0]
    switch = f"/--no-{kebab}" if value_schema.get("type") == "boolean" else ""
    default = json.dumps(schema["default"]).strip('[]"')
    default = "" if default in ("", "null", "false") else f" Default: {default}."
    info = typer.Option(
        *_NAMES.get(name, [f"--{kebab}{switch}"]),
        help=_HELP.get(name, f"{schema['description']}{default}").replace("`", ""),
        metavar=_METAVARS.get(name) or {"integer": "N", "number": "NUMBER"}.get(value_schema["type"]),
        case_sensitive=False,
        show_default=False,
        min=value_schema.get("minimum"),
        max=value_schema.get("maximum"),
        rich_help_panel=panel,
    )
    return _keyword(name, Annotated[_flag_type(value_schema) | None, info])


def _flag_type(schema: Schema) -> Any:
    if values := schema.get("enum") or ([schema["const"]] if "const" in schema else []):
        return Literal[tuple(values)]
    scalar = {"boolean": bool, "integer": int, "number": float, "string": str}.get(schema["type"])
    return scalar or list[str]
