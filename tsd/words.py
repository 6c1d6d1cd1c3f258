"""Numbers as a person reads them, on every screen."""

from __future__ import annotations


def number(n: int) -> str:
    """Thousands apart by thin spaces: 12 480."""
    return f"{n:,}".replace(",", "\u202f")


def counted(count: int, noun: str) -> str:
    """1 pack, 2 packs, 12 480 packs."""
    return f"{number(count)} {noun if count == 1 else f'{noun}s'}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 12 s, 4.5 min, 3.2 h."""
    if 0 < seconds < 1:
        return "< 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(count: int) -> str:
    """Bytes: 12.3 kB, 4.5 MB."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
