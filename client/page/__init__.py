"""What the page in `client/app.py` shows, and the files that it gives: nothing here knows of Gradio or the endpoint."""
