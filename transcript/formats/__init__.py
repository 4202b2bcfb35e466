"""A transcript as text, JSON and subtitles. Everything here is pure."""
