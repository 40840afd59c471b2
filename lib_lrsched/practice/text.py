"""The text encoder: words -> context, with a place where trained embedding vectors are put in.

The seam is the host's: a word of the prompt that names an embedding in `embedding_db.word_embeddings` is replaced
by that embedding's vectors before anything else looks at the tokens.

There is no normalisation on the way from a token to the context. With one, only a vector's direction would
matter, and a learning rate far too large would do no harm; here its size counts, as its direction does.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from lib_lrsched.practice.vocabulary import GENERIC_WORD, PAD, UNKNOWN, WORDS

CHUNK_TOKENS = 20  # the host has 75; a longer prompt becomes more chunks, joined along the token axis
_WORD = re.compile(r"[A-Za-z0-9_.-]+")


class NamedVectors(Protocol):
    """What the encoder needs of an embedding: its name and vec, float32 [n_vectors, token_width]."""

    name: str
    vec: Tensor


def find_embedding(word: str, embeddings: Mapping[str, NamedVectors]) -> NamedVectors | None:
    """The embedding that this word names, in whatever case, or None."""
    folded = word.lower()
    return next((e for name, e in embeddings.items() if name.lower() == folded), None)


def words_of(prompt: str, names: Iterable[str]) -> list[str]:
    """The prompt's words. A name that is not a single word, such as ``my thing`` or ``größe``, counts as one: the host compares
    tokens, of which a name may have several."""
    return _pattern(tuple(name for name in names if not _WORD.fullmatch(name))).findall(prompt)


@functools.lru_cache(maxsize=64)
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(names, key=len, reverse=True)
    whole = [rf"(?<!\w){re.escape(name)}(?!\w)" for name in longest_first if name.strip()]
    return re.compile("|".join([*whole, _WORD.pattern]), re.IGNORECASE)


@dataclass
class _Chunk:
    """Up to CHUNK_TOKENS word numbers, and the vectors that take the place of some, by offset."""

    ids: list[int] = field(default_factory=list)
    fixes: list[tuple[int, Tensor]] = field(default_factory=list)


class ContextBlock(nn.Module):
    """Self-attention and a two-layer network, each added to its input; without normalisation on purpose."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        for weight in (self.out.weight, self.mlp.get_parameter("2.weight")):
            nn.init.normal_(weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        b, n, d = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        x = x + self.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d))
        return x + self.mlp(x)


class TextEncoder(nn.Module):
    """list of B prompts -> context float32 [B, T, context_width]; T is CHUNK_TOKENS times the chunks needed."""

    token_gain: Tensor

    def __init__(self, width: int = 64, blocks: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.token_width = width
        self.context_width = width
        self.embedding_db: Any = SimpleNamespace(word_embeddings={})  # the host puts its `model_hijack.embedding_db` here
        self.token_table = nn.Embedding(len(WORDS), width)
        # The table is kept small and multiplied by this gain, which puts useful learning rates near 0.005.
        self.register_buffer("token_gain", torch.ones(()))
        self.position = nn.Parameter(torch.randn(CHUNK_TOKENS, width) * 0.1)
        self.blocks = nn.Sequential(*(ContextBlock(width, heads) for _ in range(blocks)))
        self._index = {word: i for i, word in enumerate(WORDS)}

    def forward(self, prompts: list[str]) -> Tensor:
        """Raises ValueError for an embedding that does not fit a chunk or whose vectors have another width."""
        chunked = [self._chunks(prompt) for prompt in prompts]
        most = max(len(chunks) for chunks in chunked)
        flat = [chunk for chunks in chunked for chunk in chunks + [_Chunk()] * (most - len(chunks))]
        context = self.blocks(self._token_vectors(flat) * self.token_gain + self.position)
        return context.view(len(prompts), most * CHUNK_TOKENS, self.context_width)

    def encode_init_text(self, text: str, n_vectors: int) -> Tensor:
        """Start vectors float32 [n_vectors, token_width] from the words of text; "*" means the generic word.

        With m words, vector i is that of word i * m // n_vectors: words are repeated in place or left out, as
        in the host (textual_inversion.py, create_embedding). A word not in the vocabulary is the generic word.
        """
        if n_vectors < 1:
            raise ValueError(f"an embedding has 1 or more vectors, not {n_vectors}; give n_vectors=1")
        generic = self._index[GENERIC_WORD]
        ids = [self._index.get(_bare(word), generic) for word in _WORD.findall(text)] or [generic]
        chosen = [ids[i * len(ids) // n_vectors] for i in range(n_vectors)]
        return self.token_table.weight.detach()[chosen].clone().float()

    def _chunks(self, prompt: str) -> list[_Chunk]:
        """The prompt's tokens in one chunk or more; no embedding is torn apart."""
        chunks = [_Chunk()]
        embeddings: Mapping[str, NamedVectors] = self.embedding_db.word_embeddings
        for word in words_of(prompt, embeddings):
            found = find_embedding(word, embeddings)
            size = 1 if found is None else len(self._checked(found))
            if len(chunks[-1].ids) + size > CHUNK_TOKENS:
                chunks.append(_Chunk())
            if found is not None:
                chunks[-1].fixes.append((len(chunks[-1].ids), self._checked(found)))
            chunks[-1].ids.extend([self._index.get(_bare(word), self._index[UNKNOWN])] * size)
        return chunks

    def _token_vectors(self, chunks: list[_Chunk]) -> Tensor:
        """float32 [len(chunks), CHUNK_TOKENS, token_width], embeddings in their places."""
        pad = self._index[PAD]
        ids = [chunk.ids + [pad] * (CHUNK_TOKENS - len(chunk.ids)) for chunk in chunks]
        tokens = self.token_table(torch.tensor(ids, device=self.token_table.weight.device))
        if not any(chunk.fixes for chunk in chunks):
            return tokens
        return torch.stack([_fixed(row, chunk.fixes) for row, chunk in zip(tokens, chunks, strict=True)])

    def _checked(self, embedding: NamedVectors) -> Tensor:
        vec = embedding.vec
        if vec.dim() != 2 or vec.shape[1] != self.token_width:
            raise ValueError(
                f"embedding {embedding.name!r} has vectors of shape {tuple(vec.shape)}; "
                f"this model takes (n, {self.token_width}): it was made for another model"
            )
        if len(vec) > CHUNK_TOKENS:
            raise ValueError(
                f"embedding {embedding.name!r} has {len(vec)} vectors; "
                f"a prompt takes at most {CHUNK_TOKENS}: make it with fewer vectors per token"
            )
        return vec.to(self.token_table.weight.device, torch.float32)


def _fixed(row: Tensor, fixes: list[tuple[int, Tensor]]) -> Tensor:
    """The row [CHUNK_TOKENS, token_width] with each embedding's vectors written over the words at its offset."""
    for offset, vec in fixes:
        row = torch.cat([row[:offset], vec, row[offset + len(vec) :]])
    return row


def _bare(word: str) -> str:
    """The form under which the vocabulary knows a word: lower case, no full stop or dash around it."""
    return word.lower().strip(".-")
