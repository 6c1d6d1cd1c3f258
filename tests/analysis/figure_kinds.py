"""Every kind of figure, drawn from a table of laws that anybody can write down, with so many values on its axis."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.collapse import collapse
from analysis.figures.curves import curves
from analysis.figures.histogram import histogram
from analysis.figures.lines import lines
from analysis.figures.phase import phase
from analysis.figures.scaling import scaling

SHIFTS = 0.03 * np.random.default_rng(0).normal(size=(4, 400))


def values(count: int) -> list[float]:
    """So many widths, evenly spread in their logarithm."""
    return np.unique(np.round(np.geomspace(10, 30_000, count), 2)).tolist()


def long(count: int) -> pd.DataFrame:
    """`error` ~ 1 / x + floor over x in three groups, four seeds."""
    rows = [
        {"x": x, "group": g, "seed_init": s, "error": (3 / x + 0.01 * g) * float(np.exp(SHIFTS[s, i]))}
        for i, x in enumerate(values(count))
        for g in (1, 2, 4)
        for s in range(4)
    ]
    return pd.DataFrame(rows)


def plane(count: int) -> pd.DataFrame:
    """Over x and y; a corner is lost, one place was never run."""
    ys = np.linspace(0, 1, min(count, 40)).tolist()
    rows = [
        {"x": x, "y": y, "seed_init": s, "error": x**-0.5 + y + float(SHIFTS[s, i]), "state": "done"}
        for i, x in enumerate(values(count))
        for y in ys
        for s in range(2)
        if i + ys.index(y) > 0
    ]
    rows[-1]["state"] = rows[-2]["state"] = "diverged"
    frame = pd.DataFrame(rows)
    return frame.assign(outcome=np.where(frame["error"] > 0.6, "copy_average", "perturbed_copy"))


def named(count: int) -> pd.DataFrame:
    """The same over words."""
    frame = long(count)
    words = {x: f"activation {i}" for i, x in enumerate(sorted(set(frame["x"])))}
    return frame.assign(x=frame["x"].map(words))


def steps(count: int) -> pd.DataFrame:
    """The same along curves."""
    frame = long(count).rename(columns={"x": "step"})
    frame["trial_id"] = frame["group"].astype(str) + "-" + frame["seed_init"].astype(str)
    frame.attrs["tsd"] = {"step": "step"}
    return frame


def sizes(count: int) -> pd.DataFrame:
    """tanh((c − 1) size) for three sizes."""
    rows = [
        {"c": c, "size": n, "seed_init": s, "overlap": float(np.tanh((c - 1) * n / 5) + SHIFTS[s, i] * (1 + n / 40))}
        for n in (10, 20, 40)
        for i, c in enumerate(np.linspace(0.5, 1.5, max(min(count, 60), 9)))
        for s in range(4)
    ]
    return pd.DataFrame(rows)


PLANE = {"x": "x", "y": "y", "log_x": True}
KINDS: dict[str, Callable[[int], Figure]] = {
    "phase": lambda n: phase(plane(n), value="error", threshold=0.6, **PLANE).figure,
    "phase_linear": lambda n: phase(plane(n), x="x", y="y", value="error").figure,
    "phase_continuous": lambda n: phase(plane(n), value="error", threshold=0.6, shading="continuous", **PLANE).figure,
    "phase_outcomes": lambda n: phase(plane(n), value="outcome", **PLANE).figure,
    "phase_words": lambda n: phase(named(n), x="x", y="group", value="error", log_value=True).figure,
    "lines": lambda n: lines(long(n), x="x", value="error", by="group", log_x=True, log_value=True).figure,
    "lines_words": lambda n: lines(named(n), x="x", value="error", by="group").figure,
    "curves": lambda n: curves(steps(n), value="error", by="group", log_x=True, log_value=True).figure,
    "histogram": lambda n: histogram(long(n), value="error", by="group", bins=min(n, 60), log_value=True).figure,
    "scaling": lambda n: scaling(long(max(n, 5)), x="x", value="error", by="group").figure,
    "collapse": lambda n: collapse(sizes(n), value="overlap", size="size", control="c").figure,
}  # fmt: skip
