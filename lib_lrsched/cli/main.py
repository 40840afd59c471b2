"""The command line: eval, export, import, train, trial, serve.

A file beside this one is a command: ``add`` says what its arguments are, and ``run`` imports what it needs when it runs, so that
``eval`` needs numpy alone.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from lib_lrsched import console

from . import eval as eval_
from . import export, import_, serve, train, trial
from .common import FAILED, INTERRUPTED

COMMANDS = (eval_, export, import_, train, trial, serve)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0: finished, or nothing to do, which is said. 1: failed. 2: a text or an argument is wrong. 130: interrupted.
    """
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    finally:
        console.close_quietly()


def _run(argv: list[str]) -> int:
    parser = _parser()
    args = parser.parse_args(_guarded(argv))
    if [] in vars(args).values():  # what argparse makes of --option=-- before Python 3.13
        parser.error("expected a value, got '--'")
    try:
        with _terminable():
            return int(args.run(args))
    except KeyboardInterrupt:
        console.line("interrupted", console.stderr())
        return INTERRUPTED
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("lib_lrsched"):
            raise
        said = f"this command needs {error.name}, which is not installed: in the repository, pip install '.[standalone]' brings it"
        console.line(said, console.stderr())
        return FAILED


class Parser(argparse.ArgumentParser):
    """Its help and its errors come through on any console; those of its commands too, which are made of this class."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if message:
            console.Guarded(sys.stderr if file is None else file).write(message)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="lib_lrsched", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser


def _guarded(argv: list[str]) -> list[str]:
    """A text such as -1e-3 after a "--", lest argparse takes it for an option."""
    if len(argv) < 2 or argv[0] not in ("eval", "export") or not argv[1].startswith("-") or argv[1][1:2] in ("", "-", "h"):
        return argv
    return [argv[0], *argv[2:], "--", argv[1]]


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
