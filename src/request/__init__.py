"""The input of a job: its options, their validation, and the input of worker-faster_whisper."""
