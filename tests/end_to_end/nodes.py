"""A cluster of several nodes on one machine, whose nodes can be taken away."""

import contextlib
import os
import secrets
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from .wards import WARD

TOKEN = secrets.token_hex(32)
"""One for all clusters of this process, in which Ray reads it once."""
DEADLINE_S = 20
"""What a spot market gives a node from its notice to its end, here."""


class Nodes:
    """A head without places for packs, and nodes of one place each. Nodes are added from the main thread only."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster

    @property
    def address(self) -> str:
        return self._cluster.address

    def add(self) -> Any:
        return self._cluster.add_node(num_cpus=1, include_dashboard=False)

    def remove(self, node: Any) -> None:
        """Hard, as a machine that loses its power."""
        self._cluster.remove_node(node, allow_graceful=False)

    def drain(self, node: Any) -> None:
        """The notice that a spot market gives; the node is still there."""
        from ray._raylet import GcsClient
        from ray.core.generated import autoscaler_pb2

        reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        until = int((time.time() + DEADLINE_S) * 1000)
        GcsClient(address=self.address).drain_node(node.node_id, reason, "a test", until)

    def lose_head(self) -> None:
        """What knows of the cluster is gone, without a word."""
        for info in self._cluster.head_node.all_processes["gcs_server"]:
            os.kill(info.process.pid, signal.SIGKILL)


@contextlib.contextmanager
def nodes(setenv: Callable[[str, str], None]) -> Iterator[Nodes]:
    """A cluster with a token of its own, on ports and in a folder of its own, known to nobody who is not told.
    Its workers know the study `ward`.

    Args:
        setenv: sets a variable of this process's environment.
    """
    setenv("RAY_AUTH_TOKEN", TOKEN)
    setenv("RAY_AUTH_MODE", "token")
    setenv("PYTHONPATH", str(WARD))
    with tempfile.TemporaryDirectory(prefix="r-", ignore_cleanup_errors=True) as folder:
        from ray._private import utils
        from ray.cluster_utils import Cluster

        announce, utils.write_ray_address = utils.write_ray_address, lambda *_: None  # else every ray.init() joins it
        head = {"num_cpus": 0, "include_dashboard": False, "temp_dir": folder, "gcs_server_port": 0}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            yield Nodes(cluster)
        finally:
            utils.write_ray_address = announce
            cluster.shutdown()
