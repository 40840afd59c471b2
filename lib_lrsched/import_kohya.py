"""Arguments of kohya's sd-scripts as schedule texts.

Its schedules are those of transformers' optimization.py, for one process. Arguments that say nothing about the rate are
left out, so that a whole command line can be given.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from math import isfinite
from typing import Any, NoReturn

from .errors import short as cut
from .export_kohya import END
from .exported import short, tidy
from .imported import Imported, ImportFormatError

EXAMPLE = "--learning_rate=0.005 --lr_scheduler=cosine --max_train_steps=2000"
MOST_CYCLES = 1_000_000


def from_kohya(text: str, base: float | None = None) -> Imported:
    """A command line, or the part of it that is about the rate.

    Raises:
        ImportFormatError: no such scheduler, an argument that is wrong, or rates that no text gives exactly.
    """
    if base is not None:
        raise ImportFormatError("sd-scripts' arguments have an absolute rate, --learning_rate: leave out the base rate")
    args, notes = _read(text)
    climb = [f"linear(0, {short(args.learning_rate)}):{args.lr_warmup_steps}"] if args.lr_warmup_steps else []
    rest = [_READERS[args.lr_scheduler](args)] if args.lr_warmup_steps < args.max_train_steps else []
    return Imported(", ".join(climb + rest), args.max_train_steps, "; ".join(notes))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ImportFormatError(message)


def _read(text: str) -> tuple[Any, list[str]]:
    """sd-scripts' arguments about the rate, with its defaults, and what there is to know about them."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError as error:
        raise ImportFormatError(f"this is no command line: {error}") from None
    args, others = _parser().parse_known_args(words)
    if len(others) == len(words):
        raise ImportFormatError(f"expected arguments of sd-scripts, such as {EXAMPLE}")
    names = [word.partition("=")[0] for word in others]
    unread = next((name for name in names if name.startswith("--lr_")), None)
    if unread is not None:
        raise ImportFormatError(f"no text says what {unread} does")
    if args.max_train_epochs is not None:
        _fail("max_train_epochs", "how many steps that is depends on the data set; give --max_train_steps in its place")
    if args.lr_scheduler_args and args.lr_scheduler != "polynomial":
        _fail("lr_scheduler_args", "lr_end is for polynomial")
    notes = [f"{name} is another rate, which the text does not have" for name in names if name.endswith("_lr")]
    for name, value in (("learning_rate", 2e-6), ("max_train_steps", 1600)):
        if getattr(args, name) is None:
            setattr(args, name, value)
            notes.append(f"without --{name} sd-scripts takes {short(value)}")
    if isinstance(args.lr_warmup_steps, float):
        args.lr_warmup_steps = int(args.lr_warmup_steps * args.max_train_steps)
    return args, notes


def _parser() -> _Parser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--learning_rate", type=_number)
    parser.add_argument("--max_train_steps", type=_whole)
    parser.add_argument("--max_train_epochs")
    parser.add_argument("--lr_scheduler", default="constant", choices=list(_READERS))
    parser.add_argument("--lr_scheduler_args", nargs="*", type=_lr_end, default=[])
    parser.add_argument("--lr_warmup_steps", type=_whole_or_part, default=0)
    parser.add_argument("--lr_scheduler_num_cycles", type=_whole, default=1)
    parser.add_argument("--lr_scheduler_power", type=_number, default=1.0)
    parser.add_argument("--lr_scheduler_timescale", type=_whole)
    parser.add_argument("--lr_scheduler_min_lr_ratio", type=_number)
    return parser


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not isfinite(value) or value < 0:
        raise argparse.ArgumentTypeError(f"expected a finite number, 0 or more; given was {cut(text)!r}")
    return value


def _whole(text: str, low: int = 1) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) >= low):
        raise argparse.ArgumentTypeError(f"expected a whole number from {low}; given was {cut(text)!r}")
    return int(text)


def _whole_or_part(text: str) -> float:
    """Steps as an int; a part of max steps, written below 1 or in percent, as a float."""
    part = _number(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    return part if part < 1 and not text.isdigit() else _whole(text, 0)


def _lr_end(text: str) -> float:
    name, _, value = text.partition("=")
    if name != "lr_end":
        raise argparse.ArgumentTypeError(f"no text says what {cut(name)!r} does; lr_end=1e-6 can be read")
    return _number(value)


def _fail(name: str, message: str) -> NoReturn:
    raise ImportFormatError(f"argument --{name}: {message}")


def _constant(args: Any) -> str:
    if args.lr_warmup_steps:
        _fail("lr_warmup_steps", "constant takes none, and sd-scripts refuses it; constant_with_warmup does")
    return short(args.learning_rate)


def _fall(args: Any, shape: str, floor: float = 0.0, more: str = "") -> str:
    return f"{shape}({short(args.learning_rate)}, {short(floor)}{more}):{args.max_train_steps}"


def _restarts(args: Any) -> str:
    cycles, warm = args.lr_scheduler_num_cycles, args.lr_warmup_steps
    steps = args.max_train_steps - warm
    if cycles > MOST_CYCLES:
        _fail("lr_scheduler_num_cycles", f"expected at most {MOST_CYCLES}; given was {cycles}")
    if steps % cycles:
        _fail("lr_scheduler_num_cycles", f"{cycles} cycles over {steps} steps would restart between two steps, which no text says")
    for start in range(steps // cycles, steps, steps // cycles):
        if cycles * (start / steps) % 1.0 > 0.5:  # its own arithmetic
            where = f"the restart at step {warm + start}"
            _fail("lr_scheduler_num_cycles", f"sd-scripts rounds {where} to the end of a cycle, where the rate is 0")
    return _fall(args, "restarts", more=f", t_0={steps // cycles}")


def _polynomial(args: Any) -> str:
    end = args.lr_scheduler_args[-1] if args.lr_scheduler_args else END
    if end >= args.learning_rate:
        _fail("learning_rate", f"polynomial falls to {short(end)}, so that it has to be above that")
    return _fall(args, "poly", end, f", power={short(args.lr_scheduler_power)}")


def _inverse_sqrt(args: Any) -> str:
    return f"inverse_sqrt({short(args.learning_rate)}, timescale={args.lr_scheduler_timescale or args.lr_warmup_steps or 10_000})"


def _with_floor(args: Any) -> str:
    if args.lr_scheduler_num_cycles != 1 or args.lr_scheduler_min_lr_ratio is None:
        _fail("lr_scheduler", "cosine_with_min_lr is read with --lr_scheduler_min_lr_ratio and one cycle; more are waves")
    return _fall(args, "cosine", tidy(args.learning_rate * args.lr_scheduler_min_lr_ratio))


_READERS: dict[str, Callable[[Any], str]] = {
    "constant": _constant, "constant_with_warmup": lambda args: short(args.learning_rate),
    "linear": lambda args: _fall(args, "linear"), "cosine": lambda args: _fall(args, "cosine"),
    "cosine_with_restarts": _restarts, "polynomial": _polynomial, "inverse_sqrt": _inverse_sqrt, "cosine_with_min_lr": _with_floor,
}  # fmt: skip
