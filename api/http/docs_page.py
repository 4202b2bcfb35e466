"""The page `/docs`: one file of HTML that needs no script and loads nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

from api.http.job_store import MAX_BYTES, MAX_JOBS, RESULT_S, SYNC_RESULT_S
from api.http.reference import ERRORS, FORMATS, HEADERS, REFERENCE, Field, RouteReference
from api.transcriber import Schema

_CURL = """\
curl {address}/v1/audio/transcriptions{key} \\
  -F model=whisper-1 \\
  -F response_format=srt \\
  -F file=@talk.mp3"""

_PYTHON = """\
from openai import OpenAI

client = OpenAI(base_url="{address}/v1", api_key="{key}")
with open("talk.mp3", "rb") as recording:
    subtitles = client.audio.transcriptions.create(
        model="whisper-1", file=recording, response_format="srt"
    )
print(subtitles)"""

_JOB = """\
curl {address}/run{key} \\
  -H "Content-Type: application/json" \\
  -d '{{"input": {{"audio": {{"url": "https://example.org/talk.mp3"}}}}}}'
curl {address}/status/ID{key}"""

_LINKS = (
    *('<a href="#try">Try it</a>', '<a href="#routes">Routes</a>', '<a href="#formats">Formats</a>'),
    *('<a href="#options">Options</a>', '<a href="#headers">Headers</a>', '<a href="#errors">Errors</a>'),
    '<a href="openapi.json">OpenAPI</a>',
)

_STYLE = """
:root { color-scheme: light dark; --text: #1c2024; --soft: #5d6670; --back: #fff; --raised: #f4f6f8; --line: #dde2e7;
  --accent: #0b63c5; --get: #18794e; --post: #0b63c5; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ec; --soft: #9aa5b1; --back: #14171a; --raised: #1d2226;
  --line: #2f373e; --accent: #6cb0ff; --get: #4cc38a; --post: #6cb0ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 52rem; color: var(--text); background: var(--back);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.75rem; line-height: 1.2; }
h2 { margin: 2.5rem 0 .5rem; font-size: 1.2rem; }
h3 { margin: 1.25rem 0 .25rem; font-size: 1rem; }
p { margin: .5rem 0; }
a { color: var(--accent); }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 1rem 0 0; }
code, pre { font: .875em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
code { overflow-wrap: anywhere; }
pre { margin: .5rem 0 1rem; padding: .85rem 1rem; overflow-x: auto; background: var(--raised);
  border: 1px solid var(--line); border-radius: 8px; }
pre code { overflow-wrap: normal; }
.soft { color: var(--soft); }
details { border: 1px solid var(--line); border-radius: 8px; margin: .5rem 0; }
summary, .route { padding: .6rem .85rem; }
summary { cursor: pointer; }
summary:hover { background: var(--raised); border-radius: 8px; }
.route { border: 1px solid var(--line); border-radius: 8px; margin: .5rem 0; }
.path { font-weight: 600; }
.method { font: 600 .75rem ui-monospace, monospace; margin-right: .35rem; color: var(--post); }
.GET { color: var(--get); }
.says { display: block; color: var(--soft); }
dl { margin: 0; padding: 0 .85rem .5rem; }
dt, dd { margin: 0; padding: .45rem 0; border-top: 1px solid var(--line); }
dd { border-top: 0; padding-top: 0; }
@media (min-width: 40rem) {
  dl { display: grid; grid-template-columns: minmax(10rem, 16rem) 1fr; }
  dd { border-top: 1px solid var(--line); padding: .45rem 0 .45rem 1rem; }
}
dt .type { display: block; color: var(--soft); font-size: .8rem; overflow-wrap: anywhere; }
.part { padding: .35rem .85rem 0; margin: 0; font-weight: 600; }
.about { padding: 0 .85rem .75rem; margin: 0; }
"""


def render_page(options: Sequence[Field], *, address: str, has_keys: bool) -> str:
    """The page.

    Args:
        options: of the transcriber.
        address: of the server, for the examples.
        has_keys: true if requests need a key.
    """
    header = ' \\\n  -H "Authorization: Bearer KEY"' if has_keys else ""
    key = "KEY" if has_keys else "none"
    needed = "A request needs one of its keys, here `KEY`." if has_keys else "No key is needed."
    sections = [
        "<h1>Speech to text</h1>",
        _paragraph(f"Whisper at `{address}`. {needed}"),
        f"<nav>{' '.join(_LINKS)}</nav>",
        '<h2 id="try">Try it</h2>',
        _example("curl", _CURL.format(address=address, key=header)),
        _example("Python, with <code>pip install openai</code>", _PYTHON.format(address=address, key=key)),
        _example("A job that goes on without its caller", _JOB.format(address=address, key=header)),
        '<h2 id="routes">Routes</h2>',
        *_routes(has_keys=has_keys),
        '<h2 id="formats">Formats</h2>',
        _paragraph("Values of `response_format`."),
        _pairs(FORMATS),
        '<h2 id="options">Options</h2>',
        _paragraph(
            "Further fields of `/v1/audio/transcriptions` and `/v1/audio/translations`, parameters of `/asr`, and keys "
            "of `options` in a job. Lists and objects are JSON."
        ),
        f"<details><summary>{len(options)} options</summary>{_fields(options)}</details>",
        '<h2 id="headers">Headers of answers</h2>',
        _pairs(HEADERS),
        '<h2 id="errors">Errors</h2>',
        _paragraph(
            'Each has a sentence: `{"error": {"message": ...}}`, and `{"error": ...}` on the routes of RunPod\'s API. '
            "`x-should-retry: false` says that the same request would fail again."
        ),
        _pairs(ERRORS),
    ]
    body = "\n".join(sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Speech to text</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _routes(*, has_keys: bool) -> Iterable[str]:
    for group, routes in groupby(REFERENCE, key=lambda route: route.group):
        yield f"<h3>{escape(group)}</h3>"
        if group == "RunPod's API":
            yield _paragraph(
                f"Also under `/v2/NAME`, whatever the name. Results are kept for {RESULT_S / 60:.0f} minutes, those of "
                f"`/runsync` for {SYNC_RESULT_S:.0f} seconds; at most {MAX_JOBS} jobs and {MAX_BYTES // 2**20} MiB of "
                "inputs and results, beyond which the oldest results are dropped and further jobs refused (429). "
                "They are lost when the server ends.",
                "soft",
            )
        yield from (_route(route, has_keys=has_keys) for route in routes)


def _route(route: RouteReference, *, has_keys: bool) -> str:
    methods = "".join(f'<span class="method {method}">{method}</span>' for method in route.methods)
    open_to_all = " No key is needed." if has_keys and not route.needs_key else ""
    head = (
        f'{methods}<code class="path">{escape(route.path)}</code>'
        f'<span class="says">{_inline(route.summary)}{open_to_all}</span>'
    )
    parts = [
        ("Parameters", route.query),
        ("Form", route.form),
        ("JSON instead of a form" if route.form else "JSON", route.body),
    ]
    lists = "".join(f'<p class="part">{name}</p>{_fields(fields)}' for name, fields in parts if fields)
    if not lists:
        return f'<div class="route">{head}</div>'
    kinds = ", ".join(f"<code>{kind}</code>" for kind in route.answers)
    options = ' Takes the <a href="#options">options</a> too.' if route.takes_options != "no" else ""
    return f'<details><summary>{head}</summary>{lists}<p class="about soft">Answers {kinds}.{options}</p></details>'


def _pairs(pairs: Mapping[str, str]) -> str:
    return (
        f"<dl>{''.join(f'<dt><code>{name}</code></dt><dd>{_inline(text)}</dd>' for name, text in pairs.items())}</dl>"
    )


def _fields(fields: Sequence[Field]) -> str:
    return f"<dl>{''.join(map(_field, fields))}</dl>"


def _field(field: Field) -> str:
    required = ", required" if field.required else ""
    default = field.schema.get("default")
    said = "" if default is None or default is False else f' <span class="soft">Default {_as_code(default)}.</span>'
    return (
        f'<dt><code>{escape(field.name)}</code><span class="type">{escape(_type(field.schema))}{required}</span></dt>'
        f"<dd>{_inline(field.text)}{said}</dd>"
    )


def _type(schema: Schema) -> str:
    """A schema in a few words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(item) for item in schema["anyOf"] if item.get("type") != "null"))
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if schema.get("format") == "binary":
        return "file"
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    numbers = [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
    return " ".join([str(schema.get("type", "any")), *numbers])


def _example(title: str, code: str) -> str:
    return f"<h3>{title}</h3>\n<pre><code>{escape(code)}</code></pre>"


def _paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{_inline(text)}</p>' if kind else f"<p>{_inline(text)}</p>"


def _inline(text: str) -> str:
    """Text as HTML, with code where it is in backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _as_code(value: Any) -> str:
    return f"<code>{escape(json.dumps(value))}</code>"
