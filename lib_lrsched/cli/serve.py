"""``serve``: the tab and the practice host on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lib_lrsched import console
from lib_lrsched.errors import short
from lib_lrsched.storage import disk_errors

from .common import FAILED, FINISHED, WRONG, add_out, on_full_disk, positive, usable


def add(commands: Any) -> None:
    command = commands.add_parser("serve", help="serve the tab and the practice host on this machine")
    add_out(command)
    command.add_argument("--port", type=_port, default=7860)
    where = "open the page at the newest run of this name, or at the run with this id"
    command.add_argument("--run", dest="shown", metavar="NAME", help=where)
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    try:
        return _serve(args)
    except OSError as error:
        if not disk_errors.is_full(error):
            raise
        console.line(on_full_disk(error, args.out), console.stderr())
        return FAILED


def _serve(args: argparse.Namespace) -> int:
    from lib_lrsched.practice.app import serve

    try:
        root = usable(args.out)
        run = None if args.shown is None else _run_id(root, args.shown)
    except ValueError as error:
        console.line(str(error), console.stderr())
        return WRONG
    serve(root, port=args.port, run=run)
    return FINISHED


def _run_id(root: Path, name: str) -> str:
    """The newest run of that name.

    Raises:
        ValueError: there is none.
    """
    from lib_lrsched.host.installation import Installation
    from lib_lrsched.practice.host import practice_host

    runs = Installation(practice_host(root)).store.runs()
    found = next((run for run in runs if name in (run.name, run.id)), None)
    if found is None:
        names = ", ".join(dict.fromkeys(run.name for run in runs)) or "no runs at all"
        raise ValueError(f"--run: there is no run {short(name)!r} in {root}; there are {names}")
    return found.id


def _port(text: str) -> int:
    value = positive(text)
    if value >= 2**16:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, got {short(text)!r}")
    return value
