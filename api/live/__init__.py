"""Live transcription: the contract with the recognizer, and OpenAI's Realtime protocol on top of it."""
