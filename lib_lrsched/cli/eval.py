"""``eval``: a schedule's values as JSON. It needs numpy alone."""

from __future__ import annotations

import argparse
import json
from typing import Any

from lib_lrsched import console
from lib_lrsched.errors import ScheduleError

from .common import FINISHED, add_plan, refuse

MAX_PRINTED = 10_000_000
"""Without --at no more values than these are printed."""


def add(commands: Any) -> None:
    command = commands.add_parser("eval", help="print a schedule's values as JSON")
    add_plan(command)
    command.add_argument("--at", type=_steps, metavar="K,K", help="only these steps, such as 0,99")
    command.add_argument("--optimizer", metavar="NAME", help="its class, such as SGD: warns where it lacks driven momentum")
    command.add_argument("--json", action="store_true", help="print an error as JSON too")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from lib_lrsched.schedule.plan import plan

    try:
        made = plan(args.text, total_steps=args.steps, steps_per_epoch=args.steps_per_epoch, images_per_step=args.images_per_step)
        if args.at is None and made.stop > MAX_PRINTED:
            return refuse(args, f"{made.stop} values are too many to print; name the steps with --at")
        values = made.values(range(made.stop) if args.at is None else args.at).tolist()
    except ScheduleError as error:
        return refuse(args, error)
    except IndexError as error:
        return refuse(args, f"--at: {error}")
    warnings = [warning._asdict() for warning in made.warnings_for(args.optimizer)]
    console.line(json.dumps({"stop": made.stop, "values": values, "warnings": warnings}))
    return FINISHED


def _steps(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected steps such as 0,99, got {text!r}") from None
