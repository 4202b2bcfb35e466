"""Live transcription: utterances of a stream of sound, their text while they are spoken and when they have ended."""
