"""`python -m worker_whisper`: the command `worker-whisper`."""

from client.__main__ import main

if __name__ == "__main__":
    main()
