"""Merging of the outputs and the speakers of a recording in parts."""
