"""Meta-steps under `tf.distribute`.

Each replica takes its share of a meta-batch and adapts to its tasks without communication. Then two
sums over replicas follow: one of the displacement, and one of the carried inner state and the
metrics.
"""

from keras_reptile.distribution.model import DistributedModel
from keras_reptile.distribution.replicas import (
    SERIAL,
    apply,
    mean_over_replicas,
    replica_index,
    replicas,
)
from keras_reptile.distribution.shares import check_divides, regrouped
from keras_reptile.distribution.steps import values_by_task
from keras_reptile.distribution.strategies import create
from keras_reptile.distribution.workers import Workers, lost_workers_explained, set_state, state_of

__all__ = [
    "SERIAL",
    "DistributedModel",
    "Workers",
    "apply",
    "check_divides",
    "create",
    "lost_workers_explained",
    "mean_over_replicas",
    "regrouped",
    "replica_index",
    "replicas",
    "set_state",
    "state_of",
    "values_by_task",
]
