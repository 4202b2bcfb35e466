"""An object in a bucket, requested by a signed URL with the credentials that results are stored with.

A job names the bucket and the key, never the server: that is the endpoint's own setting, which may be a private
address, or comes with the job's `s3Config`, and then must be a public one. No redirect is followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import requests

from src.buckets import Bucket, NoBoto, Refusal, explain_failure, read_refusal, sign_get
from src.errors import DownloadFailed
from src.public_http import USER_AGENT, NetworkError, OpenSocket, RetryPolicy, TransientFailure, send
from src.request.s3_address import S3Address
from src.sources.transfer import REPLACED, is_transient

_SIGNED_FOR_S = 3600
"""For one attempt, which is signed anew."""

_DENIED = "the keys need s3:GetObject for it; without s3:ListBucket, S3 denies an object that does not exist too"

_REMEDIES = {
    "NoSuchKey": "the bucket has no such object: check its key, upper and lower case included",
    "NoSuchBucket": "there is no such bucket at the S3 server: check its name in the s3:// address",
    "InvalidObjectState": "the object is archived (InvalidObjectState): restore it, and send the job again",
    "AccessDenied": f"access to the object is denied (AccessDenied): {_DENIED}",
    "AllAccessDisabled": "access to the bucket is disabled (AllAccessDisabled)",
}
_WRONG_KEYS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken")


class BucketObject:
    """An object in a bucket.

    Args:
        bucket: its server and credentials.
        address: valid.
    """

    name = "the bucket"
    host = "the bucket"

    def __init__(self, bucket: Bucket, address: S3Address) -> None:
        self._bucket = bucket
        self._address = address
        self._region: str | None = None
        """As the bucket has named it."""

    def request(
        self, headers: Mapping[str, str], policy: RetryPolicy, deadline: float, open_socket: OpenSocket
    ) -> requests.Response:
        """Request the object, once more if the bucket names another region.

        Raises:
            DownloadFailed: it is refused.
            TransientFailure: another attempt may succeed.
        """
        try:
            url = sign_get(self._bucket, self._address, self._region, _SIGNED_FOR_S)
        except NoBoto as error:
            raise DownloadFailed(str(error)) from None
        prepare = partial(_prepare, url, headers)
        trusted = not self._bucket.of_job
        try:
            response = send(
                url, prepare, timeouts=policy.timeouts, deadline=deadline, open_socket=open_socket, trusted=trusted
            )
            status = response.status_code
            if status in (200, 206) or is_transient(status) or (status == REPLACED and "If-Match" in headers):
                return response
            with response:
                refusal = read_refusal(response)
        except NetworkError as error:
            raise self.explain(error) from None
        if refusal.region is None or refusal.region == self._region:
            raise DownloadFailed(_explain(refusal))
        if self._region is not None:
            raise DownloadFailed("the bucket refuses the object: it names one region after the other")
        self._region = refusal.region
        return self.request(headers, policy, deadline, open_socket)

    def condition(self, validator: str) -> dict[str, str]:
        """The condition that S3 documents for parts; a date is none, since it has only seconds."""
        return {"If-Match": validator} if validator.startswith('"') else {}

    def explain(self, error: NetworkError) -> Exception:
        """A sentence without addresses."""
        sentence = explain_failure(error.failure)
        return TransientFailure(sentence) if error.failure.is_transient else DownloadFailed(sentence)


def _prepare(url: str, headers: Mapping[str, str]) -> requests.PreparedRequest:
    own = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}
    return requests.Request("GET", url, headers={**own, **headers}).prepare()


def _explain(refusal: Refusal) -> str:
    if refusal.code in _WRONG_KEYS:
        return f"the bucket refuses the credentials ({refusal.code}): check the access key and the secret key"
    if refusal.code is None and refusal.status == 403:
        return f"access to the object is denied (HTTP status 403): {_DENIED}"
    if refusal.status in (301, 302, 307, 308):
        return f"the bucket is at another address ({refusal.reason}): give the endpoint of its region"
    return _REMEDIES.get(refusal.code or "", f"the bucket refuses the object ({refusal.reason})")
