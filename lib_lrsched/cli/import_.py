"""``import``: another program's schedule as a schedule text."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from lib_lrsched.formats.registry import IMPORTERS, listed

from .common import answer, positive, refuse


def add(commands: Any) -> None:
    command = commands.add_parser("import", help="print another program's schedule as a schedule text")
    command.add_argument("text", metavar="TEXT", help="the schedule, or - to read it from standard input")
    command.add_argument("--from", dest="kind", required=True, metavar="FORMAT", help=listed(IMPORTERS))
    command.add_argument("--base", type=float, metavar="RATE", help="the optimizer's rate, where the format has multipliers of it")
    command.add_argument("--steps-per-epoch", type=positive, metavar="E",
                         help="updates in one epoch, where the text has epochs; for OneTrainer batches")
    command.add_argument("--json", action="store_true", help="print text, total_steps and note, or an error, as JSON")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from lib_lrsched.formats.imports import ImportFormatError, import_text

    try:
        text = sys.stdin.read() if args.text == "-" and sys.stdin is not None else args.text
    except UnicodeDecodeError as error:
        where = f"standard input is not {error.encoding} from byte {error.start} on"
        return refuse(args, f"{where}: convert it, or give the schedule as TEXT")
    try:
        found = import_text(text, args.kind, base=args.base, steps_per_epoch=args.steps_per_epoch)
    except ImportFormatError as error:
        return refuse(args, error)
    steps = "" if found.total_steps is None else f"max steps {found.total_steps}"
    return answer(args, found.text, "; ".join(filter(None, (steps, found.note))), total_steps=found.total_steps)
