"""The origin of a run in run.json: the command, versions and machine of each of its parts."""

from typing import Any

from keras_reptile.errors import RunError
from keras_reptile.files import provenance

# The key in run.json. Its value is a list of dicts: the facts of later parts of the run that differ
# from those of the part before, and the meta-iteration at which each part began.
RESUMED = "resumed"
FACTS = ("command", "versions", "machine")


def of_run(earlier: dict[str, Any] | None, done: int) -> dict[str, Any]:
    """Returns the entries of run.json about the origin of a run that begins or resumes.

    Args:
        earlier: Dict, the content of run.json, or `None`.
        done: Integer, the meta-iteration from which the run resumes, or 0 for a new run.

    Returns:
        Dict of the facts of the first part, and of `RESUMED` if later parts differ.

    Raises:
        RunError: If run.json has later parts that no run writes.

    Example:

    >>> began = {"command": ["train"], "versions": {}, "machine": {}}
    >>> found = of_run(began, 20)
    >>> found["command"], found["resumed"][0]["meta_iteration"]
    (['train'], 20)
    """
    now = provenance.facts()
    if earlier is None or not done:
        return now
    first = {name: earlier[name] for name in FACTS if name in earlier}
    # Parts after the checkpoint from which the run resumes have left nothing.
    later = [part for part in later_parts(earlier) if part["meta_iteration"] < done]
    if _facts_of([first, *later][-1]) != now:
        later.append({"meta_iteration": done, **now})
    return first | ({RESUMED: later} if later else {})


def later_parts(run: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the later parts in the content of run.json, after a check.

    Raises:
        RunError: If they are none that a run writes.
    """
    parts = run.get(RESUMED, [])
    if isinstance(parts, list) and all(map(_is_part, parts)):
        return parts
    raise RunError(
        f"run.json cannot be used: its {RESUMED} must be a list of parts with a meta_iteration. "
        f"Received: {parts!r}. Restore it from a copy or use another run."
    )


def _is_part(part: Any) -> bool:
    return isinstance(part, dict) and type(part.get("meta_iteration")) is int


def _facts_of(part: dict[str, Any]) -> dict[str, Any]:
    return {name: part.get(name) for name in FACTS}
