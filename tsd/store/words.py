"""Numbers in a report, as a person writes them."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """1 part, 4 parts."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def size(count: int) -> str:
    """Bytes: 12.3 kB, 4.5 MB."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
