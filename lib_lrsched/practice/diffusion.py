"""The noise schedule: how a clean latent, noise and a timestep make a noisy latent, and what is predicted.

With signal a(t) and noise level s(t), a^2 + s^2 = 1:

    noisy    x_t = a x_0 + s noise
    velocity v   = a noise - s x_0          (Salimans and Ho 2022, "Progressive distillation")

The signal follows the shifted cosine of Hoogeboom et al. 2023, "Simple diffusion": the angle of the plain one, from
0 to pi/2 evenly over the timesteps, has its tangent multiplied by NOISE_SHIFT. Large flat areas outlive much noise;
without the shift, almost every timestep would still show what the image is, and words would hardly matter.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

NUM_TIMESTEPS = 1000
NOISE_SHIFT = 3.0


class NoiseSchedule(nn.Module):
    """Tables `signal` and `noise_level`, each float32 [num_timesteps], and the formulas that use them."""

    signal: Tensor
    noise_level: Tensor

    def __init__(self, num_timesteps: int = NUM_TIMESTEPS) -> None:
        super().__init__()
        self.num_timesteps = num_timesteps
        plain = (torch.arange(num_timesteps, dtype=torch.float64) + 1) / (num_timesteps + 1) * (math.pi / 2)
        angle = torch.atan(plain.tan() * NOISE_SHIFT)
        self.register_buffer("signal", angle.cos().float(), persistent=False)
        self.register_buffer("noise_level", angle.sin().float(), persistent=False)

    def at(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Signal and noise level for int64 timesteps [B], each shaped [B, 1, 1, 1]."""
        return self.signal[t].view(-1, 1, 1, 1), self.noise_level[t].view(-1, 1, 1, 1)

    def add_noise(self, clean: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """The noisy latent [B, C, H, W] at timesteps t [B]."""
        signal, level = self.at(t)
        return signal * clean + level * noise

    def velocity(self, clean: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """What the network is to predict, [B, C, H, W]."""
        signal, level = self.at(t)
        return signal * noise - level * clean

    def split(self, noisy: Tensor, t: Tensor, velocity: Tensor) -> tuple[Tensor, Tensor]:
        """The clean latent and the noise that a predicted velocity stands for."""
        signal, level = self.at(t)
        return signal * noisy - level * velocity, level * noisy + signal * velocity

    def noise_in(self, noisy: Tensor, t: Tensor, clean: Tensor) -> Tensor:
        """The noise that makes this noisy latent of this clean one."""
        signal, level = self.at(t)
        return (noisy - signal * clean) / level
