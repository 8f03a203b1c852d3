"""Programs started as the workers of a cluster on loopback."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def environment(**variables):
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    quiet = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONFAULTHANDLER": "1"}
    inherited = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    return {**inherited, **quiet, "PYTHONPATH": path, **variables}


def start(program, *arguments, cwd=ROOT, prefix=(), **variables):
    command = [*prefix, sys.executable, str(ROOT / program), *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**variables),
    )


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


def start_workers(number, program, arguments_of, addresses=None, prefixes=None, **options):
    """Starts a program `number` times; `arguments_of` is a function of a worker's index."""
    addresses = addresses or free_addresses(number)
    prefixes = prefixes or [()] * number
    return [
        start(
            program,
            *arguments_of(i),
            prefix=prefixes[i],
            TF_CONFIG=tf_config(addresses, i),
            **options,
        )
        for i in range(number)
    ]


def finish(processes, timeout=300):
    """Waits for processes; list of their (status, stdout, stderr)."""
    try:
        outputs = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(p.returncode, *output) for p, output in zip(processes, outputs, strict=True)]
