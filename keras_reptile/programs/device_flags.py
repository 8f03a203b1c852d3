"""The flags for devices and hosts. They do not change a program's results."""

from typing import Any

from absl import flags

# The keys of `distribution.strategies.NAMES`.
STRATEGIES = ("auto", "multi_worker", "mirrored", "none", "one_device", "tpu")
STRATEGY = (
    "Where to compute: several devices of this host (mirrored), the hosts in TF_CONFIG "
    "(multi_worker), a TPU (tpu), one device, or no strategy (none). auto: what --tpu, TF_CONFIG "
    "and --devices call for, all GPUs if they share a meta-batch evenly, otherwise none."
)
DEVICES = "Devices of this host, such as gpu:0,gpu:1. cpu:0,cpu:1 divides the CPU into two devices."
CONNECT_TIMEOUT = "Seconds to wait for the other hosts or a TPU before giving up."


def define() -> None:
    flags.DEFINE_enum("strategy", "auto", STRATEGIES, STRATEGY)
    flags.DEFINE_string("devices", "", DEVICES)
    flags.DEFINE_string("tpu", "", "A TPU's name or address, or local on a TPU VM.")
    flags.DEFINE_float("connect_timeout", 300, CONNECT_TIMEOUT)


def strategy(meta_batch_size: int | None = None) -> Any:
    """Returns the strategy that the flags ask for, or `None`, see `distribution.create`."""
    # Imported here: flags and help do not need TensorFlow.
    from keras_reptile import distribution

    given = flags.FLAGS
    return distribution.create(
        given.strategy,
        devices=given.devices,
        tpu=given.tpu,
        meta_batch_size=meta_batch_size,
        connect_timeout=given.connect_timeout,
    )
