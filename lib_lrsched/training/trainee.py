"""What is trained: an embedding or a hypernetwork, with the same questions to ask of both.

Everything in which the two differ during a training is here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from lib_lrsched.optimizer import step_hook
from lib_lrsched.snapshot import find
from lib_lrsched.snapshot.snapshot import Snapshot
from lib_lrsched.storage.model_files import OPTIM, embedding_file, file_time
from lib_lrsched.storage.run_state import Known

from . import no_gradient
from .host import Host
from .loss_seam import Batch

DESIGN = (
    "layer_structure", "activation_func", "weight_init", "add_layer_norm", "use_dropout", "activate_output", "last_layer_dropout",
    "dropout_structure",
)
"""What the host's Hypernetwork needs to be created again, besides its widths."""


class Trainee(Protocol):
    """What one training trains. ``host_object`` is its Embedding or Hypernetwork, None before it is known and after the end."""

    kind: str
    name: str
    host_object: Any
    is_saved_in_loop: bool
    """Whether the host's final save comes before the end of the loop is told; else it comes after."""

    @property
    def step(self) -> int:
        """Updates in it, as the host counts them; only while ``host_object`` is known."""

    def take(self, frame: Mapping[str, Any]) -> None:
        """The host's object, from the locals of its train function."""

    def tensors(self) -> list[Tensor]:
        """The tensors that are trained."""

    def known(self, *, is_ahead_of: str | None) -> Known:
        """Its present form: step, digest, and the time of its file; 0 where it is ahead of the file with that digest."""

    def design(self) -> dict[str, Any]:
        """What it takes to create it again, for a snapshot."""

    def put_back(self, snapshot: Snapshot, host_object: Any) -> None:
        """The snapshot's weights and step, into the host's object.

        Raises:
            RunStateError: they are of another design.
        """

    def saving_optimizer(self, optimizer: Any, *, is_wanted: bool) -> Any:
        """A context in which the object carries its optimizer's state, where it has to for a copy."""

    def vectors(self) -> Tensor | None:
        """What is trained as vectors, float [n, width]; None where it has none."""

    needs_baseline: bool
    """Whether what the run started from has to be kept for ``baseline_loss``."""

    is_in_prompts: bool
    """Whether what the text encoder makes of a prompt depends on it."""

    def in_use(self) -> AbstractContextManager[None]:
        """Within it passes are those of an image that is made with it: no dropout, full strength. Outside of an update only."""

    def at_start(self, start: Sequence[Tensor]) -> AbstractContextManager[None]:
        """Within it, in this thread, what the run started from stands in its place; see ``needs_baseline``."""

    def baseline_loss(self, batch: Batch, model: Any, start: Sequence[Tensor]) -> Tensor | None:
        """The loss of what the run started from, a float scalar, with the batch's own noise and prompts.

        Args:
            model: the host's loaded model.
            start: what was kept; see ``needs_baseline``.

        Returns:
            None where the batch's prompts are not known.
        """

    def why_no_gradient(self) -> str:
        """Why its gradient may be 0."""

    def why_no_backward(self) -> str:
        """Why torch may have refused the first backward pass; empty where nothing speaks for that."""

    def let_go(self, *, is_shared: bool) -> None:
        """The loop is over; ``is_shared``: somebody else trains the same object."""


class EmbeddingTrainee:
    """An embedding: one tensor of vectors."""

    kind = "embedding"
    is_saved_in_loop = True
    needs_baseline = True
    is_in_prompts = True

    def __init__(self, host: Host, name: str) -> None:
        self._host = host
        self.name = name
        self.host_object: Any = None

    @property
    def step(self) -> int:
        return self.host_object.step or 0

    def take(self, frame: Mapping[str, Any]) -> None:
        self.host_object = frame.get("embedding")

    def tensors(self) -> list[Tensor]:
        return [] if self.host_object is None else find.trained_tensors(self.host_object)

    def vectors(self) -> Tensor | None:
        return None if self.host_object is None else self.host_object.vec  # type: ignore[no-any-return]

    def known(self, *, is_ahead_of: str | None) -> Known:  # noqa: ARG002 the host checks its file again
        file = embedding_file(self.host_object, self._host.folder_of(self.kind), self.name)
        return Known(self.step, step_hook.digest(self.tensors()), file_time(file))

    def design(self) -> dict[str, Any]:
        return {}

    def put_back(self, snapshot: Snapshot, host_object: Any) -> None:
        find.restore(find.trained_tensors(host_object), snapshot)
        host_object.step = snapshot.facts.step

    @contextmanager
    def saving_optimizer(self, optimizer: Any, *, is_wanted: bool) -> Iterator[None]:  # noqa: ARG002 its save takes the optimizer
        yield

    def in_use(self) -> AbstractContextManager[None]:
        return nullcontext()

    @contextmanager
    def at_start(self, start: Sequence[Tensor]) -> Iterator[None]:
        """The start vectors in the embedding's place."""
        vec, self.host_object.vec = self.host_object.vec, start[0]
        try:
            yield
        finally:
            self.host_object.vec = vec

    def baseline_loss(self, batch: Batch, model: Any, start: Sequence[Tensor]) -> Tensor | None:
        """With the text encoder's answer to the same prompts."""
        if not batch.prompts:
            return None

        def context() -> Tensor:
            with self.at_start(start):
                return model.cond_stage_model(list(batch.prompts))  # type: ignore[no-any-return]

        return batch.loss_with(context)

    def why_no_gradient(self) -> str:
        return no_gradient.why_not(self.kind, self.name, self._names())

    def why_no_backward(self) -> str:
        """Where nothing else of the model needs a gradient either, torch refuses the pass."""
        same_words = no_gradient.same_words_as(self.name, self._names())
        return no_gradient.shared_words(self.name, same_words) if same_words else ""

    def let_go(self, *, is_shared: bool) -> None:
        if self.host_object is not None and not is_shared:
            # The host leaves it on; a later hypernetwork training whose prompts name this embedding then fails at its second epoch.
            self.host_object.vec.requires_grad_(False)
            # What was accumulated for an update that did not come would be added to the next training's first.
            self.host_object.vec.grad = None

    def _names(self) -> Sequence[str]:
        return list(getattr(self._host.embedding_db(), "word_embeddings", None) or ())


class HypernetworkTrainee:
    """A hypernetwork: the weights of its layers."""

    kind = "hypernetwork"
    is_saved_in_loop = False
    needs_baseline = False
    is_in_prompts = False

    def __init__(self, host: Host, name: str) -> None:
        self._host = host
        self.name = name
        self.host_object: Any = None

    @property
    def step(self) -> int:
        return self.host_object.step or 0

    def take(self, frame: Mapping[str, Any]) -> None:
        self.host_object = frame.get("hypernetwork")

    def tensors(self) -> list[Tensor]:
        return [] if self.host_object is None else find.trained_tensors(self.host_object)

    def vectors(self) -> Tensor | None:
        return None

    def known(self, *, is_ahead_of: str | None) -> Known:
        file = self._host.hypernetwork_file(self.name)
        digest, file_ns = step_hook.digest(self.tensors()), file_time(Path(file) if file else None)
        known = Known(self.step, digest, file_ns)
        return known if is_ahead_of is None or is_ahead_of == known.digest else replace(known, mtime_ns=0)

    def design(self) -> dict[str, Any]:
        sizes = [int(size) for size in self.host_object.layers]
        return {"enable_sizes": sizes, **{name: getattr(self.host_object, name, None) for name in DESIGN}}

    def put_back(self, snapshot: Snapshot, host_object: Any) -> None:
        find.restore(find.trained_tensors(host_object), snapshot)
        host_object.step = snapshot.facts.step
        host_object.optimizer_name, host_object.optimizer_state_dict = snapshot.facts.optimizer, None

    @contextmanager
    def saving_optimizer(self, optimizer: Any, *, is_wanted: bool) -> Iterator[None]:
        """The host puts the optimizer's state into the object only while it saves."""
        if optimizer is not None and is_wanted:
            self.host_object.optimizer_state_dict = optimizer.state_dict()
        try:
            yield
        finally:
            self.host_object.optimizer_state_dict = None

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """In train mode its dropout is on, and its multiplier, which images may have set, is not looked at."""
        layers = [layer for pair in self.host_object.layers.values() for layer in pair]
        before = [layer.multiplier for layer in layers]
        self.host_object.eval()
        for layer in layers:
            layer.multiplier = 1.0
        try:
            yield
        finally:
            for layer, multiplier in zip(layers, before, strict=True):
                layer.multiplier = multiplier
            self.host_object.train()

    @contextmanager
    def at_start(self, start: Sequence[Tensor]) -> Iterator[None]:  # noqa: ARG002 see Trainee
        """The model without it: in this thread alone, for another may train beside it."""
        layers, self.host_object.layers = self.host_object.layers, _HiddenHere(self.host_object.layers)
        try:
            yield
        finally:
            self.host_object.layers = layers

    def baseline_loss(self, batch: Batch, model: Any, start: Sequence[Tensor]) -> Tensor | None:  # noqa: ARG002 see Trainee
        with self.at_start(start):
            return batch.loss_with()

    def why_no_gradient(self) -> str:
        return no_gradient.why_not(self.kind, self.name, ())

    def why_no_backward(self) -> str:
        return ""

    def let_go(self, *, is_shared: bool) -> None:
        """The host does what there is to do."""


class _HiddenHere(dict[Any, Any]):
    """A hypernetwork's layers by context width, which the thread that made this does not find."""

    def __init__(self, layers: Mapping[Any, Any]) -> None:
        super().__init__(layers)
        self._thread = threading.get_ident()

    def get(self, width: Any, default: Any = None) -> Any:
        return default if threading.get_ident() == self._thread else super().get(width, default)


def trainee_of(host: Host, kind: str, name: str) -> Trainee:
    """What a training of that kind and name trains."""
    return EmbeddingTrainee(host, name) if kind == "embedding" else HypernetworkTrainee(host, name)


def optimizer_file(host: Host, trainee: Trainee) -> Path:
    """Where the host keeps the optimizer's state beside its own file of what is trained."""
    return Path(host.folder_of(trainee.kind)) / f"{trainee.name}.pt{OPTIM}"
