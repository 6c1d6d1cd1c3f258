"""Benchmarks compare like with like, and each of them runs."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from shelves import MemoryShelf

from benchmarks import engine, gpu, planning, store, throughput
from benchmarks.__main__ import VERBS, main
from benchmarks._clock import interleaved, ratios, significant, spread
from benchmarks._networks import Workload, cross_entropy, modules, packed, squared_error, start, stepping
from benchmarks._table import Table
from tsd.engine.batches import Batches
from tsd.engine.rng import Streams
from tsd.engine.run import run_pack
from tsd.models._base import View
from tsd.studies import spectral
from tsd.sweep import spec

TINY = Workload("tiny", (6, 4, 3), 5, activation="relu", bias=True, samples=40)


def test_the_verbs_are_there():
    assert {"engine", "gpu", "planning", "store", "throughput"} <= set(VERBS)


def test_an_unknown_verb_is_a_mistake(capsys):
    assert main(["engines"]) == 2
    assert "engine" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["engine", "gpu", "planning", "store", "throughput"])
def test_a_verb_says_what_it_measures_without_measuring(verb):
    command = [sys.executable, "-m", "benchmarks", verb, "--help"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert f"python -m benchmarks {verb}" in told and "--json" in told


def test_variants_run_in_turn_and_once_before_the_clock():
    order = []
    times = interleaved({name: lambda name=name: order.append(name) for name in "ab"}, 2, iter(range(99)).__next__)
    assert "".join(order) == "ababab"
    assert times == {"a": [1, 1], "b": [1, 1]}
    assert ratios({"slow": [6.0, 4.0], "fast": [2.0, 1.0]}, "slow", "fast", 0.5) == [1.5, 2.0]


@pytest.mark.parametrize(("value", "shown"), [(0.00123, "0.0012"), (3.456, "3.5"), (12.3, "12"), (12345.6, "12,346")])
def test_numbers_have_two_digits_that_mean_something(value, shown):
    assert significant(value) == shown


def test_a_spread_is_the_median_and_both_ends():
    assert spread([3.0, 1.0, 2.0]) == "2.0 (1.0–3.0)"


def test_a_table_is_markdown():
    lines = Table("title", ("a", "b"), [(1, "long")], ["note"]).text().splitlines()
    assert lines == ["title", "", "| a | b    |", "|---|------|", "| 1 | long |", "", "note"]


@pytest.mark.parametrize("widths", [(6, 4, 3), (6, 4, 1)], ids=["classes", "regression"])
def test_packed_and_plain_networks_take_the_same_steps(widths):
    workload = replace(TINY, widths=widths, activation="tanh", bias=False)
    model, module = workload.model(), workload.module()
    [data], streams = workload.data(1), Streams({})
    begun = start(model, data, streams, torch.float32)
    held = dict(zip(dict(module.named_parameters()), begun.params.values(), strict=True))
    module.load_state_dict(held)
    view = View(module(data["x"][:5]), {}, {})
    expected = model.forward(begun.params, {}, data["x"][:5])
    torch.testing.assert_close(view.output, expected.output)
    ours = (squared_error if workload.regression else cross_entropy)(view, {"label": data["label"][:5]}, None)
    plain = torch.nn.MSELoss() if workload.regression else torch.nn.CrossEntropyLoss()
    torch.testing.assert_close(ours, plain(view.output, data["label"][:5]))


@pytest.mark.parametrize("gathered", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_both_sides_of_the_engine_benchmark_run(shared, gathered):
    each = replace(TINY, shared=shared)
    packed(each, 3, gathered=gathered)(10)
    modules(each, 3, gathered=gathered)(10)


def test_batches_at_hand_are_kept_as_a_stack_has_them():
    """Shared ones stay one matrix that all see, which is what makes them fast."""
    seeds = [Streams({"init": i}) for i in range(3)]
    [data] = replace(TINY, shared=True).data(1)
    starts = [start(TINY.model(), data, each, torch.float32) for each in seeds]
    batches = Batches.of(starts, seeds, TINY.batch)
    assert batches.at(0)["x"].stride(0) == 0
    stepping(starts, batches, cross_entropy, "dense", gathered=False)(1)


def test_operations_are_counted_by_hand():
    assert Workload("", (100, 50, 1), 256).flop == 2 * 256 * (2 * 100 * 50 + 3 * 50)


def test_the_engine_table_has_every_row(capsys, monkeypatch):
    """Of few networks and small products: what is measured here is nothing."""
    for name in ("SMALL", "LARGE", "MLP"):
        monkeypatch.setattr(engine, name, replace(getattr(engine, name), networks=3))
    monkeypatch.setattr(engine, "PEAK", 64)
    monkeypatch.setattr(engine, "WIDTHS", 4)
    monkeypatch.setattr(engine, "EACH", (1, 2, 4))
    assert engine.main(["--rounds", "1", "--work", "0.002", "--json"]) == 0
    dense, hints, images, widths, precision = json.loads(capsys.readouterr().out)["tables"]
    assert len(dense["rows"]) == len(hints["rows"]) == 12 and len(images["rows"]) == 8
    assert len(widths["rows"]) == 3 and len(precision["rows"]) == 2


def test_the_gpu_benchmark_runs_on_any_device():
    """Where there is no fused kernel for the networks, as for classes, there are four manners of stepping."""
    rows = gpu.dense("cpu", TINY, (2, 3), 1, 4)
    assert [row[:3] for row in rows[::4]] == [["tiny", data, pack] for data in ("own", "shared") for pack in (2, 3)]
    assert {row[3] for row in rows} == {
        f"dense, {how}{o}" for how in ("one by one", "graphs") for o in ("", ", one order")
    }
    regression = gpu.dense("cpu", replace(TINY, widths=(6, 4, 1), activation="tanh", bias=False), (2,), 1, 4)
    assert len(regression) == 12 and {"fused kernel", "fused kernel, one order"} < {row[3] for row in regression}
    assert {row[2] for row in gpu.images("cpu", (2,), 1, 1)} == {2}


def test_the_gpu_benchmark_needs_no_ray():
    code = "import sys, benchmarks.gpu; sys.exit('ray' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys):
    assert gpu.main([]) == 0
    assert "no CUDA device" in capsys.readouterr().out


def test_planning_and_the_store_are_timed(capsys, monkeypatch):
    first = planning._first_step(["--here"])  # a start through Ray has another flag and takes twice as long
    monkeypatch.setattr(planning, "_first_step", lambda flags: first)
    assert planning.main(["--most", "10000", "--rounds", "1", "--json"]) == 0
    assert store.main(["--trials", "200", "--parts", "2", "--json"]) == 0
    for line in capsys.readouterr().out.splitlines():
        assert all(table["rows"] for table in json.loads(line)["tables"])


def test_all_contenders_train_the_same_student(tmp_path):
    """Weights of equal shapes, as many inputs and steps, and an error well below the spread of the labels."""
    file = tmp_path / "throughput.yaml"
    file.write_text(throughput.SWEEP.replace("SEEDS", "2"))
    fixed = spec.load(file).fixed
    trial = spectral.Trial.of(fixed)
    begun = spectral.start(trial, Streams({}), MemoryShelf())
    assert [p.shape for p in begun.params.values()] == [p.shape for p in throughput.student().parameters()]
    data = throughput.draw(0)
    assert {name: len(each) for name, each in begun.train.items()} == {"x": len(data["x"]), "y": len(data["y"])}
    assert len(data["test_y"]) == trial.test_samples and trial.steps == throughput.STEPS
    [outcome] = run_pack(spectral, [trial], [Streams({})], MemoryShelf())
    metrics = outcome.measured.metrics
    assert outcome.way == "fused" and metrics["test_mse"] < 0.5 * metrics["target_variance"]
    error = throughput.trained({"seed": 0, "lr": throughput.LR})
    assert error < float(data["test_y"].var())
