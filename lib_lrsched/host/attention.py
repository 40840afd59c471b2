"""Whether the attention that is in force passes the gradient on that attention has.

The WebUI replaces the forward of the UNet's attention layers by faster ones, and trains with them where its settings say so. Not
all of them have had a right backward pass on every card.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

PROJECTIONS = ("to_q", "to_k", "to_v", "to_out")
TOKENS, WORDS = 64, 77
LEAST_COSINE = 0.5
"""float16 and TF32 stay far above this, bfloat16 under very sharp attention at 0.8; a wrong gradient does not."""


def trouble(model: Any, device: torch.device) -> str:
    """What is wrong with the gradient of the words at the first cross-attention; empty where nothing is, or nothing can be said.

    Nothing random is drawn. A layer that lies on another device than the one that trains (``--medvram``) is not looked at.
    """
    layer = _first(model)
    if layer is None or layer.to_k.weight.device.type != device.type or torch.finfo(layer.to_k.weight.dtype).bits < 16:
        return ""
    x, words = (_waves(layer, count, projection.in_features) for count, projection in ((TOKENS, layer.to_q), (WORDS, layer.to_k)))
    words.requires_grad_()
    with torch.enable_grad():
        right = _gradient(_plain(layer, x, words), words)
        found = _gradient(layer(x, context=words), words)
    name = f"the attention in force ({name_in_force(model)})"
    if right is None or not right.any() or not right.isfinite().all():
        return ""
    if found is None or not found.any():
        return f"{name} does not propagate gradients to the prompt, so nothing would be learned"
    cosine = float(torch.nn.functional.cosine_similarity(found, right, dim=0))
    if not cosine >= LEAST_COSINE:
        return f"{name} passes a wrong gradient to the prompt (its cosine with the right one is {cosine:.2f})"
    return ""


def name_in_force(model: Any) -> str:
    """The name of the function that computes attention now."""
    layer = _first(model)
    return "" if layer is None else str(getattr(vars(layer).get("forward", type(layer).forward), "__name__", "forward"))


def widths(model: Any) -> set[int]:
    """Of the vectors from which the UNet's attention layers make their keys: what a hypernetwork can work on."""
    unet = getattr(getattr(model, "model", None), "diffusion_model", None)
    layers: Any = unet.modules() if isinstance(unet, nn.Module) else ()
    return {int(layer.to_k.in_features) for layer in layers if hasattr(layer, "heads") and hasattr(layer, "to_k")}


def _first(model: Any) -> Any:
    unet = getattr(getattr(model, "model", None), "diffusion_model", None)
    layers = (module for module in unet.modules() if _is_cross(module)) if isinstance(unet, nn.Module) else iter(())
    return next(layers, None)


def is_attention(module: Any) -> bool:
    """CrossAttention as LDM and the practice host have it, on words or on the latent itself."""
    return hasattr(module, "heads") and all(hasattr(module, name) for name in PROJECTIONS)


def _is_cross(module: Any) -> bool:
    """An attention on words."""
    return is_attention(module) and module.to_k.in_features != module.to_q.in_features


def _waves(layer: Any, count: int, width: int) -> Tensor:
    weight = layer.to_k.weight
    numbers = torch.arange(count * width, device=weight.device, dtype=torch.float32)
    return (numbers * 0.7).sin().view(1, count, width).to(weight.dtype)


def _plain(layer: Any, x: Tensor, words: Tensor) -> Tensor:
    """softmax(q k' / sqrt(d)) v, by head, as Vaswani et al. 2017 write it."""
    q, k, v = layer.to_q(x), layer.to_k(words), layer.to_v(words)
    q, k, v = (t.float().view(1, t.shape[1], layer.heads, -1).transpose(1, 2) for t in (q, k, v))
    weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(dim=-1)
    return layer.to_out((weights @ v).transpose(1, 2).reshape(1, x.shape[1], -1).to(x.dtype))


def _gradient(out: Tensor, words: Tensor) -> Tensor | None:
    """Of a loss that weighs every output differently, float32 and flat."""
    if not out.requires_grad:
        return None
    towards = torch.arange(out.numel(), device=out.device, dtype=torch.float32).cos().view(out.shape)
    (found,) = torch.autograd.grad((out.float() * towards).sum(), words, allow_unused=True)
    return None if found is None else found.float().flatten()
