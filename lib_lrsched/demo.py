"""``python -m lib_lrsched train`` and ``demo``: a run on the practice host through the hooks, and its pictures.

The hooks are those of the WebUI; only the host is another.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import RunStateError, ScheduleError
from .settings import Settings

LINE_EVERY_S = 0.25
"""Where the output is no terminal, a line with k/N comes at least this often."""

SAMPLES = 6


def train_command(args: argparse.Namespace) -> int:
    """Train as the command line says; 2 for wrong input, 1 where the training failed."""
    from .checks import InputError

    try:
        made = _train(args)
    except (ScheduleError, InputError, RunStateError, AssertionError) as error:
        if args.json:
            span = error.span if isinstance(error, ScheduleError) else None
            message = error.message if isinstance(error, ScheduleError) else str(error)
            print(json.dumps({"error": {"message": message, "span": span}}))
        else:
            print(error, file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(made["report"]))
    else:
        files = made["report"]["files"]
        for name in ("history", "samples", args.kind, "picture"):
            print(f"{name}: {files[name]}")
    if made["state"] == "failed":
        print(f"the training failed: {made['message']}", file=sys.stderr)
        return 1
    if made["message"]:
        print(made["message"], file=sys.stderr)
    return 0


def _train(args: argparse.Namespace) -> dict[str, Any]:
    from . import hooks
    from .practice import service, shared
    from .practice.host import practice_host

    root = args.out.absolute()
    service.open_at(root)
    runtime = hooks.install(practice_host(root, lambda: _settings(args)))
    shared.opts.practice_quiet = True  # the bar below says more, and keeps JSON on standard output clean
    if args.seed is not None:
        service.seed(args.seed)  # a new hypernetwork draws its first weights
    _make_if_new(service, args.kind, args.name, fresh=args.fresh)
    runtime.choose(args.kind, args.name, "file" if args.fresh else args.go_on)
    choices: dict[str, Any] = {"batch": args.batch, "accumulate": args.accumulate, "seed": args.seed}
    if args.data is not None:
        choices["data"] = args.data
    if args.clip is not None:
        choices |= {"clip": args.clip, "clip_mode": args.clip_mode}
    # JSON has standard output for itself; a bar goes where bars go.
    lines = sys.stderr if args.json else sys.stdout
    with _progress(shared, args.steps, sys.stderr if sys.stderr.isatty() else lines):
        result = service.train(args.kind, args.name, args.lr, args.steps, **choices)
    run = next((state for state in runtime.store.runs() if state.kind == args.kind and state.name == args.name), None)
    if run is None:
        raise AssertionError(f"nothing is left to train: {args.name} has {result.trained.step} updates, --steps is {args.steps}")
    return _report(args, root, result, run, runtime)


def _settings(args: argparse.Namespace) -> Settings:
    if args.autosave_every is None:
        return Settings()
    return Settings(autosave_every=args.autosave_every, autosave_minutes=Settings.autosave_minutes if args.autosave_every else 0.0)


def _make_if_new(service: Any, kind: str, name: str, *, fresh: bool) -> None:
    names = service.embeddings() if kind == "embedding" else service.hypernetworks()
    if fresh or name not in names:
        service.create(kind, name, overwrite=True)


def _report(args: argparse.Namespace, root: Path, result: Any, run: Any, runtime: Any) -> dict[str, Any]:
    from .history import History
    from .practice import service
    from .run_picture import draw_run, draw_samples

    history = History.open(runtime.store.history_path(run.id), append=False)
    points = history.since(run.initial_step, limit=10**7)
    folder = root / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    picture = draw_run(points, f"{args.name}: {args.lr}", folder / f"{args.name}-run.png")
    samples = draw_samples(service.sample_concept(args.name, SAMPLES, seed=0), folder / f"{args.name}-samples.png")
    files = {args.kind: result.path, "picture": picture, "samples": samples, "history": runtime.store.history_path(run.id)}
    report = {"files": {name: str(path) for name, path in files.items()}, "first_step": run.initial_step, "rates": points["actual"]}
    return {"report": report, "state": run.state, "message": run.message}


@contextlib.contextmanager
def _progress(shared: Any, steps: int, stream: Any) -> Iterator[None]:
    """Show the host's job as a bar, or as lines where ``stream`` is no terminal, from a thread of its own."""
    import threading

    import tqdm

    done = threading.Event()

    def follow() -> None:
        bar = tqdm.tqdm(total=steps, unit="update", file=stream) if stream.isatty() else None
        started, ended = time.monotonic(), False
        while not ended:
            ended = done.wait(0.1 if bar is not None else LINE_EVERY_S)
            k = min(int(shared.state.job_no or 0), steps)
            if bar is not None:
                bar.update(k - bar.n)
            else:
                print(f"{k}/{steps}  {time.monotonic() - started:.1f} s", file=stream, flush=True)
        if bar is not None:
            bar.close()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
