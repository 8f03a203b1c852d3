"""Errors about tasks name the fields of the recipe, not the arguments that they become."""

import contextlib
import re
from collections.abc import Iterator, Mapping

# The fields that are arguments of `episode_dataset` under another name.
IN_TRAINING = {"shots": "train_shots"}
IN_EVALUATION = {"inner_batch_size": "eval_inner_batch_size", "inner_steps": "eval_inner_steps"}


@contextlib.contextmanager
def named_in_errors(names: Mapping[str, str]) -> Iterator[None]:
    """Returns a context in which a `ValueError` names fields in place of arguments.

    Args:
        names: Mapping of arguments to the fields that give them.

    Example:

    >>> with named_in_errors({"shots": "train_shots"}):
    ...     raise ValueError("Received: tail_shots=5, shots=5. Raise `shots`.")
    Traceback (most recent call last):
    ...
    ValueError: Received: tail_shots=5, train_shots=5. Raise `train_shots`.
    """
    try:
        yield
    except ValueError as error:
        words = rf"\b({'|'.join(names)})\b"
        raise ValueError(re.sub(words, lambda word: names[word[0]], str(error))) from None
