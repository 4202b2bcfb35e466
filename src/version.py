"""The version; not in `src/__init__.py`, which the image has below its models, so that a release fetches none again."""

__version__ = "0.1.0"
