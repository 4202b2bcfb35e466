"""The environment of a worker, read once.

Every variable is a field here, under its own name in lower case; a wrong value stops the start-up with all
wrong values named. RunPod's own variables (`RUNPOD_*`) are the SDK's to read.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parents[1]
"""The folder that holds `handler.py`: a checkout on a laptop, `/` in the image."""

NETWORK_VOLUME = Path("/runpod-volume")
"""Where RunPod mounts an endpoint's network volume."""

CACHED_MODELS = NETWORK_VOLUME / "huggingface-cache" / "hub"
"""Where RunPod puts the endpoint's "cached model", before the worker starts
(https://docs.runpod.io/serverless/endpoints/model-caching)."""


class SettingsError(Exception):
    """A variable of the environment that the worker cannot start with; names the variable."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)  # a form's field left blank is a variable not set

    whisper_model: str = Field(
        default="tiny.en",
        description="Model to load: a name of openai-whisper's, a Hugging Face repository (`org/name`), or a path.",
    )
    whisper_models: str = Field(
        default="", description="Models that a job's `model` may name besides, with commas between them."
    )
    max_loaded_models: int = Field(
        default=2, gt=0, le=16, description="Models held at once; the one not used for longest makes room for another."
    )
    model_dir: Path | None = Field(
        default=None,
        description="Folder of weights, filled on first use; the network volume's where one is mounted.",
    )
    compute_type: Literal["auto", "float16", "bfloat16", "float32"] = Field(
        default="float16", description="Number format of the weights; the nearest that the device can."
    )
    device_map: Literal["auto", "replicate", "split"] = Field(
        default="auto",
        description="Several GPUs: `replicate` has a copy of the model on each, `split` shares its layers out; "
        "`auto`: copies, if each GPU has room for one.",
    )
    warm_up: bool = Field(
        default=False, description="Before the first job, a clip is transcribed as a full batch, and with beams."
    )
    batch_size: int | None = Field(
        default=None,
        gt=0,
        le=512,
        description="Windows of 30 s, of all running jobs, that are decoded at once; none: 16, and 8 on a CPU.",
    )
    max_audio_bytes: int = Field(
        default=2 * 1024**3, gt=0, description="Largest recording, in bytes, as it comes and as decoded."
    )
    max_audio_seconds: float = Field(default=12 * 3600, gt=0, description="Longest recording, in seconds.")
    download_timeout: float = Field(
        default=600, gt=0, description="Seconds that the download of one recording may take."
    )
    max_result_bytes: int = Field(
        default=10_000_000 - 100_000,
        gt=0,
        description="Largest answer, in bytes: RunPod takes 10 MB from /run, less room for its own fields.",
    )
    max_concurrency: int = Field(
        default=4, gt=0, le=64, description="Jobs at once; they share the model and its batch."
    )
    streaming: bool = Field(default=False, description="Segments go to `/stream` as soon as they are final.")
    faster_whisper_jobs: bool = Field(
        default=False,
        description="Jobs with nothing but `audio` are answered as RunPod's worker-faster_whisper does; "
        "those with its other keys always are.",
    )
    log_format: Literal["text", "json"] = Field(default="text", description="Form of the log's lines.")
    font_dir: Path | None = Field(
        default=None, description="Folder of fonts for captions, besides those of the system."
    )
    webhook_secret: SecretStr | None = Field(
        default=None, description="Key that signs webhooks (Standard Webhooks): `whsec_` and base64."
    )
    bucket_endpoint_url: str | None = Field(
        default=None, description="S3 server for results as files, the bucket's name left out."
    )
    bucket_access_key_id: str | None = Field(default=None, description="S3 access key.")
    bucket_secret_access_key: SecretStr | None = Field(default=None, description="S3 secret key.")
    bucket_name: str | None = Field(
        default=None, description="S3 bucket; by default month and year (`11-26`), as RunPod's SDK has it."
    )

    @property
    def allowed_models(self) -> list[str]:
        """What a job's `model` may name, the default first."""
        others = [name.strip() for name in self.whisper_models.split(",") if name.strip()]
        return list(dict.fromkeys([self.whisper_model, *others]))

    @property
    def baked_models(self) -> Path:
        """Where the image carries its weights, and a laptop those of `make setup`."""
        return ROOT / "models"

    @property
    def model_folders(self) -> list[Path]:
        """Where weights are looked for, in this order."""
        return [CACHED_MODELS, self.baked_models, self.model_store]

    @property
    def model_store(self) -> Path:
        """Where weights that have to be fetched are kept."""
        if self.model_dir is not None:
            return self.model_dir
        if NETWORK_VOLUME.is_dir():
            return NETWORK_VOLUME / "whisper-models"
        return self.baked_models


@cache
def get_settings() -> Settings:
    """The worker's settings.

    Raises:
        SettingsError: naming every variable that is wrong, and what it should be.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(f"{str(one['loc'][0]).upper()}={one['input']!r}: {one['msg']}" for one in error.errors())
        raise SettingsError(f"wrong environment: {wrong}") from None
