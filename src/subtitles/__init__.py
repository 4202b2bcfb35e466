"""Subtitles that people would ship: segments -> cues with lines -> files."""

from src.subtitles.layout import PRESETS, Layout

__all__ = ["PRESETS", "Layout"]
