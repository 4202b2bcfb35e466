"""The HTTP API that the worker serves by itself, and the client in front of an endpoint.

It imports neither of them: what transcribes is given to it as a `Transcriber`.
"""
