"""Transcription of decoded audio, with the batched engine or openai-whisper's sliding window."""
