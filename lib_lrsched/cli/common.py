"""What the commands share: types of arguments, exit codes, and how an answer or a refusal is printed."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lib_lrsched import console
from lib_lrsched.errors import ScheduleError, printable, short
from lib_lrsched.storage import disk_errors
from lib_lrsched.storage.run_state import KINDS
from lib_lrsched.training.options import OPTIONS, Option

FINISHED, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
"""Exit codes; where there was nothing to do it is the first."""

FOLDERS = ("", "embeddings", "hypernetworks", "textual_inversion", "textual_inversion_templates", "lrsched", "pictures")
"""Below --out, what a training writes to."""


# Arguments of more than one command ------------------------------------------------------------


def add_plan(command: argparse.ArgumentParser) -> None:
    """A schedule text, and what planning it needs to know of the run."""
    command.add_argument("text", metavar="TEXT")
    command.add_argument("--steps", type=positive, required=True, metavar="N", help="max steps of the run")
    command.add_argument("--steps-per-epoch", type=positive, metavar="E", help="updates in one epoch, for ends such as 3ep")
    command.add_argument("--images-per-step", type=positive, metavar="B", help="images in one update, for ends such as 500img")


def add_out(command: argparse.ArgumentParser) -> None:
    """The folder of the practice host."""
    command.add_argument("--out", type=folder, default=Path("practice-runs"), metavar="DIR")


def add_training(command: argparse.ArgumentParser) -> None:
    """What is to be trained, on what, and below which folder."""
    command.add_argument("--kind", choices=KINDS, required=True)
    command.add_argument("--name", required=True, metavar="NAME")
    command.add_argument("--lr", required=True, metavar="TEXT", help="schedule of the learning rate")
    command.add_argument("--steps", type=positive, required=True, metavar="N", help="max steps of the run")
    command.add_argument("--data", type=folder, metavar="DIR", help="folder of images; the sample concept by default")
    command.add_argument("--batch", type=positive, default=1, metavar="B")
    command.add_argument("--accumulate", type=positive, default=1, metavar="A")
    command.add_argument("--seed", type=seed, metavar="S")
    add_out(command)


def add_options(command: argparse.ArgumentParser) -> None:
    """The options of a run, a flag for each."""
    for one in OPTIONS.values():
        if one.type == "switch":
            command.add_argument(one.flag, action=argparse.BooleanOptionalAction, default=None, help=one.label)
            continue
        metavar = {"whole": "N", "number": "X", "text": "TEXT"}[one.type]
        command.add_argument(one.flag, type=_of_option(one), metavar=metavar, help=f"{one.label}: {one.meaning}".replace("%", "%%"))


def options_given(args: argparse.Namespace) -> dict[str, Any]:
    """Those of them that the command line names."""
    return {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}


def _of_option(one: Option) -> Callable[[str], Any]:
    """What reads the value of its flag; "off" is the value that switches it off."""
    def read(text: str) -> Any:
        if text.strip() == "off":
            return type(one.default)()
        if one.type == "text":
            return text
        try:
            value = one.value((int if one.type == "whole" else float)(text))
        except (ValueError, OverflowError):
            value = None
        if value is None or (value == 0 and not one.takes_0):
            raise argparse.ArgumentTypeError(f"expected {one.expected_of_flag}, got {short(text)!r}")
        return value

    return read


def usable(out: Path) -> Path:
    """The folder of --out, made where it is missing.

    Raises:
        ValueError: something in it is not a folder, or cannot be written to.
        OSError: there is no room to make it.
    """
    try:
        root = out.absolute()
        root.mkdir(parents=True, exist_ok=True)
        for below in (root / name for name in FOLDERS):
            if below.exists() and not below.is_dir():
                raise ValueError(f"--out: {below} is a file, and a folder is needed there: name another folder")
            if below.exists() and not os.access(below, os.W_OK | os.X_OK):
                raise ValueError(f"--out: {below} is not writable: name another folder, or allow writing to it")
    except OSError as error:
        if disk_errors.is_full(error):
            raise
        raise ValueError(f"--out: {out} cannot be used as a folder: {error.strerror or error}") from error
    return root


# Types -----------------------------------------------------------------------------------------


def positive(text: str) -> int:
    """A whole number from 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {short(text)!r}")
    if value >= 2**62:
        raise argparse.ArgumentTypeError(f"expected a whole number below 2**62, got {text!r}")
    return value


def count(text: str) -> int:
    """A whole number from 0."""
    return 0 if text.strip() == "0" else positive(text)


def folder(text: str) -> Path:
    """A path."""
    if "\0" in text:
        raise argparse.ArgumentTypeError(f"expected a folder, got {text!r}")
    return Path(text)


def seed(text: str) -> int:
    """What torch takes."""
    try:
        value = int(text)
    except ValueError:
        value = 2**64
    if not -(2**63) <= value < 2**64:
        raise argparse.ArgumentTypeError(f"expected a whole number from -2**63 to 2**64 - 1, got {short(text)!r}")
    return value


# Answers and refusals --------------------------------------------------------------------------


def answer(args: argparse.Namespace, text: str, note: str, **more: Any) -> int:
    """Print the text on standard output, so that it can be piped, and what there is to know about it on standard error."""
    if args.json:
        console.line(json.dumps({"text": text, **more, "note": note}))
        return FINISHED
    console.line(text)
    if note:
        console.line(note, console.stderr())
    return FINISHED


def on_full_disk(error: OSError, out: Path) -> str:
    """What to say where a file below --out found no room."""
    path = error.filename2 or error.filename or f"a file below {out}"
    return f"{path} cannot be written: {disk_errors.why(error)}; {disk_errors.mend(error)}, then run the same command again"


def refuse(args: argparse.Namespace, error: Exception | str) -> int:
    """Say what is wrong: with its place and its fix on standard error, or as JSON on standard output. Returns the exit code."""
    if args.json:
        message = error.message if isinstance(error, ScheduleError) else str(error)  # a ScheduleError's str draws its place
        # An ExportError has a span too, and no fix.
        found = {"message": message, "span": getattr(error, "span", None), "fix": getattr(error, "fix", None)}
        console.line(json.dumps({"error": found}))
        return WRONG
    console.line(str(error), console.stderr())
    if isinstance(error, ScheduleError) and error.fix is not None:
        lines = map(printable, error.fix.split("\n"))  # a newline of the user's stays: it may end a comment
        console.line("corrected: " + "\n".join(lines), console.stderr())
    return WRONG
