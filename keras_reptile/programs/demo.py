"""Shows a page where you draw characters and the network learns them."""

from absl import flags

from keras_reptile.demo.page import serve

FLAGS = flags.FLAGS


def main() -> None:
    if FLAGS.model is None:
        raise ValueError("--model is missing: give an output directory of bin/train.")
    serve(FLAGS.model, FLAGS.port, FLAGS.ways, FLAGS.steps)
