"""Cells on a plane: a value over two axes as matrices, what each cell lacks, and where the value crosses a level."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from contourpy import contour_generator
from numpy.typing import NDArray

from analysis.drawing.axis import Axis

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Plane:
    """A value over two axes. Matrices have shape (values of y, values of x).

    Args:
        mean: NaN where no trial gave a value.
        diverged, failed: number of trials that ended so.
        thinned: there is a mean, but some trials diverged or failed; on a curve, at the middle of its steps only.
        missing: no trial ran here.
        unsettled: trials ended well here, but not those that a mean needs: one without a value, or a setting that no
            seed has.
        beyond: outside the steps that every curve has here; there is no mean to take.
        divided: trials ended well here, but not all with the outcome that most had.
        few: the mean, or the outcome, is of fewer than half of the seeds that the best cell has.
    """

    x: Axis
    y: Axis
    mean: Matrix
    diverged: Matrix
    failed: Matrix
    thinned: Mask
    missing: Mask
    unsettled: Mask
    beyond: Mask
    divided: Mask
    few: Mask

    @classmethod
    def of(cls, frame: pd.DataFrame, x: Axis, y: Axis, step: str | None = None) -> Plane:
        """`frame` is that of `Cells`. Along the axis `step` a curve fills the places between its own steps."""
        if step == x.name:
            return cls.of(frame, y, x, step)._flipped()
        names = ("_mean", "_trials", "_diverged", "_failed")
        mean, trials, diverged, failed = (_matrix(frame, name, x, y) for name in names)
        lost, known = diverged + failed > 0, ~np.isnan(mean)
        thinned, beyond = lost & known, np.zeros_like(lost)
        if step == y.name:
            nearest, middle, beyond = _own_steps(known, y.along())
            mean = np.where(beyond, np.nan, np.take_along_axis(mean, nearest, axis=0))
            thinned = lost & middle
        empty = np.isnan(mean) & ~lost & ~beyond
        divided = _matrix(frame, "_share", x, y) < 1 if "_share" in frame else np.zeros_like(lost)
        few = known & ~thinned & _short(frame, x, y)
        masks = (thinned, empty & (trials == 0), empty & (trials > 0), beyond, divided & known, few)
        return cls(x, y, mean, diverged, failed, *masks)

    def lost(self) -> Mask:
        """Cells without a mean in which trials diverged or failed."""
        return np.isnan(self.mean) & (self.diverged + self.failed > 0) & ~self.beyond

    def boxes(self, mask: Mask) -> Matrix:
        """Corners of the chosen cells, shape (cells, 4, 2), in data coordinates."""
        x, y = self.x.edges(), self.y.edges()
        rows, columns = np.nonzero(mask)
        left, right, low, high = x[columns], x[columns + 1], y[rows], y[rows + 1]
        corners = [(left, low), (right, low), (right, high), (left, high)]
        return np.stack([np.stack(corner, axis=-1) for corner in corners], axis=1)

    def boundary(self, level: float, log: bool = False) -> list[Matrix]:
        """Lines on which the mean crosses `level`, each of shape (points, 2), in data coordinates.

        Between numbers the value is interpolated, in the measure of the axes and, with `log`, of its logarithm.
        Nothing lies between categories: there the line runs along the borders of cells.
        """
        height = np.log(np.where(self.mean > 0, self.mean, np.nan)) if log else self.mean
        level = float(np.log(level)) if log else level
        if not (self.x.numeric and self.y.numeric) or min(height.shape) < 2:
            return self._staircase(height >= level, ~np.isnan(height))
        contours = contour_generator(self.x.along(), self.y.along(), np.ma.masked_invalid(height))
        lines: Any = contours.lines(level)
        return [np.column_stack([self.x.back(line[:, 0]), self.y.back(line[:, 1])]) for line in lines]

    def borders(self) -> list[Matrix]:
        """Lines between cells of different means, along the borders of cells."""
        return self._staircase(self.mean, ~np.isnan(self.mean))

    def _staircase(self, of: NDArray[Any], known: Mask) -> list[Matrix]:
        x, y = self.x.edges(), self.y.edges()
        upright = (of[:, 1:] != of[:, :-1]) & known[:, 1:] & known[:, :-1]
        level = (of[1:] != of[:-1]) & known[1:] & known[:-1]
        lines = [np.array([[x[i + 1], y[j]], [x[i + 1], y[j + 1]]]) for j, i in np.argwhere(upright)]
        return lines + [np.array([[x[i], y[j + 1]], [x[i + 1], y[j + 1]]]) for j, i in np.argwhere(level)]

    def _flipped(self) -> Plane:
        turned: Any = {f.name: getattr(self, f.name).T for f in fields(self) if f.name not in ("x", "y")}
        return Plane(self.y, self.x, **turned)


def _matrix(frame: pd.DataFrame, name: str, x: Axis, y: Axis) -> Matrix:
    """Values by place. A row without a step belongs to a group that finished no curve, and so to all of its steps."""
    matrix = np.full((len(y.values), len(x.values)), np.nan if name in ("_mean", "_share") else 0.0)
    for row, column, value in zip(_places(frame, y), _places(frame, x), frame[name], strict=True):
        matrix[slice(None) if row < 0 else row, slice(None) if column < 0 else column] = value
    return matrix


def _short(frame: pd.DataFrame, x: Axis, y: Axis) -> Mask:
    """Where means, or outcomes, are of fewer than half of the most seeds."""
    name = "_seeds" if "_seeds" in frame else "_n"
    if name not in frame:
        return np.zeros((len(y.values), len(x.values)), dtype=bool)
    seeds = np.nan_to_num(_matrix(frame, name, x, y))
    return (seeds > 0) & (2 * seeds < seeds.max())


def _places(frame: pd.DataFrame, axis: Axis) -> list[int]:
    return [int(place) for place in pd.Index(axis.values).get_indexer(pd.Index(frame[axis.name]))]


def _own_steps(known: Mask, places: Matrix) -> tuple[NDArray[np.intp], Mask, Mask]:
    """For each column of `known`: the row whose step is nearest, the middle row of its steps, the rows beyond them."""
    rows = np.arange(len(places))
    nearest = np.repeat(rows[:, None], known.shape[1], axis=1)
    middle, beyond = np.zeros_like(known), np.zeros_like(known)
    for column in np.flatnonzero(known.any(axis=0)):
        steps = np.flatnonzero(known[:, column])
        nearest[:, column] = steps[np.abs(places[:, None] - places[steps]).argmin(axis=1)]
        middle[steps[len(steps) // 2], column] = True
        beyond[:, column] = (rows < steps[0]) | (rows > steps[-1])
    return nearest, middle, beyond
