"""Endpoint, API key and address, from arguments, else the environment, else a file.

    argument      environment           ~/.config/worker-whisper.toml
    --endpoint    RUNPOD_ENDPOINT_ID    endpoint_id = "..."
    --api-key     RUNPOD_API_KEY        api_key = "..."
    --base-url    RUNPOD_BASE_URL       base_url = "https://api.runpod.ai/v2"

Only the user's own configuration file (or the one that --config names) is read: a file in the working directory could
send the key to a stranger's address.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from client.errors import WrongUsage
from client.files import home_folder

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RUNPOD_API_URL = "https://api.runpod.ai/v2"
HTTP_MODE_URL = "http://localhost:8000"
"""Of a worker in HTTP mode on this machine, as `make http` starts it."""

_VARIABLES = {"endpoint_id": "RUNPOD_ENDPOINT_ID", "api_key": "RUNPOD_API_KEY", "base_url": "RUNPOD_BASE_URL"}


@dataclass(frozen=True)
class EndpointSettings:
    """Address and credentials of an endpoint."""

    base_url: str = RUNPOD_API_URL
    endpoint_id: str | None = None
    """None for a worker's local API, which has no endpoint ids."""
    api_key: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The address to which /run, /status/… are appended."""
        base = self.base_url.rstrip("/")
        return base if self.is_single_worker else f"{base}/{quote(self.endpoint_id or '', safe='')}"

    @property
    def is_single_worker(self) -> bool:
        """True for a worker's own address (`http://localhost:8000`); a platform's address has a path."""
        return not urlsplit(self.base_url).path.strip("/")


def find_settings(
    endpoint_id: str | None = None,
    api_key: str | None = None,
    base_url: str | None = None,
    *,
    config: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> EndpointSettings:
    """Look up each setting in the arguments, then the environment, then the configuration file.

    Raises:
        WrongUsage: a setting is missing or malformed; the message says where to set it.
    """
    found = _look_up(endpoint_id, api_key, base_url, config, environment)
    base_url, endpoint_id = _split_base_url(found["base_url"] or RUNPOD_API_URL, found["endpoint_id"])
    settings = EndpointSettings(base_url, endpoint_id, found["api_key"])
    _check(settings)
    return settings


def find_http_server(
    endpoint_id: str | None = None,
    api_key: str | None = None,
    server: str | None = None,
    *,
    config: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> EndpointSettings:
    """Look up where a worker in HTTP mode is: a server's address, a load-balancing endpoint's, else this machine.

    Args:
        endpoint_id: of a load-balancing endpoint; RunPod's address of it is `https://ID.api.runpod.ai`.
        api_key: of RunPod, or one of the worker's `API_KEYS`.
        server: the worker's own address, also as OpenAI's SDKs need it, with /v1; it wins over an endpoint's id.
        config: the configuration file; None: the user's own.
        environment: the process's.

    Raises:
        WrongUsage: the address is malformed, or that of a queue endpoint; or the key of an endpoint is missing.
    """
    found = _look_up(endpoint_id, api_key, server, config, environment)
    given = None if endpoint_id and not server else found["base_url"]
    base_url, known_id = _split_base_url(given or RUNPOD_API_URL, None if server else found["endpoint_id"])
    if base_url.rstrip("/") != RUNPOD_API_URL:
        return EndpointSettings(_server_address(base_url), None, found["api_key"])
    if known_id is None:
        return EndpointSettings(HTTP_MODE_URL, None, found["api_key"])
    _check(EndpointSettings(base_url, known_id, found["api_key"]))
    return EndpointSettings(f"https://{quote(known_id, safe='')}.api.runpod.ai", None, found["api_key"])


def _server_address(address: str) -> str:
    """Return a server's http(s) address, also if it is one of WebSockets, or ends in /v1 or /v1/realtime."""
    address = re.sub(r"^ws(?=s?://)", "http", address.strip(), flags=re.IGNORECASE)
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise WrongUsage(f"the server's address {address!r:.200} is not an http(s) address such as {HTTP_MODE_URL}")
    path = re.sub(r"/v1(/realtime)?/*$", "", parts.path).rstrip("/")
    if re.search(r"/v2(/|$)", path):
        raise WrongUsage(
            "live transcription needs a worker in HTTP mode, and this is the address of a queue endpoint: give the "
            f"worker's own address with --server, such as {HTTP_MODE_URL}"
        )
    return f"{parts.scheme}://{parts.netloc}{path}"


def config_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the user's configuration file, which need not exist."""
    folder = environment.get("XDG_CONFIG_HOME") or home_folder() / ".config"
    return Path(folder) / "worker-whisper.toml"


def _look_up(
    endpoint_id: str | None,
    api_key: str | None,
    base_url: str | None,
    config: Path | None,
    environment: Mapping[str, str],
) -> dict[str, str | None]:
    arguments = {"endpoint_id": endpoint_id, "api_key": api_key, "base_url": base_url}
    saved = _read(config, environment)
    return {name: arguments[name] or environment.get(_VARIABLES[name]) or saved.get(name) for name in _VARIABLES}


def _read(config: Path | None, environment: Mapping[str, str]) -> dict[str, str]:
    path = config or config_file(environment)
    try:
        if config is None and not path.is_file():
            return {}
        saved: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongUsage(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise WrongUsage(f"{path} is not TOML: {error}") from None
    if wrong := [name for name, value in saved.items() if name not in _VARIABLES or not isinstance(value, str)]:
        raise WrongUsage(f"{path}: {wrong[0]} is unknown or not a string; allowed are {', '.join(_VARIABLES)}")
    return saved


def _split_base_url(base_url: str, endpoint_id: str | None) -> tuple[str, str | None]:
    """Return the base URL and the endpoint's id, also if the URL holds both: `.../v2/ID` or `.../v2/ID/run`."""
    base_url = base_url.strip()
    if base_url.rstrip("/") == RUNPOD_API_URL.removesuffix("/v2"):
        return RUNPOD_API_URL, endpoint_id
    found = re.fullmatch(r"(.*/v2)/([^/?#]+)(?:/(?:run|runsync|status|stream|health)\b.*)?/*", base_url)
    if found is None:
        return base_url, endpoint_id
    if endpoint_id not in (None, found[2]):
        raise WrongUsage(f"the base URL names another endpoint than {endpoint_id}: it ends in /v2, without an id")
    return found[1], found[2]


def _check(settings: EndpointSettings) -> None:
    address = urlsplit(settings.base_url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise WrongUsage(f"the base URL {settings.base_url!r} is not an http(s) address such as {RUNPOD_API_URL}")
    if settings.is_single_worker:
        return
    if address.path.rstrip("/").endswith("/v1"):
        raise WrongUsage("the base URL ends in /v1, as OpenAI's SDKs need it: leave /v1 out here")
    for name, argument, words in (("endpoint_id", "--endpoint", "endpoint's id"), ("api_key", "--api-key", "API key")):
        if not getattr(settings, name):
            where = f"{argument}, {_VARIABLES[name]} or {name} in {config_file()}"
            raise WrongUsage(f"the {words} is missing: give {where}")
