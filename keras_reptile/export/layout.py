"""The names of the files in an exported directory."""

METADATA = "metadata.json"
# The network alone, for plain Keras; and the whole `ReptileModel`, for `keras_reptile.pretrained`.
NETWORK = "network.keras"
MODEL = "model.keras"
MARKS = (METADATA, MODEL)
