"""Meta-steps under `tf.distribute`.

Each replica takes its share of a meta-batch and adapts to its tasks without communication. Then the
displacement, the carried inner state and the metrics are summed over replicas.
"""

from keras_reptile.distribution.model import DistributedModel
from keras_reptile.distribution.replicas import (
    SERIAL,
    apply,
    apply_mean,
    check_scope,
    has_copies,
    mean_over_replicas,
    replica_index,
    replicas,
    share_of_mean,
    sum_over_replicas,
)
from keras_reptile.distribution.shares import check_divides, largest_meta_batch, regrouped
from keras_reptile.distribution.steps import values_by_task
from keras_reptile.distribution.strategies import create
from keras_reptile.distribution.workers import Workers, lost_workers_explained

__all__ = [
    "SERIAL",
    "DistributedModel",
    "Workers",
    "apply",
    "apply_mean",
    "check_divides",
    "check_scope",
    "create",
    "has_copies",
    "largest_meta_batch",
    "lost_workers_explained",
    "mean_over_replicas",
    "regrouped",
    "replica_index",
    "replicas",
    "share_of_mean",
    "sum_over_replicas",
    "values_by_task",
]
