"""Writes a SavedModel that TensorFlow alone can fine-tune and serve."""

from absl import flags

from keras_reptile.runs.exporting import export_run

FLAGS = flags.FLAGS


def main() -> None:
    if FLAGS.checkpoint is None:
        raise ValueError("--checkpoint is missing: give an output directory of bin/train.")
    if FLAGS.output is None:
        raise ValueError("--output is missing: give the directory to write.")
    metadata = export_run(
        FLAGS.checkpoint,
        FLAGS.output,
        which=FLAGS.which,
        class_names=FLAGS.class_names,
        only_model=FLAGS.only_model,
        overwrite=FLAGS.overwrite,
        orientations=FLAGS.orientations,
    )
    print(f"Exported meta-iteration {metadata['meta_iteration']:,} to {FLAGS.output}.")
