"""Environments of programs that tests start, as workers of a cluster too."""

import json
import os
import socket
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def environment(**variables):
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    quiet = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONFAULTHANDLER": "1"}
    inherited = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    return {**inherited, **quiet, "PYTHONPATH": path, **variables}


def free_addresses(number):
    """Addresses on loopback that nobody listens on at the moment."""
    sockets = [socket.socket() for _ in range(number)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return addresses


def tf_config(addresses, index):
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": list(addresses)}, "task": task})


def of_workers(addresses):
    """Each worker's environment variables."""
    return [{"TF_CONFIG": tf_config(addresses, i)} for i in range(len(addresses))]
