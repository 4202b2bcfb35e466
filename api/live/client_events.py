"""Events of a caller, validated strictly: they are untrusted input."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from api import json_text
from api.form_values import check_size, is_deeper, nameable, one_of, wrong
from api.openai.errors import ApiError

APPEND = "input_audio_buffer.append"
COMMIT = "input_audio_buffer.commit"
CLEAR = "input_audio_buffer.clear"
UPDATE = "session.update"
BETA_UPDATE = "transcription_session.update"
FINISH = "session.finish"
"""Ours: the caller has sent all sound, and waits for the rest of the text."""

TYPES = (UPDATE, BETA_UPDATE, APPEND, COMMIT, CLEAR, FINISH)

MAX_SOUND_BYTES = 15 * 2**20
"""Of one event, as at OpenAI."""


MAX_VALUES = 50_000
"""Of one event: 200 known voices have 192 numbers each."""

MAX_DEPTH = 8
"""Of lists and objects in one event: those of known voices in the present layout."""


@dataclass(frozen=True)
class ClientEvent:
    """An event of a caller.

    Attributes:
        type: one of `TYPES`.
        fields: its object of JSON.
    """

    type: str
    fields: dict[str, Any]

    def read_sound(self) -> bytes:
        """The sound of an `APPEND`.

        Raises:
            ApiError: it is missing, too large, or no base64.
        """
        text = self.fields.get("audio")
        if not isinstance(text, str):
            raise wrong("audio", "should be sound in base64")
        if len(text) > MAX_SOUND_BYTES // 3 * 4 + 4:
            raise _too_large()
        try:
            return base64.b64decode(text, validate=True)
        except ValueError:
            raise wrong("audio", "should be valid base64, with its padding") from None


class WrongEvent(Exception):
    """A message is no event of a caller.

    Args:
        error: what is wrong.
        event_id: the message's own, if it has one.
    """

    def __init__(self, error: ApiError, event_id: Any = None) -> None:
        super().__init__(str(error))
        self.error, self.event_id = error, event_id


def read_event(text: str) -> ClientEvent:
    """The event in a message.

    Raises:
        WrongEvent: there is none.
    """
    try:
        check_size("event", text, "[{,:", MAX_VALUES)
        fields = json_text.from_json(text)
    except ApiError as error:
        raise WrongEvent(error) from None
    except ValueError:
        raise WrongEvent(ApiError(400, "a message should be an event in JSON", code="invalid_json")) from None
    if not isinstance(fields, dict):
        raise WrongEvent(ApiError(400, 'a message should be an object such as {"type": "session.update"}'))
    given = fields.get("type")
    if is_deeper(fields, MAX_DEPTH):
        raise WrongEvent(ApiError(400, f"an event should have at most {MAX_DEPTH} levels"), fields.get("event_id"))
    if not isinstance(given, str) or given not in TYPES:
        named = f'"{nameable([given])[0]}" is no event here' if isinstance(given, str) else "the type is missing"
        unknown = wrong("type", f"{named}: a transcription session takes {one_of(TYPES)}")
        raise WrongEvent(unknown, fields.get("event_id"))
    return ClientEvent(given, fields)


def check_sound_size(sound: bytes) -> None:
    """Refuse more sound than one event may have.

    Raises:
        ApiError: it is too large.
    """
    if len(sound) > MAX_SOUND_BYTES:
        raise _too_large()


def _too_large() -> ApiError:
    return wrong("audio", f"should have at most {MAX_SOUND_BYTES // 2**20} MiB: send it in several events")
