"""OpenAI's audio API as data: requests, answers, events and errors. Pure; it knows of no server."""
