"""Live transcription: what it asks of the part that hears, and OpenAI's Realtime events around it."""
