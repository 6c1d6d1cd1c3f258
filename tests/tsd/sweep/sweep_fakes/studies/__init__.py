"""Fake studies."""
