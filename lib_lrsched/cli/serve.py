"""``serve``: the tab and the practice host on this machine."""

from __future__ import annotations

import argparse
from typing import Any

from lib_lrsched import console
from lib_lrsched.errors import short

from .common import FINISHED, WRONG, add_out, positive, usable


def add(commands: Any) -> None:
    command = commands.add_parser("serve", help="serve the tab and the practice host on this machine")
    add_out(command)
    command.add_argument("--port", type=_port, default=7860)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from lib_lrsched.practice.app import serve

    try:
        root = usable(args.out)
    except ValueError as error:
        console.line(str(error), console.stderr())
        return WRONG
    serve(root, port=args.port)
    return FINISHED


def _port(text: str) -> int:
    value = positive(text)
    if value >= 2**16:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, got {short(text)!r}")
    return value
