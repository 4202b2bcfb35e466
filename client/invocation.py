"""The command line that this process runs, so that help and errors name commands as the user types them."""

from __future__ import annotations

import re
from contextvars import ContextVar

running_command = ContextVar("running_command", default="worker-whisper")
"""Such as `worker-whisper transcribe`, or `python -m client.transcribe` in a checkout."""


def command_line(name: str) -> str:
    """Return how another command is started, in the form in which the running one was.

    Args:
        name: of the command, such as `batch`.
    """
    running = running_command.get()
    # Programs that use the client as a library run no command.
    return f"{running} {name}" if " " not in running else re.sub(r"\w+$", name, running)
