"""`cluster.yaml` is checked without a cloud: Ray's own schema, and what that schema leaves open."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

FILE = Path(__file__).parent.parent / "cluster.yaml"
PROVIDER = {"type", "region", "availability_zone", "cache_stopped_nodes", "security_group", "use_internal_ips"}
NODE = {"InstanceType", "ImageId", "KeyName", "SubnetIds", "SecurityGroupIds", "IamInstanceProfile"}
NODE |= {"InstanceMarketOptions", "BlockDeviceMappings", "TagSpecifications"}


@pytest.fixture(scope="module")
def config() -> dict:
    return yaml.safe_load(FILE.read_text())


def test_ray_accepts_it():
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(yaml.safe_load(FILE.read_text())))


def test_keys_that_ray_does_not_check_are_known(config):
    assert set(config["provider"]) <= PROVIDER
    assert "min_workers" not in config
    for node in config["available_node_types"].values():
        assert set(node["node_config"]) <= NODE


def test_head_is_on_demand_and_runs_no_pack_while_workers_are_spot(config):
    head, workers = config["available_node_types"]["head"], config["available_node_types"]["gpu_spot"]
    assert head["resources"]["CPU"] == 0 and "InstanceMarketOptions" not in head["node_config"]
    assert workers["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert workers["resources"]["GPU"] >= 1


def test_every_ray_is_the_locked_one(config):
    pinned = re.findall(r"ray(?:\[[^\]]*\]==|:)(\d+\.\d+\.\d+)", FILE.read_text())
    assert len(pinned) >= 3 and set(pinned) == {version("ray")}


def test_dashboard_is_on_loopback_and_every_ray_start_asks_for_the_token(config):
    starts = [c for key in ("head", "worker") for c in config[f"{key}_start_ray_commands"] if "ray start" in c]
    assert len(starts) == 2 and all("RAY_AUTH_MODE=token" in c for c in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]
