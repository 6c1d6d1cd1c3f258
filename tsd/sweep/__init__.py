"""From a YAML file to scheduled packs: `python -m tsd.sweep`."""
