"""The command line: eval, export, import, train, serve.

Each command imports what it needs when it runs, so that ``eval`` needs numpy alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lib_lrsched import console
from lib_lrsched.errors import ScheduleError, short

FAILED, WRONG, INTERRUPTED = 1, 2, 130
"""Exit codes besides 0."""

MAX_PRINTED = 10_000_000
"""Without --at no more values than these are printed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0: finished, or nothing to do, which is said. 1: failed. 2: a text or an argument is wrong. 130: interrupted.
    """
    parser = _parser()
    args = parser.parse_args(_guarded(list(sys.argv[1:] if argv is None else argv)))
    if [] in vars(args).values():  # what argparse makes of --option=-- before Python 3.13
        parser.error("expected a value, got '--'")
    try:
        with _terminable():
            return int(args.run(args))
    except KeyboardInterrupt:
        console.line("interrupted", console.stderr())
        return INTERRUPTED
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(__package__):
            raise
        said = f"this command needs {error.name}, which is not installed: in the repository, pip install '.[standalone]' brings it"
        console.line(said, console.stderr())
        return FAILED
    finally:
        console.close_quietly()


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does, so that what is open is closed."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    is_ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if is_ours:
        signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if is_ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _guarded(argv: list[str]) -> list[str]:
    """A text such as -1e-3 behind a "--", lest argparse takes it for an option."""
    if len(argv) < 2 or argv[0] not in ("eval", "export") or not argv[1].startswith("-") or argv[1][1:2] in ("", "-", "h"):
        return argv
    return [argv[0], *argv[2:], "--", argv[1]]


class Parser(argparse.ArgumentParser):
    """Its help and its errors come through on any console; those of its commands too, which are made of this class."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if message:
            console.Guarded(sys.stderr if file is None else file).write(message)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="lib_lrsched", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_eval(commands)
    _add_export(commands)
    _add_import(commands)
    _add_train(commands)
    _add_serve(commands)
    return parser


def _add_eval(commands: Any) -> None:
    command = commands.add_parser("eval", help="print a schedule's values as JSON")
    _add_plan(command)
    command.add_argument("--at", type=_steps, metavar="K,K", help="only these steps, such as 0,99")
    command.add_argument("--optimizer", metavar="NAME", help="its class, such as SGD: warns where it lacks driven momentum")
    command.add_argument("--json", action="store_true", help="print an error as JSON too")
    command.set_defaults(run=_eval)


def _add_plan(command: argparse.ArgumentParser) -> None:
    command.add_argument("text", metavar="TEXT")
    command.add_argument("--steps", type=_positive, required=True, metavar="N", help="max steps of the run")
    command.add_argument("--steps-per-epoch", type=_positive, metavar="E", help="updates in one epoch, for ends such as 3ep")
    command.add_argument("--images-per-step", type=_positive, metavar="B", help="pictures in one update, for ends such as 500img")


def _eval(args: argparse.Namespace) -> int:
    from lib_lrsched.schedule.plan import plan

    try:
        made = plan(args.text, total_steps=args.steps, steps_per_epoch=args.steps_per_epoch, images_per_step=args.images_per_step)
        if args.at is None and made.stop > MAX_PRINTED:
            return _refuse(args, f"{made.stop} values are too many to print; name the steps with --at", None,
                           f"{made.stop} values are too many to print; name the steps with --at")
        values = made.values(range(made.stop) if args.at is None else args.at).tolist()
    except ScheduleError as error:
        return _refuse(args, error.message, error.span, str(error))
    except IndexError as error:
        return _refuse(args, f"--at: {error}", None, f"--at: {error}")
    warnings = [warning._asdict() for warning in made.warnings_for(args.optimizer)]
    console.line(json.dumps({"stop": made.stop, "values": values, "warnings": warnings}))
    return 0


def _add_export(commands: Any) -> None:
    command = commands.add_parser("export", help="print a schedule in another program's words")
    _add_plan(command)
    command.add_argument("--to", required=True, metavar="FORMAT", help="a1111, pytorch, diffusers, deepspeed or kohya")
    command.add_argument("--error", type=_part, metavar="PART", help="largest relative error of phases for a curve, such as 2%%")
    command.add_argument("--base", type=float, metavar="RATE", help="the optimizer's rate, for diffusers' multipliers")
    command.add_argument("--json", action="store_true", help="print text and note, or an error, as JSON")
    command.set_defaults(run=_export)


def _export(args: argparse.Namespace) -> int:
    from lib_lrsched.formats.exports import ExportError, export
    from lib_lrsched.schedule.plan import plan

    try:
        made = plan(args.text, total_steps=args.steps, steps_per_epoch=args.steps_per_epoch, images_per_step=args.images_per_step)
        found = export(made, args.to, error=args.error, base=args.base)
    except ScheduleError as error:
        return _refuse(args, error.message, error.span, str(error))
    except ExportError as error:
        return _refuse(args, error.message, error.span, error.message)
    return _answer(args, found.text, found.note)


def _add_import(commands: Any) -> None:
    command = commands.add_parser("import", help="print another program's schedule as a schedule text")
    command.add_argument("text", metavar="TEXT", help="the schedule, or - to read it from standard input")
    command.add_argument("--from", dest="kind", required=True, metavar="FORMAT", help="a1111, diffusers, deepspeed or kohya")
    command.add_argument("--base", type=float, metavar="RATE", help="the optimizer's rate, where the format has multipliers of it")
    command.add_argument("--steps-per-epoch", type=_positive, metavar="E", help="updates in one epoch, for --max_train_epochs")
    command.add_argument("--json", action="store_true", help="print text, total_steps and note, or an error, as JSON")
    command.set_defaults(run=_import)


def _import(args: argparse.Namespace) -> int:
    from lib_lrsched.formats.imports import ImportFormatError, import_text

    try:
        text = sys.stdin.read() if args.text == "-" and sys.stdin is not None else args.text
    except UnicodeDecodeError as error:
        message = f"standard input is not {error.encoding} from byte {error.start} on: convert it, or give the schedule as TEXT"
        return _refuse(args, message, None, message)
    try:
        found = import_text(text, args.kind, base=args.base, steps_per_epoch=args.steps_per_epoch)
    except ImportFormatError as error:
        return _refuse(args, error.message, None, error.message)
    steps = "" if found.total_steps is None else f"max steps {found.total_steps}"
    return _answer(args, found.text, "; ".join(filter(None, (steps, found.note))), total_steps=found.total_steps)


def _answer(args: argparse.Namespace, text: str, note: str, **more: Any) -> int:
    """The text on standard output, so that it can be piped; what there is to know about it on standard error."""
    if args.json:
        console.line(json.dumps({"text": text, **more, "note": note}))
        return 0
    console.line(text)
    if note:
        console.line(note, console.stderr())
    return 0


def _refuse(args: argparse.Namespace, message: str, span: tuple[int, int] | None, text: str) -> int:
    if args.json:
        console.line(json.dumps({"error": {"message": message, "span": span}}))
    else:
        console.line(text, console.stderr())
    return 2


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, given was {short(text)!r}")
    if value >= 2**62:
        raise argparse.ArgumentTypeError(f"expected a whole number below 2**62, given was {text!r}")
    return value


def _seed(text: str) -> int:
    """What torch takes."""
    try:
        value = int(text)
    except ValueError:
        value = 2**64
    if not -(2**63) <= value < 2**64:
        raise argparse.ArgumentTypeError(f"expected a whole number from -2**63 to 2**64 - 1, got {short(text)!r}")
    return value


def _port(text: str) -> int:
    value = _positive(text)
    if value >= 2**16:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, got {short(text)!r}")
    return value


def _folder(text: str) -> Path:
    if "\0" in text:
        raise argparse.ArgumentTypeError(f"expected a folder, got {text!r}")
    return Path(text)


def _count(text: str) -> int:
    return 0 if text.strip() == "0" else _positive(text)


def _part(text: str) -> float:
    try:
        value = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < 1.0:
        raise argparse.ArgumentTypeError(f"expected a part from 0 to below 1, such as 2% or 0.02, given was {text!r}")
    return value


def _steps(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected steps such as 0,99, given was {text!r}") from None


def _add_train(commands: Any) -> None:
    command = commands.add_parser("train", help="train an embedding or a hypernetwork on the practice host")
    command.add_argument("--kind", choices=("embedding", "hypernetwork"), required=True)
    command.add_argument("--name", required=True, metavar="NAME")
    command.add_argument("--lr", required=True, metavar="TEXT", help="schedule of the learning rate")
    command.add_argument("--steps", type=_positive, required=True, metavar="N", help="max steps of the run")
    command.add_argument("--data", type=_folder, metavar="DIR", help="folder of pictures; the sample concept by default")
    command.add_argument("--clip", metavar="TEXT", help="schedule of the gradient-clip threshold")
    command.add_argument("--clip-mode", choices=("value", "norm"), default="value")
    command.add_argument("--batch", type=_positive, default=1, metavar="B")
    command.add_argument("--accumulate", type=_positive, default=1, metavar="A")
    command.add_argument("--seed", type=_seed, metavar="S")
    command.add_argument("--out", type=_folder, default=Path("practice-runs"), metavar="DIR")
    command.add_argument("--fresh", action="store_true", help="start over; else a run of that name goes on where it was")
    command.add_argument("--go-on", choices=("continue", "new", "restart"), default="continue",
                         help="how: with the plan, with the text new from here, or restarted over what is left")
    command.add_argument("--autosave-every", type=_count, metavar="N", help="save the run's state every N updates; 0: never")
    command.add_argument("--json", action="store_true", help="print files and rates as JSON at the end")
    command.set_defaults(run=_train)


def _train(args: argparse.Namespace) -> int:
    from lib_lrsched.practice.demo import train_command

    return train_command(args)


def _add_serve(commands: Any) -> None:
    command = commands.add_parser("serve", help="serve the tab and the practice host on this machine")
    command.add_argument("--out", type=_folder, default=Path("practice-runs"), metavar="DIR")
    command.add_argument("--port", type=_port, default=7860)
    command.set_defaults(run=_serve)


def _serve(args: argparse.Namespace) -> int:
    from lib_lrsched.practice.app import serve
    from lib_lrsched.practice.demo import usable

    try:
        root = usable(args.out)
    except ValueError as error:
        console.line(str(error), console.stderr())
        return WRONG
    serve(root, port=args.port)
    return 0
