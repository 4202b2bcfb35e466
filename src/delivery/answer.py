"""Makes every answer valid JSON within RunPod's size limit.

For an answer with a NumPy scalar, a NaN or a lone surrogate, the SDK posts nothing or broken JSON, and it loses an
answer that RunPod rejects for its size; the caller then sees COMPLETED without an output (runpod-python issues #299 and
#309). So answers are converted to plain JSON here, and measured in the bytes that the SDK will send. An answer that is
too large is uploaded to a bucket as files, or else shortened in a stated order.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from src.buckets import BUCKET_REMEDY, Bucket
from src.captions.embed import CaptionedVideo
from src.deadline import OnCancel
from src.delivery.chunks import json_size
from src.delivery.s3 import UploadFailed, folder_of, upload_files
from src.errors import InvalidInput, TooLarge, WorkerError
from src.request.schema import UploadRequest
from transcript.checks import Check, checked, never

_TEXTS = {"transcription": "transcript", "translation": "translation"}
"""The keys of an answer that hold a text, and the names of their files."""

_SUBTITLES = ("srt", "vtt", "tsv", "lrc", "ass", "ttml", "rttm")
_DROPPED_KEYS = ("tokens", "words")  # of segments, in this order: tokens are rarely read
_INLINE_KEYS = ("text", "language")  # kept in the answer beside the files
_TRANSCRIPT_BYTES = 20_000  # an estimate: its size is known only after transcription


def require_bucket(upload: UploadRequest | None, bucket: Bucket | None) -> None:
    """Check, before any work, that there is a bucket for the requested files.

    Raises:
        InvalidInput: there is none; names the settings.
    """
    if upload is not None and bucket is None:
        raise InvalidInput(f"upload needs a bucket: {BUCKET_REMEDY}")


def deliver(
    answer: dict[str, Any],
    *,
    job_id: str,
    max_bytes: int,
    bucket: Bucket | None,
    upload: UploadRequest | None,
    check: Check = never,
    on_cancel: OnCancel | None = None,
) -> dict[str, Any]:
    """Make the answer fit `max_bytes`.

    If it fits, it is unchanged, unless `upload` requests files. Else it has links to files if there is a bucket, and
    otherwise loses tokens, then words. `metadata.warnings` reports what was done. If the upload fails, only the files
    are missing.

    Args:
        answer: `transcription`, as rendered by `formats.render`, and `metadata` with its `warnings`.
        job_id: names the folder of the files.
        max_bytes: of the JSON that the SDK sends.
        bucket: where files go.
        upload: the job's request for files.
        check: ends the work on the answer by an exception.
        on_cancel: ends the upload when the job is cancelled.

    Raises:
        InvalidInput: `upload` without a bucket.
        TooLarge: it cannot be made to fit; names the settings.
        TypeError: it holds a value without a JSON form.
        Cancelled: by `check` or `on_cancel`.
    """
    require_bucket(upload, bucket)
    plain: dict[str, Any] = _to_plain_json(answer, check)
    fits = _size(plain) <= max_bytes
    check()
    if fits and upload is None:
        return plain
    if bucket is None:
        return _shorten(plain, max_bytes, f"to get all of it in files, {BUCKET_REMEDY}")
    try:
        folder = folder_of((upload or UploadRequest()).prefix, job_id)
        links = upload_files(bucket, folder, _files(plain), on_cancel=on_cancel)
    except UploadFailed as failure:
        _warn(plain, f"there are no files: {failure}")
        return _shorten(plain, max_bytes, f"it cannot be delivered as files, since {failure}")
    if upload is None:
        _warn(plain, f"the result is in files: {_too_large(plain, max_bytes)}")
    return _link_files(plain, links, max_bytes)


def max_video_bytes(max_bytes: int, max_file: int, bucket: Bucket | None) -> int:
    """Maximum size of a captioned video: `max_file` in a bucket, else as base64 (4 bytes for 3) in `max_bytes`."""
    return max_file if bucket else max(0, max_bytes - _TRANSCRIPT_BYTES) // 4 * 3


def attach_video(
    answer: dict[str, Any],
    captioned: CaptionedVideo | WorkerError | None,
    *,
    job_id: str,
    max_bytes: int,
    bucket: Bucket | None,
    upload: UploadRequest | None,
    check: Check = never,
    on_cancel: OnCancel | None = None,
) -> None:
    """Add the captioned video to `answer`, or the reason why there is none.

    It is added as base64 if the answer then still fits `max_bytes`, unless `upload` requests files; else as a link if
    there is a bucket. A failure is reported in the answer and never loses the transcript.
    """
    if captioned is None:
        return
    if isinstance(captioned, WorkerError):
        answer["captioned_video"] = {"error": str(captioned), "error_type": captioned.error_type}
        _warn(answer, f"there is no captioned video: {captioned}")
        return
    answer["metadata"]["warnings"] += captioned.warnings
    path, size = captioned.path, captioned.path.stat().st_size
    video: dict[str, Any] = {"filename": path.name, "bytes": size, "encoder": captioned.encoder}
    whole: dict[str, Any] = _to_plain_json({**answer, "captioned_video": video}, check)
    fits = _size(whole) + 4 * (size + 2) // 3 + 20 <= max_bytes
    reason = f"it is {size / 1e6:.1f} MB, more than fits into the answer: {BUCKET_REMEDY}"
    if bucket is not None and (upload is not None or not fits):
        try:
            folder = folder_of((upload or UploadRequest()).prefix, job_id)
            links = upload_files(bucket, folder, {path.name: path}, on_cancel=on_cancel)
            answer["captioned_video"] = video | {"url": links[path.name]}
            return
        except UploadFailed as failure:
            reason = str(failure)
            _warn(answer, f"the captioned video was not uploaded: {reason}")
    if fits:
        answer["captioned_video"] = video | {"base64": base64.b64encode(path.read_bytes()).decode()}
    else:
        error = TooLarge(f"the captioned video cannot be delivered: {reason}")
        attach_video(answer, error, job_id=job_id, max_bytes=max_bytes, bucket=bucket, upload=upload)


def to_sendable(answer: dict[str, Any], max_bytes: int) -> dict[str, Any]:
    """Convert the answer to JSON types: NaN and infinity become null, a lone surrogate "?".

    Raises:
        TooLarge: the SDK would send more than `max_bytes` for it.
        TypeError: it holds a value without a JSON form.
    """
    plain: dict[str, Any] = _to_plain_json(answer)
    if _size(plain) > max_bytes:
        raise TooLarge(
            f'{_too_large(plain, max_bytes)}: ask for one output_format (such as "srt" or "text") instead of all, '
            "or for parts of the recording"
        )
    return plain


def _files(answer: dict[str, Any]) -> dict[str, bytes]:
    """The files to upload, by name: everything as JSON, and each requested text format."""
    files: dict[str, bytes] = {}
    for part, name in _TEXTS.items():
        if part in answer:
            files[f"{name}.json"] = json.dumps(answer[part], ensure_ascii=False).encode()
            for key, suffix in {"text": "txt", **{suffix: suffix for suffix in _SUBTITLES}}.items():
                if key in answer[part]:
                    files[f"{name}.{suffix}"] = answer[part][key].encode()
            if "stl" in answer[part]:
                files[f"{name}.stl"] = base64.b64decode(answer[part]["stl"])
    return files


def _link_files(plain: dict[str, Any], links: dict[str, str], max_bytes: int) -> dict[str, Any]:
    """`files` and `metadata`, and the text and language of the transcription if they fit."""
    texts = {
        part: {key: plain[part][key] for key in _INLINE_KEYS if key in plain[part]} for part in _TEXTS if part in plain
    }
    files = {name.removeprefix("transcript."): link for name, link in links.items()}
    beside: dict[str, Any] = {key: plain[key] for key in ("captioned_video", "metadata") if key in plain}
    small: dict[str, Any] = {"files": files, **texts, **beside}
    if _size(small) > max_bytes:
        small = {"files": files, **beside}
    return to_sendable(small, max_bytes)


def _shorten(plain: dict[str, Any], max_bytes: int, remedy: str) -> dict[str, Any]:
    """Drop keys of segments from `plain` until it fits; `remedy` is the clause on how to get all of it."""
    for key in _DROPPED_KEYS:
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
    """Bytes that the SDK posts for a plain `answer` (`rp_http._handle_result`)."""
    return json_size({"output": answer})


def _too_large(answer: dict[str, Any], max_bytes: int) -> str:
    return f"the transcript is {_size(answer) / 1e6:.1f} MB and an answer may have {max_bytes / 1e6:.1f} MB"


def _to_plain_json(value: Any, check: Check = never) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode() if not value.isascii() else value
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_to_plain_json(str(key)): _to_plain_json(item, check) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_plain_json(item, check) for item in checked(value, check)]
    if hasattr(value, "tolist"):  # a NumPy scalar or array, a tensor
        return _to_plain_json(value.tolist())
    raise TypeError(f"{type(value).__name__} has no JSON form")
