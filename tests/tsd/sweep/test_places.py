"""How many packs a cluster runs at a time, and on what part of a GPU each."""

import pytest

from tsd.sweep import cluster
from tsd.sweep.schedule import Cluster
from tsd.sweep.spec import Resources


@pytest.fixture
def places(monkeypatch):
    """(what a pack takes, what it fills of a GPU, what the cluster has) → device, slots, share of a GPU."""

    def call(resources, fills, total):
        monkeypatch.setattr(cluster, "start", lambda folder: None)
        monkeypatch.setattr(cluster, "leave", lambda: None)
        monkeypatch.setattr(cluster, "grown", lambda asked: total)
        found = Cluster(resources, None, fills)
        found.close()
        return found.device, found.slots, found.share

    return call


@pytest.mark.parametrize(
    ("gpu", "fills", "total", "expected"),
    [
        (None, 1.0, {"CPU": 16.0, "GPU": 2.0}, ("cuda", 2, 1.0)),
        (None, 0.25, {"CPU": 16.0, "GPU": 2.0}, ("cuda", 8, 0.25)),
        (None, 0.125, {"CPU": 4.0, "GPU": 1.0}, ("cuda", 4, 0.125)),
        (None, 0.25, {"CPU": 16.0}, ("cpu", 16, 1.0)),
        (1.0, 0.25, {"CPU": 16.0, "GPU": 2.0}, ("cuda", 2, 1.0)),
        (0.5, 1.0, {"CPU": 16.0, "GPU": 2.0}, ("cuda", 4, 0.5)),
        (0.0, 0.25, {"CPU": 16.0, "GPU": 2.0}, ("cpu", 16, 1.0)),
    ],
)
def test_packs_that_fill_a_part_of_a_gpu_run_side_by_side_on_it_unless_the_sweep_says_how_many(
    places, gpu, fills, total, expected
):
    assert places(Resources(cpu=1, gpu=gpu), fills, total) == expected
