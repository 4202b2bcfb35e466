"""Fetches a job's audio into a file: from a URL, a bucket or a volume, decoded from base64, or as it was received.

An interrupted download is resumed, if the server confirms that the file is the same. A file that is no recording, such
as a web page, is named as what it is.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from src.buckets import BUCKET_REMEDY, Bucket
from src.errors import InvalidInput, UnsupportedMedia, prefix_errors
from src.file_kind import name_other_kind
from src.job_control import JobControl
from src.public_http import RetryPolicy, strip_invisible
from src.request.audio_source import MAX_SAMPLE_BYTES, AudioSource, clean_audio_url
from src.request.tracks import TrackSource, track_place
from src.sources.bucket_object import BucketObject
from src.sources.limits import too_large
from src.sources.transfer import RETRY_POLICY, Remote, removed_on_error, transfer
from src.sources.volume import Volume, copy_file
from src.sources.web import WebFile

_FILE_NAME = "media"  # whatever the URL calls it
_SAMPLE_TIMEOUT_S = 60.0  # for the download of one speaker's sample


@dataclass(frozen=True)
class Stores:
    """Where recordings may be besides at URLs and in the job itself; None: nowhere."""

    bucket: Bucket | None = None
    volume: Volume | None = None


NO_STORES = Stores()


def check_stores(tracks: Sequence[AudioSource], samples: Mapping[str, AudioSource], stores: Stores) -> None:
    """Check, before any work, that a job's recordings and its speakers' samples may be read where they are.

    Raises:
        InvalidInput: naming the missing setting.
    """
    for number, track in enumerate(tracks):
        with prefix_errors("audio" if len(tracks) == 1 else f"audio.{number}"):
            _check_store(track, stores)
    for name, sample in samples.items():
        with prefix_errors(f"options.speakers.{name}"):
            _check_store(sample, stores)


def fetch(
    source: AudioSource,
    folder: Path,
    *,
    max_bytes: int,
    timeout: float,
    stores: Stores = NO_STORES,
    control: JobControl | None = None,
    policy: RetryPolicy = RETRY_POLICY,
) -> Path:
    """The audio of `source` as a file, in `folder` unless it is an upload.

    An error leaves no file behind.

    Args:
        source: of the job.
        folder: an existing one.
        max_bytes: of the file.
        timeout: for a download or a copy, in seconds, retries included.
        stores: where it may be.
        control: ends the download when the job is cancelled.
        policy: timing of the attempts to download it.

    Raises:
        InvalidInput: it is not what it is declared to be, or may not be read.
        DownloadFailed: it was not given in time.
        UnsupportedMedia: the file is no recording.
        TooLarge: the file has more than `max_bytes`.
        OutOfResources: the worker has no disk space or no socket left.
        Cancelled: by `control`.
    """
    control = control or JobControl()
    if source.upload is not None:
        return check_upload(source.upload, max_bytes=max_bytes)
    if source.base64 is not None:
        return decode_base64(source.base64, folder, max_bytes=max_bytes)
    _check_store(source, stores)
    target = folder / _FILE_NAME
    with removed_on_error(target):
        if source.volume is not None and stores.volume is not None:
            copy_file(stores.volume, source.volume, target, max_bytes=max_bytes, timeout=timeout, control=control)
        else:
            remote = _find_remote(source, stores)
            transfer(remote, target, max_bytes=max_bytes, timeout=timeout, control=control, policy=policy)
        is_web = source.url is not None and source.s3_address is None
        if kind := name_other_kind(target, downloaded=is_web):
            raise UnsupportedMedia(f"the URL leads to {kind}" if is_web else f"the file is {kind}")
    return target


def fetch_tracks(
    sources: Sequence[TrackSource],
    folder: Path,
    *,
    max_bytes: int,
    timeout: float,
    stores: Stores,
    control: JobControl,
) -> list[Path]:
    """The recordings of a job as files, each in a folder of its own; together they have at most `max_bytes`.

    Raises:
        WorkerError: of several ones, naming the one that cannot be fetched.
    """
    if len(sources) == 1:
        return [fetch(sources[0], folder, max_bytes=max_bytes, timeout=timeout, stores=stores, control=control)]
    tracks: list[Path] = []
    for number, source in enumerate(sources):
        track_folder = folder / f"track-{number}"
        track_folder.mkdir()
        left = max_bytes - sum(track.stat().st_size for track in tracks)
        with prefix_errors(track_place(number, source.name)):
            tracks.append(fetch(source, track_folder, max_bytes=left, timeout=timeout, stores=stores, control=control))
    return tracks


def fetch_samples(
    sources: Mapping[str, AudioSource], folder: Path, control: JobControl, stores: Stores = NO_STORES
) -> dict[str, Path]:
    """Write each speaker's sample to a file in `folder`.

    Returns:
        The files by the speakers' names.

    Raises:
        WorkerError: naming the sample that cannot be fetched.
    """
    samples = {}
    for number, (name, source) in enumerate(sources.items()):
        sample_folder = folder / f"sample-{number}"
        sample_folder.mkdir()
        with prefix_errors(f"options.speakers.{name}"):
            samples[name] = fetch(
                source,
                sample_folder,
                max_bytes=MAX_SAMPLE_BYTES,
                timeout=_SAMPLE_TIMEOUT_S,
                stores=stores,
                control=control,
            )
    return samples


def download(
    url: str,
    folder: Path,
    *,
    max_bytes: int,
    timeout: float,
    headers: Mapping[str, str] | None = None,
    control: JobControl | None = None,
    policy: RetryPolicy = RETRY_POLICY,
) -> Path:
    """Download an http(s) URL: see `fetch`."""
    source = AudioSource.model_construct(url=clean_audio_url(url), headers=headers)
    return fetch(source, folder, max_bytes=max_bytes, timeout=timeout, control=control, policy=policy)


def decode_base64(text: str, folder: Path, *, max_bytes: int) -> Path:
    """Decode `text` into a file in `folder`; an error leaves no file behind.

    Accepts the standard and the URL-safe alphabet, white space anywhere, blanks where a form has decoded "+", a
    `data:…;base64,` prefix, and padding that is correct or absent.

    Returns:
        The file's path.

    Raises:
        InvalidInput: `text` is anything else.
        UnsupportedMedia: the file is no recording.
        TooLarge: the file has more than `max_bytes`.
        OutOfResources: the worker has no disk space left.
    """
    text = strip_invisible(text)
    prefix = re.match(r"data:.{0,500}?;base64,", text, re.IGNORECASE | re.DOTALL)
    try:
        encoded = text[prefix.end() if prefix else 0 :].strip().encode("ascii")
        encoded = _without_blanks(encoded.translate(bytes.maketrans(b"-_", b"+/")))
        digits = encoded.rstrip(b"=")
        if len(digits) * 3 // 4 > max_bytes:
            raise too_large(max_bytes)
        padded = digits + b"=" * (-len(digits) % 4)
        if encoded not in (digits, padded):  # Python's own strictness about padding differs by version
            raise binascii.Error
        data = base64.b64decode(padded, validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise InvalidInput("the audio is not valid base64: encode the file's bytes by RFC 4648") from None
    if not data:
        raise InvalidInput("the file is empty: send the base64 of its bytes")
    target = folder / _FILE_NAME
    with removed_on_error(target):
        target.write_bytes(data)
        if kind := name_other_kind(target, downloaded=False):
            raise UnsupportedMedia(f"the file is {kind}")
    return target


def check_upload(upload: Path, *, max_bytes: int) -> Path:
    """Check a file that was received as it is; it stays where it is.

    Raises:
        InvalidInput: it is empty.
        UnsupportedMedia: it is no recording.
        TooLarge: it has more than `max_bytes`.
    """
    size = upload.stat().st_size
    if not size:
        raise InvalidInput("the file is empty: send its bytes")
    if size > max_bytes:
        raise too_large(max_bytes)
    if kind := name_other_kind(upload, downloaded=False):
        raise UnsupportedMedia(f"the file is {kind}")
    return upload


def _without_blanks(encoded: bytes) -> bytes:
    """Base64 without white space; blanks that a decoder of forms made of "+" become "+" again.

    Blanks beside other white space are layout. The rest is either all layout or all "+": the length tells if there is
    padding or a single blank, and otherwise blanks at equal distances are layout.
    """
    encoded = re.sub(rb"\s+", lambda run: run[0] if not run[0].strip(b" ") else b"", encoded)
    blanks, every = encoded.count(b" "), encoded.find(b" ") + 1
    joined, restored = encoded.replace(b" ", b""), encoded.replace(b" ", b"+")
    if encoded.endswith(b"=") or blanks == 1:
        if len(joined) % 4 and len(restored) % 4 == 0:
            return restored
        if len(restored) % 4 and len(joined) % 4 == 0:
            return joined
    return joined if every and encoded[every - 1 :: every] == b" " * blanks else restored


def _check_store(source: AudioSource, stores: Stores) -> None:
    if source.volume is not None and stores.volume is None:
        raise InvalidInput("there is no volume to read from: attach a network volume to the endpoint (AUDIO_VOLUME)")
    address = source.s3_address
    if address is None:
        return
    if stores.bucket is None:
        raise InvalidInput(f"an s3:// address needs the keys of a bucket: {BUCKET_REMEDY}")
    if not stores.bucket.may_read(address.bucket):
        raise InvalidInput("the endpoint's keys are not for jobs to read this bucket: name it in AUDIO_BUCKETS")


def _find_remote(source: AudioSource, stores: Stores) -> Remote:
    address = source.s3_address
    if address is not None and stores.bucket is not None:
        return BucketObject(stores.bucket, address)
    return WebFile(clean_audio_url(source.url or ""), source.headers or {})
