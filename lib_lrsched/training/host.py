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


class LoadedImage(NamedTuple):
    """An image as it goes into the encoder: its file's name, its caption, its pixels as numpy float32 [3, H, W] in [-1, 1]."""

    name: str
    caption: str
    pixels: Any


class InputError(ValueError):
    """Something that the user gave and that no training can start with."""


class Sample(NamedTuple):
    """The image by which the candidates of a trial can be judged; sizes in pixels.

    Attributes:
        sampler, cfg_scale: None for the host's own.
    """

    prompt: str
    negative_prompt: str = ""
    seed: int = 0
    steps: int = 20
    width: int = 512
    height: int = 512
    sampler: str | None = None
    cfg_scale: float | None = None


class Trainer(Protocol):
    """How the host's own page trains: its queue, its jobs, its train functions, its preview."""

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """The host's queue: held by whoever works with the model, and given in the order of asking."""

    def arguments(self, kind: str, name: str, inputs: Mapping[str, Any], task: str) -> dict[str, Any]:
        """What the train function is called with, by name: the inputs, and for those that are missing what the page has first.

        No copies and no images are to be saved, whatever the inputs say.
        """

    def enqueue(self, task: str) -> None:
        """A job waits for the lock."""

    def leave(self, task: str) -> None:
        """It waits no more."""

    def job(self, task: str) -> AbstractContextManager[None]:
        """The job that runs, for the host's progress bar, with the lock held."""

    def train(self, kind: str, arguments: Mapping[str, Any]) -> None:
        """As the page's button does, with the lock held. What it raises is what the user would see."""

    def draw(self, kind: str, host_object: Any, sample: Sample) -> bytes | None:
        """A PNG of what is trained, drawn in the middle of its training as the host's previews are; None where it was interrupted.

        It saves nothing and reloads nothing. The generators are left as the image leaves them.
        """


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

    @property
    def trainer(self) -> Trainer | None: ...

    def folder_of(self, kind: str) -> str: ...


class Checks(Protocol):
    """What the host's side looks at before, at and after the loop, and what lies in the calling train function alone."""

    def before_start(self, run: TrainingRun, host_object: Any, step: int) -> None:
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

    def validation_images(self, arguments: Mapping[str, Any], trained: Sequence[str], most: int) -> tuple[str, list[LoadedImage]]:
        """At most so many images to validate on, and where they come from: "validation" or "training".

        Args:
            arguments: of the host's data set.
            trained: the files that are trained on.

        Raises:
            InputError, OSError: there are none.
        """
