"""Workers that are lost in the middle of a pack, and what becomes of it."""

import json
from dataclasses import asdict

import numpy as np

from tsd.store.checkpoints import Keeper


class Lost(Exception):
    """The worker is gone."""


class Life:
    """That of a worker: it is time to keep a state when it is asked for the `last`th time whether to, and the worker is
    lost when it is asked again. Without a last time it lives for ever and keeps nothing. `asked` counts."""

    def __init__(self, last=None):
        self.last, self.asked = last, 0

    def due(self):
        self.asked += 1
        if self.last is not None and self.asked > self.last:
            raise Lost
        return self.asked == self.last


class Mortal(Life, Keeper):
    """Keeps the state of a pack once in its life."""

    def __init__(self, files, last=None):
        Keeper.__init__(self, files, "pack", ["0" * 32])
        Life.__init__(self, last)


def in_one_go_and_in_lives(run, files, lives, draw):
    """What `run(keep)` gives undisturbed, and from the last of so many lives, whose ends are drawn: outcomes written
    out, so that every bit shows. Asserts that each life goes on where the one before it was kept."""
    undisturbed = Mortal(files)
    whole = written(run(undisturbed))
    assert not files.listed("checkpoints"), "kept before it was time"
    assert undisturbed.asked > lives, "it does not say where it stands"
    done = 0
    for moment in sorted(draw.sample(range(1, undisturbed.asked), lives - 1)):
        try:
            run(Mortal(files, moment - done))
        except Lost:
            done = moment
        assert done == moment, "ended before its time"
    last = Mortal(files)
    found = written(run(last))
    assert last.asked == undisturbed.asked - done, "what was done is done again, or some of it was never done"
    return whole, found


def written(outcomes):
    return [json.dumps(asdict(outcome), default=lambda each: np.asarray(each).tolist()) for outcome in outcomes]
