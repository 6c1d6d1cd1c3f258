"""Teacher assistants: where the gap between teacher and student is wide, networks of sizes in between pass it on.

Teacher → assistant → … → student, each hop Hinton distillation: L = (1 − w) CE + w T² KL.   Mirzadeh et al. 2020,
arXiv:1902.03393. Every assistant is trained once, on the whole training set with the teacher's recipe, and kept; chains
that begin alike share it. Without assistants this is `kd`. The released code averages the KL over classes too, which
makes the soft term as many times smaller as there are classes; here it is summed. It also picks the best epoch on the
test set; here the last one counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from tsd import data
from tsd.errors import UserError
from tsd.fields import Static, field
from tsd.lazy import torch
from tsd.methods import kd
from tsd.methods._base import Taxonomy
from tsd.methods._teacher import PLAIN, TEACHER, TEACHER_FIELDS, Tutor, network, taught, train_network
from tsd.studies._base import Artefact, Kept

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.engine.rng import Streams
    from tsd.models._base import Model, View
    from tsd.studies._base import Shelf

NEXT = ">"


class Method(kd.Method):
    """Softened answers, handed down a chain of networks."""

    assistants: Static[str] = field(
        "", doc="Sizes of the assistants from the teacher's side, such as 8 or 20>8; WIDTHxDEPTH where depth matters."
    )

    taxonomy = Taxonomy(
        teacher="chain of assistants", passes="logits", where="output", data="training set", schedule="offline chain"
    )
    neutral: ClassVar = {"soft_weight": 0.0}

    def tutor(self) -> Tutor | None:
        """The last assistant of the chain; without any, the teacher itself.

        Raises:
            UserError: a size of the chain cannot be read.
        """
        if not self.assistants:
            return None
        sizes(self.assistants)
        return Tutor(ASSISTANT, lambda trial: (trial.teacher, *sizes(_chain(trial))[-1]))


def sizes(chain: str) -> list[tuple[int, int]]:
    """(width, depth) of every assistant of a chain such as "20>8" or "16x20>16x8"; 0 is the family's own.

    Raises:
        UserError: an entry is neither WIDTH nor WIDTHxDEPTH.
    """
    found = []
    for entry in chain.split(NEXT):
        width, _, depth = entry.strip().partition("x")
        if not (width.isdecimal() and (depth or "0").isdecimal()):
            raise UserError(
                f"assistants: {chain} cannot be read at `{entry}`. Give the widths of the assistants from the side of "
                'the teacher to that of the student, joined by ">", as in "8" or "20>8"; WIDTHxDEPTH where depths '
                'matter, as in "0x20>0x14".'
            )
        found.append((int(width), int(depth or 0)))
    return found


def _chain(trial: Any) -> str:
    chain: str = trial.part("method").assistants
    return chain


def _before(values: Mapping[str, Any]) -> dict[str, Any]:
    """The chain less its last assistant, which that one is taught by; nothing where the teacher teaches it."""
    shorter, _, _ = values["assistants"].rpartition(NEXT)
    return {"assistants": shorter} if shorter else {}


def _train_assistant(trial: Any, streams: Streams, shelf: Shelf) -> Kept:
    """The last assistant of the trial's chain, taught by the one before it or by the teacher."""
    method = trial.part("method")
    before = _before({"assistants": method.assistants})
    above = trial.but(**before) if before else trial
    teacher = taught((above.part("method").tutor() if before else None) or PLAIN, above, streams, shelf)
    size = (trial.teacher, *sizes(method.assistants)[-1])

    def build(at_hand: data.Images) -> Model:
        return network(size, trial.activation, at_hand.input_shape, at_hand.classes)

    def loss(student: View, batch: Mapping[str, Tensor], settings: Any) -> Tensor:
        soft = kd.soft_loss(student.output, batch["logits"], method.temperature)
        hard = torch.nn.functional.cross_entropy(student.output, batch["y"])
        return method.soft_weight * soft + (1 - method.soft_weight) * hard

    beside = {"logits": teacher.logits["train"]}
    arrays, facts = train_network(
        trial, streams, build, loss, shelf, beside=beside, who=f"assistant {method.assistants}"
    )
    told = {"taught_by": "accuracy", "taught_by_validation": "validation_accuracy"}
    return arrays, facts | {name: teacher.facts[own] for name, own in told.items() if own in teacher.facts}


ASSISTANT = Artefact(
    name="assistant",
    fields=(*TEACHER_FIELDS, "assistants", "temperature", "soft_weight"),
    streams=("teacher",),
    make=_train_assistant,
    needs=(TEACHER,),
    before=_before,
)
