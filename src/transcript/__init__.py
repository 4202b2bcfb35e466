"""The transcript of a recording, and corrections of its text. Everything here is pure."""
