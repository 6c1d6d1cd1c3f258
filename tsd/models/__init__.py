"""Teacher and student families. ONE FILE = ONE FAMILY; the file name is the name in YAML."""

from tsd.families import Family

MODELS = Family("tsd.models", "model")
