"""The worker: what happens to a recording between the job that brings it and the transcript that leaves."""

from src import without_numba

without_numba.install()
