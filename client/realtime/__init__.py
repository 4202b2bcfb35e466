"""One live transcription: sound to a worker, and its text back, over connections that may break."""
