"""The names of the files in an exported directory."""

METADATA = "metadata.json"
# The network alone, for plain Keras; and the whole `ReptileModel`, for `keras_reptile.pretrained`.
NETWORK = "network.keras"
MODEL = "model.keras"
MARKS = (METADATA, MODEL)
# All that an export may hold, by patterns of paths; what else lies there is someone else's.
OWN = (
    *MARKS,
    NETWORK,
    "saved_model.pb",
    "fingerprint.pb",
    "variables/variables.index",
    "variables/variables.data-*-of-*",
)
