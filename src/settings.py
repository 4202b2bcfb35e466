"""The worker's settings, read once from environment variables.

Every variable is a field of `Settings`, in lower case. Invalid values stop the start-up with an error that names all of
them. RunPod's variables (`RUNPOD_*`) are read by the SDK.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from src.mode import DEFAULT_HEALTH_PATH, DEFAULT_HOST, DEFAULT_PORT

ROOT = Path(__file__).resolve().parents[1]
"""The folder that holds `handler.py`: a checkout on a laptop, `/` in the image."""

NETWORK_VOLUME = Path("/runpod-volume")
"""Mount point of an endpoint's network volume."""

POD_VOLUME = Path("/workspace")
"""Mount point of a Pod's volume (https://docs.runpod.io/pods/storage/types)."""

CACHED_MODELS = NETWORK_VOLUME / "huggingface-cache" / "hub"
"""Folder of the endpoint's "cached model", filled by RunPod before the worker starts
(https://docs.runpod.io/serverless/endpoints/model-caching)."""


class SettingsError(Exception):
    """The worker cannot start with these environment variables; the message names them."""


class Settings(BaseSettings):
    """The worker's settings; each field is an environment variable."""

    model_config = SettingsConfigDict(env_ignore_empty=True)  # a form's blank field counts as unset

    worker_mode: Literal["auto", "queue", "http"] = Field(
        default="auto",
        description="`queue` takes jobs from RunPod's queue, `http` serves HTTP; `auto`: `queue` on an endpoint with a "
        "queue, else `http` if `PORT` is set.",
    )
    whisper_model: str = Field(
        default="base",
        description="Model to load: an openai-whisper name, a Hugging Face repository (`org/name`), or a path.",
    )
    whisper_models: str = Field(
        default="", description="Further models that a job's `model` may name, with commas between them."
    )
    max_loaded_models: int = Field(
        default=2,
        gt=0,
        le=16,
        description="Models in memory at once; the least recently used one is unloaded for another.",
    )
    model_dir: Path | None = Field(
        default=None,
        description="Folder for downloaded weights; none: on the network volume, if one is mounted.",
    )
    compute_type: Literal["auto", "float16", "bfloat16", "float32"] = Field(
        default="auto",
        description="Number format of the weights, or the closest one that the device supports; `auto`: float16 on a "
        "GPU, on a CPU bfloat16 if that is fast there, else float32.",
    )
    device_map: Literal["auto", "replicate", "split"] = Field(
        default="auto",
        description="With several GPUs: `replicate` puts a copy of the model on each, `split` distributes its layers; "
        "`auto`: copies, if one fits on each GPU.",
    )
    warm_up: bool = Field(
        default=False, description="Transcribe a full batch before the first job, greedily and with beam search."
    )
    batch_size: int | None = Field(
        default=None,
        gt=0,
        le=512,
        description="Windows of 30 s, from all running jobs, that are decoded together; none: as many as fit into a "
        "GPU's memory, up to 64, and 16 on a CPU.",
    )
    max_audio_bytes: int = Field(
        default=2 * 1024**3, gt=0, description="Largest recording, in bytes, as fetched and as decoded."
    )
    audio_volume: str = Field(
        default="auto",
        pattern="^(auto|none|/.*)$",
        description='Folder in which jobs may name recordings, `{"volume": "in/talk.mp4"}`; `auto`: the network '
        "volume, at `/runpod-volume` or on a Pod at `/workspace`; `none`: no such jobs.",
    )
    max_audio_seconds: float = Field(default=12 * 3600, gt=0, description="Longest recording, in seconds.")
    download_timeout: float = Field(
        default=600, gt=0, description="Time limit for the download of one recording, in seconds."
    )
    max_result_bytes: int = Field(
        default=10_000_000 - 100_000,
        gt=0,
        description="Largest answer, in bytes: RunPod's limit for `/run` is 10 MB, less its own fields; over HTTP "
        "29.9 MB behind RunPod's load balancer, and 256 MiB elsewhere.",
    )
    max_concurrency: int = Field(
        default=4, gt=0, le=64, description="Jobs that run at once; they share the model and its batches."
    )
    streaming: bool = Field(default=False, description="Send segments to `/stream` as soon as they are final.")
    faster_whisper_jobs: bool = Field(
        default=False,
        description="Answer jobs that have only `audio` in the format of RunPod's worker-faster_whisper; "
        "jobs with its other keys are always answered so.",
    )
    log_format: Literal["text", "json"] = Field(default="text", description="Format of log lines.")
    host: str = Field(
        default=DEFAULT_HOST, description="HTTP: address to listen at; `0.0.0.0` for all addresses of the machine."
    )
    port: int = Field(default=DEFAULT_PORT, gt=0, lt=65536, description="HTTP: port to listen at.")
    port_health: int | None = Field(
        default=None, gt=0, lt=65536, description="HTTP: another port for the health path; none: `PORT`."
    )
    health_check_path: str = Field(
        default=DEFAULT_HEALTH_PATH,
        pattern="^/",
        description="HTTP: path that answers 204 while the model is loaded, and 200 afterwards, without a key.",
    )
    api_keys: SecretStr | None = Field(
        default=None,
        description="HTTP: keys, with commas between them; callers send one as `Authorization: Bearer KEY`.",
    )
    require_api_key: Literal["auto", "true", "false"] = Field(
        default="auto",
        description="HTTP: `true` serves only with `API_KEYS`; `auto`: unless other machines cannot connect, or "
        "RunPod's load balancer checks its own key.",
    )
    cors_origins: str = Field(
        default="",
        description="HTTP: origins whose pages may call from a browser, with commas between them, or `*` for all.",
    )
    live_sessions: int = Field(
        default=32,
        ge=0,
        le=512,
        description="HTTP: live transcriptions at once, further ones are refused; `0`: live transcription is off.",
    )
    page: Literal["auto", "true", "false"] = Field(
        default="auto",
        description="HTTP: serve the web page at `/`; `auto`: except behind RunPod's load balancer, where a browser "
        "cannot log in and workers share no disk.",
    )
    page_folder: Path | None = Field(
        default=None,
        description="HTTP: folder for the page's transcripts and recordings; none: on a Pod's volume "
        "(`/workspace/worker-whisper`), else in `$XDG_DATA_HOME` or `~/.local/share`: `worker-whisper/page`.",
    )
    font_dir: Path | None = Field(
        default=None, description="Folder of fonts for captions, in addition to the system's."
    )
    webhook_secret: SecretStr | None = Field(
        default=None, description="Key that signs webhooks (Standard Webhooks): `whsec_` and base64."
    )
    bucket_endpoint_url: str | None = Field(
        default=None, description="URL of the S3 server for results as files, without the bucket's name."
    )
    bucket_access_key_id: str | None = Field(default=None, description="S3 access key.")
    bucket_secret_access_key: SecretStr | None = Field(default=None, description="S3 secret key.")
    bucket_name: str | None = Field(
        default=None, description="S3 bucket; none: month and year (`11-26`), as in RunPod's SDK."
    )

    audio_buckets: str = Field(
        default="",
        description="S3 buckets from which jobs may read recordings as `s3://bucket/key` with these keys, with commas "
        "between them, or `*` for all; none: `BUCKET_NAME` only.",
    )

    @property
    def allowed_models(self) -> list[str]:
        """The models that a job may name, the default first."""
        return list(dict.fromkeys([self.whisper_model, *_split(self.whisper_models)]))

    @property
    def accepted_keys(self) -> frozenset[str]:
        """The keys of `api_keys`."""
        return frozenset(_split(self.api_keys.get_secret_value() if self.api_keys else ""))

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """The origins of `cors_origins`."""
        return tuple(_split(self.cors_origins))

    @property
    def readable_buckets(self) -> frozenset[str] | None:
        """The buckets that jobs may read from with the endpoint's keys; None: all."""
        names = frozenset(_split(self.audio_buckets) or _split(self.bucket_name or ""))
        return None if "*" in names else names

    @property
    def volume(self) -> Path | None:
        """The folder of `audio_volume`; None if there is none."""
        if self.audio_volume == "auto":
            on_pod = [POD_VOLUME] if "RUNPOD_POD_ID" in os.environ else []  # elsewhere it may be anybody's folder
            return next((folder for folder in (NETWORK_VOLUME, *on_pod) if folder.is_dir()), None)
        return None if self.audio_volume == "none" else Path(self.audio_volume)

    @property
    def baked_models(self) -> Path:
        """The folder of weights in the image, and on a laptop those of `make setup`."""
        return ROOT / "models"

    @property
    def model_folders(self) -> list[Path]:
        """The folders that are searched for weights, in this order."""
        return [CACHED_MODELS, self.baked_models, self.model_store]

    @property
    def model_store(self) -> Path:
        """The folder for downloaded weights."""
        if self.model_dir is not None:
            return self.model_dir
        if NETWORK_VOLUME.is_dir():
            return NETWORK_VOLUME / "whisper-models"
        return self.baked_models


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


@cache
def get_settings() -> Settings:
    """Read the worker's settings.

    Raises:
        SettingsError: naming every wrong variable and its correct form.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"{str(details['loc'][0]).upper()}={details['input']!r}: {details['msg']}" for details in error.errors()
        )
        raise SettingsError(f"wrong environment: {wrong}") from None
