"""``export``: a schedule in another program's words."""

from __future__ import annotations

import argparse
from typing import Any

from lib_lrsched.errors import ScheduleError
from lib_lrsched.formats.registry import EXPORTERS, listed

from .common import add_plan, answer, refuse


def add(commands: Any) -> None:
    command = commands.add_parser("export", help="print a schedule in another program's format")
    add_plan(command)
    command.add_argument("--to", required=True, metavar="FORMAT", help=listed(EXPORTERS))
    command.add_argument("--error", type=_part, metavar="PART",
                         help="largest relative error of constant segments for a curve, such as 2%%")
    command.add_argument("--base", type=float, metavar="RATE", help="the optimizer's rate, for diffusers' multipliers")
    command.add_argument("--json", action="store_true", help="print text and note, or an error, as JSON")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from lib_lrsched.formats.exports import ExportError, export
    from lib_lrsched.schedule.plan import plan

    try:
        made = plan(args.text, total_steps=args.steps, steps_per_epoch=args.steps_per_epoch, images_per_step=args.images_per_step)
        found = export(made, args.to, error=args.error, base=args.base)
    except (ScheduleError, ExportError) as error:
        return refuse(args, error)
    return answer(args, found.text, found.note)


def _part(text: str) -> float:
    try:
        value = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < 1.0:
        raise argparse.ArgumentTypeError(f"expected a part from 0 to below 1, such as 2% or 0.02, got {text!r}")
    return value
