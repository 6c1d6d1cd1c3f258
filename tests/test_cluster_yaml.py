"""`cluster.yaml` is checked without a cloud: Ray's own schema, and what that schema leaves open."""

import json
import re
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from strict_keys import problems

FILE = Path(__file__).parent.parent / "cluster.yaml"
PROVIDER = {
    "type": {"aws"},
    "region": str,
    "availability_zone": str,
    "cache_stopped_nodes": bool,
    "use_internal_ips": bool,
    "key_pair": {"key_name": str},
    "security_group": {"GroupName": str, "IpPermissions": list},
}
"""What Ray's AWS provider reads; Ray takes any key and passes over what it does not know."""
DISK = {"DeviceName": str, "VirtualName": str, "NoDevice": str}
DISK["Ebs"] = {
    "VolumeSize": int,
    "VolumeType": {"gp2", "gp3", "io1", "io2", "st1", "sc1", "standard"},
    "Iops": int,
    "Throughput": int,
    "Encrypted": bool,
    "KmsKeyId": str,
    "SnapshotId": str,
    "DeleteOnTermination": bool,
}
NODE = {
    "InstanceType": str,
    "ImageId": str,
    "KeyName": str,
    "SubnetIds": [str],
    "SecurityGroupIds": [str],
    "IamInstanceProfile": {"Name": str, "Arn": str},
    "InstanceMarketOptions": {
        "MarketType": {"spot", "capacity-block"},
        "SpotOptions": {"MaxPrice": str, "SpotInstanceType": {"one-time", "persistent"}},
    },
    "BlockDeviceMappings": [DISK],
    "TagSpecifications": [{"ResourceType": str, "Tags": [{"Key": str, "Value": str}]}],
    "MetadataOptions": {"HttpTokens": {"optional", "required"}, "HttpPutResponseHopLimit": int},
    "EbsOptimized": bool,
}
"""What EC2's RunInstances takes, and Ray's SubnetIds; Ray hands it on unread, so that a typo is told at the launch."""
TYPE = {"resources": {"*": int}, "min_workers": int, "max_workers": int, "node_config": NODE}
TYPE |= {"labels": {"*": str}, "idle_timeout_s": (int, float), "priority": int, "worker_setup_commands": [str]}


def told(config: dict) -> list[str]:
    """Everything wrong with it, by Ray's schema and by the lists above."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    found = problems(config["provider"], PROVIDER, "provider")
    found += problems(config["available_node_types"], {"*": TYPE}, "available_node_types")
    found += problems(config, dict.fromkeys(_top(), object))
    try:
        validate_config(prepare_config(deepcopy(config)))
    except Exception as error:
        found.append(str(error))
    return found


def _top() -> list[str]:
    """Keys of the file itself. Ray turns those of its first versions (min_workers) into others, without a word."""
    import ray.autoscaler

    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    return list(schema["properties"])


@pytest.fixture
def config() -> dict:
    return yaml.safe_load(FILE.read_text())


def test_it_is_right_for_ray_and_beyond(config):
    assert told(config) == []


@pytest.mark.parametrize(
    ("place", "key", "value", "said"),
    [
        ((), "min_workers", 2, "max_workers"),
        ((), "idle_timeout_minuts", 5, "idle_timeout_minutes"),
        (("provider",), "availabilty_zone", "us-west-2a", "availability_zone"),
        (("provider",), "regoin", "us-west-2", "region"),
        (("provider",), "cache_stopped_nodes", "no", "is no bool"),
        (("available_node_types", "gpu_spot", "node_config"), "InstanceTyp", "g5.xlarge", "InstanceType"),
        (("available_node_types", "gpu_spot", "node_config"), "InstanceMarketOption", {}, "InstanceMarketOptions"),
        (("available_node_types", "gpu_spot", "node_config", "InstanceMarketOptions"), "MarketType", "Spot", "none of"),
        (("available_node_types", "gpu_spot", "resources"), "GPU", 0.5, "0.5"),
        (("available_node_types", "gpu_spot"), "max_worker", 3, "max_workers"),
    ],
)
def test_a_slip_is_told_with_the_nearest_name(config, place, key, value, said):
    inner = config
    for step in place:
        inner = inner[step]
    inner[key] = value
    assert any(said in each and key in each for each in told(config)), told(config)


def test_head_is_on_demand_and_runs_no_pack_while_workers_are_spot(config):
    head, workers = config["available_node_types"]["head"], config["available_node_types"]["gpu_spot"]
    assert head["resources"]["CPU"] == 0 and "InstanceMarketOptions" not in head["node_config"]
    assert workers["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert workers["resources"]["GPU"] >= 1
    assert all("IamInstanceProfile" in node["node_config"] for node in (head, workers)), (
        "both read and write the bucket"
    )


def test_every_ray_is_the_locked_one(config):
    pinned = re.findall(r"ray(?:\[[^\]]*\]==|:)(\d+\.\d+\.\d+)", FILE.read_text())
    assert len(pinned) >= 3 and set(pinned) == {version("ray")}


def test_dashboard_is_on_loopback_and_every_ray_start_asks_for_the_token(config):
    starts = [c for key in ("head", "worker") for c in config[f"{key}_start_ray_commands"] if "ray start" in c]
    assert len(starts) == 2 and all("RAY_AUTH_MODE=token" in c for c in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]
    assert any(to.endswith("/.ray/auth_token") for to in config["file_mounts"])


def test_files_it_names_are_there_and_workers_heed_the_spot_notice(config):
    named = re.findall(r"/home/ray/tsd/(\S+\.py)", FILE.read_text())
    assert named and all((FILE.parent / name).exists() for name in named)
    assert any("drain_on_notice" in command for command in config["worker_start_ray_commands"])
