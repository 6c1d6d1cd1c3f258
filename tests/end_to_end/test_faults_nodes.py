"""Nodes that go and come while a sweep runs, and a head that is lost: no row is missing, none is wrong."""

from collections.abc import Iterator

import pytest

from .nodes import Nodes, nodes
from .wards import PATIENCE_S, SWEEP, command_in, expected, must_hold, ward

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]
BEDS = 40


@pytest.fixture
def cluster(monkeypatch) -> Iterator[Nodes]:
    with nodes(monkeypatch.setenv) as started:
        yield started


def test_nodes_go_hard_and_drained_and_come_back_and_then_the_head_is_lost(cluster, tmp_path):
    first, second = cluster.add(), cluster.add()
    with ward(tmp_path, SWEEP.format(beds=BEDS, pause=0.2)) as run, run.begun("--address", cluster.address) as driver:
        run.wait(run.parts, "the first part")
        kept = run.parts()
        cluster.remove(first)
        cluster.drain(second)
        cluster.add()
        run.wait(lambda: len(run.parts()) > len(kept), "a part after that")
        cluster.remove(second)
        run.wait(lambda: len(run.values()) > BEDS, "half of the sweep")
        kept = run.parts()
        cluster.lose_head()
        assert driver.wait(PATIENCE_S) == 3, run.output
        assert "has died (its head does not answer): " in run.output
        assert command_in(run.output)[-2:] == ["--address", cluster.address]
        again = run("ward.yaml", "--here", "--set", "resources.cpu=1")
        assert again.returncode == 0, again.stdout + again.stderr
        must_hold(run, expected(BEDS), kept)
