"""What `tf.distribute` needs of a meta-step."""

import tensorflow as tf


def replicas() -> int:
    return tf.distribute.get_strategy().num_replicas_in_sync


def replica_index() -> tf.Tensor | int:
    """This replica's number, from 0."""
    context = tf.distribute.get_replica_context()
    return context.replica_id_in_sync_group if replicas() > 1 else 0


def share_of_mean(tensors: list) -> list:
    """Scales a replica's mean so that the sum over replicas is the mean over replicas.

    Keras 3 sums over replicas what they pass to `optimizer.apply`.
    """
    return [t / replicas() for t in tensors]


def mean_over_replicas(tensors: list) -> list:
    """The mean of each tensor over the replicas, the same on all of them."""
    if replicas() == 1:
        return tensors
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, share_of_mean(tensors))


def accelerated() -> bool:
    """Whether what is built now runs on a GPU or TPU."""
    if tf.distribute.has_strategy():
        devices = tf.distribute.get_strategy().extended.worker_devices
        kinds = {tf.DeviceSpec.from_string(device).device_type for device in devices}
    else:
        # TensorFlow places operations on an accelerator where there is one.
        kinds = {device.device_type for device in tf.config.list_logical_devices()}
    return bool(kinds & {"GPU", "TPU"})
