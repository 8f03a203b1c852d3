#!/usr/bin/env python3
"""Times reading a folder of images: anew, from the cache, and the test classes alone.

  python benchmarks/image_folders.py
  python benchmarks/image_folders.py --images=5000,20000 --before=OTHER --json=image_folders.json

Images are made up, PNG files of 28 x 28 in classes of 20, in a temporary folder. Each reading is a
process of its own: seconds and seconds of the processors, without those of imports, and the largest
memory beyond that of a process that has read nothing. OTHER is a folder with another version of
keras_reptile, which is measured too.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
from absl import flags
from benchmark import define_json, facts, figures, run
from PIL import Image

FLAGS = flags.FLAGS
flags.DEFINE_list("images", ["5000", "20000"], "Numbers of images.")
flags.DEFINE_integer("image_size", 28, "Height and width to which they are read.")
flags.DEFINE_integer("channels", 1, "1 for grey, 3 for colour.")
flags.DEFINE_string("before", None, "A folder with another version of keras_reptile.")
define_json("File to write the figures to.")

OWN = str(Path(__file__).resolve().parents[1])
IN_A_CLASS, SIDE = 20, 28
READ = """
import json, os, resource, sys, time
import keras_reptile as kr
from keras_reptile.datasets import folder
kb = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, started, cpu = kb(), time.perf_counter(), time.process_time()
pools = folder.load(**json.loads(sys.argv[1]))
ended = time.perf_counter() - started, time.process_time() - cpu, (kb() - before) / 1e3
print(json.dumps(dict(zip(("seconds", "cpu_seconds", "mb"), ended))))
"""


def make_images(folder: Path, number: int) -> None:
    rs = np.random.RandomState(0)
    for i in range(number):
        place = folder / f"class_{i // IN_A_CLASS:05d}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = rs.randint(0, 256, (SIDE, SIDE), np.uint8)
        Image.fromarray(pixels).save(place / f"{i % IN_A_CLASS}.png")


def read(folder: Path, cache: str, package: str = OWN, **options) -> dict:
    """What one reading takes."""
    given = {"image_dir": str(folder), "image_size": FLAGS.image_size, "channels": FLAGS.channels}
    command = [sys.executable, "-c", READ, json.dumps(given | options)]
    environment = {**os.environ, "KERAS_REPTILE_CACHE": cache, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment["CUDA_VISIBLE_DEVICES"] = ""
    environment["PYTHONPATH"] = os.pathsep.join([package, os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True, cwd="/"
    )
    return json.loads(ended.stdout.splitlines()[-1])


def measure(number: int) -> list[dict]:
    with tempfile.TemporaryDirectory() as outer:
        folder, cache = Path(outer) / "images", str(Path(outer) / "cache")
        make_images(folder, number)
        kinds = {
            "without a cache": ("", {}),
            "for the first time, into the cache": (cache, {}),
            "from the cache": (cache, {}),
            "test classes alone, without a cache": ("", {"parts": ("test",)}),
            "test classes alone, from the cache": (cache, {"parts": ("test",)}),
        }
        found = {what: read(folder, at, **options) for what, (at, options) in kinds.items()}
        if FLAGS.before:
            found = {"before there was a cache": read(folder, "", FLAGS.before), **found}
    about = {"images": number, "image_size": FLAGS.image_size, "channels": FLAGS.channels}
    return [{**about, "what": what, **figures} for what, figures in found.items()]


def main():
    with figures(lambda: {"what": __doc__.splitlines()[0], **facts()}) as found:
        rows = found["rows"] = []
        for number in map(int, FLAGS.images):
            for row in measure(number):
                rows.append(row)
                times = "{seconds:6.2f} s {cpu_seconds:6.2f} CPU s {mb:8.0f} MB".format(**row)
                print(f"{number:>8,} {row['what']:36} {times}", flush=True)


if __name__ == "__main__":
    run(main)
