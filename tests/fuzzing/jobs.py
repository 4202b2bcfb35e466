"""Jobs from anything that JSON can say to nearly right ones, for hypothesis to draw.

No address in them leads off this machine: hosts are loopback ones, addresses that are never dialled, or malformed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from src.request.options import Options
from src.request.schema import UploadRequest, Webhook
from transcript.formats.render import OUTPUT_FORMATS

Json = SearchStrategy[Any]

_HUGE = [2**31, 2**63, 2**64, -(2**63) - 1, 10**30, 10**308, 10**400, -(10**4000)]
_ODD_FLOATS = [float("nan"), float("inf"), float("-inf"), -0.0, 5e-324, 1.7976931348623157e308, 1e300]
_ODD_TEXTS = [
    "",
    " ",
    "\0",
    "\ud800",
    "\udfff\ud800",
    "a\ud83d",
    "\u2028\u2029\x85",
    "\x1b[31mred",
    "\r\nX-Header: 1",
    "%s%s%n{0}{x!r}",
    "NaN",
    "null",
    "true",
    "1e999",
    "é" * 5000,
    "A" * 100_000,
    "\U0010ffff",
    "../../etc/passwd",
    "$(id)",
]
_ODD_URLS = [
    "http://",
    "https://",
    "http://[::1",
    "http://[::1]:99999/",
    "http://127.0.0.1:0/a",
    "http://127.0.0.1:1/a",
    "http://127.0.0.1:-1/",
    "http://0/",
    "http://0x7f.1/",
    "http://2130706433/a.mp3",
    "http://localhost/a.mp3",
    "http://169.254.169.254/latest/meta-data",
    "http://[::ffff:169.254.169.254]/",
    "http://[fe80::1%25lo]/",
    "http://10.0.0.1/a.mp3",
    "http://user:secret@127.0.0.1/a.mp3",
    "http://127.0.0.1\\@127.0.0.2/",
    "http://127.0.0.1/\ud800",
    "http://127.0.0.1/\r\nHost: x",
    "HTTP://127.0.0.1/A",
    "//127.0.0.1/a",
    "file:///etc/passwd",
    "ftp://127.0.0.1/a.mp3",
    "data:audio/ogg;base64,",
    "data:audio/ogg;base64,AAAA",
    "data:,hello",
    " data:;base64,////",
    "javascript:alert(1)",
    "concat:/etc/passwd",
    "/etc/passwd",
]
# Hosts that have to be looked up, which is tried again: for audio only, whose time is limited.
_ODD_HOSTS = [
    "http://" + "a" * 64 + ".localhost/",
    "http://" + "a." * 2000 + "localhost/",
    "http://xn--\u00e4/",
    "http://\u2488.localhost./",
]
_ODD_BASE64 = ["", "=", "====", "A", "AA", "AAA=", "AAAA", "A A\nA\tA", "\u00e4", "AAAA=AAAA", "-_-_", "+/-_", "\0AAA"]


def jobs(recordings: Sequence[str]) -> Json:
    """Jobs as a handler may be given them; `recordings` are base64 of short ones that can be transcribed."""
    right = _right_input(recordings)
    wild = st.fixed_dictionaries(
        {}, optional={key: _wild() for key in ("id", "input", "policy", "s3Config", "webhook")}
    )
    near = _job(st.one_of(_mutated(right), right, _near_input(recordings)))
    return st.one_of(wild, _job(_wild()), near, near, near, _deep(recordings[0]))


def _job(made: Json) -> Json:
    """The fields that the platform puts around an input: mostly an id, sometimes a policy and a bucket."""
    return st.fixed_dictionaries(
        {"id": st.one_of(st.uuids().map(str), _scalars()), "input": made},
        optional={"policy": _policy(), "s3Config": _bucket()},
    )


# --- anything


def _text() -> Json:
    return st.one_of(st.sampled_from(_ODD_TEXTS), st.text(st.characters(), max_size=40), st.text(max_size=10))


def _scalars() -> Json:
    return st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(-3, 70),
        st.sampled_from(_HUGE),
        st.floats(),
        st.sampled_from(_ODD_FLOATS),
        _text(),
    )


def _wild() -> Json:
    return st.recursive(
        _scalars(),
        lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(_keys(), inner, max_size=5)),
        max_leaves=15,
    )


def _keys() -> Json:
    return st.one_of(st.sampled_from([*_names(), "error", "refresh_worker", "id", "__class__"]), _text())


def _names() -> list[str]:
    models = (Options, Webhook, UploadRequest)
    return [
        "audio",
        "url",
        "base64",
        "options",
        "webhook",
        "upload",
        *(name for model in models for name in model.model_fields),
    ]


def _deep(recording: str) -> Json:
    """Lists in lists and objects in objects, as deep as a JSON parser of Python's takes them."""

    def nest(depth: int, as_list: bool, place: str) -> dict[str, Any]:
        value: Any = 1
        for _ in range(depth):
            value = [value] if as_list else {"a": value}
        made: dict[str, Any] = {"audio": {"base64": recording}, "options": {}}
        if place == "options":
            made["options"]["temperature"] = value
        else:
            made[place] = value
        return {"id": "deep", "input": value if place == "input" else made}

    places = st.sampled_from(["input", "audio", "options", "webhook", "upload", "else"])
    return st.builds(nest, st.integers(1, 800), st.booleans(), places)


# --- nearly right


def _right_input(recordings: Sequence[str]) -> Json:
    return st.fixed_dictionaries(
        {"audio": st.sampled_from(recordings).map(lambda data: {"base64": data}), "options": _right_options()}
    )


def _right_options() -> Json:
    probability = st.floats(0, 1)
    return st.fixed_dictionaries(
        {"temperature": st.one_of(st.just(0), st.just(0), probability, st.lists(probability, min_size=1, max_size=2))},
        optional={
            "language": st.sampled_from(["en", "English", None, "EN"]),
            "output_format": st.one_of(
                st.sampled_from(OUTPUT_FORMATS),
                st.lists(st.sampled_from(OUTPUT_FORMATS), min_size=1, max_size=4),
                st.just("srt, ass"),
            ),
            "language_candidates": st.sampled_from([None, ["en"], ["de", "English"]]),
            "carry_initial_prompt": st.booleans(),
            "custom_vocabulary": st.one_of(_vocabulary(), st.lists(_term(), max_size=4)),
            "redact": st.lists(st.sampled_from(["card", "iban", "email", "phone", "ip"]), max_size=5),
            "mask": st.lists(st.sampled_from(["fox", "the", "gøes", "北京", "(a+)+"]), max_size=4),
            "clip_timestamps": st.one_of(
                st.sampled_from(["0", "0,1,2", "0.5, 2.25", None, [], [[0, 1], [1, None]], [[0, 1e9]], [99, 100]]),
                st.lists(st.floats(0, 10), min_size=1, max_size=5).map(sorted),
            ),
            "audio_track": st.sampled_from([None, 1, 2, 1000, "1", "eng", "de", "Commentary", "\u202e\x07"]),
            "strict": st.booleans(),
            "channels": st.sampled_from(["mix", "split"]),
            "drop_hallucinations": st.booleans(),
            "subtitle_preset": st.sampled_from([None, "broadcast"]),
            "max_line_width": st.sampled_from([None, 1, 7, 42, 1000]),
            "max_line_count": st.sampled_from([None, 1, 2, 100]),
            "highlight_words": st.booleans(),
            "speaker_colors": st.booleans(),
            "max_chars_per_second": st.sampled_from([None, 1, 20, 1000]),
            "word_timestamps": st.booleans(),
            "initial_prompt": _text().filter(lambda text: len(text) <= 10_000),
            "beam_size": st.sampled_from([None, 1, 2, 5, 20]),
            "best_of": st.sampled_from([None, 1, 3, 20]),
            "length_penalty": probability,
            "suppress_tokens": st.one_of(
                st.sampled_from(["-1", "", "11, 13", [], [-1]]), st.lists(st.integers(-1, 50_256), max_size=20)
            ),
            "compression_ratio_threshold": st.one_of(st.none(), st.floats(0.01, 10)),
            "logprob_threshold": st.one_of(st.none(), st.floats(-10, 0)),
            "no_speech_threshold": st.one_of(st.none(), probability),
            "condition_on_previous_text": st.booleans(),
            "chunking": st.sampled_from(["vad", "vad", "vad", "sequential"]),
            "vad": st.booleans(),
            "vad_threshold": st.floats(0.01, 0.99),
            "min_speech_ms": st.sampled_from([0, 1, 250, 10_000]),
            "min_silence_ms": st.sampled_from([0, 1, 300, 10_000]),
            "speech_pad_ms": st.sampled_from([0, 1, 400, 5_000]),
            "denoise": st.booleans(),
        },
    )


def _vocabulary() -> Json:
    return st.dictionaries(_term(), st.one_of(_term(), st.lists(_term(), max_size=3)), max_size=4)


def _term() -> Json:
    return st.one_of(st.sampled_from(["fox", "the", "Speech goes", "12 months", "。"]), _text().filter(bool))


def _near_input(recordings: Sequence[str]) -> Json:
    """Right keys with values of the right kind that are not all right."""
    url = st.one_of(st.sampled_from(_ODD_URLS), _text())
    base64 = st.one_of(st.sampled_from(_ODD_BASE64), st.sampled_from(recordings), _text(), st.binary().map(bytes.hex))
    looked_up = st.one_of(url, url, st.sampled_from(_ODD_HOSTS))
    audio = st.one_of(
        st.fixed_dictionaries({}, optional={"url": url, "base64": base64}),
        base64.map(lambda data: {"base64": data}),
        looked_up.map(lambda url: {"url": url}),
        url,
        base64.map(lambda data: f"data:audio/ogg;base64,{data}"),
    )
    webhook = st.fixed_dictionaries({"url": url}, optional={"progress": st.one_of(st.booleans(), _scalars())})
    upload = st.fixed_dictionaries({}, optional={"prefix": st.one_of(st.just("team/a"), _text(), _scalars())})
    return st.fixed_dictionaries(
        {"audio": audio},
        optional={"options": _mutated(_right_options()), "webhook": webhook, "upload": upload},
    )


@st.composite
def _mutated(draw: st.DrawFn, right: Json) -> Any:
    """Right, but for one value, somewhere in it, that may be anything, or one key that is gone or new."""
    value = draw(right)
    place = value
    while isinstance(place, dict) and place:
        key = draw(st.sampled_from(sorted(place)))
        if isinstance(place[key], dict) and place[key] and draw(st.booleans()):
            place[key] = dict(place[key])
            place = place[key]
            continue
        change = draw(st.sampled_from(["replace", "remove", "add", "wrap"]))
        if change == "replace":
            place[key] = draw(_wild())
        elif change == "remove":
            del place[key]
        elif change == "add":
            place[draw(_keys())] = draw(_wild())
        else:
            place[key] = [place[key]]
        break
    return value


def _policy() -> Json:
    limit = st.one_of(st.sampled_from([1, 50, 600_000, *_HUGE, *_ODD_FLOATS]), _scalars())
    return st.one_of(st.fixed_dictionaries({}, optional={"executionTimeout": limit, "ttl": _scalars()}), _wild())


def _bucket() -> Json:
    text = st.one_of(st.just("right"), _text(), _scalars())
    server = st.one_of(st.sampled_from(_ODD_URLS), text)
    right = {"accessId": text, "accessSecret": text, "bucketName": text, "endpointUrl": server}
    return st.one_of(st.fixed_dictionaries(right), st.fixed_dictionaries({}, optional=right), _wild())
