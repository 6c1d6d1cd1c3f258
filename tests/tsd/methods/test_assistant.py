"""Chains of assistants: what a hop is, what is shared, and that nothing is trained twice."""

from contextlib import suppress

import duckdb
import numpy as np
import pytest
from shelves import MemoryShelf

from tsd import data
from tsd.engine.rng import STREAMS, Streams
from tsd.engine.run import run_pack
from tsd.errors import UserError
from tsd.methods import assistant
from tsd.methods._teacher import taught
from tsd.methods.assistant import ASSISTANT, sizes
from tsd.store import Store
from tsd.studies import distill
from tsd.studies._classify import predict
from tsd.sweep import grid, spec
from tsd.sweep.__main__ import main
from tsd.sweep.needs import needs

SMALL = {"teacher_width": 12, "student_width": 4, "teacher_epochs": 2}


def trial(**changed):
    return distill.Trial.of(distill.EXAMPLE | SMALL | {"method": "assistant"} | changed)


def seeds():
    return Streams(dict.fromkeys(STREAMS, 0))


def test_without_assistants_it_is_hinton_distillation():
    shelf = MemoryShelf()
    chain, kd = (run_pack(distill, [trial(method=m)], [seeds()], shelf) for m in ("assistant", "kd"))
    assert chain == kd
    assert [name for name, _ in shelf.made] == ["teacher"]


def test_a_chain_is_trained_from_the_teachers_side_and_chains_that_begin_alike_share_it():
    shelf = MemoryShelf()
    for chain in ("10>8>6", "10>8", "10", "10>7"):
        [outcome] = run_pack(distill, [trial(assistants=chain)], [seeds()], shelf)
        assert outcome.state == "done"
    trained = [asked.values()["assistants"] for name, asked in shelf.made if name == "assistant"]
    assert trained == ["10", "10>8", "10>8>6", "10>7"]
    assert sum(name == "teacher" for name, _ in shelf.made) == 1


def test_a_student_is_taught_by_the_last_assistant():
    shelf = MemoryShelf()
    one = trial(assistants="10>6")
    start = distill.start(one, seeds(), shelf)
    arrays, facts = shelf.get(ASSISTANT, one, seeds())
    every = data.load("digits").x_train.numpy()
    rows = {x.tobytes(): logit for x, logit in zip(every, arrays["logits.train"], strict=True)}
    told = [rows[x.tobytes()] for x in start.train["x"].numpy()]
    assert np.array_equal(start.train["logits"].numpy(), told)
    assert (
        start.held["teacher_params"]
        == facts["params"]
        == sum(array.size for name, array in arrays.items() if not name.startswith("logits."))
    )


@pytest.mark.parametrize("held", [0, 10])
def test_a_hop_tells_how_good_its_own_teacher_was(held):
    """On the test samples, and on the validation samples where there are any."""
    shelf = MemoryShelf()
    hops = [trial(assistants=chain, validation_per_class=held) for chain in ("10", "10>6")]
    teacher = shelf.get(distill.tutor(trial()).artefact, hops[0], seeds())[1]
    first, second = (shelf.get(ASSISTANT, hop, seeds())[1] for hop in hops)
    assert (first["taught_by"], second["taught_by"]) == (teacher["accuracy"], first["accuracy"])
    assert ("validation_accuracy" in teacher) == bool(held)
    for above, hop in ((teacher, first), (first, second)):
        assert hop.get("taught_by_validation") == above.get("validation_accuracy")


def test_the_validation_accuracy_of_a_teacher_is_that_of_its_weights_on_the_samples_held_out():
    one = trial(method="kd", validation_per_class=10)
    shelf = MemoryShelf()
    teacher = taught(distill.tutor(one), one, seeds(), shelf)
    _, x, y = data.hold_out(data.load("digits"), 10)
    right = predict(teacher.network, x).argmax(1) == y
    assert teacher.facts["validation_accuracy"] == pytest.approx(100 * right.double().mean().item())


def test_an_assistant_learns_its_own_teachers_answers_where_labels_are_left_out():
    """With the soft term alone, the first assistant agrees with the teacher more often than with the labels' chance."""
    shelf, one = MemoryShelf(), trial(assistants="10", soft_weight=1.0, teacher_epochs=20)
    arrays, _ = shelf.get(ASSISTANT, one, seeds())
    teacher, _ = shelf.get(distill.tutor(trial()).artefact, one, seeds())
    assert (arrays["logits.test"].argmax(1) == teacher["logits.test"].argmax(1)).mean() > 0.8


@pytest.mark.parametrize(
    ("chain", "expected"), [("8", [(8, 0)]), ("20>8", [(20, 0), (8, 0)]), ("0x20>0x14", [(0, 20), (0, 14)])]
)
def test_sizes_are_read_from_the_teachers_side(chain, expected):
    assert sizes(chain) == expected


@pytest.mark.parametrize("chain", ["a", "8>", "8,4", "x8", ">", "-8", "8xdeep"])
def test_a_chain_that_cannot_be_read_is_told_before_anything_starts(chain):
    with pytest.raises(UserError, match="Give the widths of the assistants"):
        distill.prepare(trial(assistants=chain))


def test_a_plan_lists_every_hop_once_and_in_order(tmp_path):
    file = tmp_path / "chains.yaml"
    file.write_text(
        "name: chains\nstudy: distill\nfixed: {dataset: digits, teacher: mlp, student: mlp, method: assistant}\n"
        'axes: {assistants: ["", "10", "10>8", "10>8>6", "9>8"]}\nseeds: {teacher: 2, init: 3}\n'
    )
    sweep, connection = spec.load(file), duckdb.connect()
    grid.expand(sweep, connection)
    store = Store.of(str(tmp_path), "chains")
    connection.execute("CREATE TABLE todo AS SELECT * FROM trials")
    found = needs(sweep, connection, store)
    told = [(need.name, need.level, need.row["assistants"]) for need in found if need.row["seed_teacher"] == 0]
    assert told == [
        ("teacher", 0, told[0][2]),
        ("assistant", 0, "10"),
        ("assistant", 0, "9"),
        ("assistant", 1, "10>8"),
        ("assistant", 1, "9>8"),
        ("assistant", 2, "10>8>6"),
    ]
    assert len({need.key for need in found}) == len(found) == 2 * len(told)


def test_the_first_assistant_of_a_chain_needs_none_before_it():
    assert assistant._before({"assistants": "10"}) == {}
    assert assistant._before({"assistants": "10>8>6"}) == {"assistants": "10>8"}


CHAIN = """\
name: chain
study: distill
fixed:
  {dataset: digits, teacher: mlp, teacher_width: 12, teacher_depth: 1, teacher_epochs: 1, student: mlp,
   student_width: 4, student_depth: 1, steps: 3, batch_size: 20, samples_per_class: 5, method: assistant,
   assistants: "10>8>6"}
seeds: 1
resources: {cpu: 1, gpu: 0}
"""


def test_a_chain_that_is_cut_at_its_second_hop_is_taken_up_there(tmp_path, monkeypatch):
    """Three hops and a student from one file; what was trained before the cut keeps its file, bit for bit."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chain.yaml").write_text(CHAIN)
    trained, real = [], assistant.train_network

    def cut(*given, who, **rest):
        trained.append(who)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return real(*given, who=who, **rest)

    monkeypatch.setattr(assistant, "train_network", cut)
    with suppress(KeyboardInterrupt):
        main(["run", "chain.yaml", "--here"])
    folder = tmp_path / "results" / "chain" / "artefacts"
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert len(before) == 2, "the teacher and the first assistant"
    assert main(["run", "chain.yaml", "--here"]) == 0
    assert trained == [f"assistant {chain}" for chain in ("10", "10>8", "10>8", "10>8>6")]
    after = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert len(after) == 4
    assert after | before == after
