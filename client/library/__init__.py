"""The client as a library: what `worker_whisper` exports."""

from client.errors import (
    BadAnswer,
    BadRecording,
    CacheFailed,
    ClientError,
    EndpointFailed,
    EndpointUnreachable,
    EndpointUnusable,
    JobFailed,
    OptionRefused,
    OutputFailed,
    Stopped,
    SubmissionUncertain,
    WrongUsage,
)
from client.library.async_client import AsyncClient
from client.library.client import Client
from client.library.transcription import Transcription
from client.tracks import Track

__all__ = [
    "AsyncClient",
    "BadAnswer",
    "BadRecording",
    "CacheFailed",
    "Client",
    "ClientError",
    "EndpointFailed",
    "EndpointUnreachable",
    "EndpointUnusable",
    "JobFailed",
    "OptionRefused",
    "OutputFailed",
    "Stopped",
    "SubmissionUncertain",
    "Track",
    "Transcription",
    "WrongUsage",
]
