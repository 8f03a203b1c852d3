"""A drawing as a browser's canvas hands it over."""

import base64

import numpy as np
import tensorflow as tf


def cross(side=280, top=40, left=60, length=150, pen=12):
    """Ink of a cross with arms along the axes, whose bounding box is `length` x `length`."""
    ink = np.zeros((side, side), np.float32)
    middle = (length - pen) // 2
    ink[top : top + length, left + middle : left + middle + pen] = 1
    ink[top + middle : top + middle + pen, left : left + length] = 1
    return ink


def data_url(ink):
    png = tf.io.encode_png(np.uint8(255 * (1 - ink))[..., np.newaxis]).numpy()
    return "data:image/png;base64," + base64.b64encode(png).decode()
