"""Settings that had another name: what is on a disk is read by the present one. In the WebUI's settings file, and beside runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FORMER = {"free_memory": ("training_speed", {"off": "exact", "on": "fast", "auto": "auto"})}
"""By the name that a setting had: the one that it has, and its words of now by those of then."""


def renamed(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The settings by their present names, and nothing by a former one.

    >>> renamed({"free_memory": "on", "device": "cpu"})
    {'device': 'cpu', 'training_speed': 'fast'}
    >>> renamed({"free_memory": "on", "training_speed": "exact"})
    {'training_speed': 'exact'}
    """
    former = {f"{prefix}{name}": (f"{prefix}{now}", words) for name, (now, words) in FORMER.items()}
    found = {name: value for name, value in settings.items() if name not in former}
    for name, (now, words) in former.items():
        if settings.get(name) in words and now not in found:
            found[now] = words[settings[name]]
    return found
