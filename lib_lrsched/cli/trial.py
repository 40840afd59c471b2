"""``trial``: which rate, or which schedule, before anything is trained. On the practice host; it leaves nothing behind."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_lrsched import console
from lib_lrsched.errors import RequestError, RunStateError, ScheduleError, short

from .common import FAILED, FINISHED, INTERRUPTED, WRONG, add_training, positive, refuse, usable

if TYPE_CHECKING:
    from lib_lrsched.training.trial import Trial

MOST_GRID, MOST_TEXTS, LARGEST_FILE = 50, 50, 1 << 20
"""Candidates, and bytes of the file of texts."""


def add(commands: Any) -> None:
    command = commands.add_parser("trial", help="find the rate, or compare schedules, before training; writes nothing")
    add_training(command)
    what = command.add_mutually_exclusive_group()
    what.add_argument("--grid", type=_grid, metavar="F,F,...", help="factors of the text's highest rate; half decades by default")
    what.add_argument("--texts", type=Path, metavar="FILE", help="compare these schedules instead, one a line")
    command.add_argument("--updates", type=positive, default=48, metavar="N", help="updates of each candidate (default 48)")
    command.add_argument("--json", action="store_true", help="print candidates and suggestion as JSON")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Try as the command line says.

    Returns:
        0 where the trial has ended, also where it suggests nothing; 1 where it failed, 2 for wrong input, 130 where it was
        interrupted.
    """
    from lib_lrsched.practice import shared

    shared.opts.practice_say = lambda message: console.line(message.removeprefix("LR Schedule: "), console.stderr())
    try:
        trial = _tried(args)
    except InterruptedError:
        raise KeyboardInterrupt from None  # the data set says so when it is interrupted while it is read
    except (ScheduleError, RequestError, RunStateError, AssertionError, ValueError, OSError) as error:
        refuse(args, error)
        return WRONG
    finally:
        shared.opts.practice_say = None
    return _ending(args, trial)


def _ending(args: argparse.Namespace, trial: Trial) -> int:
    if trial.was_interrupted:
        console.line("interrupted: nothing was changed", console.stderr())
        return INTERRUPTED
    if trial.error is not None or trial.answer is None:
        why = f"{type(trial.error).__name__}: {trial.error}" if trial.error is not None else "it did not come to its end"
        refuse(args, f"the trial failed: {why}")
        return FAILED
    for message in trial.messages:
        console.line(message, console.stderr())
    if args.json:
        rows = [row._asdict() for row in trial.rows]
        console.line(json.dumps({"candidates": rows, "suggested": trial.answer.suggested, "why": trial.answer.why}))
        return FINISHED
    for line in _table(trial):
        console.line(line)
    return FINISHED


def _table(trial: Trial) -> Iterator[str]:
    """The candidates for the eye, and the suggestion."""
    assert trial.answer is not None, "it has ended"
    width = max(len(row.text) for row in trial.rows)
    yield f"{'schedule':{width}}   loss gone   with the noise"
    for row in trial.rows:
        if row.progress is None:
            yield f"{row.text:{width}}   diverged at update {row.stopped_at}"
            continue
        noise = "" if row.low is None or row.high is None else f"{100 * row.low:.1f} to {100 * row.high:.1f}"
        yield f"{row.text:{width}}   {100 * row.progress:7.1f} %   {noise}".rstrip()
    yield ""
    yield trial.answer.why
    yield "no suggestion" if trial.answer.suggested is None else f"suggested: {trial.answer.suggested}"


# The trial -------------------------------------------------------------------------------------


def _tried(args: argparse.Namespace) -> Trial:
    from lib_lrsched.host import hooks
    from lib_lrsched.practice import service, shared, terminal
    from lib_lrsched.practice.host import practice_host
    from lib_lrsched.training.settings import Settings
    from lib_lrsched.training.trial import Spec, Trial

    texts = _texts(args.texts)
    trial = Trial(Spec(texts, args.grid, args.updates, args.seed or 0))
    shared.opts.practice_quiet = True
    with _root(args.out) as root:
        service.open_at(root)
        runtime = hooks.install(practice_host(root, Settings))
        if args.seed is not None:
            service.seed(args.seed)  # a new hypernetwork draws its first weights
        runtime.trainings.reserve(args.kind, args.name)
        candidates = len(texts) or len(args.grid or range(9))
        lines = console.stderr()  # the table has standard output for itself, also in a pipe
        with service.to_train(args.kind, args.name):
            shared.at_start.clear()  # what is new takes no place in the folder
            with terminal.stoppable(), terminal.progress((candidates + 1) * args.updates, lines), runtime.trial_calls.trying(trial):
                trained = service.train(args.kind, args.name, args.lr, args.steps, **_choices(args)).trained
        if trial.answer is None and trial.error is None and not trial.was_interrupted:
            counts = f"{args.name} has {trained.step} updates, --steps is {args.steps}"
            raise ValueError(f"nothing is left to train: {counts}; raise --steps")
    return trial


def _choices(args: argparse.Namespace) -> dict[str, Any]:
    data = {} if args.data is None else {"data": args.data}
    return {"batch": args.batch, "accumulate": args.accumulate, "seed": args.seed, **data}


@contextmanager
def _root(out: Path) -> Iterator[Path]:
    """The folder of the practice host; one for the time of the trial where there is none."""
    if out.exists():
        yield usable(out)
        return
    with tempfile.TemporaryDirectory(prefix="lrsched-") as made:
        yield usable(Path(made))


def _texts(path: Path | None) -> tuple[str, ...]:
    """The lines of a file that hold anything.

    Raises:
        ValueError: it cannot be read as text, or holds too many.
    """
    if path is None:
        return ()
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"--texts: {path} is larger than {LARGEST_FILE} bytes")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"--texts: {path} is not UTF-8") from error
    except OSError as error:
        raise ValueError(f"--texts: {path} cannot be read: {error.strerror or error}") from error
    found = tuple(line.strip() for line in lines if line.strip())
    if not 2 <= len(found) <= MOST_TEXTS:
        raise ValueError(f"--texts: a trial compares 2 to {MOST_TEXTS} schedules, {path} has {len(found)}")
    return found


def _grid(text: str) -> tuple[float, ...]:
    try:
        factors = tuple(sorted({float(word) for word in text.split(",")}))
    except ValueError:
        factors = ()
    if not 2 <= len(factors) <= MOST_GRID or not all(0 < factor < inf for factor in factors):
        expected = f"2 to {MOST_GRID} different factors above 0, as in 0.1,0.3,1"
        raise argparse.ArgumentTypeError(f"expected {expected}, got {short(text)!r}")
    return factors
