"""Makes .keras files readable by older versions of Keras.

Newer versions write entries into a model's configuration that older ones refuse. Such an entry is
left out if all versions do the same without it.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

CONFIG = "config.json"
# Entries that Keras 3.15 writes and Keras 3.12 refuses, with the value that means the same as no
# entry.
UNKNOWN_TO_OLDER: dict[str, Any] = {
    "input_axes": None,
    "output_axes": None,
    "quantization_config": None,
    "renorm": False,
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
    "salt": None,
    "sliding_window": None,
    "use_gate": False,
}


def make_readable(path: Path) -> None:
    """Leaves such entries out of the configuration in a .keras file. Weights stay as they are."""
    with zipfile.ZipFile(path) as archive:
        members = {each: archive.read(each) for each in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in members.items():
            if each.filename == CONFIG:
                content = json.dumps(readable(json.loads(content))).encode()
            archive.writestr(each, content)


def readable(serialized: Any) -> Any:
    """Returns the configuration of serialized Keras objects without such entries.

    Those of custom classes, and entries with another value, are kept.

    Example:

    >>> config = {"seed": 1, "input_axes": None}
    >>> readable({"module": "keras.initializers", "class_name": "Zeros", "config": config})
    {'module': 'keras.initializers', 'class_name': 'Zeros', 'config': {'seed': 1}}
    """
    if isinstance(serialized, list):
        return [readable(each) for each in serialized]
    if not isinstance(serialized, dict):
        return serialized
    result = {key: readable(value) for key, value in serialized.items()}
    if _is_keras_own(result):
        result["config"] = {k: v for k, v in result["config"].items() if not _is_left_out(k, v)}
    return result


def _is_keras_own(serialized: dict) -> bool:
    module = str(serialized.get("module"))
    return module.split(".")[0] == "keras" and isinstance(serialized.get("config"), dict)


def _is_left_out(key: str, value: Any) -> bool:
    return key in UNKNOWN_TO_OLDER and value == UNKNOWN_TO_OLDER[key]
