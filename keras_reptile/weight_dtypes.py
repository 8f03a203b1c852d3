"""The dtypes of weights that an inner loop can move."""

from collections.abc import Sequence
from typing import Any

from keras_reptile.algorithm.inner_optimizers import InnerAdam

MEND = "The policies 'mixed_bfloat16' and 'mixed_float16' compute in 16 bits on float32 weights."


def check_dtypes(rule: Any, weights: Sequence) -> None:
    """Raises `ValueError` for weights of several dtypes, and for Adam on weights of 16 bits.

    In bfloat16 Adam's beta_2, 0.999, is 1, so that its steps are 0. In float16 its epsilon, 1e-8,
    is 0, so that a gradient of 0 makes a weight NaN. Keras's own Adam does the same.
    """
    dtypes = sorted({w.dtype for w in weights})
    received = f"Received: {', '.join(dtypes)}. {MEND}"
    if len(dtypes) > 1:
        raise ValueError(f"An inner loop moves trainable weights of one dtype. {received}")
    if isinstance(rule, InnerAdam) and {"bfloat16", "float16"} & set(dtypes):
        raise ValueError(f"Inner Adam moves weights of 32 bits or more. {received}")
