"""A transcript: segments, words and speakers, what is done to them, and its forms as text, JSON and subtitles.

Everything here is pure, and shared by the worker, the HTTP API and the client.
"""
