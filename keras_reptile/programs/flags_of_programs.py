"""The flags of each program, and the text of its help. They do not need TensorFlow."""

from absl import flags

from keras_reptile.programs import device_flags, recipe_flags
from keras_reptile.programs.path_flags import define_path
from keras_reptile.recipes.recipe import NOTES, OF_EVALUATION, Recipe

# The keys of `experiments.figures.FIGURES`.
FIGURES = ("gradient_combinations", "study", "tail_overlap")

DATA_DIR = (
    "The data directory of TensorFlow Datasets (TFDS). Default: the environment variable "
    "TFDS_DATA_DIR, or TFDS's own default."
)
SPLITS = ("test", "validation", "train")
WHICH = "The newest checkpoint, or the best one."
ORIENTATIONS = (
    "Orientations in which each task is solved, for the mean prediction: 1; 2, images and mirror "
    "images; 4, images turned by 0, 90, 180 and 270 degrees; or 8, turned and mirrored."
)
ONLY_MODEL = "Write only the files that keras_reptile.pretrained loads, and no SavedModel."
RUNS = "Output directories of bin/train, or logs, separated by commas."
STEPS = "Inner steps at the start. Default: 50. A served page has fewer if they take over 500 ms."
STATIC = "An HTML file to write instead: the page with the network in it, without a server."
SEEDS_AT_ONCE = (
    "Number of runs that make their meta-steps in one program. They are runs of one setting with "
    "different seeds, as in study. The results stay the same."
)
PORT = "Where the page is served: http://127.0.0.1:PORT."


def train() -> None:
    """Meta-trains a network with Reptile.

    bin/train                                its own characters, two minutes
    bin/train --recipe=omniglot_5way         the paper's 5-way Omniglot run
    bin/train --image_dir=DIR                your images, a folder a class
    bin/train --dataset=tfds:cifar100 --channels=3    an image set of TFDS
    bin/train --network=mine:build           your network, build in mine.py
    bin/train --dataset=sinusoid             the paper's sine waves
    bin/train --devices=gpu:0,gpu:1 --meta_batch_size=8    two GPUs
    bin/train --list_recipes                 a table of all recipes
    bin/train --recipe=omniglot_5way --show  all settings of one

    A recipe names all hyper-parameters, and a flag replaces one. The same command resumes a run
    that was stopped. With another --meta_iterations it makes an unfinished run shorter or longer.
    Everything that a run writes lies under --output_dir.
    """
    flags.DEFINE_string("recipe", None, "Name of a recipe. Default: that of the data set.")
    flags.DEFINE_bool("list_recipes", False, "List the recipes and end.")
    flags.DEFINE_bool("show", False, "Show all settings of the run as flags and end.")
    define_path("data_dir", None, DATA_DIR)
    define_path(
        "output_dir",
        None,
        "Where to write. Default: runs/RECIPE; without --recipe runs/folder_FOLDER for a folder of "
        "images, and runs/tfds_NAME for tfds:NAME.",
    )
    recipe_flags.define_fields(Recipe, without=NOTES)
    device_flags.define()


def evaluate() -> None:
    """Measures a trained network's accuracy on tasks of unseen classes.

    bin/evaluate --checkpoint=runs/glyphs
    bin/evaluate --checkpoint=OUTPUT_DIR --shots=1 --transductive --tasks=10000
    bin/evaluate --checkpoint=OUTPUT_DIR --shots=5 --both --tasks=10000 --record=5_shots.json

    The settings are those of the run; each flag below replaces one. The last line of the output is
    JSON: accuracy, confidence_95, tasks, non_finite_tasks, ways, shots, transductive,
    orientations; for sine waves loss (the mean squared error), confidence_95, tasks,
    non_finite_tasks, shots, inner_steps. With --both there are two such lines, inductive and
    transductive, for the same tasks, in little more than the time of one. --record writes them to a
    file, with the settings, versions and machine.

    non_finite_tasks counts the tasks in which the inner loop diverged. Their predictions are not
    finite numbers. They count as wrong, and make the loss null. A line on standard error reports
    them, too.
    """
    define_path("checkpoint", None, "An output directory of bin/train.")
    flags.DEFINE_enum("which", "last", ("last", "best"), WHICH)
    flags.DEFINE_enum("split", "test", SPLITS, "Classes to draw tasks from.")
    flags.DEFINE_integer("tasks", 1000, "Number of tasks.")
    flags.DEFINE_integer("seed", 0, "The seed of the tasks.")
    define_path("data_dir", None, DATA_DIR)
    flags.DEFINE_bool("both", False, "Measure inductively and transductively, two lines of JSON.")
    flags.DEFINE_integer("orientations", 1, ORIENTATIONS)
    define_path(
        "record", None, "A JSON file to write: the results, with settings, versions and machine."
    )
    recipe_flags.define_fields(Recipe, only=OF_EVALUATION)
    device_flags.define()


def export() -> None:
    """Writes a SavedModel that TensorFlow alone can fine-tune and serve.

    bin/export --checkpoint=runs/glyphs --output=exported/glyphs
    bin/export --checkpoint=OUTPUT_DIR --output=PATH --which=best --class_names=a,b,c,d,e

    docs/how_to/export.md describes how to use it.
    """
    define_path("checkpoint", None, "An output directory of bin/train.")
    define_path("output", None, "The directory to write.")
    flags.DEFINE_enum("which", "last", ("last", "best"), WHICH)
    flags.DEFINE_list("class_names", None, "A name for each of the network's outputs.")
    flags.DEFINE_integer("orientations", 1, ORIENTATIONS)
    flags.DEFINE_bool("only_model", False, ONLY_MODEL)
    flags.DEFINE_bool("overwrite", False, "Replace an earlier export.")


def sweep() -> None:
    """Trains the runs of one of the paper's figures, and draws it.

    There are two figures of the paper, gradient_combinations and tail_overlap, and our own study.

    bin/sweep --figure=gradient_combinations --data_dir=DIR --meta_iterations=4000
    bin/sweep --figure=tail_overlap --only='fomaml_*,reptile_cycling_*' --data_dir=DIR
    bin/sweep --figure=gradient_combinations --dataset=glyphs --meta_iterations=100 --only=g1,g2
    bin/sweep --figure=study --seeds_at_once=3 --data_dir=DIR
    bin/sweep --figure=tail_overlap --list

    The same command resumes an earlier one that was stopped, and trains no run twice. It writes
    FIGURE.csv, FIGURE.png, and runs/ with a directory for each run, under --output_dir. Flags that
    `bin/train` has, too, replace the settings of all runs.
    """
    flags.DEFINE_enum("figure", None, FIGURES, "The figure.")
    flags.DEFINE_list("only", [], "Runs to train, by name or pattern. Default: all of the figure.")
    flags.DEFINE_bool("list", False, "List the runs and end.")
    flags.DEFINE_bool("draw_only", False, "Train nothing: draw the existing results.")
    flags.DEFINE_integer("seeds_at_once", 1, SEEDS_AT_ONCE, 1)
    define_path("data_dir", None, DATA_DIR)
    define_path("output_dir", None, "Where to write. Default: runs/FIGURE.")
    recipe_flags.define_fields(Recipe, without=NOTES)


def compare() -> None:
    """Draws the accuracy of several runs against seconds of training.

    bin/compare --runs=runs/omniglot_5way,runs/short --output=comparison.png
    bin/compare --runs=runs/a/log.csv,runs/b/log.csv --names='before,after' --reference=97.68

    Runs are output directories of bin/train, finished or not, or copies of their log.csv. Seconds
    are those of the meta-iterations alone, without validation, tests and checkpoints. A last line
    names settings in which the tasks of the runs differ.
    """
    flags.DEFINE_list("runs", [], RUNS)
    flags.DEFINE_list("names", [], "Their names. Default: as in --runs.")
    flags.DEFINE_float("reference", None, "An accuracy in percent, drawn as a line.")
    define_path("output", "comparison.png", "The PNG file to write.")


def demo() -> None:
    """Shows a page where you draw characters and the network learns them.

    bin/demo                     the shipped model omniglot_5way
    bin/demo --model=runs/glyphs
    bin/demo --model=OUTPUT_DIR --ways=3 --port=8080
    bin/demo --model=OUTPUT_DIR --static=page.html

    Draw one to five examples of each character, and then a new one. The page is served to this
    machine only, and needs no network. With --static it is one HTML file that needs no server.
    """
    define_path(
        "model",
        None,
        "Output directory of bin/train, an export, or a model. Default: the shipped omniglot_5way.",
    )
    flags.DEFINE_integer("port", 7860, PORT, 1, 65535)
    flags.DEFINE_integer("ways", None, "Characters on the page. Default: the network's outputs.")
    flags.DEFINE_integer("steps", None, STEPS)
    define_path("static", None, STATIC)


PROGRAMS = {each.__name__: each for each in (train, evaluate, export, demo, sweep, compare)}
