"""``python -m lib_lrsched train`` and ``demo``: a run on the practice host through the hooks, and its pictures.

The hooks are those of the WebUI; only the host is another.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_lrsched import console
from lib_lrsched.errors import RunStateError, ScheduleError
from lib_lrsched.training.settings import Settings

LINE_EVERY_S = 0.25
"""Where the output is no terminal, a line with k/N comes at least this often."""

SAMPLES = 6

FINISHED, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
"""Exit codes; where there was nothing to do it is the first."""

STOPPING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")

FOLDERS = ("", "embeddings", "hypernetworks", "textual_inversion", "textual_inversion_templates", "lrsched", "pictures")
"""Below --out, what a training writes to."""


@dataclass
class Told:
    """What the user was told: on standard error as it comes, and in the JSON at the end."""

    messages: list[str] = field(default_factory=list)
    has_started: bool = False

    def tell(self, message: str) -> None:
        message = message.removeprefix("LR Schedule: ")
        if message not in self.messages:
            self.messages.append(message)
            console.line(message, console.stderr())

    def start(self) -> None:
        self.has_started = True


def train_command(args: argparse.Namespace) -> int:
    """Train as the command line says.

    Returns:
        0 where the training has finished or nothing was left to do, 1 where it failed, 2 for wrong input, 130 where it was
        interrupted.

    Raises:
        KeyboardInterrupt: it came while nothing was being trained, or a second time.
    """
    from . import shared

    told = Told()
    shared.opts.practice_say = told.tell
    try:
        made = _train(args, told)
    except InterruptedError:
        raise KeyboardInterrupt from None  # the data set says so when it is interrupted while it is read
    except (ScheduleError, RunStateError, AssertionError, ValueError, OSError) as error:
        _say_error(args, error)
        return FAILED if told.has_started else WRONG
    finally:
        shared.opts.practice_say = None
    if args.json:
        console.line(json.dumps({**made["report"], "messages": told.messages}))
    else:
        for name, path in made["report"]["files"].items():
            console.line(f"{name}: {path}")
    return _ending(args, made)


def _say_error(args: argparse.Namespace, error: Exception) -> None:
    if args.json:
        span = error.span if isinstance(error, ScheduleError) else None
        message = error.message if isinstance(error, ScheduleError) else str(error)
        console.line(json.dumps({"error": {"message": message, "span": span}}))
    else:
        console.line(str(error), console.stderr())


def _ending(args: argparse.Namespace, made: dict[str, Any]) -> int:
    """The exit code, and the sentence that goes with it."""
    state, step = made["report"]["state"], made["report"]["step"]
    if state == "interrupted":
        again = "the same command without --fresh resumes it" if args.fresh else "the same command resumes it"
        console.line(f"interrupted: {args.name} has {step} of {args.steps} updates; {again}", console.stderr())
        return INTERRUPTED
    if state == "failed":
        console.line(f"the training failed: {made['report']['message']}", console.stderr())
        return FAILED
    if made["report"]["message"]:
        console.line(made["report"]["message"], console.stderr())
    return FINISHED


def _train(args: argparse.Namespace, told: Told) -> dict[str, Any]:
    from lib_lrsched.host import hooks

    from . import service, shared
    from .host import practice_host

    shared.opts.practice_quiet = True  # the bar below says more, and keeps JSON on standard output clean
    root = usable(args.out)
    service.open_at(root)
    runtime = hooks.install(practice_host(root, lambda: _settings(args)))
    if args.seed is not None:
        service.seed(args.seed)  # a new hypernetwork draws its first weights
    runtime.reserve(args.kind, args.name)
    nothing_left, result = "", None
    with service.to_train(args.kind, args.name, fresh=args.fresh):
        runtime.choose(args.kind, args.name, "file" if args.fresh else args.go_on)
        choices = _choices(args)
        for message in runtime.stretches(args.kind, args.name, _inputs(args, choices, service.CONCEPT)):
            told.tell(message)
        shared.at_start.append(told.start)
        # JSON has standard output for itself; a bar goes where bars go.
        lines = console.stderr() if args.json or console.stderr().isatty() else console.stdout()
        try:
            with _stoppable(shared), _progress(shared, args.steps, lines):
                result = service.train(args.kind, args.name, args.lr, args.steps, **choices)
        except ScheduleError as error:
            if not error.is_over:
                raise
            nothing_left = error.message
        finally:
            shared.at_start.clear()
    if not told.has_started and not nothing_left:
        nothing_left = _nothing_left(args, result)
    return _report(args, told, root, result, runtime, nothing_left)


def usable(out: Path) -> Path:
    """The folder of --out, made where it is missing.

    Raises:
        ValueError: something in it is no folder, or cannot be written to.
    """
    try:
        root = out.absolute()
        for folder in (root / name for name in FOLDERS):
            if folder == root:
                folder.mkdir(parents=True, exist_ok=True)
            elif folder.exists() and not folder.is_dir():
                raise ValueError(f"--out: {folder} is a file, and a folder is needed there: name another folder")
            if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
                raise ValueError(f"--out: {folder} is not writable: name another folder, or allow writing to it")
    except OSError as error:
        raise ValueError(f"--out: {out} cannot be used as a folder: {error.strerror or error}") from error
    return root


def _choices(args: argparse.Namespace) -> dict[str, Any]:
    choices: dict[str, Any] = {"batch": args.batch, "accumulate": args.accumulate, "seed": args.seed}
    if args.data is not None:
        choices["data"] = args.data
    if args.clip is not None:
        choices |= {"clip": args.clip, "clip_mode": args.clip_mode}
    return choices


def _inputs(args: argparse.Namespace, choices: dict[str, Any], concept: Path) -> dict[str, Any]:
    """By the names of the host's train functions."""
    return {
        "learn_rate": args.lr, "steps": args.steps, "batch_size": args.batch, "gradient_step": args.accumulate,
        "data_root": str(choices.get("data", concept)), "clip_grad_mode": choices.get("clip_mode", "disabled"),
        "clip_grad_value": choices.get("clip", ""),
    }  # fmt: skip


def _settings(args: argparse.Namespace) -> Settings:
    if args.autosave_every is None:
        return Settings()
    return Settings(autosave_every=args.autosave_every, autosave_minutes=Settings.autosave_minutes if args.autosave_every else 0.0)


def _nothing_left(args: argparse.Namespace, result: Any) -> str:
    return (f"nothing left to train: {args.name} has {result.trained.step} updates, --steps is {args.steps}; "
            "raise --steps or use --fresh")


def _report(args: argparse.Namespace, told: Told, root: Path, result: Any, runtime: Any, nothing_left: str) -> dict[str, Any]:
    """What came of it, for both forms of output."""
    from . import service

    stored = (state for state in runtime.store.runs() if (state.kind, state.name) == (args.kind, args.name))
    run = next(stored, None) if nothing_left else runtime.own_run()
    files: dict[str, Path] = {}
    rates: Any = []
    if run is not None and run.id:
        try:
            files, rates = _drawn(args, root, runtime.store.history_path(run.id), run.initial_step)
        except (OSError, RunStateError) as error:
            told.tell(f"the run cannot be drawn: {error}")
    files |= {args.kind: result.path if result is not None else service.file_of(args.kind, args.name)}
    order = ("history", "samples", args.kind, "picture")
    step = result.trained.step if result is not None else run.step if run is not None else 0
    state, message = ("finished", nothing_left) if nothing_left or run is None else (run.state, run.message)
    first_step = step if run is None else run.initial_step
    report = {"files": {name: str(files[name]) for name in order if name in files}, "first_step": first_step, "rates": rates}
    return {"report": {**report, "state": state, "step": step, "message": message}}


def _drawn(args: argparse.Namespace, root: Path, history_path: Path, first_step: int) -> tuple[dict[str, Path], Any]:
    """The pictures of the run's last leg, and its rates."""
    from lib_lrsched.storage.history import History

    from . import service
    from .run_image import draw_run, draw_samples

    history = History.open(history_path, append=False)
    points = history.since(first_step, limit=10**7)
    folder = root / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    picture = draw_run(points, f"{args.name}: {args.lr}", folder / f"{args.name}-run.png")
    samples = draw_samples(service.sample_concept(args.name, SAMPLES, seed=0), folder / f"{args.name}-samples.png")
    return {"picture": picture, "samples": samples, "history": history_path}, points["actual"]


@contextlib.contextmanager
def _stoppable(shared: Any) -> Iterator[None]:
    """A signal to stop, such as Ctrl-C, interrupts the training between two updates; a second one ends it where it is.

    Where nothing is being trained yet, or any more, the first one raises KeyboardInterrupt.
    """

    def stop(*_: object) -> None:
        if not shared.state.job or shared.state.interrupted:
            raise KeyboardInterrupt
        shared.state.interrupt()

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # only there can signals be handled
        numbers = (getattr(signal, name) for name in STOPPING if hasattr(signal, name))
        heeded = [number for number in numbers if signal.getsignal(number) not in (signal.SIG_IGN, None)]  # nohup ignores some
        before = {number: signal.signal(number, stop) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _progress(shared: Any, steps: int, stream: console.Guarded) -> Iterator[None]:
    """Show the host's job as a bar, or as lines where ``stream`` is no terminal, from a thread of its own."""
    done = threading.Event()

    def follow() -> None:
        bar = console.bar(total=steps, unit="update", stream=stream) if stream.isatty() else None
        started, ended = time.monotonic(), False
        while not ended:
            ended = done.wait(0.1 if bar is not None else LINE_EVERY_S)
            k = min(int(shared.state.job_no or 0), steps)
            if bar is not None:
                bar.update(k - bar.n)
            else:
                console.line(f"{k}/{steps}  {time.monotonic() - started:.1f} s", stream)
        if bar is not None:
            bar.close()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
