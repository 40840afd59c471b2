"""One of the processes that train the same small line with accelerate or DeepSpeed, can be killed, and resume.

    torchrun --nproc_per_node 2 tests/trainers/many_processes_worker.py accelerate|deepspeed FOLDER [UPDATE]

Each process adds a line ``step rate`` to a file of its own at each update, all save every SAVE_EVERY updates, and the last process
kills itself right after UPDATE. A process that finds something saved resumes there.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from trainers_page import run_code

from lib_lrsched import PlanLR

UPDATES, SAVE_EVERY, ACCUMULATION, MICRO_BATCH = 40, 10, 2, 2

RANK = int(os.environ.get("RANK", "0"))
WORLD = int(os.environ.get("WORLD_SIZE", "1"))

Report = Callable[[int, float], None]


def batches(start: int, rank: int, world: int) -> Iterator[tuple[int, Tensor]]:
    """What a process sees from an update on: the update and a micro-batch of [MICRO_BATCH, 4], inputs and what they shall give."""
    draw = torch.Generator().manual_seed(5)
    inputs = torch.randn(UPDATES, ACCUMULATION, 2, MICRO_BATCH, 3, generator=draw)
    whole = torch.cat([inputs, inputs @ torch.tensor([[1.0], [-2.0], [0.5]])], dim=-1)
    for step in range(start, UPDATES):
        for part in whole[step]:
            yield step, part[rank] if world == 2 else part.flatten(0, 1)


def line() -> nn.Linear:
    model = nn.Linear(3, 1)
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.25)
    return model


def loss_of(model: nn.Module, batch: Tensor) -> Tensor:
    return nn.functional.mse_loss(model(batch[:, :3]), batch[:, 3:])


def weights_of(model: nn.Module) -> list[float]:
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()]).tolist()


def alone(text: str) -> dict[str, list[float]]:
    """One process with torch alone, on what all processes see together."""
    model, rates = line(), []
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0)
    scheduler = PlanLR(optimizer, text, total_steps=UPDATES)
    seen = list(batches(0, 0, 1))
    for pair in zip(seen[::ACCUMULATION], seen[1::ACCUMULATION]):
        losses = [loss_of(model, batch) / ACCUMULATION for _, batch in pair]
        rates.append(optimizer.param_groups[0]["lr"])
        sum(losses, torch.zeros(())).backward()
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step(loss=sum(losses, torch.zeros(())).detach())
    return {"rates": rates, "weights": weights_of(model)}


def newest(folder: Path) -> int:
    """The update of what was saved last, 0 where there is nothing. Each save is named by a file that is written after it."""
    return max((int(path.name.partition("-")[2]) for path in folder.glob("saved-*")), default=0)


def with_accelerate(folder: Path, report: Report) -> nn.Module:
    """The default ``prepare``, and the line of docs/trainers.md."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=ACCUMULATION)
    model: Any = line()
    optimizer: Any = torch.optim.AdamW(model.parameters(), lr=1.0)
    names = {"optimizer": optimizer, "args": type("Arguments", (), {"max_train_steps": UPDATES})}
    scheduler = run_code("diffusers' scripts and accelerate", names)["lr_scheduler"]
    model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)
    start = newest(folder)
    if start:
        accelerator.load_state(str(folder / str(start)))
    for step, batch in batches(start, RANK, WORLD):
        with accelerator.accumulate(model):
            rate = optimizer.param_groups[0]["lr"]
            accelerator.backward(loss_of(model, batch))
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        if accelerator.sync_gradients:
            report(step, rate)
            if (step + 1) % SAVE_EVERY == 0:
                accelerator.save_state(str(folder / str(step + 1)))
                _saved(folder, step + 1)
    return accelerator.unwrap_model(model)


def with_deepspeed(folder: Path, report: Report) -> nn.Module:
    """ZeRO 1, and the code of docs/trainers.md."""
    model = line()
    config = {"train_micro_batch_size_per_gpu": MICRO_BATCH, "gradient_accumulation_steps": ACCUMULATION,
              "zero_optimization": {"stage": 1}, "gradient_clipping": 0.0, "steps_per_print": 10**9}
    names = run_code("DeepSpeed", {"model": model, "optimizer": torch.optim.AdamW(model.parameters(), lr=1.0), "config": config},
                     total=UPDATES)
    engine, optimizer = names["engine"], names["optimizer"]
    start = newest(folder)
    if start:
        engine.load_checkpoint(str(folder), tag=str(start))
    for step, batch in batches(start, RANK, WORLD):
        engine.backward(loss_of(engine, batch))
        rate = optimizer.param_groups[0]["lr"]
        is_update = engine.is_gradient_accumulation_boundary()
        engine.step()
        if is_update:
            report(step, rate)
            if (step + 1) % SAVE_EVERY == 0:
                engine.save_checkpoint(str(folder), tag=str(step + 1))
                _saved(folder, step + 1)
    return model


def _saved(folder: Path, step: int) -> None:
    torch.distributed.barrier()
    (folder / f"saved-{step}").touch()


def main(kind: str, folder: Path, killed_after: int | None) -> None:
    torch.set_num_threads(1)
    rates = (folder / f"rates-{RANK}.txt").open("a")

    def report(step: int, rate: float) -> None:
        print(step, repr(rate), file=rates, flush=True)
        if step == killed_after and RANK == WORLD - 1:
            os.kill(os.getpid(), signal.SIGKILL)

    model = {"accelerate": with_accelerate, "deepspeed": with_deepspeed}[kind](folder, report)
    (folder / f"weights-{RANK}.json").write_text(json.dumps(weights_of(model)))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
