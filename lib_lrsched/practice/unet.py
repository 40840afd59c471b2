"""The diffusion network: a small convolutional UNet whose attention layers hypernetworks can wrap.

It maps a noisy latent, timesteps and a context to a prediction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

TIME_FEATURES = 64
COORDINATES = 4


class Hypernetwork(Protocol):
    """What an attention layer needs of a loaded hypernetwork: (module for k, module for v) by context width."""

    layers: Mapping[int, tuple[nn.Module, nn.Module]]


class CrossAttention(nn.Module):
    """Multi-head attention of x on a context, or on x itself; k and v pass through the loaded hypernetworks.

    `hypernetworks` is the list that PracticeModel.hypernetworks holds: one list, shared by all layers.
    """

    def __init__(self, width: int, context_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.hypernetworks: Sequence[Hypernetwork] = []
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context_width, width, bias=False)
        self.to_v = nn.Linear(context_width, width, bias=False)
        self.to_out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x [B, N, width], context [B, T, context_width] -> [B, N, width]; without a context, self-attention."""
        context_k, context_v = apply_hypernetworks(self.hypernetworks, x if context is None else context)
        q = self._split(self.to_q(x))
        k, v = self._split(self.to_k(context_k)), self._split(self.to_v(context_v))
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.to_out(mixed.transpose(1, 2).reshape(x.shape))

    def _split(self, x: Tensor) -> Tensor:
        b, n, width = x.shape
        return x.view(b, n, self.heads, width // self.heads).transpose(1, 2)


def apply_hypernetworks(loaded: Sequence[Hypernetwork], context: Tensor) -> tuple[Tensor, Tensor]:
    """The contexts for k and for v after every loaded hypernetwork, in order, that has this width."""
    context_k = context_v = context
    for hypernetwork in loaded:
        modules = hypernetwork.layers.get(context.shape[2])
        if modules is not None:
            context_k, context_v = modules[0](context_k), modules[1](context_v)
    return context_k, context_v


class ContextAttention(nn.Module):
    """Attention of every position of a feature map on the context, added to the map."""

    def __init__(self, width: int, context_width: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attn = CrossAttention(width, context_width, heads)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """[B, width, H, W], [B, T, context_width] -> [B, width, H, W]."""
        tokens = _to_tokens(x)
        return _to_map(tokens + self.attn(self.norm(tokens), context), x)


class AttentionBlock(nn.Module):
    """Self-attention over the positions of a feature map, attention on the context, and a two-layer network."""

    def __init__(self, width: int, context_width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = CrossAttention(width, width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.attn2 = CrossAttention(width, context_width, heads)
        self.norm3 = nn.LayerNorm(width)
        self.ff = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """[B, width, H, W], [B, T, context_width] -> [B, width, H, W]."""
        tokens = _to_tokens(x)
        tokens = tokens + self.attn1(self.norm1(tokens))
        tokens = tokens + self.attn2(self.norm2(tokens), context)
        return _to_map(tokens + self.ff(self.norm3(tokens)), x)


def _to_tokens(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, H * W, C]."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, x.shape[1])


def _to_map(tokens: Tensor, like: Tensor) -> Tensor:
    """[B, H * W, C] -> [B, C, H, W], with the H and W of `like`."""
    b, _, h, w = like.shape
    return tokens.view(b, h, w, -1).permute(0, 3, 1, 2)


class ResBlock(nn.Module):
    """Two convolutions with the timestep's scale and shift between them, added to the input."""

    def __init__(self, width: int, time_width: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.time = nn.Linear(time_width, 2 * width)
        self.norm2 = nn.GroupNorm(8, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """[B, width, H, W], [B, time_width] -> [B, width, H, W]."""
        scale, shift = self.time(time)[:, :, None, None].chunk(2, dim=1)
        hidden = self.conv1(functional.silu(self.norm1(x)))
        hidden = self.norm2(hidden) * (1 + scale) + shift
        return x + self.conv2(functional.silu(hidden))


class UNet(nn.Module):
    """Noisy latent [B, 12, H, W] (H and W even), timesteps int64 [B], context [B, T, D] -> [B, 12, H, W].

    One block at full size on the way down, most of the work at half size, one block at full size on the way up;
    the context is attended to at both sizes.
    """

    def __init__(self, latent_channels: int, context_width: int, width: int = 64, wide: int = 128) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(TIME_FEATURES, wide), nn.SiLU(), nn.Linear(wide, wide), nn.SiLU())
        self.conv_in = nn.Conv2d(latent_channels + COORDINATES, width, 3, padding=1)
        self.down_res = ResBlock(width, wide)
        self.down = nn.Conv2d(4 * width, wide, 1)
        self.mid_res = nn.ModuleList(ResBlock(wide, wide) for _ in range(2))
        self.mid_attn = nn.ModuleList(AttentionBlock(wide, context_width, heads=4) for _ in range(2))
        self.up = nn.Conv2d(wide, 4 * width, 1)
        self.up_res = ResBlock(width, wide)
        self.up_attn = ContextAttention(width, context_width, heads=2)
        self.norm_out = nn.GroupNorm(8, width)
        self.conv_out = nn.Conv2d(width, latent_channels, 3, padding=1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # several times faster on a CPU

    def forward(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        """The prediction, a velocity as the model is trained."""
        time = self.time(timestep_features(t, TIME_FEATURES))
        x = torch.cat([x, coordinates(x)], dim=1).contiguous(memory_format=torch.channels_last)
        skip = self.down_res(self.conv_in(x), time)
        x = self.down(functional.pixel_unshuffle(skip, 2))
        for res, attn in zip(self.mid_res, self.mid_attn, strict=True):
            x = attn(res(x, time), context)
        x = self.up_res(functional.pixel_shuffle(self.up(x), 2) + skip, time)
        return self.conv_out(functional.silu(self.norm_out(self.up_attn(x, context))))


def timestep_features(t: Tensor, width: int) -> Tensor:
    """Cosines and sines of t, float32 [B, width], with periods from about 6 to 60000 (Vaswani et al. 2017)."""
    rates = torch.exp(torch.arange(width // 2, device=t.device) * (-math.log(10000.0) / (width // 2)))
    angle = t[:, None].float() * rates
    return torch.cat([angle.cos(), angle.sin()], dim=1)


def coordinates(x: Tensor) -> Tensor:
    """Where each position of a map [B, C, H, W] lies, from -1 to 1, and the squares of that: [B, 4, H, W]."""
    b, _, h, w = x.shape
    across = torch.linspace(-1, 1, w, device=x.device).expand(h, w)
    down = torch.linspace(-1, 1, h, device=x.device)[:, None].expand(h, w)
    return torch.stack([across, down, across.square(), down.square()]).expand(b, -1, -1, -1)
