"""Where the compilers of absent accelerators lie, and the command that installs them.

They are not installed with the project: beside an installed JAX each of them looks for its device
whenever JAX starts. They lie in a folder of their own, one sub-folder for each device.
"""

import importlib.metadata
import os
from pathlib import Path

# XLA's options and the text of its programs change from version to version.
JAX = "0.10.2"
PACKAGES = {
    "gpu": {"jax-cuda12-plugin": JAX, "jax-cuda12-pjrt": JAX},
    "tpu": {"libtpu": "0.0.42"},
}
DEVICES = tuple(PACKAGES)
VARIABLE = "ACCELERATOR_PLUGINS"


def folder() -> Path:
    """The folder that the environment names, or one in the user's cache."""
    return Path(os.environ.get(VARIABLE) or "~/.cache/accelerator_plugins").expanduser()


def command(device: str) -> str:
    """The shell command that installs a device's compiler."""
    wanted = " ".join(f'"{name}=={version}.*"' for name, version in PACKAGES[device].items())
    return f"python -m pip install --no-deps --target {folder() / device} {wanted}"


def missing(device: str) -> str | None:
    """What is not installed for a device, and the command that installs it; `None` if all is."""
    for name in ("jax", "jaxlib"):
        if (found := _version(name)) != JAX:
            reason = f"needs {name} {JAX}, found {found or 'none'}"
            return f"{reason}. Install it: pip install '.[accelerators]'"
    for name, version in PACKAGES[device].items():
        found = _version(name, folder() / device)
        if not f"{found}.".startswith(f"{version}."):
            reason = f"needs {name} {version} in {folder() / device}, found {found or 'none'}"
            return f"{reason}. Install it: {command(device)}"
    return None


def versions(device: str) -> dict[str, str]:
    """The versions of what compiles for a device."""
    of_folder = {name: _version(name, folder() / device) for name in PACKAGES[device]}
    return {"jax": _version("jax"), "jaxlib": _version("jaxlib"), **of_folder}


def _version(name: str, path: Path | None = None) -> str:
    """The version of an installed package, of a folder or of the environment; "" without one."""
    where = {} if path is None else {"path": [str(path)]}
    found = importlib.metadata.distributions(name=name, **where)
    return next((each.version for each in found), "")
