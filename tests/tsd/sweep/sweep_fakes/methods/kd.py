"""Soft labels."""

from tsd.fields import Batched, Fields, field


class Method(Fields):
    """Two fields."""

    temperature: Batched[float] = field(4.0, gt=0, doc="Temperature.")
    soft_weight: Batched[float] = field(0.9, ge=0, le=1, doc="Share of the soft term.")
