"""Hints, with a temperature of its own default and range."""

from tsd.fields import Batched, Fields, field


class Method(Fields):
    """Two fields, one of which `kd` has too."""

    temperature: Batched[float] = field(2.0, ge=1, doc="Temperature.")
    beta: Batched[float] = field(1.0, ge=0, doc="Weight of the hints.")
