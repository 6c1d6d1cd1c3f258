"""Sums of methods: `kd+at`, or `[kd, at]` in a sweep file."""

import duckdb
import pytest
import torch
from shelves import MemoryShelf

from tsd.engine.rng import STREAMS, Streams
from tsd.engine.run import run_pack
from tsd.errors import UserError
from tsd.methods import METHODS
from tsd.studies import distill
from tsd.sweep import grid, spec

NETWORKS = {"teacher": "cnn", "teacher_width": 4, "teacher_depth": 2, "student": "cnn", "student_width": 2}


SHELF = MemoryShelf()


def outcome(method, **changed):
    trial = distill.Trial.of(distill.EXAMPLE | NETWORKS | {"student_depth": 2, "method": method} | changed)
    [found] = run_pack(distill, [trial], [Streams(dict.fromkeys(STREAMS, 0))], SHELF)
    return found


def test_a_sum_has_the_fields_of_all_its_methods():
    own = {name: set(METHODS.load(name).Method.fields()) for name in ("kd", "at", "kd+at")}
    assert own["kd+at"] == own["kd"] | own["at"]
    assert METHODS.load("kd+at").Method.fields()["at_weight"] == METHODS.load("at").Method.fields()["at_weight"]


def test_a_method_without_weight_adds_nothing():
    assert outcome("kd+at", at_weight=0.0) == outcome("kd")


def test_a_methods_weight_is_felt():
    assert outcome("kd+at").measured != outcome("kd").measured


def test_the_labels_count_once():
    """kd without its soft term is plain training; so is its sum with plain training."""
    assert outcome("kd+none", soft_weight=0.0) == outcome("none")


def test_a_sum_sees_the_adapters_of_each_method_and_goes_through_its_stages():
    two = METHODS.load("fitnet+at").Method()
    assert [phase.share for phase in two.phases()] == [p.share for p in METHODS.load("fitnet").Method().phases()]
    assert outcome("fitnet+at", at_weight=0.0) == outcome("fitnet")


def test_two_methods_with_stages_of_their_own_cannot_be_added():
    staged = [name for name in METHODS.names() if len(METHODS.load(name).Method().phases()) > 1]
    if len(staged) < 2:
        pytest.skip("only one method has stages")
    with pytest.raises(UserError, match="stages of their own"):
        METHODS.load("+".join(staged[:2])).Method().phases()


@pytest.mark.parametrize("wrong", ["kd+", "kd+kd", "kd+nothing", "+", 3, None])
def test_what_is_no_sum_is_none(wrong):
    assert not METHODS.has(wrong)
    with pytest.raises(KeyError):
        METHODS.load(wrong)


def ids(tmp_path, method):
    file = tmp_path / "sums.yaml"
    file.write_text(f"name: sums\nstudy: distill\nfixed: {{at_weight: 10}}\naxes: {{method: {method}}}\nseeds: 1\n")
    connection = duckdb.connect()
    grid.expand(spec.load(file), connection)
    return connection.execute("SELECT method, trial_id FROM trials ORDER BY method").fetchall()


def test_a_list_in_a_sweep_file_is_a_sum(tmp_path):
    assert ids(tmp_path, "[none, [kd, at], at]") == ids(tmp_path, "[none, kd+at, at]")
    assert [method for method, _ in ids(tmp_path, "[none, [kd, at], at]")] == ["at", "kd+at", "none"]


def test_a_wrong_term_is_told_with_the_right_ones(tmp_path):
    with pytest.raises(UserError, match=r"Found .*kd\+att"):
        ids(tmp_path, "[none, kd+att]")


def test_a_sum_is_stacked_like_any_method():
    trials = [
        distill.Trial.of(distill.EXAMPLE | NETWORKS | {"student_depth": 2, "method": "kd+at", "at_weight": weight})
        for weight in (1.0, 100.0)
    ]
    streams = [Streams(dict.fromkeys(STREAMS, 0))] * 2
    together = run_pack(distill, [trial.but(way="vmap") for trial in trials], streams, SHELF)
    alone = [run_pack(distill, [trial.but(way="vmap")], [streams[0]], SHELF)[0] for trial in trials]
    assert together == alone
    assert torch.tensor([o.measured.metrics["nll"] for o in together]).diff() != 0
