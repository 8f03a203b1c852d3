"""What every program does first: find the package, and start TensorFlow without its noise."""

import importlib.util
import os
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# The oneDNN kernels are no faster here, and announce themselves.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def start_tensorflow() -> None:
    """Imports TensorFlow and has it look for devices; what it logs is shown only if it fails.

    Its first messages come before its log level counts.
    """
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            log.seek(0)
            os.write(stderr, log.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


if importlib.util.find_spec("tensorflow") is None:
    name = os.path.basename(sys.argv[0])
    sys.exit(f"{name}: TensorFlow is not installed for {sys.executable}. See README.md.")
start_tensorflow()
