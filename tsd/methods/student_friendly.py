"""Student-friendly teachers: a teacher that learns, while it is trained, what its students can follow.

Behind each of its stages but the last the teacher gets a branch: a transform and the rest of a student's network. With
them it is trained by CE(z_t, y) + α mean_i τ² KL(p_t ‖ p_i) + β mean_i CE(z_i, y), where z_i are the answers of the
branches. Then the branches are dropped, and a fresh student is taught by softened answers.
Park et al. 2021, arXiv:2102.07650, eqs. 1–3. Without the branches' terms the teacher is the plain one.
Formula: `friendly_loss`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tsd import data
from tsd.errors import UserError
from tsd.fields import Static, field
from tsd.lazy import torch
from tsd.methods import kd
from tsd.methods._base import Taxonomy, Traits
from tsd.methods._features import regressor
from tsd.methods._teacher import TEACHER_FIELDS, Tutor, network, network_of, train_network, traits
from tsd.models._base import View, below
from tsd.studies._base import Artefact, Kept

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from tsd.engine.rng import Streams
    from tsd.models._base import Classifier, Draw, Model, Params
    from tsd.studies._base import Shelf


class Method(kd.Method):
    """Softened answers of a teacher that was trained together with branches of its student."""

    branch_soft_weight: Static[float] = field(3.0, ge=0, doc="Weight of the branches' divergence from the teacher.")
    branch_label_weight: Static[float] = field(1.0, ge=0, doc="Weight of the branches' cross-entropy of the labels.")
    branch_temperature: Static[float] = field(1.0, gt=0, doc="Softens the answers of teacher and branches.")
    branch_moves_teacher: Static[bool] = field(
        True, doc="Whether the divergence moves the teacher by its answers too, not by its inner activations alone."
    )

    taxonomy = Taxonomy(
        teacher="co-trained with student branches",
        passes="logits",
        where="output",
        data="training set",
        schedule="two stages",
    )
    neutral: ClassVar = {"soft_weight": 0.0, "branch_soft_weight": 0.0, "branch_label_weight": 0.0}

    def reads(self, student: Traits, teacher: Traits) -> Sequence[str]:
        """Nothing of the finished teacher; that branches can be attached is seen here."""
        branches(student, teacher)
        return ()

    def tutor(self) -> Tutor:
        """The student-friendly teacher; its network is that of the plain one."""
        return Tutor(FRIENDLY, network_of)


def friendly_loss(
    teacher_logits: Tensor,
    branch_logits: Sequence[Tensor],
    label: Tensor,
    *,
    soft_weight: float = 3.0,
    label_weight: float = 1.0,
    temperature: float = 1.0,
    moves_teacher: bool = True,
) -> Tensor:
    """CE(z_t, y) + α mean_i τ² KL(p_t ‖ p_i) + β mean_i CE(z_i, y), a mean over the batch.

    Args:
        teacher_logits: shape (batch, class).
        branch_logits: those of every branch, each of that shape.
        label: shape (batch,).
        soft_weight, label_weight: α and β.
        temperature: τ.
        moves_teacher: whether the divergence has a gradient with respect to z_t.
    """
    cross_entropy = torch.nn.functional.cross_entropy
    answers = teacher_logits if moves_teacher else teacher_logits.detach()
    soft = torch.stack([kd.soft_loss(branch, answers, temperature) for branch in branch_logits]).mean()
    hard = torch.stack([cross_entropy(branch, label) for branch in branch_logits]).mean()
    return cross_entropy(teacher_logits, label) + soft_weight * soft + label_weight * hard


@dataclass(frozen=True)
class Branch:
    """What is attached to a stage of the teacher.

    Args:
        end: the teacher's feature point at which it begins.
        stage: the student's stage behind which its rest begins.
        transform: leads from the one to the other.
    """

    end: str
    stage: int
    transform: Model


def branches(student: Traits, teacher: Traits) -> list[Branch]:
    """One behind each stage of the teacher but the last; stages are paired from the output's side.

    Raises:
        UserError: there is no stage but the last, or no transform leads from a stage of the teacher to the student's.
    """
    pairs = list(zip(reversed(teacher.stages), reversed(range(len(student.stages))), strict=False))[1:][::-1]
    if not pairs:
        raise UserError(
            f"A student-friendly teacher gets a branch behind each stage but the last; the {teacher.role} has "
            f"{len(teacher.stages)} and the {student.role} {len(student.stages)}. Use networks of two stages or more."
        )
    found = []
    for stage, i in pairs:
        names = (stage.end, student.stages[i].end)
        shapes = teacher.shapes[names[0]], student.shapes[names[1]]
        found.append(Branch(stage.end, i, regressor(names, *shapes, relu=True)))
    return found


@dataclass(frozen=True, eq=False)
class Branched:
    """A teacher with branches of the network `student`. Their answers are the features `branch0`, `branch1`, …"""

    teacher: Classifier
    student: Classifier
    branches: Sequence[Branch]

    def init(self, draw: Draw) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The teacher's weights under their own names, those of branch i as "branch<i>.<name>"."""
        params, buffers = self.teacher.init(draw)
        for i, branch in enumerate(self.branches):
            prefix, names = f"branch{i}.", set(self.student.tail_names(branch.stage))
            drawn = self.student.init(functools.partial(_prefixed, draw, prefix))
            for kept, group in zip((params, buffers), drawn, strict=True):
                kept |= {prefix + name: value for name, value in group.items() if name in names}
            own, _ = branch.transform.init(functools.partial(_prefixed, draw, f"{prefix}transform."))
            params |= {f"{prefix}transform.{name}": value for name, value in own.items()}
        return params, buffers

    def forward(self, params: Params, buffers: Params, x: Tensor, *, train: bool = False) -> View:
        """The teacher's answers; those of its branches among the features."""
        main = [{name: v for name, v in group.items() if not name.startswith("branch")} for group in (params, buffers)]
        view = self.teacher.forward(main[0], main[1], x, train=train)
        features, after = dict(view.features), dict(view.buffers)
        for i, branch in enumerate(self.branches):
            own, state = (below(f"branch{i}.", group) for group in (params, buffers))
            signal = branch.transform.forward(below("transform.", own), {}, view.features[branch.end], train=train)
            rest = self.student.tail(own, state, signal.output, after=branch.stage, train=train)
            features[f"branch{i}"] = rest.output
            after |= {f"branch{i}.{name}": value for name, value in rest.buffers.items()}
        return View(view.output, features, after)


def _prefixed(draw: Draw, prefix: str, name: str) -> np.random.Generator:
    return draw(prefix + name)


def _train_friendly(trial: Any, streams: Streams, shelf: Shelf) -> Kept:
    """A teacher and its branches, of which the teacher is kept."""
    method = trial.part("method")

    def build(at_hand: data.Images) -> Model:
        sizes = {"student": (trial.student, trial.student_width, trial.student_depth), "teacher": network_of(trial)}
        given = (trial.activation, at_hand.input_shape, at_hand.classes)
        student, teacher = (network(size, *given) for size in sizes.values())
        known = [traits(role, size, *given) for role, size in sizes.items()]
        return Branched(teacher, student, branches(*known))

    def loss(view: View, batch: Mapping[str, Tensor], settings: Any) -> Tensor:
        answers = [value for name, value in view.features.items() if name.startswith("branch")]
        return friendly_loss(
            view.output,
            answers,
            batch["y"],
            soft_weight=method.branch_soft_weight,
            label_weight=method.branch_label_weight,
            temperature=method.branch_temperature,
            moves_teacher=method.branch_moves_teacher,
        )

    return train_network(trial, streams, build, loss, shelf, keep=lambda model: model.teacher)


FRIENDLY = Artefact(
    name="student_friendly_teacher",
    fields=(
        *(*TEACHER_FIELDS, "student", "student_width", "student_depth"),
        *("branch_soft_weight", "branch_label_weight", "branch_temperature", "branch_moves_teacher"),
    ),
    streams=("teacher",),
    make=_train_friendly,
)
