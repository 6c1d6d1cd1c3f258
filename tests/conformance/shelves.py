"""A shelf for tests: artefacts are made when they are first asked for, and kept in memory."""


class MemoryShelf:
    """Keeps artefacts for one test."""

    def __init__(self):
        self.kept = {}

    def get(self, artefact, trial, streams):
        key = (
            artefact.name,
            *(trial.values().get(f) for f in artefact.fields),
            *(streams.seeds[s] for s in artefact.streams),
        )
        if key not in self.kept:
            self.kept[key] = artefact.make(trial, streams, self)
        return self.kept[key]
