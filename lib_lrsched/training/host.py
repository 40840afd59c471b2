"""What a training needs of its host, and how it refuses what a user gave.

`lib_lrsched.host` has the WebUI's, `lib_lrsched.practice` the practice host's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .settings import Settings

if TYPE_CHECKING:
    from .run import TrainingRun


class Picture(NamedTuple):
    """An image as it goes into the encoder: its file's name, its caption, its pixels as numpy float32 [3, H, W] in [-1, 1]."""

    name: str
    caption: str
    pixels: Any


class InputError(ValueError):
    """Something that the user gave and that no training can start with."""


class Host(Protocol):
    """The host of a training: see host/webui.py for what each of these is."""

    @property
    def shared(self) -> Any: ...
    @property
    def settings(self) -> Callable[[], Settings]: ...
    @property
    def autocast(self) -> Callable[[], AbstractContextManager[Any]]: ...
    @property
    def model_facts(self) -> Callable[[], dict[str, Any]]: ...
    @property
    def embedding_db(self) -> Callable[[], Any]: ...
    @property
    def hypernetwork_file(self) -> Callable[[str], str | None]: ...

    def folder_of(self, kind: str) -> str: ...


class Checks(Protocol):
    """What the host's side looks at before, at and after the loop, and what lies in the calling train function alone."""

    def before_start(self, run: TrainingRun, thing: Any, step: int) -> None:
        """Look at what is trained.

        Raises:
            ScheduleError: nothing is left to train.
            InputError: it does not fit the loaded model, or holds numbers that are not finite.
        """

    def cautions(self, run: TrainingRun) -> list[str]:
        """What the user should know of a training that can start."""

    def surroundings(self, kind: str) -> dict[str, str]:
        """What else an update's bits depend on, as plain values."""

    def nothing_learned(self, run: TrainingRun) -> str:
        """Why a run's texts let it learn nothing; empty where they do."""

    def scaler(self) -> Any:
        """The GradScaler of the loop that calls, or None."""

    def save_final(self, kind: str) -> None:
        """The final save that the host's loop has skipped, with the host's own function."""

    def save_copy(self, kind: str, end: str) -> str:
        """A copy NAME-END in the training's log folder, with the host's own function; gives its file."""

    def pictures(self, arguments: Mapping[str, Any], trained: Sequence[str], most: int) -> tuple[str, list[Picture]]:
        """At most so many images to validate on, and where they come from: "validation" or "training".

        Args:
            arguments: of the host's data set.
            trained: the files that are trained on.

        Raises:
            InputError, OSError: there are none.
        """
