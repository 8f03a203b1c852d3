"""The hosts of a run, from the environment variable TF_CONFIG."""

import json
import os
import re
from typing import Any, NamedTuple

EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


class Cluster(NamedTuple):
    """The hosts of a run.

    addresses: Tuple of "host:port". The chief is the first.
    index: Integer, the position of this process in `addresses`.
    """

    addresses: tuple
    # It hides the tuple's method `index`, which is not needed.
    index: int  # type: ignore[assignment]


def from_environment() -> Cluster | None:
    """Returns the cluster in TF_CONFIG, or `None` if it is not set or has no cluster."""
    text = os.environ.get("TF_CONFIG", "")
    if text.strip():
        return parse(text)
    # TensorFlow's strategies also read it, and fail if it is set but empty.
    os.environ.pop("TF_CONFIG", None)
    return None


def parse(text: str) -> Cluster | None:
    """Returns the cluster of a TF_CONFIG, or `None` if it has none.

    Raises:
        ValueError: If it is not JSON or is inconsistent.

    Example:

    >>> parse(EXAMPLE)
    Cluster(addresses=('10.0.0.1:2222', '10.0.0.2:2222'), index=0)
    """
    config = _object(text)
    tasks = config.get("cluster")
    if not tasks:
        return None
    _require(isinstance(tasks, dict), "`cluster` must be an object", tasks)
    others = sorted(set(tasks) - {"chief", "worker"})
    _require(not others, "only jobs named `chief` and `worker` can train", others)
    addresses = {job: _addresses(job, tasks.get(job, [])) for job in ("chief", "worker")}
    _require(
        len(addresses["chief"]) <= 1,
        "there must be at most one chief",
        tasks.get("chief"),
    )
    everyone = (*addresses["chief"], *addresses["worker"])
    _require(len(set(everyone)) == len(everyone) > 0, "addresses must differ", list(everyone))
    return Cluster(everyone, _index(config.get("task"), addresses))


def _object(text) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"TF_CONFIG is not JSON: {error}. Example: {EXAMPLE}") from None
    _require(isinstance(config, dict), "it must be an object", config)
    return config


def _addresses(job, value) -> list[str]:
    valid = isinstance(value, list) and all(isinstance(a, str) and _is_address(a) for a in value)
    _require(valid, f'`{job}` must be a list of "host:port"', value)
    return value


def _is_address(text) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and re.fullmatch("[0-9]{1,5}", port) is not None and 0 < int(port) < 2**16


def _index(task, addresses) -> int:
    complete = isinstance(task, dict) and {"type", "index"} <= set(task)
    _require(complete, "`task` must have a `type` and an `index`", task)
    job, index = task["type"], task["index"]
    _require(job in addresses, "the task's `type` must be 'chief' or 'worker'", job)
    number = len(addresses[job])
    _require(
        isinstance(index, int) and 0 <= index < number,
        f"the task's `index` must be from 0 to {number - 1}, one for each {job} in `cluster`",
        index,
    )
    return index + (len(addresses["chief"]) if job == "worker" else 0)


def _require(condition, text, received) -> None:
    if not condition:
        raise ValueError(
            f"TF_CONFIG is inconsistent: {text}. Received: {received!r}. Example: {EXAMPLE}"
        )
