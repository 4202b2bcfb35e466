"""The page: its files (`static/`), and what keeps transcripts and recordings for it (routes: `api.http.page_*`)."""
