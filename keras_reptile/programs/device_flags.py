"""The flags that say where a program computes; they decide no number of it."""

import tensorflow as tf
from absl import flags

from keras_reptile import distribution
from keras_reptile.distribution.strategies import NAMES

flags.DEFINE_enum(
    "strategy",
    "auto",
    NAMES,
    "Where to compute: several devices of this host (mirrored), the hosts in TF_CONFIG "
    "(multi_worker), a TPU (tpu), one device, or no strategy (none). auto: what --tpu, TF_CONFIG "
    "and --devices call for, all GPUs if they share a meta-batch evenly, otherwise none.",
)
flags.DEFINE_string(
    "devices",
    "",
    "Devices of this host, such as gpu:0,gpu:1. cpu:0,cpu:1 divides the CPU into two devices.",
)
flags.DEFINE_string("tpu", "", "A TPU's name or address, or local on a TPU VM.")
flags.DEFINE_float(
    "connect_timeout", 300, "Seconds to wait for the other hosts or a TPU before giving up."
)


def strategy(meta_batch_size: int | None = None) -> tf.distribute.Strategy | None:
    """The strategy that the flags ask for; see `distribution.create`."""
    given = flags.FLAGS
    return distribution.create(
        given.strategy,
        devices=given.devices,
        tpu=given.tpu,
        meta_batch_size=meta_batch_size,
        connect_timeout=given.connect_timeout,
    )
