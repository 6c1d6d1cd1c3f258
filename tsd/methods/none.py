"""Plain training: the student learns from the labels alone, the baseline of every method.

L = CE(z_s, y).   The baseline in Hinton, Vinyals, Dean 2015, arXiv:1503.02531, §3.
"""

from __future__ import annotations

from tsd.methods._base import Distillation, Lesson, Needs, Taxonomy, Terms


class Method(Distillation):
    """Cross-entropy of the labels."""

    needs = Needs(teacher=False)
    taxonomy = Taxonomy(teacher="none", passes="nothing", where="nowhere", data="training set", schedule="offline")

    def loss(self, lesson: Lesson) -> Terms:
        """The term `hard`."""
        return {"hard": lesson.hard()}
