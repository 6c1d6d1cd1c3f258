"""Studies that compute nothing: what a sweep file may say, small enough to reason about."""

from pathlib import Path

from tsd.families import Family
from tsd.sweep import spec

STUDIES = Family("sweep_fakes.studies", "study")


def load(folder: Path, text: str, *overrides: str) -> spec.Sweep:
    """The sweep of a file with this `text`."""
    file = folder / "sweep.yaml"
    file.write_text(text, encoding="utf-8")
    return spec.load(file, overrides, STUDIES)
