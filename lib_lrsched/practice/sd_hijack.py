"""The embeddings that prompts may name: `model_hijack.embedding_db`, as in the host's `modules/sd_hijack.py`.

Loads and saves them in the host's formats, reading tensors, numbers and text only.
"""
from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from lib_lrsched.practice import files, shared

PLACEHOLDER_TOKEN = {"*": 265}  # what the host writes; no reader looks at the number
TORCH_SUFFIXES = (".pt", ".bin")


class Embedding:
    """Vectors float32 [vectors, token width] under a name, with the step they were trained to (None: unknown)."""

    def __init__(self, vec: Tensor, name: str, step: int | None = None) -> None:
        self.vec = vec
        self.name = name
        self.step: Any = step  # an int; None is what fails at the first update, as in the host
        self.shape: int | None = None
        self.vectors = 0
        self.cached_checksum: str | None = None
        self.sd_checkpoint: str | None = None
        self.sd_checkpoint_name: str | None = None
        self.optimizer_state_dict: dict[str, Any] | None = None
        self.filename: str | None = None

    def save(self, filename: str) -> None:
        """Writes the .pt and, where the option asks for it and there is one, the optimizer's state beside it."""
        files.save_pt(self._contents(), filename)
        if shared.opts.save_optimizer_state and self.optimizer_state_dict is not None:
            state = {"hash": self.checksum(), "optimizer_state_dict": self.optimizer_state_dict}
            files.save_pt(state, f"{filename}.optim")

    def checksum(self) -> str:
        """Four hexadecimal digits from the vectors in hundredths: the host's, which most small updates do not change."""
        if self.cached_checksum is None:
            hundredths = (self.vec.detach().reshape(-1) * 100).tolist()
            mixed = functools.reduce(lambda seed, v: (seed * 281 ^ int(v) * 997) & 0xFFFFFFFF, hundredths, 0)
            self.cached_checksum = f"{mixed & 0xFFFF:04x}"
        return self.cached_checksum

    def _contents(self) -> dict[str, Any]:
        return {
            "string_to_token": PLACEHOLDER_TOKEN,
            "string_to_param": {"*": self.vec},
            "name": self.name,
            "step": self.step,
            "sd_checkpoint": self.sd_checkpoint,
            "sd_checkpoint_name": self.sd_checkpoint_name,
        }


class EmbeddingDatabase:
    """The embeddings of one folder; those whose width the model does not take are in `skipped_embeddings`."""

    def __init__(self) -> None:
        self.word_embeddings: dict[str, Embedding] = {}
        self.skipped_embeddings: dict[str, Embedding] = {}
        self.unsaved: dict[str, Embedding] = {}
        """Ours: known like the others, and not in the folder yet."""
        self.expected_shape = -1
        self.folder = ""
        self._mtime_ns: int | None = None

    def add(self, embedding: Embedding) -> Embedding:
        """Makes it known under its name, in place of another of that name."""
        self.word_embeddings[embedding.name] = embedding
        return embedding

    def remove(self, name: str) -> None:
        """Forgets the embedding; the file stays. Nothing happens where there is none."""
        self.word_embeddings.pop(name, None)

    def load_textual_inversion_embeddings(self, force_reload: bool = False) -> None:
        """Reads every file anew, as new objects, when the folder has changed since the last time."""
        if not self.folder or not Path(self.folder).is_dir():  # Path("") is the current folder
            return
        mtime_ns = Path(self.folder).stat().st_mtime_ns
        if mtime_ns == self._mtime_ns and not force_reload:
            return
        self._mtime_ns = mtime_ns
        self.word_embeddings.clear()
        self.skipped_embeddings.clear()
        for path in sorted(Path(self.folder).rglob("*"), key=lambda path: path.stem.lower()):
            self._load(path)
        self.word_embeddings.update(self.unsaved)

    def _load(self, path: Path) -> None:
        try:
            if not path.is_file() or path.stat().st_size == 0:
                return
            data = _read(path)
            embedding = None if data is None else embedding_from_data(data, path)
        except files.UNREADABLE:
            shared.report(f"Error loading embedding {path.name}", is_brief=True)
            return
        if embedding is not None:
            self._sort_in(embedding)

    def _sort_in(self, embedding: Embedding) -> None:
        if self.expected_shape in (-1, embedding.shape):
            self.add(embedding)
        else:
            self.skipped_embeddings[embedding.name] = embedding


class ModelHijack:
    """What joins the embeddings to the model's text encoder."""

    def __init__(self) -> None:
        self.embedding_db = EmbeddingDatabase()

    def attach(self, model: Any, folder: str) -> None:
        """Lets the model's prompts name the embeddings in folder, and loads them."""
        self.embedding_db.folder = folder
        self.embedding_db.expected_shape = model.cond_stage_model.token_width
        model.cond_stage_model.embedding_db = self.embedding_db
        self.embedding_db.load_textual_inversion_embeddings(force_reload=True)


model_hijack = ModelHijack()


def embedding_from_file(path: Path) -> Embedding:
    """The embedding in a file, whatever its width. Raises ValueError for anything else, OSError."""
    data = _read(path)
    if data is None:
        raise ValueError(f"expected a file that ends in {', '.join((*TORCH_SUFFIXES, '.safetensors'))}")
    return embedding_from_data(data, path)


def embedding_from_data(data: dict[str, Any], path: Path) -> Embedding:
    """The embedding of a loaded file: the host's kind, or a single tensor under any name.

    The vectors become float32. Raises ValueError for anything else.
    """
    vec = _only_tensor(data.get("string_to_param", data), path)
    vec = vec.detach().reshape(-1, vec.shape[-1]).to(shared.device, torch.float32)
    embedding = Embedding(vec, path.stem, data.get("step"))
    embedding.sd_checkpoint = data.get("sd_checkpoint")
    embedding.sd_checkpoint_name = data.get("sd_checkpoint_name")
    embedding.vectors, embedding.shape = vec.shape
    embedding.filename = str(path)
    return embedding


def _only_tensor(candidates: Any, path: Path) -> Tensor:
    tensors = list(candidates.values()) if isinstance(candidates, dict) else []
    if len(tensors) != 1 or not isinstance(tensors[0], Tensor) or tensors[0].dim() == 0:
        raise ValueError(
            f"{path.name} is not an embedding: expected one tensor, got "
            f"{[type(found).__name__ for found in tensors]}; move the file out of the embeddings folder"
        )
    return tensors[0]


def _read(path: Path) -> dict[str, Any] | None:
    """The file's contents, None for a kind of file that holds no embeddings."""
    suffix = path.suffix.lower()
    if suffix in TORCH_SUFFIXES:
        return files.load_pt(path)
    if suffix == ".safetensors":
        return safetensors.torch.load_file(path)
    return None
