"""What docs/clusters.md hands out is checked without a cloud, a Kubernetes or a Slurm."""

import os
import re
import shlex
import subprocess
import sys
import threading
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from strict_keys import problems

import tsd

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "clusters"
NAMES = {"*": str}
CONTAINER = {
    "name": str,
    "image": str,
    "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
    "command": [str],
    "args": [str],
    "env": [{"name": str, "value": str, "valueFrom": dict}],
    "ports": [{"containerPort": int, "name": str}],
    "resources": {"requests": {"*": (str, int)}, "limits": {"*": (str, int)}},
    "volumeMounts": [{"name": str, "mountPath": str, "readOnly": bool}],
    "lifecycle": {"preStop": {"exec": {"command": [str]}}},
}
TOLERATION = {"key": str, "operator": {"Exists", "Equal"}, "value": str, "effect": str}
POD = {
    "metadata": {"labels": NAMES, "annotations": NAMES},
    "spec": {
        "containers": [CONTAINER],
        "restartPolicy": {"Never", "OnFailure", "Always"},
        "serviceAccountName": str,
        "terminationGracePeriodSeconds": int,
        "nodeSelector": NAMES,
        "tolerations": [TOLERATION],
        "volumes": list,
    },
}
HEAD = {"serviceType": str, "enableIngress": bool, "rayStartParams": NAMES, "template": POD}
WORKERS = {"groupName": str, "replicas": int, "minReplicas": int, "maxReplicas": int, "numOfHosts": int}
WORKERS |= {"rayStartParams": NAMES, "template": POD, "idleTimeoutSeconds": int, "suspend": bool}
CLUSTER = {
    "rayVersion": str,
    "enableInTreeAutoscaling": bool,
    "autoscalerOptions": {
        "version": {"v1", "v2"},
        "upscalingMode": {"Default", "Aggressive", "Conservative"},
        "idleTimeoutSeconds": int,
        "imagePullPolicy": str,
        "resources": dict,
        "env": list,
    },
    "authOptions": {"mode": {"token", "disabled"}, "secretName": str},
    "headGroupSpec": HEAD,
    "workerGroupSpecs": [WORKERS],
    "gcsFaultToleranceOptions": dict,
}
JOB = {
    "entrypoint": str,
    "runtimeEnvYAML": str,
    "jobId": str,
    "metadata": NAMES,
    "submissionMode": {"K8sJobMode", "HTTPMode", "SidecarMode", "InteractiveMode"},
    "backoffLimit": int,
    "activeDeadlineSeconds": int,
    "shutdownAfterJobFinishes": bool,
    "ttlSecondsAfterFinished": int,
    "entrypointNumCpus": (int, float),
    "entrypointNumGpus": (int, float),
    "entrypointResources": str,
    "suspend": bool,
    "clusterSelector": NAMES,
    "rayClusterSpec": CLUSTER,
    "submitterPodTemplate": dict,
    "submitterConfig": {"backoffLimit": int},
}
RAYJOB = {"apiVersion": {"ray.io/v1"}, "kind": {"RayJob"}, "metadata": {"name": str, "namespace": str}, "spec": JOB}
"""The fields of RayJob v1 and of what it holds, as the types of KubeRay's operator declare them."""
QUANTITY = r"\d+(\.\d+)?(m|[KMGT]i?)?"


def told(manifest: dict) -> list[str]:
    """What is wrong with a RayJob: by its fields, and by the rules that the operator checks beyond them."""
    if found := problems(manifest, RAYJOB):
        return found
    spec = manifest["spec"]
    cluster = spec.get("rayClusterSpec", {})
    groups = cluster.get("workerGroupSpecs", [])
    pods = [cluster.get("headGroupSpec", {}), *groups]
    containers = [c for pod in pods for c in pod.get("template", {}).get("spec", {}).get("containers", [])]
    amounts = [str(v) for c in containers for given in c.get("resources", {}).values() for v in given.values()]
    rules = {
        "name: at most 47 of a–z, 0–9 and -": re.fullmatch(r"[a-z][a-z0-9-]{0,46}", manifest["metadata"]["name"]),
        "entrypoint is missing": spec.get("entrypoint"),
        "one of rayClusterSpec and clusterSelector": ("rayClusterSpec" in spec) != ("clusterSelector" in spec),
        "backoffLimit below 0": spec.get("backoffLimit", 0) >= 0,
        "ttlSecondsAfterFinished needs shutdownAfterJobFinishes": "ttlSecondsAfterFinished" not in spec
        or spec.get("shutdownAfterJobFinishes"),
        "replicas within minReplicas and maxReplicas": all(
            0 <= g["minReplicas"] <= g["replicas"] <= g["maxReplicas"] for g in groups
        ),
        "group names differ": len({g["groupName"] for g in groups}) == len(groups),
        "a pod without container": all(pod["template"]["spec"]["containers"] for pod in pods),
        "amounts of resources": all(re.fullmatch(QUANTITY, amount) for amount in amounts),
    }
    return [rule for rule, kept in rules.items() if not kept]


@pytest.fixture
def job() -> dict:
    return yaml.safe_load((FOLDER / "rayjob.yaml").read_text())


def test_the_manifest_is_right(job):
    assert told(job) == []


@pytest.mark.parametrize(
    ("place", "key", "value", "said"),
    [
        ("spec", "entryPoint", "python", "did you mean entrypoint?"),
        ("spec", "shutdownAfterJobFinish", True, "did you mean shutdownAfterJobFinishes?"),
        ("spec", "submissionMode", "K8SJobMode", "none of"),
        ("spec", "clusterSelector", {"a": "b"}, "one of rayClusterSpec and clusterSelector"),
        ("spec", "shutdownAfterJobFinishes", False, "ttlSecondsAfterFinished needs"),
        ("spec.rayClusterSpec", "authOption", {"mode": "token"}, "did you mean authOptions?"),
        ("spec.rayClusterSpec.headGroupSpec.rayStartParams", "num-cpus", 0, "is no str"),
        ("spec.rayClusterSpec.workerGroupSpecs.0", "replicas", 99, "replicas within"),
        ("spec.rayClusterSpec.workerGroupSpecs.0", "maxReplica", 3, "did you mean maxReplicas?"),
        ("spec.rayClusterSpec.workerGroupSpecs.0.template.spec", "toleration", [], "did you mean tolerations?"),
        (
            "spec.rayClusterSpec.workerGroupSpecs.0.template.spec.containers.0.resources.limits",
            "memory",
            "28 GB",
            "amo",
        ),
    ],
)
def test_a_slip_in_the_manifest_is_told(job, place, key, value, said):
    inner = changed = deepcopy(job)
    for step in place.split("."):
        inner = inner[int(step)] if isinstance(inner, list) else inner[step]
    inner[key] = value
    assert any(said in each for each in told(changed)), told(changed)


def test_the_manifest_keeps_what_the_page_promises(job):
    spec, cluster = job["spec"], job["spec"]["rayClusterSpec"]
    head, workers = cluster["headGroupSpec"], cluster["workerGroupSpecs"][0]
    assert cluster["authOptions"]["mode"] == "token" and cluster["rayVersion"] == version("ray")
    assert head["rayStartParams"]["num-cpus"] == "0" and workers["minReplicas"] == 0
    assert spec["backoffLimit"] > 0 and spec["jobId"] == job["metadata"]["name"]
    module, sweep = re.search(r"-m (\S+) /home/ray/tsd/(\S+)", spec["entrypoint"]).groups()
    assert module == "tsd.sweep" and (ROOT / sweep).exists()
    [worker] = workers["template"]["spec"]["containers"]
    assert accepted(shlex.split(worker["lifecycle"]["preStop"]["exec"]["command"][-1].split(";")[0]))
    assert all(f":{tsd.__version__}" in p["template"]["spec"]["containers"][0]["image"] for p in (head, workers))


def accepted(command: list[str]) -> bool:
    """Whether Ray's own command line knows every flag of `ray VERB --flag …`."""
    from ray.scripts.scripts import cli

    program, verb, *words = command
    known = {name for option in cli.commands[verb].params for name in option.opts}
    return program == "ray" and {w for w in words if w.startswith("--")} <= known


def test_a_command_with_a_flag_that_ray_has_not_is_noticed():
    assert not accepted(["ray", "drain-node", "--reasons", "x"])


def test_slurm_starts_up_in_ten_lines_that_bash_and_ray_accept():
    text = (FOLDER / "slurm.sh").read_text()
    subprocess.run(["bash", "-n", FOLDER / "slurm.sh"], check=True)
    assert len(text.splitlines()) <= 10 and "RAY_AUTH_MODE=token" in text
    [ray] = re.findall(r"srun (ray .*?) -- ", text.replace("\\\n", ""), flags=re.S)
    assert accepted(shlex.split(ray))


def test_the_image_has_the_locked_ray_and_copies_what_is_there():
    text = (FOLDER / "Dockerfile").read_text()
    assert set(re.findall(r"ray(?:\[[^\]]*\]==|:)(\d+\.\d+\.\d+)", text)) == {version("ray")}
    copied = [word for line in re.findall(r"^COPY (.*)$", text, flags=re.M) for word in line.split()[1:-1]]
    assert "requirements.lock" in copied and all((ROOT / name).exists() for name in copied)
    assert {"tsd", "analysis", "pyproject.toml"} <= set(copied)


@pytest.fixture
def metadata():
    """An instance's metadata service that asks for its token; `.notice` says whether the machine will be taken back."""

    class Service(BaseHTTPRequestHandler):
        def do_PUT(self):
            self.tell("secret" if self.headers["X-aws-ec2-metadata-token-ttl-seconds"] else None)

        def do_GET(self):
            server.asked += 1
            right = self.headers["X-aws-ec2-metadata-token"] == "secret" and self.path.endswith("spot/instance-action")
            self.tell('{"action": "terminate"}' if right and server.notice.is_set() else None)

        def tell(self, text):
            self.send_response(200 if text else 404)
            self.end_headers()
            self.wfile.write((text or "").encode())

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Service)
    server.asked, server.notice = 0, threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_spot_notice_drains_the_node_and_nothing_before_it_does(metadata, tmp_path):
    told_ray = tmp_path / "told"
    ray = tmp_path / "ray"
    ray.write_text(f'#!/bin/sh\necho "$@" > {told_ray}\n')
    ray.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "EVERY_S": "0.05"}
    environment["METADATA"] = f"http://127.0.0.1:{metadata.server_port}"
    watcher = subprocess.Popen([sys.executable, FOLDER / "drain_on_notice.py"], env=environment)
    try:
        while metadata.asked < 3:
            assert watcher.poll() is None
        assert not told_ray.exists()
        metadata.notice.set()
        assert watcher.wait(timeout=60) == 0
    finally:
        watcher.kill()
        watcher.wait()
    words = ["ray", *shlex.split(told_ray.read_text())]
    assert accepted(words) and "DRAIN_NODE_REASON_PREEMPTION" in words


@pytest.mark.parametrize("file", sorted(p.name for p in FOLDER.iterdir() if p.is_file()))
def test_every_file_is_told_of_in_the_page(file):
    assert f"clusters/{file}" in (ROOT / "docs" / "clusters.md").read_text()
