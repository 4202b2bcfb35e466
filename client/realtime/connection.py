"""A connection to a live session of a worker, by OpenAI's Realtime protocol over WebSocket."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI

from client.errors import EndpointFailed, EndpointUnusable, WrongUsage
from client.settings import EndpointSettings
from client.transport.answers import JsonObject, clean_line, parse_json

MAX_EVENT_BYTES = 4 << 20
"""An utterance's text with all its words takes some 100 kB."""

_OPEN_TIMEOUT_S = 90.0  # while a worker starts, its server lets connections wait
_CLOSE_TIMEOUT_S = 2.0


class ConnectionLost(EndpointFailed):
    """There is no connection, or no longer; another attempt may help."""


class ConnectionRefused(ConnectionLost):
    """Nobody listens at the address, or it leads nowhere."""


class SessionGone(EndpointFailed):
    """The server does not know the session (any more)."""


async def open_connection(server: EndpointSettings, session_id: str | None, last_event: str) -> ClientConnection:
    """Connect to a new session, or to a known one.

    Args:
        server: address and key.
        session_id: of the session to be resumed; None: a new one.
        last_event: id of the last event that came from it; empty: none did.

    Raises:
        ConnectionLost: another attempt may help.
        SessionGone: the server does not know the session.
        EndpointFailed: the server refuses.
        WrongUsage: the address or the key is malformed.
    """
    key = server.api_key or ""
    if not (key.isascii() and key.isprintable()):
        raise WrongUsage("the API key is malformed: it has characters that no key has")
    query = {"intent": "transcription", **({"session_id": session_id, "after": last_event} if session_id else {})}
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        return await connect(
            f"{server.base_url.replace('http', 'ws', 1)}/v1/realtime?{urlencode(query)}",
            additional_headers=headers,
            user_agent_header="worker-whisper",
            compression=None,  # sound hardly gets smaller by it
            max_size=MAX_EVENT_BYTES,
            open_timeout=_OPEN_TIMEOUT_S,
            close_timeout=_CLOSE_TIMEOUT_S,
        )
    except InvalidStatus as error:
        raise _refusal(error, server, is_known=session_id is not None) from None
    except InvalidURI as error:
        raise WrongUsage(f"the server's address is malformed: {error.msg}") from None
    except InvalidHandshake as error:
        raise ConnectionLost(f"{host_of(server)} does not answer as a server ({type(error).__name__})") from None
    except TimeoutError:
        raise ConnectionLost(f"{host_of(server)} does not answer within {_OPEN_TIMEOUT_S:.0f} s") from None
    except OSError as error:
        raise ConnectionRefused(f"{_unreachable_message(server)} ({_reason(error)})") from None


def host_of(server: EndpointSettings) -> str:
    """Return the server's host and port, by which messages name it."""
    return urlsplit(server.base_url).netloc.rpartition("@")[2]


def _refusal(error: InvalidStatus, server: EndpointSettings, *, is_known: bool) -> EndpointFailed:
    status = error.response.status_code
    reason = _server_message(bytes(error.response.body or b""))
    if status == 429 or status >= 500:
        return ConnectionLost(f"{host_of(server)} answers {status}{reason}")
    if status == 404 and is_known:
        return SessionGone("the server does not know the session")
    if status == 401:
        return EndpointUnusable("the API key is wrong or missing: check --api-key or RUNPOD_API_KEY")
    if status == 403:
        return EndpointUnusable(f"the server refuses{reason or ': the API key may not use it'}")
    if status in (200, 400, 404, 405, 426) and not reason:
        return EndpointUnusable(
            f"{host_of(server)} has no live transcription: it needs a worker in HTTP mode (`make http`, or a "
            "load-balancing endpoint), whose address --server gives"
        )
    return EndpointUnusable(f"{host_of(server)} answers {status}{reason}")


def _server_message(body: bytes) -> str:
    """The server's explanation of a refusal, if it gives one."""
    try:
        error: JsonObject | str = parse_json(body)["error"]
    except (ValueError, TypeError, KeyError):
        return ""
    message = error.get("message") if isinstance(error, dict) else error
    return f": {clean_line(str(message), 300)}" if message else ""


def _unreachable_message(server: EndpointSettings) -> str:
    is_here = urlsplit(server.base_url).hostname in ("localhost", "127.0.0.1", "::1")
    first_step = "start a worker in HTTP mode (`make http`)" if is_here else "check the network"
    return f"{host_of(server)} cannot be reached: {first_step}, then check the address in --server"


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
