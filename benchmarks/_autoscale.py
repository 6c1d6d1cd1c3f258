"""A cluster that grows with a sweep and shrinks after it, on one machine: Ray's autoscaler, its nodes processes.

The head has no CPU, as in `cluster.yaml`; the provider is Ray's own for tests. Ray's `AutoscalingCluster` would do the
same but ends every Ray of the machine with its own.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

HEAD = "f" * 56
WORKERS, CPUS, IDLE_MIN = 3, 1, 0.1
PATIENCE_S = 240.0
SWEEP = """\
name: growing
study: spectral
fixed: {teacher_width: 20, input_dim: 10, samples: 2000, test_samples: 500, epochs: EPOCHS}
axes: {student_width: [20, 60]}
seeds: 48
resources: {cpu: 1, gpu: 0}
"""


def config(address: str) -> dict[str, Any]:
    """A cluster of at most `WORKERS` workers, none at first."""
    commands = ["initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands"]
    commands += ["head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files", "rsync_exclude"]
    provider = {"type": "fake_multinode", "gcs_address": address, "head_node_id": HEAD, "use_node_id_as_ip": True}
    provider |= dict.fromkeys(("disable_node_updaters", "disable_launch_config_check", "launch_multiple"), True)
    head = {"resources": {"CPU": 0}, "node_config": {}, "min_workers": 0, "max_workers": 0}
    worker = {"resources": {"CPU": CPUS}, "node_config": {}, "min_workers": 0, "max_workers": WORKERS}
    return {
        "cluster_name": "grows",
        "max_workers": WORKERS,
        "upscaling_speed": 4.0,
        "idle_timeout_minutes": IDLE_MIN,
        "provider": provider,
        "auth": {},
        "docker": {},
        "head_node_type": "head",
        "available_node_types": {"head": head, "worker": worker},
        "file_mounts": {},
        "rsync_filter": [],
        "file_mounts_sync_continuously": False,
        "no_restart": False,
        **{name: [] for name in commands},
    }


@contextmanager
def head() -> Iterator[tuple[str, dict[str, str]]]:
    """A running head on a port of its own: its address, and the environment in which it is joined."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    address = f"127.0.0.1:{port}"
    (folder / "cluster.json").write_text(json.dumps(config(address)))
    environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    fake = {"RAY_FAKE_CLUSTER": "1", "RAY_CLOUD_INSTANCE_ID": HEAD, "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD}
    fake |= {"AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_enable_autoscaler_v2": "0"}
    words = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", f"--port={port}", "--num-cpus=0"]
    words += [f"--autoscaling-config={folder / 'cluster.json'}", f"--temp-dir={folder}", "--disable-usage-stats"]
    words += ["--include-dashboard=false", "--node-ip-address=127.0.0.1"]
    with (folder / "output").open("w") as output:
        started = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT, env=environment | fake)
    try:
        until(lambda: "Ray runtime started" in (folder / "output").read_text(), "the head", PATIENCE_S)
        yield address, environment
    finally:
        family = [psutil.Process(started.pid), *psutil.Process(started.pid).children(recursive=True)]
        for one in family:
            if one.is_running():
                one.kill()
        psutil.wait_procs(family, timeout=20)
        started.wait()
        shutil.rmtree(folder, ignore_errors=True)


def until(holds: Any, what: str, patience: float) -> None:
    """Wait until `holds()`."""
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} took longer than {patience:g} s")
        time.sleep(0.2)


def workers(address: str, environment: dict[str, str]) -> Iterator[int]:
    """How many workers there are, asked again and again by a process that has joined the cluster."""
    asks = (
        "import ray, sys, time\n"
        "ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR')\n"
        "while True:\n"
        "    print(sum(n['Alive'] and 'CPU' in n['Resources'] for n in ray.nodes()), flush=True)\n"
        "    time.sleep(0.5)\n"
    )
    words = [sys.executable, "-c", asks, address]
    asking = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    assert asking.stdout is not None
    try:
        for line in asking.stdout:
            yield int(line)
    finally:
        asking.kill()
        asking.wait()


def watched(epochs: int = 60) -> tuple[list[tuple[float, int]], float, str]:
    """Run a sweep on a cluster that has no worker yet.

    Returns:
        Seconds since the run began and workers, whenever these changed; when the run ended; its last line.
    """
    with head() as (address, environment), tempfile.TemporaryDirectory() as results:
        file = Path(results) / "growing.yaml"
        file.write_text(SWEEP.replace("EPOCHS", str(epochs)))
        words = [sys.executable, "-m", "tsd.sweep", "run", str(file), "--address", address, "--results", results]
        begun, seen, ended = time.monotonic(), [], 0.0
        run = None
        for count in workers(address, environment):
            now = time.monotonic() - begun
            if run is None:
                begun, now = time.monotonic(), 0.0
                run = subprocess.Popen(
                    words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
                )
            if not seen or seen[-1][1] != count:
                seen.append((now, count))
            if not ended and run.poll() is not None:
                ended = now
            if (ended and count == 0) or now > PATIENCE_S:
                break
        assert run is not None
        run.kill()
        said, _ = run.communicate()
        return seen, ended, said.strip().splitlines()[-1]
