"""What the page in `client/app.py` is made of: its form, the job, the transcript and the files that it gives."""
