"""Pruning a trained student to its core: which nodes stay, and what accuracy is left.

Scores and rules are those of the spectral study, here for classifiers of any depth; a student with plain weights is the
control. Giambagli, Buffoni, Chicchi, Fanelli 2023, arXiv:2310.12612, §3.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tsd.errors import UserError
from tsd.studies._base import Curve
from tsd.studies._classify import accuracy, predict
from tsd.studies._spectral_pruning import alive, by_count, by_percentile, by_threshold, node_scores, prune

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.studies._base import Fitted

RULES = ("threshold", "percentile", "count")
PRUNABLE = ("mlp", "spectral")
POINTS = 16
"""Counts of kept nodes at which accuracy is measured, spread evenly over their logarithms."""


def check_prunable(trial: Any) -> None:
    """Say early that a student cannot be pruned.

    Raises:
        UserError: its family has no hidden nodes that could go.
    """
    if trial.prune_by != "none" and trial.student not in PRUNABLE:
        raise UserError(
            f"prune_by: {trial.prune_by} prunes hidden nodes, which students of the families "
            f"{' and '.join(f'`{name}`' for name in PRUNABLE)} have; this one is `{trial.student}`. Use one of these "
            "two, or leave prune_by out."
        )


def pruned(student: Fitted, x: Tensor, label: Tensor, trial: Any) -> tuple[dict[str, float | int | str], Curve]:
    """What is left of `student`: its metrics after pruning, and its accuracy against the number of nodes kept."""
    layers = range(1, 1 + sum(name.endswith((".eigenvectors", ".weight")) for name in student.params) - 1)
    scores = {layer: node_scores(student.params, layer) for layer in layers}

    def left(keep: dict[int, Tensor]) -> float:
        return accuracy(predict(replace(student, params=prune(student.params, keep)), x), label)

    rule = {
        "threshold": lambda s: by_threshold(s, trial.prune_threshold),
        "percentile": lambda s: by_percentile(s, trial.prune_percentile),
        "count": lambda s: by_count(s, trial.prune_keep),
    }[trial.prune_by]
    counts = kept_counts(max(len(s) for s in scores.values()))
    by_kept = [left({layer: by_count(s, count) for layer, s in scores.items()}) for count in counts]
    living = sum(int(alive(student.params, trial.prune_threshold, layer).sum()) for layer in layers)
    return {
        "alive_nodes": living,
        "test_accuracy_pruned": left({layer: rule(s) for layer, s in scores.items()}),
    }, Curve("accuracy_keep", counts, by_kept)


def kept_counts(width: int) -> list[int]:
    """Numbers of nodes from 1 to `width`, both included, evenly spread over their logarithms."""
    return sorted({round(width ** (k / (POINTS - 1))) for k in range(POINTS)})
