"""The client of worker-whisper: sends recordings to an endpoint, and returns their transcripts.

with worker_whisper.Client() as client:  # RUNPOD_ENDPOINT_ID and RUNPOD_API_KEY say where the worker is
    print(client.transcribe("talk.mp3").text)
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from client.library import *  # noqa: F403
    from client.library import __all__ as __all__
else:

    def __getattr__(name: str) -> object:
        """Import the library when it is used: the command line starts without it."""
        from client import library

        if name == "__all__" or name in library.__all__:
            return getattr(library, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
