"""What ffmpeg is told about a recording from anybody, and what its log says; shared by worker, HTTP API and client."""
