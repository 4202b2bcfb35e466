"""Client for the worker: sends recordings to an endpoint and saves the transcripts.

It runs on the user's machine, installed as `worker_whisper` or from the checkout, without torch, Whisper or `src/`.
This file imports nothing, so that `python -m client.transcribe` does not import the module twice.
"""
