"""ONE FILE = ONE DISTILLATION METHOD: how a student learns from its teacher. The file name is the name in YAML."""

from tsd.families import Family

METHODS = Family("tsd.methods", "method", summed=True)
