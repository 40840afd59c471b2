"""What differs between embeddings and hypernetworks on the host's side: where it keeps them, and how it trains and saves them.

Each difference is a member of Kind. What differs while the loop runs is in training/trainee.py; a check of one kind alone is in
_preflight_data.py or _preflight_model.py, which name the kind. The host's own objects are
`modules.textual_inversion.textual_inversion.Embedding` and `modules.hypernetworks.hypernetwork.Hypernetwork`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from lib_lrsched.errors import RunStateError
from lib_lrsched.optimizer import step_hook
from lib_lrsched.snapshot.find import restore, trained_tensors
from lib_lrsched.snapshot.snapshot import Snapshot
from lib_lrsched.storage.model_files import embedding_file, file_time
from lib_lrsched.storage.run_state import Known
from lib_lrsched.storage.store import Store
from lib_lrsched.training.host import InputError
from lib_lrsched.training.no_gradient import same_words_as
from lib_lrsched.training.session import WHY
from lib_lrsched.training.trainee import DESIGN


class Host(Protocol):
    """What these classes need of the host; see webui.Host."""

    @property
    def ti(self) -> Any: ...
    @property
    def hn(self) -> Any: ...
    @property
    def shared(self) -> Any: ...
    @property
    def embedding(self) -> Callable[[str], Any]: ...
    @property
    def embedding_db(self) -> Callable[[], Any]: ...
    @property
    def hypernetwork_file(self) -> Callable[[str], str | None]: ...
    @property
    def embeddings_dir(self) -> Callable[[], str]: ...
    @property
    def hypernetworks_dir(self) -> Callable[[], str]: ...
    @property
    def reload_embeddings(self) -> Callable[[], None]: ...
    @property
    def reload_hypernetworks(self) -> Callable[[], None]: ...


class Kind(Protocol):
    """One kind of what can be trained; it holds nothing, and is asked with the host."""

    name: str
    article: str

    is_in_memory: bool
    """Whether the host keeps it loaded, and trains what is loaded; else its training loads the file."""

    unloaded: tuple[str, ...]
    """The parts of the model that its training moves to the CPU where the host's option asks for it."""

    def folder(self, host: Host) -> str:
        """Where the host's final save goes."""

    def reload(self, host: Host) -> None:
        """Have the host look at that folder again."""

    def plain_name(self, shown: str) -> str:
        """A name without what the host's lists show behind it."""

    def find(self, host: Host, name: str) -> Any:
        """What the host has under a name: the loaded object or the path of a file; None for nothing."""

    def same_words(self, host: Host, name: str) -> list[str]:
        """Others of its kind that a prompt cannot tell from it."""

    def file(self, host: Host, name: str) -> Path:
        """The file of something that the host has."""

    def load(self, host: Host, name: str, file: Path) -> Any:
        """The host's object: the loaded one, or one made from the file."""

    def make(self, host: Host, snapshot: Snapshot, name: str) -> Any:
        """The same from a snapshot, which may be from outside.

        Raises:
            RunStateError: it cannot be made of it.
        """

    def known(self, host: Host, store: Store, name: str) -> Known | None:
        """The form in which the host has it now, without loading anything; None where there is none."""

    def check(self, found: Any, name: str) -> None:
        """Refuse what find() gave if training cannot continue from it.

        Raises:
            InputError: it cannot.
        """

    def widths(self, host_object: Any) -> set[int]:
        """Of the model's vectors that it works on; empty where that is looked at elsewhere."""

    def train_function(self, ti: Any, hn: Any) -> Callable[..., Any]:
        """The one of this kind in the host's two modules that train, or in those of their buttons."""

    def encodes_anew(self, frame: Mapping[str, Any]) -> bool:
        """Whether the loop encodes the prompts at every batch.

        Args:
            frame: the locals of the train function.
        """

    def applied_beside(self, host: Host) -> list[Any]:
        """The hypernetworks that the model applies while it is trained, besides what is trained."""

    def drawing(self, host_object: Any) -> AbstractContextManager[None]:
        """Within it the loop's previews are made."""

    def save(self, host: Host, frame: Mapping[str, Any], name: str | None = None, file: str | None = None) -> None:
        """Save what is trained as the loop does, with the host's own function.

        Args:
            frame: the locals of the train function.
            name, file: of a copy; by default those of the final save.
        """


class Embedding:
    """See Kind. All of the folder are loaded."""

    name = "embedding"
    article = "an"
    is_in_memory = True
    unloaded: tuple[str, ...] = ("first_stage_model",)

    def folder(self, host: Host) -> str:
        return host.embeddings_dir()

    def reload(self, host: Host) -> None:
        host.reload_embeddings()

    def plain_name(self, shown: str) -> str:
        return shown

    def find(self, host: Host, name: str) -> Any:
        return host.embedding(name)

    def same_words(self, host: Host, name: str) -> list[str]:
        return same_words_as(name, getattr(host.embedding_db(), "word_embeddings", ()))

    def file(self, host: Host, name: str) -> Path:
        return embedding_file(host.embedding(name), host.embeddings_dir(), name)

    def load(self, host: Host, name: str, file: Path) -> Any:  # noqa: ARG002 it is loaded
        return host.embedding(name)

    def make(self, host: Host, snapshot: Snapshot, name: str) -> Any:
        trained = snapshot.trained
        if len(trained) != 1 or trained[0].ndim != 2 or not trained[0].numel():
            raise RunStateError("trained: expected one list of vectors for an embedding")
        (vec,) = trained
        return host.ti.Embedding(vec, name, snapshot.facts.step)

    def known(self, host: Host, store: Store, name: str) -> Known | None:  # noqa: ARG002 its numbers are there to be looked at
        embedding = host.embedding(name)
        if embedding is None:
            return None
        # An embedding for SDXL is a dict of vectors: nothing here can train it, and no run knows it.
        digest = step_hook.digest(trained_tensors(embedding)) if hasattr(embedding.vec, "detach") else ""
        return Known(embedding.step or 0, digest, file_time(embedding_file(embedding, host.embeddings_dir(), name)))

    def check(self, found: Any, name: str) -> None:
        if found.step is None:
            raise InputError(
                f"the embedding {name!r} has no step count, so training cannot continue from it (a file made elsewhere, often "
                f".safetensors); create a new embedding with {name!r} as its initialization text and train that one"
            )

    def widths(self, host_object: Any) -> set[int]:  # noqa: ARG002 see _preflight_model.width
        return set()

    def train_function(self, ti: Any, hn: Any) -> Callable[..., Any]:  # noqa: ARG002
        return ti.train_embedding  # type: ignore[no-any-return]

    def encodes_anew(self, frame: Mapping[str, Any]) -> bool:  # noqa: ARG002 the vectors are part of what is encoded
        return True

    def applied_beside(self, host: Host) -> list[Any]:
        return list(getattr(host.shared, "loaded_hypernetworks", None) or [])

    def drawing(self, host_object: Any) -> AbstractContextManager[None]:  # noqa: ARG002
        return nullcontext()

    def save(self, host: Host, frame: Mapping[str, Any], name: str | None = None, file: str | None = None) -> None:
        host.ti.save_embedding(
            frame["embedding"], frame["optimizer"], frame["checkpoint"], name or frame["embedding_name"], file or frame["filename"],
            remove_cached_checksum=True,
        )


class Hypernetwork:
    """See Kind. A list has the files of the folder."""

    name = "hypernetwork"
    article = "a"
    is_in_memory = False
    unloaded: tuple[str, ...] = ("first_stage_model", "cond_stage_model")

    def folder(self, host: Host) -> str:
        return host.hypernetworks_dir()

    def reload(self, host: Host) -> None:
        host.reload_hypernetworks()

    def plain_name(self, shown: str) -> str:
        """The host cuts it at its checksum in brackets."""
        return shown.rsplit("(", 1)[0]

    def find(self, host: Host, name: str) -> Any:
        return host.hypernetwork_file(name)

    def same_words(self, host: Host, name: str) -> list[str]:  # noqa: ARG002 no prompt names it
        return []

    def file(self, host: Host, name: str) -> Path:
        path = host.hypernetwork_file(name)
        assert path is not None, "its name was looked up just now"
        return Path(path)

    def load(self, host: Host, name: str, file: Path) -> Any:  # noqa: ARG002 the file says it
        host_object = host.hn.Hypernetwork()
        host_object.load(str(file))
        return host_object

    def make(self, host: Host, snapshot: Snapshot, name: str) -> Any:
        design = _design(snapshot)
        try:
            host_object = host.hn.Hypernetwork(name=name, **design)
        except Exception as error:
            raise RunStateError(f"the design of the hypernetwork cannot be made here: {error}") from error
        restore(trained_tensors(host_object), snapshot)
        host_object.step, host_object.optimizer_name = snapshot.facts.step, snapshot.facts.optimizer
        return host_object

    def known(self, host: Host, store: Store, name: str) -> Known | None:
        """It is too large to be read for an answer: its file time says which saved form it is."""
        path = host.hypernetwork_file(name)
        if path is None:
            return None
        try:
            mtime_ns = Path(path).stat().st_mtime_ns
        except OSError:
            return None
        for state in store.runs():
            for known in reversed(state.known):
                if (state.kind, state.name, known.mtime_ns) == (self.name, name, mtime_ns):
                    return known
        return Known(0, "", mtime_ns)

    def check(self, found: Any, name: str) -> None:
        """What is in the file is looked at when the host has loaded it."""

    def widths(self, host_object: Any) -> set[int]:
        return set(getattr(host_object, "layers", ()))

    def train_function(self, ti: Any, hn: Any) -> Callable[..., Any]:  # noqa: ARG002
        return hn.train_hypernetwork  # type: ignore[no-any-return]

    def encodes_anew(self, frame: Mapping[str, Any]) -> bool:
        return frame.get("tag_drop_out") != 0 or bool(frame.get("shuffle_tags"))

    def applied_beside(self, host: Host) -> list[Any]:  # noqa: ARG002 it takes their place
        return []

    @contextmanager
    def drawing(self, host_object: Any) -> Iterator[None]:
        """Without dropout."""
        host_object.eval()
        try:
            yield
        finally:
            host_object.train()

    def save(self, host: Host, frame: Mapping[str, Any], name: str | None = None, file: str | None = None) -> None:
        host_object, name, file = frame["hypernetwork"], name or frame["hypernetwork_name"], file or frame["filename"]
        host_object.optimizer_name = frame["optimizer_name"]
        if getattr(host.shared.opts, "save_optimizer_state", False):
            host_object.optimizer_state_dict = frame["optimizer"].state_dict()
        try:
            host.hn.save_hypernetwork(host_object, frame["checkpoint"], name, file)
        finally:
            host_object.optimizer_state_dict = None


_BOTH: tuple[Kind, ...] = (Embedding(), Hypernetwork())
KINDS = {kind.name: kind for kind in _BOTH}


def kind_of(name: str) -> Kind:
    """
    Raises:
        InputError: there is no such kind.

    >>> kind_of("embedding").article
    'an'
    """
    if name not in KINDS:
        raise InputError(f"expected {' or '.join(KINDS)} as what is trained, got {name!r}")
    return KINDS[name]


def _design(snapshot: Snapshot) -> dict[str, Any]:
    """The design in a snapshot from outside: known names, plain values, and no larger than the weights that came with it."""
    design = {name: value for name, value in snapshot.parts["extra"].items() if name != WHY}
    if set(design) != {"enable_sizes", *DESIGN}:
        raise RunStateError(f"extra: expected {', '.join(('enable_sizes', *DESIGN))}, got {', '.join(map(str, design))[:200]}")
    sizes, layers, dropout = design["enable_sizes"], design["layer_structure"], design["dropout_structure"]
    if not (_is_numbers(sizes, int) and _is_numbers(layers, (int, float)) and _is_numbers(dropout or [0], (int, float))):
        raise RunStateError("extra: expected lists of numbers for enable_sizes, layer_structure and dropout_structure")
    for name in ("activation_func", "weight_init"):
        if not isinstance(design[name], (str, type(None))) or len(design[name] or "") > 40:
            raise RunStateError(f"extra.{name}: expected a short text or nothing")
    total = sum(tensor.numel() for tensor in snapshot.trained)
    wanted = sum(2 * int(size * a) * int(size * b) for size in sizes for a, b in pairwise(layers))
    if wanted > total:
        raise RunStateError("extra: the design is wider than the weights that came with it")
    widest = max((max(tensor.shape, default=0) for tensor in snapshot.trained), default=0)
    if max(sizes) * max(layers) > widest or not all(layer > 0 for layer in layers):
        raise RunStateError("extra: the design is wider than the weights that came with it")
    return dict(design)


def _is_numbers(value: Any, types: type | tuple[type, ...]) -> bool:
    if not isinstance(value, list) or not 0 < len(value) <= 16:
        return False
    return all(isinstance(one, types) and not isinstance(one, bool) and -1e9 < one < 1e9 for one in value)  # type: ignore[operator]
