"""The command line: eval, export, import, train, serve.

Each command imports what it needs when it runs, so that ``eval`` needs numpy alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import ScheduleError

MAX_PRINTED = 10_000_000
"""Without --at no more values than these are printed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, or 2 for a text or an argument that is wrong."""
    parser = _parser()
    args = parser.parse_args(_guarded(list(sys.argv[1:] if argv is None else argv)))
    return int(args.run(args))


def _guarded(argv: list[str]) -> list[str]:
    """A text such as -1e-3 behind a "--", lest argparse takes it for an option."""
    if len(argv) < 2 or argv[0] not in ("eval", "export") or not argv[1].startswith("-") or argv[1][1:2] in ("", "-", "h"):
        return argv
    return [argv[0], *argv[2:], "--", argv[1]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lib_lrsched", description=__doc__.splitlines()[0])
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
    from .plan import plan

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
    print(json.dumps({"stop": made.stop, "values": values, "warnings": warnings}))
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
    from .exports import ExportError, export
    from .plan import plan

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
    from .imports import ImportFormatError, import_text

    try:
        text = sys.stdin.read() if args.text == "-" else args.text
        found = import_text(text, args.kind, base=args.base, steps_per_epoch=args.steps_per_epoch)
    except ImportFormatError as error:
        return _refuse(args, error.message, None, error.message)
    steps = "" if found.total_steps is None else f"max steps {found.total_steps}"
    return _answer(args, found.text, "; ".join(filter(None, (steps, found.note))), total_steps=found.total_steps)


def _answer(args: argparse.Namespace, text: str, note: str, **more: Any) -> int:
    """The text on standard output, so that it can be piped; what there is to know about it on standard error."""
    if args.json:
        print(json.dumps({"text": text, **more, "note": note}))
        return 0
    print(text)
    if note:
        print(note, file=sys.stderr)
    return 0


def _refuse(args: argparse.Namespace, message: str, span: tuple[int, int] | None, text: str) -> int:
    if args.json:
        print(json.dumps({"error": {"message": message, "span": span}}))
    else:
        print(text, file=sys.stderr)
    return 2


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, given was {text!r}")
    if value >= 2**62:
        raise argparse.ArgumentTypeError(f"expected a whole number below 2**62, given was {text!r}")
    return value


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
    command.add_argument("--data", type=Path, metavar="DIR", help="folder of pictures; the sample concept by default")
    command.add_argument("--clip", metavar="TEXT", help="schedule of the gradient-clip threshold")
    command.add_argument("--clip-mode", choices=("value", "norm"), default="value")
    command.add_argument("--batch", type=_positive, default=1, metavar="B")
    command.add_argument("--accumulate", type=_positive, default=1, metavar="A")
    command.add_argument("--seed", type=int, metavar="S")
    command.add_argument("--out", type=Path, default=Path("practice-runs"), metavar="DIR")
    command.add_argument("--fresh", action="store_true", help="start over; else a run of that name goes on where it was")
    command.add_argument("--go-on", choices=("continue", "new", "restart"), default="continue",
                         help="how: with the plan, with the text new from here, or restarted over what is left")
    command.add_argument("--autosave-every", type=_count, metavar="N", help="save the run's state every N updates; 0: never")
    command.add_argument("--json", action="store_true", help="print files and rates as JSON at the end")
    command.set_defaults(run=_train)


def _train(args: argparse.Namespace) -> int:
    from .demo import train_command

    return train_command(args)


def _add_serve(commands: Any) -> None:
    command = commands.add_parser("serve", help="serve the tab and the practice host on this machine")
    command.add_argument("--out", type=Path, default=Path("practice-runs"), metavar="DIR")
    command.add_argument("--port", type=_positive, default=7860)
    command.set_defaults(run=_serve)


def _serve(args: argparse.Namespace) -> int:
    from .standalone import serve

    serve(args.out, port=args.port)
    return 0
