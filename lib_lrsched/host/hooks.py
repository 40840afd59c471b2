"""Hooks on a host's training: install(host) and uninstall(host).

What is replaced is in _training_hooks.py and _saving_hooks.py, how it is put back exactly in seams.py.
"""

from __future__ import annotations

import threading

from ._training_hooks import TrainingHooks
from .runtime import Runtime
from .webui import Host, NoTraining

_lock = threading.Lock()
_installed: dict[str, TrainingHooks] = {}


def install(host: Host | NoTraining) -> Runtime:
    """Hook a host's training, or only serve where there is none. A second call returns the first one's runtime."""
    key = _key(host)
    with _lock:
        hooks = _installed.get(key)
        if hooks is None:
            hooks = _installed[key] = TrainingHooks(Runtime(host), lambda: _forget(key))
        hooks.closing = False
        hooks.runtime.installation.host = host
        hooks.put()
        return hooks.runtime


def uninstall(host: Host | NoTraining | None = None) -> list[str]:
    """Put back what was there, on one host or on all; returns the globals that somebody else has replaced since."""
    with _lock:
        keys = list(_installed) if host is None else [_key(host)]
        return [name for key in keys if key in _installed for name in _installed[key].undo()]


def _forget(key: str) -> None:
    _installed.pop(key, None)


def _key(host: Host | NoTraining) -> str:
    return "none" if isinstance(host, NoTraining) else host.ti.__name__


__all__ = ["Runtime", "install", "uninstall"]
