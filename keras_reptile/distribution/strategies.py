"""Creates a `tf.distribute` strategy from flags."""

import contextlib
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence

import tensorflow as tf

from keras_reptile.distribution import cluster, rendezvous
from keras_reptile.distribution.shares import check_divides

NAMES = ("auto", "multi_worker", "mirrored", "none", "one_device", "tpu")


def create(
    name: str = "auto",
    *,
    devices: str = "",
    tpu: str = "",
    meta_batch_size: int | None = None,
    connect_timeout: float = 300,
) -> tf.distribute.Strategy | None:
    """Creates a strategy by its name. Call it once, before TensorFlow starts.

    Args:
        name: String. `"none"`; `"one_device"`; `"mirrored"`, several devices of this host;
            `"multi_worker"`, the hosts in TF_CONFIG; `"tpu"`; or `"auto"`, see `choice`. Defaults
            to `"auto"`.
        devices: String, devices of this host, such as `"gpu:0,gpu:1"`. CPU devices are logical
            devices: `"cpu:0,cpu:1"` are two devices of the same CPU. Defaults to `""`: all GPUs, or
            the CPU if there is no GPU.
        tpu: String, a TPU's name or address, or `"local"` on a TPU VM. Defaults to `""`.
        meta_batch_size: Integer, the tasks that replicas share. Defaults to `None`, no check.
        connect_timeout: Float, seconds after which the process ends if a TPU or the other hosts
            do not answer. Defaults to `300`.

    Returns:
        A strategy, or `None` for `"none"`.

    Raises:
        ValueError: If arguments are out of range or contradict each other, there are no such
            devices, TF_CONFIG is inconsistent, a TPU cannot be reached, or the number of replicas
            does not divide a meta-batch.

    Example:

    >>> create("none") is None
    True
    """
    if not 0 < connect_timeout < math.inf:
        raise ValueError(
            "`connect_timeout` must be a number of seconds above 0. "
            f"Received: connect_timeout={connect_timeout}."
        )
    named = parse_devices(devices)
    hosts = cluster.from_environment()
    gpus = len(tf.config.list_physical_devices("GPU"))
    name = choice(name, named, tpu, hosts, gpus, meta_batch_size)
    _check(name, named, tpu, hosts)
    make_logical_cpus(named)
    strategy = _create(name, named, tpu, hosts, connect_timeout)
    if strategy is not None and meta_batch_size is not None:
        check_divides(meta_batch_size, strategy.num_replicas_in_sync)
    return strategy


def choice(
    name: str,
    devices: Sequence[str],
    tpu: str,
    hosts: cluster.Cluster | None,
    gpus: int,
    meta_batch_size: int | None,
) -> str:
    """Returns the strategy that `"auto"` chooses. Any other name is returned unchanged.

    `"auto"` chooses the first of these that applies: the TPU that is named, the hosts of TF_CONFIG
    if there are several, the devices that are named, all GPUs if there are several and their number
    divides a meta-batch, or no strategy.

    Example:

    >>> choice("auto", [], "", None, gpus=2, meta_batch_size=6)
    'mirrored'
    >>> choice("auto", [], "", None, gpus=2, meta_batch_size=5)
    'none'
    """
    if name not in NAMES:
        raise ValueError(f"`strategy` must be one of {list(NAMES)}. Received: {name!r}.")
    if name != "auto":
        return name
    if tpu:
        return "tpu"
    if hosts is not None and len(hosts.addresses) > 1:
        return "multi_worker"
    if devices:
        return "mirrored" if len(devices) > 1 else "one_device"
    shared = meta_batch_size is not None and gpus > 1 and meta_batch_size % gpus == 0
    return "mirrored" if shared else "none"


def parse_devices(text: str) -> list[str]:
    """Returns the devices in a list such as "cpu:0,cpu:1".

    Example:

    >>> parse_devices("gpu:0, GPU:1")
    ['GPU:0', 'GPU:1']
    """
    names = [name.strip().upper() for name in text.split(",")] if text.strip() else []
    # Numbers are written without leading zeros.
    names = [re.sub(r":0+(?=\d)", ":", name) for name in names]
    wrong = [name for name in names if not re.fullmatch(r"(CPU|GPU):\d+", name)]
    if wrong or len(set(names)) < len(names):
        raise ValueError(
            "`devices` must be different devices of this host, such as 'gpu:0,gpu:1' or "
            f"'cpu:0,cpu:1'. Received: devices={text!r}."
        )
    return names


def make_logical_cpus(devices: Sequence[str]) -> None:
    """Divides the CPU into logical devices, as many as the names need."""
    number = 1 + max((int(d[4:]) for d in devices if d.startswith("CPU:")), default=0)
    if number == 1:
        return
    cpu = tf.config.list_physical_devices("CPU")[0]
    wanted = [tf.config.LogicalDeviceConfiguration()] * number
    if tf.config.get_logical_device_configuration(cpu) == wanted:
        return
    try:
        tf.config.set_logical_device_configuration(cpu, wanted)
    except RuntimeError:
        raise ValueError(
            f"The CPU cannot be divided into {number} devices once TensorFlow has started. Create "
            "the strategy first."
        ) from None


def _check(name, devices, tpu, hosts) -> None:
    """Raises `ValueError` for arguments that contradict each other, before any connection."""
    if (name == "tpu") != bool(tpu):
        raise ValueError(
            "strategy='tpu' needs `tpu`: the TPU's name or address, or 'local' on a TPU VM. `tpu` "
            f"needs strategy='tpu' or 'auto'. Received: strategy={name!r}, tpu={tpu!r}."
        )
    most = {"one_device": 1, "mirrored": len(devices)}.get(name, 0)
    if len(devices) > most:
        raise ValueError(
            "strategy='mirrored' takes `devices`, 'one_device' takes one of them, and the others "
            f"take none. Received: strategy={name!r}, devices={','.join(devices)!r}."
        )
    if name == "multi_worker" and hosts is None:
        raise ValueError(
            "strategy='multi_worker' needs the hosts in the environment variable TF_CONFIG. It is "
            f"not set or has no cluster. Example: {cluster.EXAMPLE}"
        )
    if name not in ("multi_worker", "none") and hosts is not None and len(hosts.addresses) > 1:
        raise ValueError(
            f"TF_CONFIG has {len(hosts.addresses)} hosts, and each would train separately. "
            f"Received: strategy={name!r}. Use strategy='multi_worker', or unset TF_CONFIG."
        )
    present = [d.name.partition("device:")[2] or d.name[-5:] for d in _gpus()]
    missing = [d for d in devices if d.startswith("GPU:") and d not in present]
    if missing:
        raise ValueError(
            f"There is no {', '.join(missing)} on this host. Received: "
            f"devices={','.join(devices)!r}, with {len(present)} GPUs."
        )


def _gpus():
    return tf.config.list_physical_devices("GPU")


def _create(name, devices, tpu, hosts, connect_timeout):
    if name == "one_device":
        return tf.distribute.OneDeviceStrategy((devices or ["GPU:0" if _gpus() else "CPU:0"])[0])
    if name == "mirrored":
        return tf.distribute.MirroredStrategy(devices or None)
    if name == "multi_worker":
        rendezvous.meet(hosts, connect_timeout)
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "tpu":
        with time_limit(connect_timeout, f"the TPU {tpu!r} did not answer"):
            return connect_tpu(tpu)
    return None


def connect_tpu(name: str) -> tf.distribute.TPUStrategy:
    """Returns the strategy for a TPU, by its name, its address, or `"local"` on a TPU VM."""
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"The TPU {name!r} cannot be reached: {reason} Check the name and that this TensorFlow "
            "is built for TPUs (`pip install tensorflow-tpu`)."
        ) from None
    return tf.distribute.TPUStrategy(resolver)


@contextlib.contextmanager
def time_limit(seconds: float, text: str) -> Iterator[None]:
    """Kills the process with a one-line message if the block takes longer.

    TensorFlow waits forever and holds Python's global lock, so no thread or signal handler of this
    process can run. Therefore another process measures the time.
    """
    line = f"{os.path.basename(sys.argv[0])}: {text} within {seconds:g} s."
    script = 'sleep "$1"; echo "$2" >&2; kill -9 "$3"'
    command = ["sh", "-c", script, "sh", str(seconds), line, str(os.getpid())]
    watch = subprocess.Popen(command, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(watch.pid, signal.SIGKILL)
        watch.wait()
