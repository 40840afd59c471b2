"""One of the processes of the accelerate test: trains the same small line in several ways and writes what it saw.

    RANK=0 WORLD_SIZE=2 MASTER_ADDR=... MASTER_PORT=... python tests/accelerate_worker.py OUT.json

Its loop is ``train``, which the test calls too, alone and without accelerate.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lib_lrsched import PlanLR

UPDATES = 12
EFFECTIVE_BATCH = 8
TEXT = "warmup(0.05):3, cosine(0.05, 0.001)"
PLATEAU = "0.05:2, plateau(0.05, factor=0.5, patience=0, threshold=0.9)"


def data() -> list[Tensor]:
    """UPDATES batches in a row, float64 [96, 4]: three inputs and what the line shall give."""
    draw = torch.Generator().manual_seed(5)
    inputs = torch.randn(UPDATES * EFFECTIVE_BATCH, 3, generator=draw, dtype=torch.float64)
    noise = torch.randn(len(inputs), 1, generator=draw, dtype=torch.float64)
    return list(torch.cat([inputs, inputs @ torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64) + 0.1 * noise], dim=1))


def made(text: str) -> tuple[nn.Module, torch.optim.Optimizer, PlanLR]:
    model = nn.Linear(3, 1, dtype=torch.float64)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.25)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0)
    return model, optimizer, PlanLR(optimizer, text, total_steps=UPDATES)


def train(model: nn.Module, optimizer: Any, batches: Iterable[Tensor], backward: Callable[[Tensor], None],
          step: Callable[[Tensor], None]) -> dict[str, list[float]]:
    """The rate of each update, and the weights after the last one."""
    rates = []
    for batch in batches:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(batch[:, :3]), batch[:, 3:])
        backward(loss)
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        step(loss.detach())
    return {"rates": rates, "weights": torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()]).tolist()}


def prepared(text: str, *, is_split: bool, with_optimizer: bool, has_scheduler: bool) -> dict[str, list[Any]]:
    """Train with accelerate; where the batch is not split, each process has a part of the effective batch."""
    from accelerate import Accelerator, DataLoaderConfiguration

    accelerator = Accelerator(cpu=True, step_scheduler_with_optimizer=with_optimizer,
                              dataloader_config=DataLoaderConfiguration(split_batches=is_split))
    size = EFFECTIVE_BATCH if is_split else EFFECTIVE_BATCH // accelerator.num_processes
    model, optimizer, scheduler = made(text)
    loader = torch.utils.data.DataLoader(data(), batch_size=size)  # type: ignore[arg-type]
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    if has_scheduler:
        scheduler = accelerator.prepare(scheduler)

    def step(loss: Tensor) -> None:
        asks_by_itself = has_scheduler and with_optimizer
        if asks_by_itself or (accelerator.sync_gradients and not accelerator.optimizer_step_was_skipped):
            scheduler.step(loss=accelerator.reduce(loss, "mean"))

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        seen = train(model, optimizer, loader, accelerator.backward, step)
    return {**seen, "warnings": [str(one.message) for one in said if "accelerate steps" in str(one.message)]}


def main(out: Path) -> None:
    torch.set_num_threads(1)
    results = {
        "split": prepared(TEXT, is_split=True, with_optimizer=True, has_scheduler=True),
        "by hand": prepared(TEXT, is_split=False, with_optimizer=False, has_scheduler=True),
        "left out": prepared(TEXT, is_split=False, with_optimizer=True, has_scheduler=False),
        "default": prepared(TEXT, is_split=False, with_optimizer=True, has_scheduler=True),
        "plateau": prepared(PLATEAU, is_split=False, with_optimizer=True, has_scheduler=True),
    }
    out.write_text(json.dumps(results))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
