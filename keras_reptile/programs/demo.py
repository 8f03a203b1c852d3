"""Shows a page where you draw characters and the network learns them."""

from absl import flags

from keras_reptile.demo.page import serve
from keras_reptile.pretrained import MODELS, pretrained_names

FLAGS = flags.FLAGS


def main() -> None:
    # Without one, a model that comes with the package.
    model = FLAGS.model or MODELS / pretrained_names()[0]
    serve(model, FLAGS.port, FLAGS.ways, FLAGS.steps)
