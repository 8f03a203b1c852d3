"""The kinds of device that a program is traced for."""

import tensorflow as tf


def on_gpu() -> bool:
    """Whether this replica, or the only one, computes on a GPU."""
    return "GPU" in device_kinds()


def accelerated() -> bool:
    """Whether this replica, or the only one, computes on a GPU or TPU."""
    return bool(device_kinds() & {"GPU", "TPU"})


def device_kinds() -> set[str]:
    """The kinds of devices that the strategy at hand computes on, or that there are."""
    if tf.distribute.has_strategy():
        devices = tf.distribute.get_strategy().extended.worker_devices
        return {tf.DeviceSpec.from_string(device).device_type for device in devices}
    # TensorFlow places operations on an accelerator where there is one.
    return {device.device_type for device in tf.config.list_logical_devices()}
