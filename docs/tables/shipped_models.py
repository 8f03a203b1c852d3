"""A card for each model that the package ships: what it is, how it was made, how good it is."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tables.files import link, record
from tables.full_runs import SHOTS, results
from tables.words import accuracy, table

MODELS = Path(__file__).resolve().parents[2] / "keras_reptile" / "pretrained_models"
# The data of each data set: what they are, whose, and under which licence.
DATA = {
    "omniglot": "[Omniglot](https://github.com/brendenlake/omniglot) (Lake, Salakhutdinov, "
    "Tenenbaum 2015), by TensorFlow Datasets; MIT licence",
}
# Models that were measured with other ways, too, and the names of those results.
OTHER_WAYS = {"omniglot_20way_best": "omniglot_5way_best"}
SPLITS = {"authors": "1,200 of 1,623 characters for training, 423 for the test"}


def metadata(name: str) -> dict[str, Any]:
    return json.loads((MODELS / name / "metadata.json").read_text())


def card(name: str) -> str:
    """A model's card, from its metadata and the results of its evaluations."""
    of = metadata(name)
    return table([f"`{name}`", ""], [*_made_of(of), *_accuracies(name, of), *_made_by(of)])


def _made_of(of: dict[str, Any]) -> list[list[str]]:
    images, settings = of["images"], of["settings"]
    low, high = (f"{value:g}" for value in images["value_range"])
    kind = "grey" if images["channels"] == 1 else "colour"
    return [
        ["data", DATA[of["dataset"]]],
        ["classes", SPLITS[settings["dataset_split"]]],
        ["images", f"{images['image_size']} x {images['image_size']}, {kind}"],
        ["resampling", images["resampling"]],
        ["values", f"[{low}, {high}] as floats, or bytes; paper is {images['paper']:g}"],
        ["network", f"`{settings['network']}`, {of['outputs']} outputs"],
        ["adaptation", _adaptation(settings)],
    ]


def _adaptation(settings: dict[str, Any]) -> str:
    steps, size = settings["eval_inner_steps"], settings["eval_inner_batch_size"]
    rate = settings["inner_learning_rate"]
    return f"Adam, rate {rate:g}, {steps} steps on minibatches of {size}"


def _accuracies(name: str, of: dict[str, Any]) -> list[list[str]]:
    """The accuracies in percent on test tasks, for 1 and for 5 shots."""
    files = [f"{n}_{s}" for n in (name, OTHER_WAYS.get(name)) if n for s in SHOTS]
    return [[_tasks_of(results(file)[0]), _measured(file, of)] for file in files]


def _tasks_of(result: dict[str, Any]) -> str:
    shots = result["shots"]
    return f"{result['ways']}-way, {shots} shot{'s' if shots > 1 else ''}"


def _measured(file: str, of: dict[str, Any]) -> str:
    """Both accuracies, how many tasks, and the steps if they are not the model's own."""
    inductive, transductive = results(file)
    steps = record(file)["settings"]["eval_inner_steps"]
    of_steps = "" if steps == of["settings"]["eval_inner_steps"] else f"{steps} steps, "
    tasks = f"{inductive['tasks']:,} tasks, {of_steps}{link('file', f'{file}.json')}"
    return f"{accuracy(inductive)} %, transductive {accuracy(transductive)} % ({tasks})"


def _made_by(of: dict[str, Any]) -> list[list[str]]:
    settings, made = of["settings"], of["trained_with"]
    versions = (f"{name} {made['versions'][name]}" for name in ("tensorflow", "keras", "numpy"))
    return [
        ["method", f"{settings['method']}, {of['meta_iteration']:,} meta-iterations"],
        ["seed", str(settings["seed"])],
        ["versions", f"{', '.join(versions)}, Python {made['versions']['python']}"],
        ["machine", f"{made['machine']['cores']} cores of an {made['machine']['processor']}"],
        ["source", settings["source"]],
    ]


NAMES = sorted(path.parent.name for path in MODELS.glob("*/metadata.json"))
TABLES: dict[str, Callable[[], str]] = {
    f"card_{name}": functools.partial(card, name) for name in NAMES
}
VALUES: dict = {}
