"""Shows a page where you draw characters and the network learns them."""

import os

from absl import flags

from keras_reptile.demo.page import serve
from keras_reptile.demo.static_page import write_page
from keras_reptile.pretrained import MODELS
from keras_reptile.runs.run_files import check_no_file_of_a_run

FLAGS = flags.FLAGS


def main() -> None:
    model = FLAGS.model or MODELS / "omniglot_5way"
    if FLAGS.static is None:
        serve(model, FLAGS.port, FLAGS.ways, FLAGS.steps)
    else:
        write(model)


def write(model: str | os.PathLike) -> None:
    """Writes the page to the file of --static."""
    if FLAGS["port"].present:
        raise ValueError("--port has no meaning with --static, which needs no server.")
    check_no_file_of_a_run("static", FLAGS.static)
    size = write_page(FLAGS.static, model, FLAGS.ways, FLAGS.steps)
    print(f"Wrote {FLAGS.static}, {size / 1e6:.2f} MB. Open it in a browser: it needs no server.")
