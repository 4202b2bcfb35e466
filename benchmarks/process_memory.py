"""Memory of the current process, from Linux's `/proc/self`.

`getrusage` cannot replace it: its peak is kept over `exec`, so that a child starts with its parent's.
"""

from __future__ import annotations

from pathlib import Path


def resident_mb() -> float:
    """Return the resident memory now."""
    return read_kilobytes("VmRSS") / 1024


def peak_mb() -> float:
    """Return the highest resident memory so far, file pages that the kernel may drop included."""
    return read_kilobytes("VmHWM") / 1024


def read_kilobytes(field: str, file: str = "status") -> int:
    """Return one field of a file under `/proc/self`."""
    lines = Path("/proc/self", file).read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
