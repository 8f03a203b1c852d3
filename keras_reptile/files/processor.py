"""The name and the instructions of this machine's processor. It does not import TensorFlow."""

import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


def processor() -> str:
    """Returns the processor's name, or its architecture if the name is not known."""
    return value_of("model name") or platform.processor() or platform.machine()


def multiplies_bfloat16_in_tiles() -> bool:
    """Returns whether the processor has AMX, matrix products of bfloat16 in registers of tiles."""
    return "amx_bf16" in value_of("flags").split()


def value_of(field: str) -> str:
    """Returns a field of the first processor in /proc/cpuinfo, or "" if there is none."""
    if CPUINFO.exists():
        for line in CPUINFO.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == field:
                return value.strip()
    return ""
