"""No teacher."""

from tsd.fields import Fields


class Method(Fields):
    """Nothing to set."""
