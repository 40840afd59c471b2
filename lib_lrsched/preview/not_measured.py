"""How the log of a run says that its progress is not measured, and how the view of a run finds the reason there.

Training writes these messages, and what reads them stands beside it. If a message changes, its old beginning
stays in BEGINNINGS, since logs of earlier runs have it.
"""

from __future__ import annotations

FROM_START = "progress and the distance from the start"
"""What is measured against the start of the run."""

_NO_START = f"{FROM_START} are not measured: "
_NO_LONGER = "progress is no longer measured: "
_WAS_NOT = "progress was not measured: "
BEGINNINGS = (_NO_START, _NO_LONGER, _WAS_NOT, "progress is not measured: ", "progress is not measured any more: ")
"""Of such a message, before the reason; the last two are of earlier versions."""

_CONTINUES = ". Training continues"


def without_start(why: object) -> str:
    """The message where the start of the run is not known."""
    return f"{_NO_START}{why}"


def no_longer(why: str) -> str:
    """The message where measuring ends during a training."""
    return f"{_NO_LONGER}{why}{_CONTINUES}"


def afterwards(why: str) -> str:
    """The message for a training that has ended."""
    return f"{_WAS_NOT}{why}"


def reason(message: str) -> str:
    """Why progress is not measured, of one of these messages; empty for any other.

    >>> reason(no_longer("the GPU has no memory left for it")), reason("resumed exactly")
    ('the GPU has no memory left for it', '')
    """
    beginning = next((one for one in BEGINNINGS if message.startswith(one)), None)
    return "" if beginning is None else message.removeprefix(beginning).removesuffix(_CONTINUES)
