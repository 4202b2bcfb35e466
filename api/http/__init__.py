"""The server: routes, uploads, keys, metrics."""
