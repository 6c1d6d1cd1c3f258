"""A cluster that grows with its work begins with no worker: one is asked for, waited for, and no longer asked for."""

from types import SimpleNamespace

import pytest

from tsd.sweep import cluster


@pytest.fixture
def ray(monkeypatch):
    """A cluster that has, each time it is asked, the next of `.has`; `.asked` is what was requested of it."""
    one = SimpleNamespace(has=[], asked=[])

    def request(bundles):
        one.asked.append(bundles)

    monkeypatch.setattr(cluster, "resources", lambda: one.has.pop(0) if len(one.has) > 1 else one.has[0])
    monkeypatch.setattr(cluster, "request_resources", request)
    monkeypatch.setattr(cluster.time, "sleep", lambda seconds: None)
    return one


def test_a_cluster_with_a_worker_is_taken_as_it_is(ray):
    ray.has = [{"CPU": 4.0, "memory": 1e9}]
    assert cluster.grown({"cpu": 1, "gpu": 0.0}) == ray.has[0] and ray.asked == []


def test_a_cluster_without_one_is_asked_for_what_a_pack_takes_and_waited_for(ray, capsys):
    ray.has = [{"memory": 1e9}, {"memory": 1e9}, {"memory": 1e9}, {"CPU": 8.0, "GPU": 1.0}]
    assert cluster.grown({"cpu": 2, "gpu": 0.5})["GPU"] == 1.0
    assert ray.asked == [[{"CPU": 2, "GPU": 0.5}], []], "the request ends, or the cluster would never shrink again"
    assert "no worker yet" in capsys.readouterr().err


def test_a_cluster_that_never_grows_is_given_up(ray, monkeypatch):
    monkeypatch.setattr(cluster, "FIRST_WORKER_S", 0.0)
    ray.has = [{"memory": 1e9}]
    assert "CPU" not in cluster.grown({"cpu": 1, "gpu": 0.0}) and ray.asked[-1] == []
