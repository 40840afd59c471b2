"""PracticeModel: stands for the host's `shared.sd_model`, with the same names where the training loops look.

Joins text encoder, diffusion network and noise schedule, and loads the weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from lib_lrsched.practice.diffusion import NoiseSchedule
from lib_lrsched.practice.text import TextEncoder
from lib_lrsched.practice.unet import CrossAttention, Hypernetwork, UNet

__all__ = ["WEIGHTS", "CrossAttention", "LatentDist", "PracticeModel", "load_model"]

WEIGHTS = Path(__file__).with_name("weights.safetensors")
SHUFFLE = 2  # pixels per latent position, each way
LATENT_CHANNELS = 3 * SHUFFLE * SHUFFLE
LATENT_STD = 0.02

Cond = Tensor | Mapping[str, list[Tensor]]
"""What the network gets beside the latents: contexts [B, T, D], or those and an image in the dict of an inpainting model."""


class LatentDist:
    """The normal distribution of a latent: `mean` [B, 12, H/2, W/2] and one `std`, which may be set to 0."""

    def __init__(self, mean: Tensor, std: float) -> None:
        self.mean = mean
        self.std = std

    def sample(self) -> Tensor:
        """One draw; the noise comes from torch's global CPU generator, and nothing is drawn when std is 0."""
        if self.std == 0:
            return self.mean
        return self.mean + self.std * torch.randn(self.mean.shape).to(self.mean.device)


class FirstStage(nn.Module):
    """Pixels <-> latents by moving 2x2 pixels into channels: the place of the host's VAE. Has no weights."""

    def encode(self, x: Tensor) -> LatentDist:
        """[B, 3, H, W] in [-1, 1] -> LatentDist. Raises ValueError for another shape or a size not a multiple of 4."""
        if x.dim() != 4 or x.shape[1] != 3 or x.shape[2] % 4 or x.shape[3] % 4:
            raise ValueError(
                f"expected images of shape (B, 3, H, W), H and W multiples of 4, got {tuple(x.shape)}; "
                "resize them, to 32x32 at best"
            )
        return LatentDist(functional.pixel_unshuffle(x, SHUFFLE), LATENT_STD)

    def decode(self, latent: Tensor) -> Tensor:
        """[B, 12, h, w] -> [B, 3, 2h, 2w], cut to [-1, 1]."""
        return functional.pixel_shuffle(latent, SHUFFLE).clamp(-1, 1)


class DiffusionWrapper(nn.Module):
    """Holds the network where the host does: `sd_model.model.diffusion_model`."""

    conditioning_key = "crossattn"

    def __init__(self, diffusion_model: UNet) -> None:
        super().__init__()
        self.diffusion_model = diffusion_model

    def forward(
        self, x: Tensor, t: Tensor, c_concat: list[Tensor] | None = None, c_crossattn: list[Tensor] | None = None,
    ) -> Tensor:  # fmt: skip
        """Predicted velocity [B, C, H, W] for noisy latents; with the key "hybrid" c_concat lies behind their channels."""
        assert c_crossattn is not None, "this network attends to a context"
        if self.conditioning_key == "hybrid":
            x = torch.cat([x, *(c_concat or [])], dim=1)
        return self.diffusion_model(x, t, torch.cat(c_crossattn, dim=1))


class PracticeModel(nn.Module):
    """A text-to-image diffusion model of about a million parameters for images of 32x32 pixels.

    `forward` and `weighted_forward` draw the timesteps and then the noise from torch's global generator, on x's device.
    """

    sd_checkpoint_name = "practice"

    def __init__(self) -> None:
        super().__init__()
        self.cond_stage_model = TextEncoder()
        self.first_stage_model = FirstStage()
        self.model = DiffusionWrapper(UNet(LATENT_CHANNELS, self.cond_stage_model.context_width))
        self.schedule = NoiseSchedule()
        self.num_timesteps = self.schedule.num_timesteps
        self.sd_model_hash = "untrained"
        self.hypernetworks = []

    @property
    def hypernetworks(self) -> list[Hypernetwork]:
        """The loaded hypernetworks, applied in order. Set a list, or change the list that is there."""
        return self._hypernetworks

    @hypernetworks.setter
    def hypernetworks(self, loaded: list[Hypernetwork]) -> None:
        self._hypernetworks = loaded
        for layer in self.modules():
            if isinstance(layer, CrossAttention):
                layer.hypernetworks = loaded

    def encode_first_stage(self, x: Tensor) -> LatentDist:
        """Images float32 [B, 3, H, W] in [-1, 1] -> LatentDist."""
        return self.first_stage_model.encode(x)

    def get_first_stage_encoding(self, dist: LatentDist | Tensor) -> Tensor:
        """One latent [B, 12, H/2, W/2] of the distribution, see LatentDist.sample; a latent is what it is."""
        return dist if isinstance(dist, Tensor) else dist.sample()

    def decode_first_stage(self, latent: Tensor) -> Tensor:
        """Latents -> images [B, 3, H, W] in [-1, 1]."""
        return self.first_stage_model.decode(latent)

    def forward(self, x: Tensor, c: Cond) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared error of the velocity for latents x, and it again by name; see ``p_losses``."""
        t = torch.randint(0, self.num_timesteps, (x.shape[0],), device=x.device)
        return self.p_losses(x, c, t)

    def p_losses(self, x_start: Tensor, cond: Cond, t: Tensor, noise: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss at given timesteps, as forward gives it.

        Args:
            x_start: latents [B, C, H, W].
            cond: contexts [B, T, D], or an inpainting model's dict of lists: c_concat and c_crossattn.
            t: int64 [B].
            noise: of the shape of the latents; drawn where it is None.
        """
        noise = torch.randn_like(x_start) if noise is None else noise
        predicted = self.apply_model(self.schedule.add_noise(x_start, t, noise), t, cond)
        loss_simple = self.get_loss(predicted, self.schedule.velocity(x_start, t, noise), mean=False).mean([1, 2, 3])
        loss = loss_simple.mean()
        return loss, {"train/loss_simple": loss.detach()}

    def apply_model(self, x_noisy: Tensor, t: Tensor, cond: Cond) -> Tensor:
        """Predicted velocity, the shape of x_noisy."""
        return self.model(x_noisy, t, **(cond if isinstance(cond, Mapping) else {"c_crossattn": [cond]}))

    def get_loss(self, pred: Tensor, target: Tensor, mean: bool = True) -> Tensor:
        """The squared error: its mean, or that of each number."""
        loss = (pred - target).square()
        return loss.mean() if mean else loss

    def weighted_forward(self, x: Tensor, c: Cond, w: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """As forward, with each squared error multiplied by w, which has the shape of x: as in the host by another get_loss."""
        def weighted(pred: Tensor, target: Tensor, mean: bool = True) -> Tensor:
            loss = plain(pred, target, mean=False) * w
            return loss.mean() if mean else loss

        plain, own = self.get_loss, vars(self).get("get_loss")
        self.get_loss = weighted  # type: ignore[method-assign]
        try:
            return self.forward(x, c)
        finally:
            if own is None:
                del self.get_loss
            else:
                self.get_loss = own  # type: ignore[method-assign]

    def loss_at(self, x: Tensor, c: Cond, t: Tensor, noise: Tensor) -> Tensor:
        """The scalar loss for given timesteps int64 [B] and noise (the shape of x): nothing is drawn."""
        return self.p_losses(x, c, t, noise)[0]


def load_model(device: str | torch.device = "cpu", weights: Path = WEIGHTS) -> PracticeModel:
    """The pretrained model in eval mode; its parameters require gradients, as the host's do.

    Raises FileNotFoundError where the weights are missing.
    """
    if not weights.is_file():
        raise FileNotFoundError(
            f"the practice model's weights are not at {weights}; fetch the file from the repository, or make it "
            "with `PYTHONPATH=tests python -m practice_tools.pretrain` (under an hour on two cores)"
        )
    model = PracticeModel()
    model.load_state_dict(_as_float32(load_file(weights)))
    model.sd_model_hash = hashlib.sha256(weights.read_bytes()).hexdigest()[:10]
    return model.to(device).eval()


def _as_float32(tensors: dict[str, Tensor]) -> dict[str, Any]:
    return {name: tensor.float() for name, tensor in tensors.items()}
