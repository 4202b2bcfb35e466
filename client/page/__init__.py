"""Parts of the web page in `client/app.py`: form, job, transcript, and downloads."""
