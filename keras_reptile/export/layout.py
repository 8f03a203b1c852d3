"""The names of the files in an exported directory."""

METADATA = "metadata.json"
# The network for plain Keras, and the whole `ReptileModel` for `keras_reptile.pretrained`.
NETWORK = "network.keras"
MODEL = "model.keras"
MARKS = (METADATA, MODEL)
# Patterns of all paths that an export writes. A directory with other files is not an export.
FILES_OF_AN_EXPORT = (
    *MARKS,
    NETWORK,
    "saved_model.pb",
    "fingerprint.pb",
    "variables/variables.index",
    "variables/variables.data-*-of-*",
)
