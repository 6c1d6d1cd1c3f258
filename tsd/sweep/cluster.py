"""The Ray that packs run on: one of our own on this machine, or a running one that is joined. Ray 2.60.

A driver whose raylet or head has died would wait forever, so their sockets are knocked at now and then.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tsd.errors import ClusterError

QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "600",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_MAX_PENDING_TRIALS_PG": "200",  # as for a grid; else one job at a time waits for a worker
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^A worker died or was killed",  # the tally tells of it
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # a driver that has let go of its cluster must not start another one
}
KNOCK_S = 2.0
"""Between two looks at whether Ray is still there."""
PATIENCE_S = {"here": 4.0, "joined": 20.0}
"""How long it may be away: a head with an outside memory comes back, one on this machine does not. Ray ends the
process of a driver that has missed its head for a minute."""
FIRST_WORKER_S = 900.0
"""How long a cluster without workers may take for its first; a spot machine takes minutes."""
LONGEST_PATH = 40
"""Characters of a folder in which Ray's sockets still have room: the system allows them 107."""


def _settings() -> dict[str, str]:
    """What Ray reads when it is imported. Where a token is at hand it is shown to a cluster that is joined: `ray start`
    asks for one as soon as there is one, while a driver shows it only where it is told to."""
    token = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ) or (Path.home() / ".ray/auth_token").exists()
    return QUIET | ({"RAY_AUTH_MODE": "token"} if token else {})


for name, value in _settings().items():
    os.environ.setdefault(name, value)

import ray  # noqa: E402  Ray reads the settings above when it is imported; others take it from here.
from ray import tune  # noqa: E402
from ray._private import services  # noqa: E402
from ray.autoscaler.sdk import request_resources  # noqa: E402
from ray.tune.progress_reporter import TrialProgressCallback  # noqa: E402
from ray.tune.schedulers import FIFOScheduler  # noqa: E402
from ray.tune.search import Searcher  # noqa: E402

__all__ = [
    "FIFOScheduler",
    "Lifeline",
    "Searcher",
    "TrialProgressCallback",
    "grown",
    "join",
    "leave",
    "resources",
    "start",
    "too_small",
    "tune",
]


@dataclass
class Lifeline:
    """What a driver needs to hear from: the cluster's head and the raylet beside the driver.

    Args:
        places: address and port of each.
        patience: seconds for which one may be silent.
    """

    places: dict[str, tuple[str, int]]
    patience: float
    _heard: float = field(default_factory=time.monotonic)
    _looked: float = 0.0

    def silent(self) -> str:
        """The first of them that does not answer now; empty where all do."""
        return next((name for name, place in self.places.items() if not _answers(place)), "")

    def lost(self) -> str:
        """The one that has not answered for too long; empty where there is none."""
        now = time.monotonic()
        if now - self._looked < KNOCK_S:
            return ""
        self._looked, silent = now, self.silent()
        if not silent:
            self._heard = now
        return silent if now - self._heard > self.patience else ""


def start(folder: Path) -> Lifeline:
    """A Ray of our own on this machine, its files in `folder`, every port on loopback, Ray's token authentication left
    as Ray sets it."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "dashboard_host": "127.0.0.1"}
    with _loopback():
        if len(str(folder)) <= LONGEST_PATH:
            quiet["_temp_dir"] = str(folder)
        ray.init(address="local", _node_ip_address="127.0.0.1", **quiet)
    return _lifeline(PATIENCE_S["here"])


def join(address: str) -> Lifeline:
    """The running cluster at "auto" or host:port. Raises ClusterError where none answers."""
    place = _known() if address == "auto" else address
    _must_answer(place)
    try:
        ray.init(address=place, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        raise ClusterError(_unreachable(address, str(error).strip().splitlines()[0])) from None
    return _lifeline(PATIENCE_S["joined"])


def leave() -> None:
    """Let go of the cluster; one of our own ends."""
    ray.shutdown()


def resources() -> dict[str, float]:
    """What the whole cluster has: {"CPU": 4.0, "GPU": 1.0}."""
    return dict(ray.cluster_resources())


def grown(wanted: dict[str, float]) -> dict[str, float]:
    """What the cluster has, once it has a worker at all: one that grows with its work begins with none, and is asked
    for what one pack takes."""
    if not {"CPU", "GPU"} & resources().keys():
        minutes = FIRST_WORKER_S / 60
        print(
            f"The cluster has no worker yet. One is asked for and waited for, {minutes:g} min at most.", file=sys.stderr
        )
        request_resources(bundles=[{kind.upper(): share for kind, share in wanted.items() if share > 0}])
        deadline = time.monotonic() + FIRST_WORKER_S
        try:
            while not {"CPU", "GPU"} & resources().keys() and time.monotonic() < deadline:
                time.sleep(1.0)
        finally:
            request_resources(bundles=[])  # else it would never shrink again
    return resources()


def too_small(wanted: dict[str, float], total: dict[str, float]) -> str:
    """What to say where no pack could ever start."""
    has = ", ".join(f"{total.get(kind.upper(), 0.0):g} {kind}" for kind in wanted)
    asks = ", ".join(f"{share:g} {kind}" for kind, share in wanted.items())
    return (
        f"One pack asks for {asks}, and the whole cluster has {has}, so no pack could ever start. Nothing was "
        "launched. Lower `resources:` in the sweep file (or with --set resources.gpu=0), or join a larger cluster with "
        "--address."
    )


def _lifeline(patience: float) -> Lifeline:
    context = ray.get_runtime_context()
    host, _, port = context.gcs_address.rpartition(":")
    here = next(node for node in ray.nodes() if node["NodeID"] == context.get_node_id())
    raylet = (here["NodeManagerAddress"], here["NodeManagerPort"])
    return Lifeline({"its head": (host.strip("[]"), int(port)), "the raylet of this node": raylet}, patience)


def _answers(place: tuple[str, int]) -> bool:
    try:
        socket.create_connection(place, timeout=KNOCK_S).close()
    except OSError:
        return False
    return True


@contextmanager
def _loopback() -> Iterator[None]:
    """Ray takes 127.0.0.1 for a slip, puts the address by which others reach this machine in its place, and then
    listens on every interface. Here it is meant."""
    as_it_was = services.resolve_ip_for_localhost
    services.resolve_ip_for_localhost = lambda host: host
    try:
        yield
    finally:
        services.resolve_ip_for_localhost = as_it_was


def _known() -> str:
    """HOST:PORT of the cluster that Ray means by "auto"; it may have died since. Raises ClusterError where none is."""
    try:
        place = services.canonicalize_bootstrap_address("auto")
    except (ConnectionError, ValueError):
        place = None
    if place is None:
        raise ClusterError(_unreachable("auto", "none runs here"))
    return str(place)


def _must_answer(address: str) -> None:
    """Ray waits minutes for a head that is not there; a socket tells at once."""
    host, _, port = address.rpartition(":")
    if address.startswith("ray://") or not host or not port.isdigit():
        raise ClusterError(_unreachable(address, "expected auto or HOST:PORT"))
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        raise ClusterError(_unreachable(address, error.strerror or str(error))) from None


def _unreachable(address: str, why: str) -> str:
    return (
        f"No Ray cluster answers at --address {address} ({why}). Nothing was launched and nothing stored was touched. "
        "On the cluster's head node use --address auto; from elsewhere send the driver to the head with the "
        "`ray job submit` line that `plan` prints; without --address the sweep runs on this machine. Where the cluster "
        "asks for a token, put the cluster's into ~/.ray/auth_token; where it takes none, set RAY_AUTH_MODE=disabled."
    )
