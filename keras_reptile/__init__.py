"""Reptile meta-learning in Keras."""

import os
import sys

from keras_reptile.version import __version__


def _is_a_program() -> bool:
    """Returns whether the process is `reptile`, `python -m keras_reptile` or a program in bin/."""
    if sys.argv[:1] == ["-m"]:
        return "keras_reptile" in sys.orig_argv
    folder, name = os.path.split(os.path.realpath(sys.argv[0] if sys.argv else ""))
    ours = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bin")
    return name == "reptile" or folder == ours


# A program imports TensorFlow after it has set the environment, and only if it has work to do
# (`programs.start.load_package`). All others get all names, and the classes that Keras loads.
if sys.modules.get("tensorflow") or not _is_a_program():
    from keras_reptile import checks, datasets, networks
    from keras_reptile.algorithm.meta_update import linear_meta_step
    from keras_reptile.algorithm.methods import register_method
    from keras_reptile.datasets.image_files import read_image
    from keras_reptile.datasets.load import register_dataset
    from keras_reptile.datasets.omniglot_runs import omniglot_runs
    from keras_reptile.datasets.sinusoid import sinusoid_dataset
    from keras_reptile.episodes.class_pool import ClassPool, Pools
    from keras_reptile.episodes.episode_dataset import episode_dataset
    from keras_reptile.episodes.given_episode import episode
    from keras_reptile.episodes.task_spec import TaskSpec
    from keras_reptile.errors import RunError
    from keras_reptile.evaluation import (
        Evaluation,
        LossEvaluation,
        evaluate,
        evaluate_both,
        evaluate_loss,
    )
    from keras_reptile.networks import register_network
    from keras_reptile.pictures.classes import plot_confusion, plot_hardest_classes
    from keras_reptile.pictures.task import plot_task
    from keras_reptile.pretrained import pretrained, pretrained_names
    from keras_reptile.reptile_model import ReptileModel
    from keras_reptile.threads import one_task_per_core

    checks.check_backend()

__all__ = [
    "ClassPool",
    "Evaluation",
    "LossEvaluation",
    "Pools",
    "ReptileModel",
    "RunError",
    "TaskSpec",
    "__version__",
    "datasets",
    "episode",
    "episode_dataset",
    "evaluate",
    "evaluate_both",
    "evaluate_loss",
    "linear_meta_step",
    "networks",
    "omniglot_runs",
    "one_task_per_core",
    "plot_confusion",
    "plot_hardest_classes",
    "plot_task",
    "pretrained",
    "pretrained_names",
    "read_image",
    "register_dataset",
    "register_method",
    "register_network",
    "sinusoid_dataset",
]


def __dir__() -> list[str]:
    """Returns the public names, which completion shows."""
    return __all__
