"""Captions in a video: as a track, or drawn into its picture."""
