"""On an AWS spot instance: waits for the notice that the machine will be taken back, then tells Ray that it goes.

Ray gives the node no new worker from then on, and what is lost with it does not count as a failure of the pack.
"""

import os
import subprocess
import time
import urllib.request

METADATA = os.environ.get("METADATA", "http://169.254.169.254/latest")
EVERY_S = float(os.environ.get("EVERY_S", "5"))
DEADLINE_S = 110
"""A little less than the two minutes between notice and end."""
DRAIN = ("ray", "drain-node", "--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot notice")


def asked(path: str, method: str = "GET", **headers: str) -> str | None:
    """What the instance's metadata say; None where there is nothing, or nobody answers."""
    named = {f"X-aws-ec2-metadata-{key.replace('_', '-')}": value for key, value in headers.items()}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"{METADATA}/{path}", method=method, headers=named), timeout=2
        ) as answer:
            return answer.read().decode()
    except OSError:
        return None


def noticed() -> bool:
    """Whether the machine will be taken back."""
    token = asked("api/token", "PUT", token_ttl_seconds="60")
    return token is not None and asked("meta-data/spot/instance-action", token=token) is not None


if __name__ == "__main__":
    while not noticed():
        time.sleep(EVERY_S)
    subprocess.run([*DRAIN, "--deadline-remaining-seconds", str(DEADLINE_S)], check=True)
