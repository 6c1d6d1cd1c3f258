"""A study whose trials all have the same fields, of every type."""

from tsd.fields import Batched, Static, field
from tsd.studies._base import Study

VERSION = 3


class Trial(Study):
    """One trial."""

    width: Static[int] = field(20, ge=1, doc="Width.")
    teacher_width: Static[int] = field(20, ge=1, doc="Width of the teacher.")
    layer: Static[str] = field("spectral", choices=("spectral", "direct"), doc="Layer.")
    lr: Batched[float] = field(5e-3, gt=0, doc="Step size.")
    l2: Batched[float] = field(0.0, ge=0, doc="Penalty.")
    shift: Batched[float] = field(1, doc="Any number.")
    nesterov: Static[bool] = field(False, doc="Look ahead.")
    note: Batched[str] = field("", doc="Any text.")
