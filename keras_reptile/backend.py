"""The backend that Keras must have."""

import keras


def check_backend() -> None:
    """Raises `ImportError` unless Keras runs on TensorFlow."""
    received = keras.backend.backend()
    if received != "tensorflow":
        raise ImportError(
            f"keras_reptile needs Keras's TensorFlow backend. Received: {received!r}. Set the "
            "environment variable KERAS_BACKEND=tensorflow before Keras is imported."
        )
