"""A study with a part: its field `method` names a file that has fields of its own."""

from sweep_fakes.methods import METHODS
from tsd.fields import Batched, Static, field
from tsd.studies._base import Study

VERSION = 1


class Trial(Study):
    """One trial."""

    parts = {"method": METHODS}  # noqa: RUF012

    width: Static[int] = field(20, ge=1, doc="Width.")
    method: Static[str] = field("kd", doc="How the student learns.")
    lr: Batched[float] = field(5e-3, gt=0, doc="Step size.")
