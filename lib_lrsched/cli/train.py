"""``train``: a run on the practice host through the hooks, and its images.

The hooks are those of the WebUI; only the host is another.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_lrsched import console
from lib_lrsched.errors import RunStateError, ScheduleError
from lib_lrsched.storage import disk_errors

from .common import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    WRONG,
    add_options,
    add_training,
    count,
    on_full_disk,
    options_given,
    refuse,
    usable,
)

SAMPLES = 6

RANGE_LINES, BAR = 16, 40
"""Lines of a range test's chart at most, and how many characters the longest bar has."""


def add(commands: Any) -> None:
    command = commands.add_parser("train", help="train an embedding or a hypernetwork on the practice host")
    add_training(command)
    command.add_argument("--clip", metavar="TEXT", help="schedule of the gradient-clip threshold")
    command.add_argument("--clip-mode", choices=("value", "norm"), default="value")
    command.add_argument("--fresh", action="store_true", help="start over; else a run of that name is resumed")
    command.add_argument("--go-on", choices=("continue", "new", "restart"), default="continue",
                         help="how to resume: continue the plan, a new schedule from here, or restart it over the remaining steps")
    command.add_argument("--autosave-every", type=count, metavar="N", help="save a snapshot every N updates; 0: never")
    add_options(command)
    command.add_argument("--json", action="store_true", help="print files and rates as JSON at the end")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train as the command line says.

    Returns:
        0 where the training has finished or nothing was left to do, 1 where it failed, 2 for wrong input, 130 where it was
        interrupted.

    Raises:
        KeyboardInterrupt: it came while nothing was being trained, or a second time.
    """
    from lib_lrsched.practice import shared

    told = _Told()
    shared.opts.practice_say = told.tell
    try:
        report = _train(args, told)
    except InterruptedError:
        raise KeyboardInterrupt from None  # the data set says so when it is interrupted while it is read
    except (ScheduleError, RunStateError, AssertionError, ValueError, OSError) as error:
        if isinstance(error, OSError) and disk_errors.is_full(error):
            refuse(args, on_full_disk(error, args.out))
            return FAILED
        refuse(args, error)
        return FAILED if told.has_started else WRONG
    finally:
        shared.opts.practice_say = None
    if args.json:
        console.line(json.dumps({**report, "messages": told.messages}))
    else:
        for name, path in report["files"].items():
            console.line(f"{name}: {path}")
    if report["range_test"] is not None:
        for line in _range_lines(report["range_test"]):
            console.line(line, console.stderr() if args.json else console.stdout())
    elif report["progress"] or report["validation"]:
        console.line(report["learning"]["said"], console.stderr() if args.json else console.stdout())
    return _ending(args, report)


@dataclass
class _Told:
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


def _ending(args: argparse.Namespace, report: dict[str, Any]) -> int:
    """The exit code, and the sentence that goes with it."""
    if report["state"] == "interrupted" and report["put_back"]:
        console.line(f"interrupted: {args.name} is what it was before, at step {report['step']}", console.stderr())
        return INTERRUPTED
    if report["state"] == "interrupted":
        again = "the same command without --fresh resumes it" if args.fresh else "the same command resumes it"
        console.line(f"interrupted: {args.name} has {report['step']} of {args.steps} updates; {again}", console.stderr())
        return INTERRUPTED
    if report["state"] == "failed":
        console.line(f"the training failed: {report['message']}", console.stderr())
        return FAILED
    if report["message"]:
        console.line(report["message"], console.stderr())
    return FINISHED


def _range_lines(found: dict[str, Any]) -> Iterator[str]:
    """Progress over rate as a chart of bars, up to where it is far worse than nothing; and the suggestion."""
    points = found["points"]
    stop = next((i + 1 for i, (_, share) in enumerate(points) if share < -1), len(points))
    lines = min(stop, RANGE_LINES)
    shown = [points[(i + 1) * stop // lines - 1] for i in range(lines)]
    most = max((share for _, share in shown), default=0.0)
    if shown:
        yield f"{'rate':9}  loss gone"
    for rate, share in shown:
        bar = "#" * round(BAR * share / most) if share > 0 else ""
        yield f"{rate:<9.2g}  {100 * share:7.1f} %  {bar}".rstrip()
    yield found["why"]
    yield "no rate is suggested" if found["suggested"] is None else f"suggested rate: {found['suggested']:g}"


# The training ----------------------------------------------------------------------------------


def _train(args: argparse.Namespace, told: _Told) -> dict[str, Any]:
    """Open the folder, train in it, and return the report."""
    from lib_lrsched.host import hooks
    from lib_lrsched.practice import service, shared
    from lib_lrsched.practice.host import practice_host

    shared.opts.practice_quiet = True  # the bar of this command says more, and keeps JSON on standard output clean
    root = usable(args.out)
    service.open_at(root)
    runtime = hooks.install(practice_host(root, lambda: _settings(args)))
    if args.seed is not None:
        service.seed(args.seed)  # a new hypernetwork draws its first weights
    runtime.trainings.reserve(args.kind, args.name)
    with service.to_train(args.kind, args.name, fresh=args.fresh):
        result, nothing_left = _updates(args, told, runtime)
    if not told.has_started and not nothing_left:
        nothing_left = _nothing_left(args, result)
    return _report(args, told, root, result, runtime, nothing_left)


def _updates(args: argparse.Namespace, told: _Told, runtime: Any) -> tuple[Any, str]:
    """What the training returned, or None and the sentence that says why nothing is left of the schedule.

    None without a sentence: what was trained could not be saved.
    """
    from lib_lrsched.practice import service, shared, terminal

    runtime.choices.choose(args.kind, args.name, "file" if args.fresh else args.go_on)
    runtime.next_training.choose_options(args.kind, args.name, options_given(args))
    choices = _choices(args)
    stretches = runtime.preflight.stretches(args.kind, args.name, _inputs(args, choices, service.CONCEPT))
    for message in stretches:
        told.tell(message)
    if stretches:
        told.tell("choose a restart with --go-on restart, or a new schedule with --go-on new")
    shared.at_start.append(told.start)
    # JSON has standard output for itself; a bar goes where bars go.
    lines = console.stderr() if args.json or console.stderr().isatty() else console.stdout()
    try:
        with terminal.stoppable(), terminal.progress(args.steps, lines):
            return service.train(args.kind, args.name, args.lr, args.steps, **choices), ""
    except ScheduleError as error:
        if not error.is_over:
            raise
        return None, error.message
    except (OSError, RuntimeError):  # as torch reports a full disk
        run = runtime.trainings.own_run() if told.has_started else None
        if run is None or run.state != "failed":
            raise
        return None, ""  # the run says why itself, and the report has it
    finally:
        shared.at_start.clear()


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


def _settings(args: argparse.Namespace) -> Any:
    from lib_lrsched.training.settings import Settings

    given: dict[str, Any] = {}
    if args.autosave_every is not None:
        given |= {"autosave_every": args.autosave_every}
        given |= {} if args.autosave_every else {"autosave_minutes": 0.0}
    return Settings(**given)


# The report ------------------------------------------------------------------------------------


def _nothing_left(args: argparse.Namespace, result: Any) -> str:
    return (f"nothing left to train: {args.name} has {result.trained.step} updates, --steps is {args.steps}; "
            "raise --steps or use --fresh")


def _report(args: argparse.Namespace, told: _Told, root: Path, result: Any, runtime: Any, nothing_left: str) -> dict[str, Any]:
    """What came of it, for both forms of output."""
    from lib_lrsched.practice import service
    from lib_lrsched.preview.run_view import learning_of, validation_of
    from lib_lrsched.storage.history import History
    from lib_lrsched.storage.model_files import AVERAGE, file_time
    from lib_lrsched.training.range_test import range_test_of

    stored = (state for state in runtime.store.runs() if (state.kind, state.name) == (args.kind, args.name))
    run = next(stored, None) if nothing_left else runtime.trainings.own_run()
    files: dict[str, Path] = {}
    rates: Any = []
    progress: list[list[float]] = []
    learning = search = None
    validated: dict[str, Any] = {"validation": [], "validation_ema": [], "best_step": None}
    if run is not None and run.id:
        try:
            history = History.open(runtime.store.history_path(run.id), append=False)
            points = history.since(run.initial_step, limit=10**7)
            learning = learning_of(history, history.events(), is_over=True)
            search = range_test_of(run, history)
            validated = validation_of(history)
            rates = points["actual"]
            measured = zip(points["step"], points["progress"], points["baseline_loss"], strict=True)
            progress = [[step, share] for step, share, before in measured if before is not None]
            said = learning.said if search is None else search.answer.why
            is_trained = search is None or not search.is_alone
            samples_at = run.step if is_trained else None
            files = _drawn(args, root, points, said, runtime.store.history_path(run.id), samples_at=samples_at)
        except (OSError, RunStateError) as error:
            told.tell(f"the run cannot be drawn: {error}")
    files |= {args.kind: result.path if result is not None else service.file_of(args.kind, args.name)}
    average = files[args.kind].with_name(f"{args.name}{AVERAGE}.pt")
    if run is not None and run.options.get("ema") and run.average_mtime_ns == file_time(average) != 0:
        files["average"] = average
    order = ("history", "samples", args.kind, "average", "picture")
    step = result.trained.step or 0 if result is not None else run.step if run is not None else 0
    state, message = ("finished", nothing_left) if nothing_left or run is None else (run.state, run.message)
    first_step = step if run is None else run.initial_step
    report = {"files": {name: str(files[name]) for name in order if name in files}, "first_step": first_step, "rates": rates}
    in_words = None if learning is None else learning._asdict()
    tested = {"range_test": None if search is None else search.to_json(), "put_back": search is not None and search.is_alone}
    return {**report, "progress": progress, **validated, "learning": in_words, **tested,
            "state": state, "step": step, "message": message}


def _drawn(args: argparse.Namespace, root: Path, points: Any, said: str, history_path: Path, *,
           samples_at: int | None) -> dict[str, Path]:
    """The images of the run since it was last started."""
    from lib_lrsched.practice import service
    from lib_lrsched.practice.run_image import draw_run, draw_samples

    images = root / "pictures"
    images.mkdir(parents=True, exist_ok=True)
    chart = draw_run(points, f"{args.name}: {args.lr}", said, images / f"{args.name}-run.png")
    files = {"picture": chart, "history": history_path}
    if samples_at is not None:
        shown = service.sample_concept(args.name, SAMPLES, seed=0)
        what = f'"{service.sample_prompt(args.name)}", the {args.kind} {args.name} after {samples_at} updates, seed 0'
        files["samples"] = draw_samples(shown, what, images / f"{args.name}-samples.png")
    return files
