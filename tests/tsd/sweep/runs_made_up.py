"""Runs without a sweep: a tally, a clock that is set by hand, packs that last as long as a test says."""

from tsd.sweep.counters import Task
from tsd.sweep.shapes import Shape
from tsd.sweep.tally import Tally
from tsd.sweep.waves import Pack
from tsd.sweep.work import Report


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def tally(shapes=((100, 10, None), (10, 10, None)), slots=2, device="cpu", note=lambda kind, facts: None):
    """A tally over shapes (trials, packs, seconds a trial as earlier rows tell), and its clock."""
    shapes = tuple(Shape({"width": i}, *shape) for i, shape in enumerate(shapes))
    task = Task("example", sum(s.trials for s in shapes), sum(s.packs for s in shapes), slots, device, shapes)
    clock = Clock()
    return Tally(task, note=note, clock=clock), clock


def finish(one, index, shape, trials, seconds, *, errors=None, **states):
    """One pack from its start to its end, `seconds` later."""
    pack = Pack(index, shape, 0, trials)
    one.started(pack)
    one.clock.now += seconds
    one.finished(pack, Report(str(index), states or {"done": trials}, seconds, errors or {}))
