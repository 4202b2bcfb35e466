"""Stores results as files in an S3 bucket, through `src.public_http`."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import requests

from src.buckets import Bucket, NoBoto, explain_failure, read_refusal, signing_client
from src.deadline import DeadlineExceeded, OnCancel, run_within
from src.errors import Cancelled, WorkerError
from src.public_http import (
    USER_AGENT,
    NetworkError,
    OpenSocket,
    RetryPolicy,
    TransientFailure,
    attempt_repeatedly,
    network_errors,
    send,
)
from src.request.schema import MAX_PREFIX_CHARACTERS

UPLOAD_TIMEOUT_S = 120.0
"""For all files of a job; extended by as much again for each `_EXTENSION_BYTES` of them."""

_EXTENSION_BYTES = 120 * 1_000_000

LINK_LIFETIME_S = 7 * 24 * 3600
"""The longest that S3 signs links for, and the SDK's own choice."""

RETRY_POLICY = RetryPolicy(pauses=(0.5, 1.0, 2.0), timeouts=(10.0, 60.0))

_PUT_LIFETIME_S = 3600
_CONTENT_TYPES = {
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".srt": "application/x-subrip; charset=utf-8",
    ".vtt": "text/vtt; charset=utf-8",
    ".tsv": "text/tab-separated-values; charset=utf-8",
    ".ttml": "application/ttml+xml; charset=utf-8",
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
}


class UploadFailed(Exception):
    """The bucket did not accept the files; the message is fit for the caller: no address, no key, no signature."""


def folder_of(prefix: str, job_id: str) -> str:
    """The folder of one job's files under a valid `prefix`; characters that are not safe in a key become "_"."""
    return f"{prefix}/{re.sub(r'[^0-9A-Za-z-]', '_', job_id)[:MAX_PREFIX_CHARACTERS] or '_'}"


def upload_files(
    bucket: Bucket,
    prefix: str,
    files: Mapping[str, bytes | Path],
    timeout: float = UPLOAD_TIMEOUT_S,
    *,
    on_cancel: OnCancel | None = None,
    policy: RetryPolicy = RETRY_POLICY,
) -> dict[str, str]:
    """Upload `files` as `prefix`/name.

    Args:
        bucket: where to.
        prefix: folder in the bucket.
        files: by name; files on disk are streamed.
        timeout: see `UPLOAD_TIMEOUT_S`.
        on_cancel: ends the upload when the job is cancelled.
        policy: timing of the attempts at one file.

    Returns:
        A link to each file by its name, valid for `LINK_LIFETIME_S`.

    Raises:
        UploadFailed: not all of them were uploaded in time.
        Cancelled: by `on_cancel`.
    """
    size = sum(len(file) if isinstance(file, bytes) else file.stat().st_size for file in files.values())
    limit = timeout * (1 + size / _EXTENSION_BYTES)
    upload = _Upload(bucket, time.monotonic() + limit, policy)
    try:
        return run_within(
            limit,
            lambda: upload.run(prefix, files),
            name="upload",
            interrupt=upload.open_socket.end,
            on_cancel=on_cancel,
        )
    except (UploadFailed, Cancelled):
        raise
    except DeadlineExceeded:
        raise UploadFailed(f"the bucket did not accept the files within {limit:.3g} s") from None
    except (TransientFailure, WorkerError, NoBoto) as error:
        raise UploadFailed(str(error)) from None
    except Exception as error:  # no failure of the upload may cost the caller the transcript
        raise UploadFailed(f"the files did not reach the bucket ({type(error).__name__})") from None


class _WrongRegion(Exception):
    """S3 wants the URL signed for another region."""

    def __init__(self, region: str) -> None:
        super().__init__()
        self.region = region


class _Upload:
    """The upload of one job's files."""

    def __init__(self, bucket: Bucket, deadline: float, policy: RetryPolicy) -> None:
        self.open_socket = OpenSocket()
        self._bucket = bucket
        self._deadline = deadline
        self._policy = policy

    def run(self, prefix: str, files: Mapping[str, bytes | Path]) -> dict[str, str]:
        """Send the files one after the other, and return their links."""
        client, name = signing_client(self._bucket), self._bucket.name or time.strftime("%m-%y")
        links: dict[str, str] = {}
        for file, data in files.items():
            location = {"Bucket": name, "Key": f"{prefix}/{file}"}
            try:
                self._put(client, location, data)
            except _WrongRegion as answer:
                client = signing_client(self._bucket, answer.region)
                try:
                    self._put(client, location, data)
                except _WrongRegion:
                    raise UploadFailed("the bucket refused the files: it names one region after the other") from None
            links[file] = client.generate_presigned_url("get_object", Params=location, ExpiresIn=LINK_LIFETIME_S)
        return links

    def _put(self, client: Any, location: dict[str, str], data: bytes | Path) -> None:
        """Send one file, in several attempts if need be."""
        content_type = _content_type(location["Key"])
        wanted = location | {"ContentType": content_type}
        url = client.generate_presigned_url("put_object", Params=wanted, ExpiresIn=_PUT_LIFETIME_S)
        attempt = partial(self._put_once, url, {"Content-Type": content_type, "User-Agent": USER_AGENT}, data)
        attempt_repeatedly(attempt, self._policy, self._deadline, self.open_socket.ended)

    def _put_once(self, url: str, headers: dict[str, str], data: bytes | Path) -> None:
        """Send one file once.

        Raises:
            UploadFailed: it was refused.
            _WrongRegion: it was refused, and S3 names the right region.
            TransientFailure: another attempt may succeed.
        """
        # Bytes too are sent as a file, in blocks: a socket's timeout applies to each.
        with io.BytesIO(data) if isinstance(data, bytes) else data.open("rb") as body:

            def request() -> requests.PreparedRequest:
                is_empty = not body.seek(0, io.SEEK_END)  # a stream without bytes would be sent in chunks
                body.seek(0)
                return requests.Request("PUT", url, headers=headers, data=b"" if is_empty else body).prepare()

            try:
                with (
                    network_errors(),
                    send(
                        url,
                        request,
                        timeouts=self._policy.timeouts,
                        deadline=self._deadline,
                        open_socket=self.open_socket,
                        trusted=not self._bucket.of_job,
                    ) as response,
                ):
                    if 200 <= response.status_code < 300:
                        return
                    refusal = read_refusal(response)
            except NetworkError as error:
                reason = explain_failure(error.failure)
                raise (TransientFailure(reason) if error.failure.is_transient else UploadFailed(reason)) from None
        if refusal.region:
            raise _WrongRegion(refusal.region)
        status = refusal.status
        remedy = ": give the endpoint of the bucket's region" if status == 301 else ""
        sentence = f"the bucket refused the files ({refusal.reason}){remedy}"
        raise TransientFailure(sentence) if status in (408, 429) or status >= 500 else UploadFailed(sentence)


def _content_type(file: str) -> str:
    return _CONTENT_TYPES.get(PurePosixPath(file).suffix, "application/octet-stream")
