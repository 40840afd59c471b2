"""What it costs to lose nothing: snapshots of an embedding and of a large hypernetwork, and a whole run with autosave.

Part of ``make bench``, see bench.py.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from bench_lines import Clock, Pairs
from torch.optim.optimizer import register_optimizer_step_post_hook

from lib_lrsched.optimizer.codec import copied
from lib_lrsched.snapshot.snapshot import PARTS
from lib_lrsched.storage.store import Store
from lib_lrsched.training.callbacks.snapshots import Snapshots, When
from lib_lrsched.training.request import Request
from lib_lrsched.training.run import TrainingRun

UPDATES = 400
LEG = 100
OWN = {"trained", "optimizer", "scaler", "random", "order"}
"""The parts of a snapshot that Snapshots takes by itself; callbacks have the others."""
WRITTEN_S = 60.0


def snapshots_of(folder: Path, tensors: list[torch.Tensor], every: int) -> tuple[Snapshots, torch.optim.Optimizer, Path]:
    """Snapshots in the state of a run that trains, with Adam's state for every tensor."""
    run = TrainingRun(Request("embedding", "bench", "0.005", 1000), Store(folder))
    optimizer = torch.optim.AdamW(tensors, lr=0.005)
    for tensor in tensors:
        tensor.grad = torch.ones_like(tensor)
    optimizer.step()
    session: Any = SimpleNamespace(
        run=run, trainee=SimpleNamespace(tensors=lambda: tensors), scaler=None, optimizer=optimizer,
        state_dict=lambda: {**dict.fromkeys(PARTS.keys() - OWN), "extra": {}}, reporter=SimpleNamespace(tell_state_trouble=_failed),
    )  # fmt: skip
    snapshots = Snapshots(session, When(every, 0.0), None)
    run.begin(0, None)
    snapshots.begin(0)
    snapshots.on_start(session)
    return snapshots, optimizer, run.snapshots_path


def _failed(message: str) -> None:
    raise AssertionError(message)


def embedding_snapshot() -> Pairs:
    """Seconds for a snapshot of an embedding of 8 vectors, on the disk; and for bringing the same bytes there."""
    tensors = [torch.randn(8, 768, requires_grad=True)]
    found = Pairs([], [])
    with tempfile.TemporaryDirectory() as folder:
        snapshots, _, written_to = snapshots_of(Path(folder), tensors, 1)
        for step in range(1, 40):
            begin = Clock.read()
            snapshots.boundary(step, made=step, disturbed=False, is_good=True)
            found.ours.append(Clock.read() - begin)
            data = next(iter(written_to.glob("*.safetensors"))).read_bytes()
            begin = Clock.read()
            _bring_to_the_disk(Path(folder) / "plain", data)
            found.reference.append(Clock.read() - begin)
        snapshots.close()
    return found


def _bring_to_the_disk(path: Path, data: bytes) -> None:
    """As whole as a snapshot is: under another name first, and the folder's entry too."""
    with path.with_suffix(".new").open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    path.with_suffix(".new").replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def hypernetwork_snapshot() -> tuple[Pairs, list[float]]:
    """Seconds that a snapshot of 80 MB and Adam's 160 MB holds the training, and for a copy; and until it is written."""
    tensors = [torch.randn(1280, 1600, requires_grad=True) for _ in range(10)]
    held, written = Pairs([], []), []
    with tempfile.TemporaryDirectory() as folder:
        snapshots, optimizer, written_to = snapshots_of(Path(folder), tensors, 1)
        for step in range(1, 8):
            begin, on_the_wall = Clock.read(), time.perf_counter()
            snapshots.boundary(step, made=step, disturbed=False, is_good=True)
            held.ours.append(Clock.read() - begin)
            while len(list(written_to.glob("*.safetensors"))) < min(step, 3) or snapshots.is_writing:
                snapshots.say_troubles()
                assert time.perf_counter() - on_the_wall < WRITTEN_S, "the snapshot does not come to the disk"
                time.sleep(0.005)
            written.append(time.perf_counter() - on_the_wall)
            begin = Clock.read()
            kept = copied([tensors, optimizer.state_dict()])
            held.reference.append(Clock.read() - begin)
            del kept
        snapshots.close()
    return held, written


@contextmanager
def practice(folder: Path) -> Iterator[Any]:
    from lib_lrsched.host import hooks
    from lib_lrsched.practice import service, shared
    from lib_lrsched.practice.host import practice_host
    from lib_lrsched.training.options import Options
    from lib_lrsched.training.settings import Settings

    service.open_at(folder)
    shared.opts.practice_quiet = True
    settings: dict[str, Any] = {"autosave_every": 0, "autosave_minutes": 0.0, "run": Options(progress_every=0)}
    hooks.install(practice_host(folder, lambda: Settings(**settings)))
    try:
        yield service, settings
    finally:
        hooks.uninstall()


def whole_run() -> tuple[float, list[float]]:
    """Seconds per update of a practice run with autosave every 50; and of its legs the shares that were spent on saving."""
    spent: list[float] = [0.0]
    save = Snapshots._save

    def timed(self: Snapshots) -> None:
        begin = Clock.read()
        save(self)
        spent[-1] += Clock.read() - begin

    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder, practice(Path(folder)) as (service, settings):
        Snapshots._save = timed  # type: ignore[method-assign]
        try:
            settings["autosave_every"] = 50
            service.create("embedding", "saved")
            for leg in range(1, UPDATES // LEG + 1):
                begin = Clock.read()
                service.train("embedding", "saved", "0.005", leg * LEG, seed=leg)
                times.append(Clock.read() - begin)
                spent.append(0.0)
        finally:
            Snapshots._save = save  # type: ignore[method-assign]
    return statistics.median(times) / LEG, [one / whole for one, whole in zip(spent, times)]


def progress(kind: str, speed: str, legs: int = 5, leg: int = 64) -> Pairs:
    """Seconds per update of two practice runs, by turns: with the default comparisons with the start, and with none.

    The time is that of a leg's updates, but for the first 16: the guard compares the first few of a training that has no snapshot
    to resume from.

    Args:
        speed: "exact" with gradient checkpointing, "fast" without.
    """
    from lib_lrsched.training.options import Options

    found = Pairs([], [])
    with tempfile.TemporaryDirectory() as folder, practice(Path(folder)) as (service, settings):
        settings["training_speed"] = speed
        for every in (Options.progress_every, 0):
            service.create(kind, f"every{every}")
        for number in range(1, legs + 1):
            for every, times in ((Options.progress_every, found.ours), (0, found.reference)):
                settings |= {"run": Options(progress_every=every), "guard": every > 0}  # the guard compares too
                with stamped() as stamps:
                    service.train(kind, f"every{every}", "0.0005", number * leg, seed=number)
                times.append((stamps[-1] - stamps[15]) / (len(stamps) - 16))
    return found


@contextmanager
def stamped() -> Iterator[list[float]]:
    """When each update of any optimizer was made."""
    stamps: list[float] = []
    hook = register_optimizer_step_post_hook(lambda *_: stamps.append(Clock.read()))
    try:
        yield stamps
    finally:
        hook.remove()
