"""How a run resumes: the choice of the user, the mode that comes of it, and what the mode means for the schedule.

The user chooses:

    continue       the plan continues where it was; where the text is another one, that is "new"
    new            the text in the field, at absolute steps of the run's life, from here on
    restart        the text from its beginning, over the steps that are left
    file           nothing of a stored run: the file is trained on as it is, as a new run, at absolute steps
    file-restart   the same, with the text from its beginning, over the steps that are left

The mode is what happens: one of these, or "start" where no stored run is resumed. ``mode_of`` is the only rule; training, preview
and endpoints ask it, and the page shows what they answer. A text that is a range test and nothing else always begins with its
lowest rate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, get_args

from lib_lrsched.schedule.searching import is_search

from .run_state import RunState

Choice = Literal["continue", "new", "restart", "file", "file-restart"]
CHOICES: tuple[str, ...] = get_args(Choice)

SAID = {
    "start": "starts",
    "continue": "resumes",
    "new": "resumes with a new schedule from here",
    "restart": "resumes and restarts the schedule over the remaining steps",
    "file": "starts",
    "file-restart": "starts a new run and the schedule from its beginning",
}


def leaves_run(choice: str) -> bool:
    """Whether nothing of a stored run is resumed, whichever knows what is trained."""
    return choice in ("file", "file-restart")


def from_beginning(choice: str) -> str:
    """The choice that plays the text from its beginning, in the place of another that resumes or leaves the same run."""
    return "file-restart" if leaves_run(choice) else "restart"


class KeptState(NamedTuple):
    """A snapshot that a training is to resume from although it is not the newest: the run's id, and the updates that it holds."""

    run: str
    step: int


class WentBack(NamedTuple):
    """The file of such a snapshot, and the digest of the host's own file, which is newer and gives way to it."""

    snapshot: Path
    given_up: str


@dataclass(frozen=True)
class Resumption:
    """What a run resumes with.

    Attributes:
        choice: one of CHOICES.
        state: the stored run that knows what is trained, or None.
        step: where it resumes, if a snapshot says that; None leaves it to the host's file.
        watch: the snapshot's state of shapes that look at the loss, or None to rebuild it from the history.
        multiplier: what the guard has come to multiply the planned rate by.
        messages: what the user should know of how this was found.
        heir_of: the id of the run whose average or best state is trained on, by a new run; None for any other.
        back: set where a kept snapshot was chosen that is not the newest.
    """

    choice: str = "continue"
    state: RunState | None = None
    step: int | None = None
    watch: Any = None
    multiplier: float = 1.0
    messages: tuple[str, ...] = field(default=())
    heir_of: str | None = None
    back: WentBack | None = None


class PlannedBefore(Protocol):
    """The last leg of a run, as training and preview hold it."""

    @property
    def rate_text(self) -> str: ...

    @property
    def origin(self) -> int: ...


def mode_of(choice: str, last: PlannedBefore | None, rate_text: str) -> str:
    """How a training resumes.

    Args:
        choice: one of CHOICES.
        last: the last leg of the stored run, or None where there is none.
        rate_text: the text of the rate from here on.
    """
    if choice == "restart" or is_search(rate_text):
        return "restart"
    if leaves_run(choice):
        return choice
    if last is None:
        return "start"
    return "new" if choice == "new" or not has_same_text(last, rate_text) else "continue"


def has_same_text(last: PlannedBefore, rate_text: str) -> bool:
    """Whether the text is that of the last leg; blanks around it make no other one."""
    return rate_text.strip() == last.rate_text.strip()


def written_mode(mode: str) -> str:
    """The mode as a leg keeps it: a new run from a file as it is has a first leg like any other."""
    return "start" if leaves_run(mode) else mode


def origin_of(mode: str, last: PlannedBefore | None, initial_step: int) -> int:
    """The step of the run's life at which the text's own step 0 lies."""
    if mode in ("restart", "file-restart"):
        return initial_step
    return last.origin if mode == "continue" and last is not None else 0
