"""The kinds of devices for which a function is traced."""

import tensorflow as tf


def on_gpu() -> bool:
    """Returns whether the current replica computes on a GPU."""
    return "GPU" in device_kinds()


def device_kinds() -> set[str]:
    """Returns the kinds of devices of the current strategy, or of this machine without one."""
    if tf.distribute.has_strategy():
        devices = tf.distribute.get_strategy().extended.worker_devices
        return {tf.DeviceSpec.from_string(device).device_type for device in devices}
    # TensorFlow places operations on an accelerator if there is one.
    return {device.device_type for device in tf.config.list_logical_devices()}
