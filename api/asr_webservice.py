"""The API of whisper-asr-webservice as data: `/asr` and `/detect-language`. Pure; it knows of no server.

Its parameters are those of ahmetoner/whisper-asr-webservice 1.9 (app/webservice.py), in the query; the upload is
`audio_file`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.form_values import OptionsDraft, nameable, read_option, read_switch
from api.json_text import to_json
from api.openai.answers import Body, find_rendered
from api.openai.errors import ApiError
from api.transcriber import Answer

OUTPUTS: Mapping[str, str] = {"txt": "json", "vtt": "vtt", "srt": "srt", "tsv": "tsv", "json": "json"}
"""Values of `output`, and the worker's formats; `txt` has a line for each segment."""

DETECTION_SECONDS = 120
"""The other service looks at the first 30 s, in which films and podcasts often have no word."""

_NAMES = {"vad_filter": "vad"}

_SPEAKER_COUNTS = ("num_speakers", "min_speakers", "max_speakers")
"""Without effect unless `diarize` is true: forms of the other service's page send them in any case."""

_WITHOUT_PLACE = ("output_format", "captions", "translate", "speaker_embeddings")
"""Options of the worker whose result has no place in the answers."""


@dataclass(frozen=True)
class AsrRequest:
    """A request for a text.

    Attributes:
        options: of the job.
        output: `txt`, `vtt`, `srt`, `tsv` or `json`.
        is_raw: true if the upload is 16-bit little-endian PCM at 16 kHz, mono, without a header (`encode=false`).
        ignored: names of parameters that have no effect here.
    """

    options: Mapping[str, Any]
    output: str
    is_raw: bool
    ignored: tuple[str, ...]


def parse_asr(query: Mapping[str, str], option_schemas: Mapping[str, Any]) -> AsrRequest:
    """Parse the query of `/asr`.

    Raises:
        ApiError: naming the wrong parameter and the correct form.
    """
    given = {name: value for name, value in query.items() if value.strip()}
    is_raw = not read_switch("encode", given.pop("encode", "true"))
    output = given.pop("output", "txt").strip().lower()
    if output not in OUTPUTS:
        raise ApiError(400, f"output: should be one of {', '.join(OUTPUTS)}", param="output")
    draft = OptionsDraft()
    for name, value in given.items():
        option = _NAMES.get(name, name)
        if option in option_schemas and option not in _WITHOUT_PLACE:
            draft.set(option, read_option(name, value, option_schemas[option]), name)
        else:
            draft.ignored.append(name)
    useless = [] if draft.options.get("diarize") else [name for name in _SPEAKER_COUNTS if name in draft.options]
    options = {name: value for name, value in draft.options.items() if name not in useless}
    options["output_format"] = [OUTPUTS[output]]
    return AsrRequest(options, output, is_raw, nameable([*useless, *draft.ignored]))


def parse_detection(query: Mapping[str, str]) -> AsrRequest:
    """Parse the query of `/detect-language`.

    Raises:
        ApiError: naming the wrong parameter and the correct form.
    """
    is_raw = not read_switch("encode", query.get("encode", "").strip() or "true")
    options = {"output_format": ["verbose_json"], "clip_timestamps": [[0, DETECTION_SECONDS]]}
    return AsrRequest(options, "json", is_raw, nameable([name for name in query if name != "encode"]))


def to_asr_body(answer: Answer, request: AsrRequest) -> Body:
    """The body of `/asr`, for a job's answer that is no error.

    Raises:
        ApiError: 413, the text is too large for an answer, and was delivered as files.
    """
    if request.output == "json":
        content = {key: find_rendered(answer, key) for key in ("text", "segments", "language")}
        return Body(to_json(content), "application/json")
    if request.output == "txt":
        lines = [f"{_label(segment)}{segment['text'].strip()}\n" for segment in find_rendered(answer, "segments")]
        return Body("".join(lines), "text/plain; charset=utf-8")
    return Body(find_rendered(answer, OUTPUTS[request.output]), "text/plain; charset=utf-8")


def to_detected_language(answer: Answer) -> dict[str, Any]:
    """The answer of `/detect-language`: `detected_language`, `language_code` and `confidence`."""
    metadata = answer["metadata"]
    return {
        "detected_language": find_rendered(answer, "verbose_json")["language"],
        "language_code": metadata["language"],
        "confidence": metadata.get("language_probability") or 0.0,
    }


def _label(segment: Mapping[str, Any]) -> str:
    """The speaker in front of a line, as WhisperX writes it."""
    return f"[{segment['speaker']}]: " if segment.get("speaker") else ""
