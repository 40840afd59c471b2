"""What it costs to lose nothing: snapshots of an embedding and of a large hypernetwork, and a whole run with autosave.

Part of ``make bench``, see bench.py.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from lib_lrsched.optimizer.codec import copied
from lib_lrsched.storage.history import History
from lib_lrsched.storage.store import Store
from lib_lrsched.training.callbacks.snapshots import Snapshots, When
from lib_lrsched.training.run import Request, TrainingRun

UPDATES = 2000
LEG = 250


def snapshots_of(folder: Path, tensors: list[torch.Tensor], every: int) -> tuple[Snapshots, torch.optim.Optimizer, Path]:
    """Snapshots in the state of a run that trains, with Adam's state for every tensor."""
    run = TrainingRun(Request("embedding", "bench", "0.005", 1000), Store(folder))
    optimizer = torch.optim.AdamW(tensors, lr=0.005)
    for tensor in tensors:
        tensor.grad = torch.ones_like(tensor)
    optimizer.step()
    session: Any = SimpleNamespace(
        run=run, trainee=SimpleNamespace(tensors=lambda: tensors), scaler=None, optimizer=optimizer,
        state_dict=lambda: {"watch": None, "guard": None, "extra": {}}, reporter=SimpleNamespace(tell_state_trouble=print),
    )  # fmt: skip
    snapshots = Snapshots(session, When(every, 0.0), None)
    run.begin(0, None)
    snapshots.begin(0)
    snapshots.on_start(session)
    return snapshots, optimizer, run.snapshots_path


def embedding_snapshot() -> tuple[float, float]:
    """Seconds for a snapshot of an embedding of 8 vectors, on the disk; and for copying and writing the same bytes."""
    tensors = [torch.randn(8, 768, requires_grad=True)]
    with tempfile.TemporaryDirectory() as folder:
        snapshots, _, written_to = snapshots_of(Path(folder), tensors, 1)
        spent, plain = [], []
        for step in range(1, 60):
            begin = time.perf_counter()
            snapshots.boundary(step, made=step, disturbed=False, is_good=True)
            spent.append(time.perf_counter() - begin)
            data = next(iter(written_to.glob("*.safetensors"))).read_bytes()
            begin = time.perf_counter()
            (Path(folder) / "plain").write_bytes(data)
            plain.append(time.perf_counter() - begin)
        snapshots.close()
    return statistics.median(spent), statistics.median(plain)


def hypernetwork_snapshot() -> tuple[float, float, float]:
    """Seconds that a snapshot of 80 MB and Adam's 160 MB holds the training, for a copy, and until it is written."""
    tensors = [torch.randn(1280, 1600, requires_grad=True) for _ in range(10)]
    with tempfile.TemporaryDirectory() as folder:
        snapshots, optimizer, written_to = snapshots_of(Path(folder), tensors, 1)
        held, copies, written = [], [], []
        for step in range(1, 6):
            begin = time.perf_counter()
            snapshots.boundary(step, made=step, disturbed=False, is_good=True)
            held.append(time.perf_counter() - begin)
            while len(list(written_to.glob("*.safetensors"))) < min(step, 3) or snapshots.is_writing:
                time.sleep(0.005)
            written.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            kept = copied([tensors, optimizer.state_dict()])
            copies.append(time.perf_counter() - begin)
            del kept
        snapshots.close()
    return statistics.median(held), statistics.median(copies), statistics.median(written)


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


def whole_run() -> tuple[float, float, float]:
    """Seconds per update of two practice runs of 2,000 updates, with autosave every 50 and without, in legs by turns; and the
    share of the first that was spent on saving.
    """
    spent = 0.0
    save = Snapshots._save

    def timed(self: Snapshots) -> None:
        nonlocal spent
        begin = time.perf_counter()
        save(self)
        spent += time.perf_counter() - begin

    times: dict[int, list[float]] = {0: [], 50: []}
    with tempfile.TemporaryDirectory() as folder, practice(Path(folder)) as (service, settings):
        Snapshots._save = timed  # type: ignore[method-assign]
        try:
            for every in times:
                service.create("embedding", f"every{every}")
            for leg in range(1, UPDATES // LEG + 1):
                for every, found in times.items():
                    settings["autosave_every"] = every
                    begin = time.perf_counter()
                    service.train("embedding", f"every{every}", "0.005", leg * LEG, seed=leg)
                    found.append((time.perf_counter() - begin) / LEG)
        finally:
            Snapshots._save = save  # type: ignore[method-assign]
    return statistics.median(times[50]), statistics.median(times[0]), spent / (sum(times[50]) * LEG)


def progress(kind: str, free_memory: str, legs: int = 6, leg: int = 96) -> tuple[float, float]:
    """Seconds per update of two practice runs, by turns: with the default comparisons with the start, and with none.

    The time is that of a leg's updates as the runs' histories have it, but for the first 16: the guard compares the first few of a
    training that has no snapshot to resume from.

    Args:
        free_memory: "off" with gradient checkpointing, "on" without.
    """
    from lib_lrsched.training.options import Options

    times: dict[int, list[float]] = {0: [], Options.progress_every: []}
    with tempfile.TemporaryDirectory() as folder, practice(Path(folder)) as (service, settings):
        settings["free_memory"] = free_memory
        for every in times:
            service.create(kind, f"every{every}")
        for number in range(1, legs + 1):
            for every, found in times.items():
                settings |= {"run": Options(progress_every=every), "guard": every > 0}  # the guard compares too
                service.train(kind, f"every{every}", "0.0005", number * leg, seed=number)
                found.append(_pace(Path(folder), f"every{every}", leg - 16))
    return statistics.median(times[Options.progress_every]), statistics.median(times[0])


def _pace(folder: Path, name: str, updates: int) -> float:
    """Seconds per update over the newest updates of the run of this name."""
    (path,) = folder.glob(f"lrsched/runs/*-{name}/history.jsonl")
    times = History.open(path, append=False).since(0, 10**6)["time_s"][-updates:]
    return (times[-1] - times[0]) / (len(times) - 1)
