"""Runs a program's `main` again and again in one process, up to where its work would begin.

Reads a line of JSON for each command line, [program, arguments], and answers with a line of JSON:
the status and what was said on standard error. Each program has a fork of its own. Flags are
parsed, settings checked and directories looked into as ever; what takes long is replaced (see
`stand_ins`), and where training, measuring or serving would begin, the program ends with status 0.
"""

import contextlib
import dataclasses
import io
import json
import os
import shutil
import socket
import sys
import tempfile
import traceback
from pathlib import Path
from unittest import mock

import keras
import numpy as np
from absl import flags
from made_images import class_folders

import keras_reptile as kr
from keras_reptile.datasets import glyphs, omniglot
from keras_reptile.distribution import strategies
from keras_reptile.episodes import episode_dataset
from keras_reptile.experiments import sweep
from keras_reptile.export import saved_model
from keras_reptile.programs import command_line, outcome, start
from keras_reptile.recipes import building, named
from keras_reptile.runs import training

ROOT = Path(__file__).resolve().parents[2]
FLAGS = flags.FLAGS


class Reached(BaseException):
    """Where the work would begin."""


def stop(*arguments, **options):
    raise Reached


def small_model():
    """A model of the run that is there, with a small network."""
    recipe = named.get("glyphs")
    layers = [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(5)]
    model = kr.ReptileModel(keras.Sequential(layers), building.inner_optimizer(recipe))
    model.compile(building.meta_optimizer(recipe), building.task_loss(recipe))
    return model


def glyph_images(classes=700, writers=20, image_size=28, seed=0):
    """As many drawings, all blank and tiny, once the numbers are checked."""
    glyphs.check_drawing(classes, writers, image_size, seed)
    labels = np.repeat(np.arange(classes), writers)
    return np.zeros((len(labels), 1, 1, 1), np.uint8), labels


def omniglot_images(data_dir, split, image_size):
    characters = np.repeat(np.arange(1623), 20)
    images = np.zeros((len(characters), 1, 1, 1), np.uint8)
    return [images, characters // 1000, characters % 1000], "omniglot/3.0.0"


def folder_images(paths, image_size, channels):
    return np.zeros((len(paths), 1, 1, 1), np.uint8)


def untraced(firsts, draw, size):
    return firsts


def unreachable(name):
    raise ValueError(f"The TPU {name!r} cannot be reached: there is none in tests.")


def stand_ins(saved):
    """What is replaced: reading images, tracing graphs, reaching TPUs, and all real work."""
    return [
        mock.patch.object(outcome, "one_task_per_core", lambda **_: None),
        mock.patch.object(start, "load_package", lambda: None),
        mock.patch.object(glyphs, "draw_glyphs", glyph_images),
        mock.patch.object(omniglot, "_read", omniglot_images),
        mock.patch("keras_reptile.datasets.image_cache.read_images", folder_images),
        mock.patch.object(episode_dataset, "_mapped", untraced),
        mock.patch.object(strategies, "connect_tpu", unreachable),
        mock.patch.object(training, "_fit", stop),
        mock.patch.object(training.building, "on_strategy", lambda *a: saved),
        mock.patch.object(sweep, "_train", stop),
        mock.patch.object(saved_model, "write_saved_model", stop),
        mock.patch("keras_reptile.runs.evaluating.measure", stop),
        mock.patch("keras_reptile.runs.evaluating.measure_both", stop),
        mock.patch("keras_reptile.runs.evaluating.load_checkpoint", lambda path: saved),
        mock.patch("keras_reptile.runs.run_directory.load_checkpoint", lambda path: saved),
        mock.patch("keras_reptile.demo.models.load_checkpoint", lambda path: saved),
        mock.patch("keras_reptile.runs.exporting.read_score", lambda path: None),
        mock.patch("keras_reptile.demo.page.check_gradio", lambda: None),
        mock.patch("keras_reptile.demo.page.application", stop),
        mock.patch("keras_reptile.export.portable.write", stop),
    ]


def furnished(folder):
    """What command lines can name: a run, images, a file and an empty folder."""
    (folder / "empty").mkdir()
    (folder / "file").write_text("no run")
    checkpoints = folder / "run" / "checkpoints"
    checkpoints.mkdir(parents=True)
    for name in ("iteration-000000004", "best"):
        (checkpoints / f"{name}.keras").write_bytes(b"")
    settings = dataclasses.asdict(named.get("glyphs"))
    (folder / "run" / "run.json").write_text(json.dumps({"settings": settings}))
    log = "meta_iteration,accuracy,meta_iterations_per_second\n4,0.5,10\n"
    (folder / "run" / "log.csv").write_text(log)
    images = class_folders(
        folder.with_name(folder.name + ".images"), dict.fromkeys("abcdefghijkl", 12)
    )
    (folder / "images").symlink_to(images)


def ended(program, arguments):
    """The status of one command line, and its standard error."""
    command_line.define(program)
    for name in FLAGS:
        FLAGS[name].unparse()
    err = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        try:
            sys.argv[1:] = arguments
            command_line.run(program, arguments)
            status = 0
        except Reached:
            status = 0
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            traceback.print_exc()
            status = -1
    return status, err.getvalue()


def serve(program, lines, answers):
    """One program in a fork: a line of arguments in, a line of its outcome out."""
    sys.argv[0] = str(ROOT / "bin" / program)
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as outer:
        template = Path(outer) / "template"
        template.mkdir()
        furnished(template)
        for stand_in in stand_ins(small_model()):
            stack.enter_context(stand_in)
        for line in lines:
            with tempfile.TemporaryDirectory() as folder:
                shutil.copytree(template, folder, symlinks=True, dirs_exist_ok=True)
                os.chdir(folder)
                answer = ended(program, json.loads(line))
                os.chdir("/")
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


def forked(program):
    """A pair of files to talk to a program in a fork of this process, which used no TensorFlow."""
    ours, theirs = socket.socketpair()
    if os.fork():
        theirs.close()
        return ours.makefile("r"), ours.makefile("w")
    ours.close()
    serve(program, theirs.makefile("r"), theirs.makefile("w"))
    os._exit(0)


if __name__ == "__main__":
    programs = {}
    for line in sys.stdin:
        program, arguments = json.loads(line)
        if program not in programs:
            programs[program] = forked(program)
        answers, questions = programs[program]
        questions.write(json.dumps(arguments) + "\n")
        questions.flush()
        print(answers.readline().strip(), flush=True)
