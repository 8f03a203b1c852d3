"""The hosts of a run, as the environment variable TF_CONFIG names them."""

import json
import os
from typing import Any, NamedTuple

EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


class Cluster(NamedTuple):
    """addresses: tuple of "host:port", the chief's first; index: this process's place in it."""

    addresses: tuple
    # A tuple's own method of this name is not missed.
    index: int  # type: ignore[assignment]


def from_environment() -> Cluster | None:
    """What TF_CONFIG says; `None` if it is not set, or names no cluster."""
    text = os.environ.get("TF_CONFIG", "")
    if text.strip():
        return parse(text)
    # TensorFlow's strategies read it too, and fail where it is set but empty.
    os.environ.pop("TF_CONFIG", None)
    return None


def parse(text: str) -> Cluster | None:
    """The cluster that a TF_CONFIG names.

    Raises:
        ValueError: If it is not JSON or does not fit together.

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
        "there is one chief at most",
        tasks.get("chief"),
    )
    everyone = (*addresses["chief"], *addresses["worker"])
    _require(len(set(everyone)) == len(everyone) > 0, "addresses must differ", list(everyone))
    return Cluster(everyone, _place(config.get("task"), addresses))


def _object(text) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"TF_CONFIG is not JSON: {error}. Expected, say: {EXAMPLE}") from None
    _require(isinstance(config, dict), "it must be an object", config)
    return config


def _addresses(job, found) -> list[str]:
    good = isinstance(found, list) and all(
        isinstance(a, str) and a.rpartition(":")[0] and a.rpartition(":")[2].isdigit()
        for a in found
    )
    _require(good, f'`{job}` must be a list of "host:port"', found)
    return found


def _place(task, addresses) -> int:
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
            f"TF_CONFIG does not fit together: {text}. Received: {received!r}. "
            f"Expected, say: {EXAMPLE}"
        )
