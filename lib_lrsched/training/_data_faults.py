"""Numbers in a data set that would make every update on them NaN, looked at when the host has made it.

Each ends as a loss that is NaN, and looks then as if the rate were too high: so the cause is named where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SHOWN = 3


def even_weights(data: Any) -> str:
    """Gives images whose alpha is the same everywhere weights of 1, as the host gives those without alpha; what to say of it.

    The host makes an alpha channel into weights from 0 with a mean of 1: dataset.py, ``weight -= weight.min(); weight /=
    weight.mean()``. Where it is the same everywhere, as in every opaque PNG with an alpha channel, that is 0 / 0.
    """
    names = []
    for entry in data.dataset:
        weight = getattr(entry, "weight", None)
        if isinstance(weight, Tensor) and not torch.isfinite(weight).all():
            entry.weight = torch.ones_like(weight)
            names.append(Path(entry.filename).name)
    if not names:
        return ""
    return (f"the alpha channel of {listed(names, len(data.dataset))} is the same everywhere. Used as a loss weight this gives "
            "0/0 (NaN in the WebUI): all pixels get the same weight instead")


def no_numbers(data: Any) -> str:
    """Why no training on these images can end well: the VAE gave something that is not finite. Empty where it did not."""
    names = [Path(entry.filename).name for entry in data.dataset if not _is_finite(entry)]
    if not names:
        return ""
    return (f"the VAE produces NaN or infinity for {listed(names, len(data.dataset))}, and training on them would end in NaN: "
            "start the WebUI with --no-half-vae, or remove them from the data set")


def listed(names: Sequence[str], total: int) -> str:
    """``2 of 5 images (a.png, b.png)``; the first few by name."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} of {total} image{'' if total == 1 else 's'} ({', '.join(names[:SHOWN])}{more})"


def _is_finite(entry: Any) -> bool:
    """Of a latent that is drawn again each time, what it is drawn from."""
    kept = getattr(entry, "latent_dist", None)
    tensors = (getattr(entry, "latent_sample", None), getattr(kept, "mean", None), getattr(kept, "std", None))
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors if isinstance(tensor, Tensor))
