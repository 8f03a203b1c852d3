"""Everything that `tf.distribute` needs of a meta-step, in one place.

Each replica takes its share of a meta-batch and adapts to its tasks by itself; then two sums over
replicas follow, one of the displacement and one of the carried inner state and the figures.
"""

from keras_reptile.distribution.model import DistributedModel
from keras_reptile.distribution.replicas import (
    SERIAL,
    apply,
    mean_over_replicas,
    replica_index,
    replicas,
)
from keras_reptile.distribution.shares import REAL, check_divides
from keras_reptile.distribution.steps import (
    accelerated,
    compiled_where_it_pays,
    device_kinds,
    on_gpu,
    outside_of_xla,
    values_by_task,
)
from keras_reptile.distribution.strategies import create
from keras_reptile.distribution.workers import Workers, losses_explained, set_state, state_of

__all__ = [
    "REAL",
    "SERIAL",
    "DistributedModel",
    "Workers",
    "accelerated",
    "apply",
    "check_divides",
    "compiled_where_it_pays",
    "create",
    "device_kinds",
    "losses_explained",
    "mean_over_replicas",
    "on_gpu",
    "outside_of_xla",
    "replica_index",
    "replicas",
    "set_state",
    "state_of",
    "values_by_task",
]
