"""The gate that every answer leaves through.

The SDK posts nothing, or broken JSON, for an answer that holds a NumPy scalar, a NaN or a lone surrogate, and
loses one that RunPod refuses for its size; the caller then sees COMPLETED without an output (runpod-python
issues #299 and #309). So an answer is brought to plain JSON and measured here, in the bytes that the SDK will send.
What is too large goes to a bucket as files, or else is left out in a stated order.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from src.captions.embed import CaptionedVideo
from src.delivery.s3 import Bucket, UploadFailed, folder_of
from src.delivery.s3 import upload as put
from src.errors import InvalidInput, TooLarge, WorkerError
from src.request.schema import UploadRequest

BUCKET_REMEDY = (
    "set BUCKET_ENDPOINT_URL, BUCKET_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY at the endpoint, "
    "or send s3Config with the job"
)
"""What a caller has to do for files."""

_TEXTS = {"transcription": "transcript", "translation": "translation"}
"""The parts of an answer that hold a text, and the name of their files."""

_SUBTITLES = ("srt", "vtt", "tsv", "lrc", "ass", "rttm")
_LEFT_OUT = ("tokens", "words")  # of the segments, in this order: hardly anyone reads tokens
_INLINE = ("text", "language")  # stand in the answer beside the files
_BESIDE_VIDEO = 20_000  # bytes; how much the transcript takes is known only when it is there


def require_bucket(upload: UploadRequest | None, bucket: Bucket | None) -> None:
    """Before any work is done: files that were asked for have a place to go.

    Raises:
        InvalidInput: they have none; it says what to set.
    """
    if upload is not None and bucket is None:
        raise InvalidInput(f"upload needs a bucket: {BUCKET_REMEDY}")


def deliver(
    answer: dict[str, Any], *, job_id: str, max_bytes: int, bucket: Bucket | None, upload: UploadRequest | None
) -> dict[str, Any]:
    """The same answer as RunPod can carry it, in `max_bytes` or fewer.

    As it is if it fits, unless `upload` asks for files; as links to files where there is a bucket; else without
    tokens and words. `metadata.warnings` tells what was done. A bucket that fails costs nothing but the files.

    Args:
        answer: `transcription`, as `formats.render` makes it, and `metadata` with its `warnings`.

    Raises:
        InvalidInput: `upload` without a bucket.
        TooLarge: it cannot be made to fit; it says what to set.
        TypeError: it holds something that has no JSON form.
    """
    require_bucket(upload, bucket)
    plain: dict[str, Any] = _plain(answer)
    fits = _size(plain) <= max_bytes
    if fits and upload is None:
        return plain
    if bucket is None:
        return _shortened(plain, max_bytes, f"to get all of it in files, {BUCKET_REMEDY}")
    try:
        links = put(bucket, folder_of((upload or UploadRequest()).prefix, job_id), _files(plain))
    except UploadFailed as failure:
        _warn(plain, f"there are no files: {failure}")
        return _shortened(plain, max_bytes, f"it cannot go out in files, since {failure}")
    if upload is None:
        _warn(plain, f"the result is in files: {_too_large(plain, max_bytes)}")
    return _with_links(plain, links, max_bytes)


def max_video_bytes(max_bytes: int, max_file: int, bucket: Bucket | None) -> int:
    """Bytes that a file may have to be delivered: in a bucket, or else as base64, four for three of them."""
    return max_file if bucket else max(0, max_bytes - _BESIDE_VIDEO) // 4 * 3


def attach_video(
    answer: dict[str, Any],
    captioned: CaptionedVideo | WorkerError | None,
    *,
    job_id: str,
    max_bytes: int,
    bucket: Bucket | None,
    upload: UploadRequest | None,
) -> None:
    """Puts the captioned video into `answer`: as base64 if all of it fits, unless `upload` asks for files; as a link
    where there is a bucket; else, or for an error, a sentence. It never costs the caller the transcript.
    """
    if captioned is None:
        return
    if isinstance(captioned, WorkerError):
        answer["captioned_video"] = {"error": str(captioned), "error_type": captioned.error_type}
        _warn(answer, f"there is no captioned video: {captioned}")
        return
    answer["metadata"]["warnings"] += captioned.warnings
    path, size = captioned.path, captioned.path.stat().st_size
    told: dict[str, Any] = {"filename": path.name, "bytes": size, "encoder": captioned.encoder}
    whole: dict[str, Any] = _plain({**answer, "captioned_video": told})
    fits = _size(whole) + 4 * (size + 2) // 3 + 20 <= max_bytes
    reason = f"it is {size / 1e6:.1f} MB, more than the answer has room for: {BUCKET_REMEDY}"
    if bucket is not None and (upload is not None or not fits):
        try:
            links = put(bucket, folder_of((upload or UploadRequest()).prefix, job_id), {path.name: path})
            answer["captioned_video"] = told | {"url": links[path.name]}
            return
        except UploadFailed as failure:
            reason = str(failure)
            _warn(answer, f"the captioned video is in no bucket: {reason}")
    if fits:
        answer["captioned_video"] = told | {"base64": base64.b64encode(path.read_bytes()).decode()}
    else:
        lost = TooLarge(f"the captioned video cannot be delivered: {reason}")
        attach_video(answer, lost, job_id=job_id, max_bytes=max_bytes, bucket=bucket, upload=upload)


def seal(answer: dict[str, Any], max_bytes: int) -> dict[str, Any]:
    """The same answer in types that JSON has: what is not a number becomes null, a lone surrogate "?".

    Raises:
        TooLarge: the SDK would send more than `max_bytes` for it.
        TypeError: it holds something that has no JSON form.
    """
    sealed: dict[str, Any] = _plain(answer)
    if _size(sealed) > max_bytes:
        raise TooLarge(
            f'{_too_large(sealed, max_bytes)}: ask for one output_format (such as "srt" or "text") instead of all, '
            "or for parts of the recording"
        )
    return sealed


def _files(answer: dict[str, Any]) -> dict[str, bytes]:
    """What is to be uploaded, by name: everything as JSON, and each text form that was asked for."""
    files: dict[str, str] = {}
    for part, name in _TEXTS.items():
        if part in answer:
            files[f"{name}.json"] = json.dumps(answer[part], ensure_ascii=False)
            for key, suffix in {"text": "txt", **{form: form for form in _SUBTITLES}}.items():
                if key in answer[part]:
                    files[f"{name}.{suffix}"] = answer[part][key]
    return {name: text.encode() for name, text in files.items()}


def _with_links(plain: dict[str, Any], links: dict[str, str], max_bytes: int) -> dict[str, Any]:
    """`files` and `metadata`, and of the transcription the text and the language while they fit."""
    parts = {part: {key: plain[part][key] for key in _INLINE if key in plain[part]} for part in _TEXTS if part in plain}
    files = {name.removeprefix("transcript."): link for name, link in links.items()}
    beside: dict[str, Any] = {key: plain[key] for key in ("captioned_video", "metadata") if key in plain}
    small: dict[str, Any] = {"files": files, **parts, **beside}
    if _size(small) > max_bytes:
        small = {"files": files, **beside}
    return seal(small, max_bytes)


def _shortened(plain: dict[str, Any], max_bytes: int, remedy: str) -> dict[str, Any]:
    """`plain` without what it takes to fit; `remedy` is the clause on how to get all of it."""
    for key in _LEFT_OUT:
        if _size(plain) > max_bytes and any(key in segment for segment in _segments(plain)):
            size = _too_large(plain, max_bytes)
            for segment in _segments(plain):
                segment.pop(key, None)
            _warn(plain, f"the segments' {key} are left out, since {size}; {remedy}")
    if _size(plain) > max_bytes:
        raise TooLarge(
            f"{_too_large(plain, max_bytes)}; {remedy}; or ask for one output_format "
            '(such as "srt" or "text"), or for parts of the recording'
        )
    return plain


def _segments(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [segment for part in _TEXTS for segment in answer.get(part, {}).get("segments", [])]


def _warn(answer: dict[str, Any], warning: str) -> None:
    answer["metadata"].setdefault("warnings", []).append(warning)


def _size(answer: dict[str, Any]) -> int:
    """Bytes that the SDK posts for `answer` (`rp_http._handle_result`)."""
    return len(json.dumps({"output": answer}, allow_nan=False, ensure_ascii=False).encode())


def _too_large(answer: dict[str, Any], max_bytes: int) -> str:
    return f"the transcript is {_size(answer) / 1e6:.1f} MB and RunPod carries {max_bytes / 1e6:.1f} MB"


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode() if not value.isascii() else value
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # a NumPy scalar or array, a tensor
        return _plain(value.tolist())
    raise TypeError(f"{type(value).__name__} has no JSON form")
