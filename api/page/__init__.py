"""The page: its files (`static/`), and what keeps transcripts and recordings for it; `api.http.page_*` are its routes."""
