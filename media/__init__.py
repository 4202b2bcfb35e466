"""Commands of ffmpeg for untrusted recordings, and its log; shared by the worker, the HTTP API and the client."""
