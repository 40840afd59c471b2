"""Gradient checkpointing of the diffusion network while a run lasts; the host's `modules/sd_hijack_checkpoint.py`.

As there, it is the reentrant kind and sits on the classes: what a block computes is thrown away and computed again
in the backward pass, and a block none of whose inputs requires a gradient passes none on.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from lib_lrsched.practice import unet

BLOCKS: tuple[Any, ...] = (unet.AttentionBlock, unet.ResBlock)

stored: list[Callable[..., Any]] = []


def is_active() -> bool:
    """Whether a run has it switched on."""
    return bool(stored)


def add() -> None:
    """Switches it on; a second call changes nothing."""
    if stored:
        return
    stored.extend(block.forward for block in BLOCKS)
    for block in BLOCKS:
        block.forward = _checkpointed(block.forward)


def remove() -> None:
    """Puts the blocks' own forward back."""
    for block, forward in zip(BLOCKS, stored, strict=False):
        block.forward = forward
    stored.clear()


def _checkpointed(forward: Callable[..., Any]) -> Callable[..., Any]:
    def recomputed_forward(self: torch.nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
        if not torch.is_grad_enabled():
            return forward(self, *inputs)  # a preview: nothing to recompute, and torch would warn
        return checkpoint(forward, self, *inputs, use_reentrant=True)

    return recomputed_forward
