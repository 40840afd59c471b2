"""What a front end needs of the practice host: create, train, look. The host's functions, with sensible defaults.

    service.open_at(folder)
    service.create("embedding", "mine")
    service.train("embedding", "mine", "0.005", 300)
    service.sample_concept("mine", n=4, seed=1)
"""
from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image

from lib_lrsched.practice import files, hypernetwork, initialize, new_files, sampling, sd_hijack, shared, textual_inversion
from lib_lrsched.practice.hypernetwork_layers import parse_dropout_structure
from lib_lrsched.storage.run_state import KINDS

CONCEPT = Path(__file__).with_name("concept")


@dataclass(frozen=True)
class Choices:
    """The rest of a run's inputs, named as the front end shows them; sizes in pixels, "every" in updates, 0: never."""

    data: str | Path = CONCEPT
    batch: int = 1
    accumulate: int = 1
    clip_mode: str = "disabled"  # or "value", "norm"
    clip: str = "0.1"
    template: str = "subject.txt"
    width: int = 32
    height: int = 32
    copies_every: int = 0
    previews_every: int = 0
    seed: int | None = None  # of Python's and torch's generators; None leaves them as they are
    varsize: bool = False
    shuffle_tags: bool = False
    tag_drop_out: float = 0.0
    latent_sampling: str = "once"  # or "deterministic", "random"
    use_weight: bool = False
    image_with_embedding: bool = False
    preview_prompt: str | None = None  # None: the prompt just trained on
    preview_negative_prompt: str = ""
    preview_steps: int = 20
    preview_cfg_scale: float = 3.0
    preview_seed: int = -1
    log: str | Path | None = None  # None: the folder textual_inversion of the root


@dataclass(frozen=True)
class Design:
    """What a new embedding (vectors, init_text) or hypernetwork (the last five) is made of."""

    overwrite: bool = False
    vectors: int = 1
    init_text: str = "*"
    layer_structure: str = "1, 2, 1"  # layer widths as multiples of the context's
    activation: str = "linear"
    weight_init: str = "Normal"
    layer_norm: bool = False
    dropout: bool = False


class Result(NamedTuple):
    """What a run left: the embedding or hypernetwork, its file and whether it was interrupted."""

    trained: Any
    path: Path
    interrupted: bool


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: the model is so small that a second gains little, and on a busy machine it costs tenfold."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seed(number: int) -> None:
    """Seeds the two generators that the host draws from."""
    random.seed(number)
    torch.manual_seed(number)


def open_at(root: str | Path) -> None:
    """Works in this folder from now on; the model is loaded at the first call. Raises as initialize.setup."""
    initialize.setup(root)


def create(kind: str, name: str, root: str | Path | None = None, **design: Any) -> Path:
    """Makes a new embedding or hypernetwork, known at once; returns its file. The design is that of Design.

    With a root, changes over to it first. Raises ValueError for another kind, AssertionError where the name is
    taken, TypeError for an unknown part of the design.
    """
    _check_kind(kind)
    designed = Design(**design)
    if root is not None:
        open_at(root)
    if kind == "embedding":
        return _create_embedding(name, designed)
    return _create_hypernetwork(name, designed)


@contextlib.contextmanager
def to_train(kind: str, name: str, *, fresh: bool = False, **design: Any) -> Iterator[None]:
    """Within it a training of ``name`` finds what it trains: what is there, or something new of the design of Design.

    What is new replaces nothing before the training has passed every check; then what was there is kept as NAME.pt.bak.

    Args:
        fresh: start over, whatever is there.

    Raises:
        ValueError: another kind, a name that the host would change or that is too long, or a file of that name that
            cannot be read or whose training would be saved over another file. Nothing was changed.
    """
    _check_kind(kind)
    new_files.check_length(name, new_files.folder_of(kind))
    if not fresh and name in (embeddings() if kind == "embedding" else hypernetworks()):
        new_files.check_same_file(kind, name)
        new_files.check_readable(kind, new_files.current_file(kind, name))
        yield
        return
    new_files.check_free(kind, name, fresh=fresh)
    designed = Design(**design)
    with new_files.created(kind, name, lambda path: _save_new(kind, name, designed, path)):
        yield


def train(kind: str, name: str, lr: str, steps: int, **choices: Any) -> Result:
    """Trains up to `steps` updates over the life of the embedding or hypernetwork; choices are those of Choices.

    The lr is a schedule text. Raises as train_embedding and train_hypernetwork, TypeError for an unknown choice,
    ValueError for another kind.
    """
    _check_kind(kind)
    chosen = Choices(**choices)
    if chosen.seed is not None:
        seed(chosen.seed)
    shared.state.begin(f"practice-{kind}")
    try:
        trained, path = call(kind, arguments(kind, name, lr, steps, chosen))
        return Result(trained, Path(path), shared.state.interrupted)
    finally:
        shared.state.end()


def call(kind: str, arguments: Mapping[str, Any]) -> tuple[Any, str]:
    """The host's train function of a kind, as the page's buttons call it: what was trained, and its file."""
    train_of: dict[str, Callable[..., tuple[Any, str]]] = {
        "embedding": textual_inversion.train_embedding, "hypernetwork": hypernetwork.train_hypernetwork,
    }
    shared.set_loaded_hypernetworks([])
    with one_thread():
        return train_of[kind](**arguments)


def arguments(kind: str, name: str, lr: str, steps: int, chosen: Choices) -> dict[str, Any]:
    """The keyword arguments of the host's train function for this kind."""
    own: dict[str, Any] = {
        "embedding": {
            "embedding_name": name,
            "save_embedding_every": chosen.copies_every,
            "save_image_with_stored_embedding": chosen.image_with_embedding,
        },
        "hypernetwork": {"hypernetwork_name": name, "save_hypernetwork_every": chosen.copies_every},
    }[kind]
    return {**own, **_run_arguments(lr, steps, chosen), **_preview_arguments(chosen)}


def file_of(kind: str, name: str) -> Path:
    """The file that a name is loaded from, or will be saved to."""
    return new_files.current_file(kind, name) or new_files.folder_of(kind) / f"{name}.pt"


def sample_concept(name: str, n: int = 4, seed: int = 0, prompt: str | None = None) -> list[Image.Image]:
    """n images of what an embedding or a hypernetwork of this name has learned.

    Without a prompt: that of sample_prompt. Torch's generators are left alone. Raises KeyError for a name that is neither.
    """
    prompt = sample_prompt(name) if prompt is None else prompt
    if name in sd_hijack.model_hijack.embedding_db.word_embeddings:
        return _images(prompt, n, seed)
    if name not in shared.hypernetworks:
        raise KeyError(f"no embedding and no hypernetwork {name!r}; there are {[*embeddings(), *hypernetworks()]}")
    before = shared.loaded_hypernetworks
    with torch.random.fork_rng(devices=[]):  # making its layers draws start values
        hypernetwork.load_hypernetworks([name])
    try:
        return _images(prompt, n, seed)
    finally:
        shared.set_loaded_hypernetworks(before)


def sample_prompt(name: str) -> str:
    """The prompt that shows what a name has learned: it has an embedding's name; a hypernetwork is applied to any."""
    return f"a picture of {name}" if name in sd_hijack.model_hijack.embedding_db.word_embeddings else "a picture"


def embeddings() -> list[str]:
    """The names of the embeddings in the folder, as it is now."""
    sd_hijack.model_hijack.embedding_db.load_textual_inversion_embeddings()
    return known("embedding")


def hypernetworks() -> list[str]:
    """The names of the hypernetworks in the folder, as it is now."""
    shared.reload_hypernetworks()
    return known("hypernetwork")


def known(kind: str) -> list[str]:
    """The names of a kind as of the last look at its folder."""
    return sorted(sd_hijack.model_hijack.embedding_db.word_embeddings if kind == "embedding" else shared.hypernetworks)


def decodable_images(folder: str | Path) -> list[Path]:
    """The files in folder that the data set can read, sorted. Raises FileNotFoundError where there is no folder."""
    return [path for path in sorted(Path(folder).iterdir()) if path.is_file() and _decodes(path)]


def _create_embedding(name: str, design: Design) -> Path:
    path = textual_inversion.create_embedding(name, design.vectors, design.overwrite, design.init_text)
    sd_hijack.model_hijack.embedding_db.load_textual_inversion_embeddings(force_reload=True)
    return Path(path)


def _create_hypernetwork(name: str, design: Design) -> Path:
    hypernetwork.create_hypernetwork(name, _widths(), design.overwrite, *_hypernetwork_design(design))
    return Path(shared.cmd_opts.hypernetwork_dir, f"{files.safe_name(name)}.pt")


def _save_new(kind: str, name: str, design: Design, path: Path) -> None:
    if kind == "embedding":
        textual_inversion.new_embedding(name, design.vectors, design.init_text).save(str(path))
    else:
        hypernetwork.new_hypernetwork(name, _widths(), *_hypernetwork_design(design)).save(str(path))


def _widths() -> list[int]:
    return [shared.sd_model.cond_stage_model.context_width]


def _hypernetwork_design(design: Design) -> tuple[Any, ...]:
    layers = design.layer_structure.count(",") + 1
    dropout = parse_dropout_structure([1] * layers, design.dropout, last_layer_dropout=True)
    return (design.layer_structure, design.activation, design.weight_init, design.layer_norm, design.dropout,
            ", ".join(map(str, dropout)))


def _decodes(path: Path) -> bool:
    if path.suffix.lower() == ".txt":
        return False
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    return True


def _images(prompt: str, n: int, seed: int) -> list[Image.Image]:
    with one_thread():
        return sampling.sample(shared.sd_model, [prompt] * n, seed=seed)


def _run_arguments(lr: str, steps: int, chosen: Choices) -> dict[str, Any]:
    log = shared.cmd_opts.textual_inversion_dir if chosen.log is None else str(chosen.log)
    return {
        "id_task": None,
        "learn_rate": lr,
        "steps": steps,
        "batch_size": chosen.batch,
        "gradient_step": chosen.accumulate,
        "data_root": str(chosen.data),
        "log_directory": log,
        "training_width": chosen.width,
        "training_height": chosen.height,
        "varsize": chosen.varsize,
        "clip_grad_mode": chosen.clip_mode,
        "clip_grad_value": chosen.clip,
        "shuffle_tags": chosen.shuffle_tags,
        "tag_drop_out": chosen.tag_drop_out,
        "latent_sampling_method": chosen.latent_sampling,
        "use_weight": chosen.use_weight,
        "create_image_every": chosen.previews_every,
        "template_filename": chosen.template,
    }


def _preview_arguments(chosen: Choices) -> dict[str, Any]:
    return {
        "preview_from_txt2img": chosen.preview_prompt is not None,
        "preview_prompt": chosen.preview_prompt or "",
        "preview_negative_prompt": chosen.preview_negative_prompt,
        "preview_steps": chosen.preview_steps,
        "preview_sampler_name": "DDIM",
        "preview_cfg_scale": chosen.preview_cfg_scale,
        "preview_seed": chosen.preview_seed,
        "preview_width": chosen.width,
        "preview_height": chosen.height,
    }


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"expected one of {', '.join(KINDS)}, got {kind!r}")
