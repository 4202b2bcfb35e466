"""A process that serves live transcription with a scripted recognizer, at the port of its argument."""

from __future__ import annotations

import sys

from api.http.app import create_app
from api.http.door import DoorSettings
from api.http.server import serve
from tests.support.http_api import ScriptedTranscriber
from tests.support.live import ScriptedLiveRecognizer

if __name__ == "__main__":
    serve(
        lambda: create_app(ScriptedTranscriber(), DoorSettings(), live=ScriptedLiveRecognizer()),
        host="127.0.0.1",
        ports=[int(sys.argv[1])],
    )
