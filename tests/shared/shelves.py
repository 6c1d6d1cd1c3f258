"""A shelf for tests: artefacts are made when they are first asked for, and kept in memory by what they depend on."""


class MemoryShelf:
    """Keeps artefacts in `kept`, by name, field values and seeds; `made` tells in which order they were made, each with
    the trial that asked for it."""

    keep = None

    def __init__(self):
        self.kept = {}
        self.made = []

    def get(self, artefact, trial, streams):
        values = trial.values()
        key = (artefact.name, *map(values.get, artefact.fields), *(streams.seeds.get(s, 0) for s in artefact.streams))
        if key not in self.kept:
            self.kept[key] = artefact.make(trial, streams, self)
            self.made.append((artefact.name, trial))
        return self.kept[key]
