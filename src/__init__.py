"""The worker: what happens to a recording between the job that brings it and the transcript that leaves."""

from src import without_numba

__version__ = "0.1.0"

without_numba.install()
