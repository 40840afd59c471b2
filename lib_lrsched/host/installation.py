"""The host that the extension is installed on: what it trains with, whether it is hooked, and the store in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib_lrsched.snapshot import recovery
from lib_lrsched.storage.store import Store

from .webui import Host, NoTraining

_stores: dict[Path, Store] = {}
"""Of the process, by folder: "Reload UI" makes a new runtime, and what a full disk did not take is in the store's memory."""


class Installation:
    """Of one host.

    Attributes:
        host: replaced if "Reload UI" is pressed while a training runs; otherwise that makes a new installation.
        hooked: whether the seams of its training are ours.
    """

    def __init__(self, host: Host | NoTraining) -> None:
        self.host = host
        self.hooked = False

    @property
    def store(self) -> Store:
        """The store in the folder that is set now."""
        root = Path(self.host.settings().state_dir or self.host.data_dir)
        return _stores.setdefault(root, Store(root, recovery.rebuilt))

    def info(self) -> Mapping[str, Any]:
        """`{"name", "hooked": bool, "why"}`: whether a training follows its schedule, and why not."""
        why = self.host.why if isinstance(self.host, NoTraining) else ""
        if not why and not self.hooked:
            why = "the hooks are not installed"
        elif not why and not self.host.settings().enabled:
            why = "switched off in the settings: the WebUI's own schedules are in force"
        return {"name": self.host.name, "hooked": not why, "why": why}
