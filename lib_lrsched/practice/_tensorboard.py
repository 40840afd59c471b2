"""Loss, rate and images for TensorBoard, under the host's tags. TensorBoard is imported when a run asks for it."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lib_lrsched.practice import shared


def tensorboard_setup(log_directory: str) -> Any:
    """A writer for the folder `tensorboard`. Raises ImportError where TensorBoard is not installed."""
    from torch.utils.tensorboard import SummaryWriter  # optional, and slow to import

    folder = Path(log_directory) / "tensorboard"
    folder.mkdir(parents=True, exist_ok=True)
    return SummaryWriter(log_dir=str(folder), flush_secs=shared.opts.training_tensorboard_flush_every)


def tensorboard_add(  # the host's parameters
    tensorboard_writer: Any, loss: float, global_step: int, step: int, learn_rate: float, epoch_num: int
) -> None:
    """Adds loss and rate, over the whole run and by epoch."""
    for tag, value in (("Loss/train", loss), ("Learn rate/train", learn_rate)):
        tensorboard_writer.add_scalar(tag=tag, scalar_value=value, global_step=global_step)
        tensorboard_writer.add_scalar(tag=f"{tag}/epoch-{epoch_num}", scalar_value=value, global_step=step)


def tensorboard_add_image(tensorboard_writer: Any, tag: str, pil_image: Image.Image, step: int) -> None:
    """Adds an image."""
    pixels = torch.from_numpy(np.array(pil_image)).permute(2, 0, 1)
    tensorboard_writer.add_image(tag, pixels, global_step=step)
