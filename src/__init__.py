"""The worker: what happens to a recording between the job that brings it and the transcript that leaves."""

__version__ = "0.1.0"
