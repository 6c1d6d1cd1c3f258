"""ONE FILE = ONE STUDY: what one trial computes. The file name is the name in YAML."""

from tsd.families import Family

STUDIES = Family("tsd.studies", "study")
