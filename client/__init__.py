"""What runs on the user's own machine: recordings to the endpoint, transcripts back.

No torch, no Whisper, and nothing of `src/`: it has an environment of its own (`make client`). Nothing is imported here,
so that `python -m client.transcribe` is the first to import it.
"""
