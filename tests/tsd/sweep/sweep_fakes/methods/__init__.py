"""Fake methods."""

from tsd.families import Family

METHODS = Family("sweep_fakes.methods", "method")
