"""One pack → one tensor program. Nothing here knows of sweeps, files or ray."""
