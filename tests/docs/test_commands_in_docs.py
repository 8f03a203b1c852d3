"""Lines of README and docs that begin with a program of bin/ are taken, up to its work."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import warm

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# What stands for a reader's own, and what there is instead; see `warm_program.furnished`.
OWN = {"DIR": "empty", "FOLDER": "images", "photos": "images", "IMAGES": "images"}
# A run that the reader has trained; the one that there is here was trained on glyphs.
TRAINED = {"--checkpoint", "--model"}
# Why one goes no further where there are no accelerators and no data.
NOT_HERE = {
    "gpu:1": "There is no GPU:0, GPU:1 on this host",
    "cpu:1": "The CPU cannot be divided into 2 devices once TensorFlow has started",
    "--tpu=": "cannot be reached",
    "tfds:cifar100": "TFDS has not prepared 'cifar100' in empty",
    "--manual_dir=IMAGES": "images are missing: images/train does not exist",
    "mini_imagenet": "miniImageNet is not prepared in empty",
    "runs/digits_png": "image_dir='runs/digits_png' is not a directory",
    "photos": "with 2 classes",
    "cifar_fs_5way": "TFDS has not prepared 'cifar100' in empty",
    "ILSVRC2012/train": "image_dir='ILSVRC2012/train' is not a directory",
    "CUB_200_2011/images": "image_dir='CUB_200_2011/images' is not a directory",
    "--split_dir=LISTS": "split_dir='LISTS' is not a directory",
    "--network=mine": "There is no module mine in ",
    "--ways=20": "The checkpoint's network has 5 outputs",
    "--eval_classes=": "`eval_classes` is for dataset='omniglot' only",
    "--runs=": "There are no accuracies in",
}


def commands():
    found = {}
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), flags=re.DOTALL):
            for line in re.findall(r"^bin/.*", block.replace("\\\n", " "), flags=re.MULTILINE):
                words = shlex.split(line.partition(" #")[0].rstrip("& "))
                found[f"{page.stem}: {shlex.join(words)}"] = words
    return found


def arguments(program, words):
    for word in words:
        name, _, value = word.partition("=")
        value = "run" if name in TRAINED else OWN.get(value, value)
        if (program, name) != ("evaluate", "--data_dir"):
            yield f"{name}={value}" if value else name


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("command", COMMANDS := commands())
def test_a_command_is_taken(command):
    path, *words = COMMANDS[command]
    program = path.removeprefix("bin/")
    job = (program, list(arguments(program, words)))
    status, err = warm.ask("warm_program.py", *job, TFDS_DATA_DIR="empty")
    reasons = [reason for part, reason in NOT_HERE.items() if part in command]
    assert status == 0 or (status == 1 and any(reason in err for reason in reasons)), err


def test_the_pages_have_commands_of_every_program():
    programs = {words[0] for words in COMMANDS.values()}
    assert programs == {f"bin/{p.name}" for p in (ROOT / "bin").iterdir() if p.name[0] not in "_."}


def scripts():
    """The commands `python PATH ...` of the pages, with the flags that they give."""
    found = {}
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), flags=re.DOTALL):
            for line in re.findall(r"python (\S+\.py.*)", block.replace("\\\n", " ")):
                path, *words = shlex.split(line.partition(" #")[0])
                found[f"{page.stem}: {path} {' '.join(words)}"] = (path, words)
    return found


@pytest.mark.parametrize("command", SCRIPTS := scripts())
def test_a_script_is_there_and_has_the_flags_that_it_is_given(command):
    path, words = SCRIPTS[command]
    # Benchmarks share some flags, which modules beside them define.
    source = "".join(each.read_text() for each in (ROOT / path).parent.glob("*.py"))
    for name in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert re.search(rf'"(--)?{name.removeprefix("--")}"', source), name


ALL_PAGES = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]


def test_what_the_pages_install_is_an_extra_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = "\n".join(page.read_text() for page in ALL_PAGES)
    named = {name for names in re.findall(r"'\.\[([\w,]+)\]'", text) for name in names.split(",")}
    assert named and named <= project["optional-dependencies"].keys()


def test_the_tests_that_the_pages_name_are_there():
    text = "\n".join(page.read_text() for page in ALL_PAGES)
    named = re.findall(r"(?<=[ `])(tests/[\w/.]+\w)(?:::(\w+))?", text)
    assert len(named) > 5
    for path, name in named:
        assert (ROOT / path).exists(), path
        assert not name or f"def {name}(" in (ROOT / path).read_text(), name


def test_the_links_of_the_projects_files_lead_somewhere():
    for page in (ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "CODE_OF_CONDUCT.md"):
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert "://" in target or (ROOT / target).exists(), f"{page.name}: {target}"
