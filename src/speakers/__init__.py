"""Diarization, and the assignment of speakers to a transcript."""
