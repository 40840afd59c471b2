"""Arguments of kohya's sd-scripts as schedule texts: a command line, the TOML file of its --config_file, or what kohya_ss,
the web interface, saves.

Its schedules are those of transformers' optimization.py, for one process, and torch's own by the names of their classes.
Arguments that say nothing about the rate are left out, so that everything can be given as it is.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Callable
from functools import cache
from math import isfinite
from typing import Any, NoReturn

from lib_lrsched.errors import short as cut

from ._kohya_gui import from_gui, is_of_gui
from ._kohya_words import EXAMPLE, is_toml, values_of_toml, words_of_command, words_of_values
from .export_kohya import END, LONGEST
from .export_result import short, tidy
from .import_diffusers import from_diffusers
from .import_result import (
    MOST_STEPS,
    PLAN_LR,
    Imported,
    ImportFormatError,
    brief,
    is_number,
    lost_restart,
    plan_lr,
    read_json,
    shown,
    waves,
)
from .import_torch import from_torch_class

MOST_CYCLES = 1_000_000

MOST_WORDS = 2_000
"""argparse takes time with the square of them."""

NO_RATE = ("num_processes", "optimizer_type", "optimizer_args", "config_file")
"""What is read to say what the text leaves out; alone it makes no schedule."""


def from_kohya(text: str, steps_per_epoch: int | None = None) -> Imported:
    """A command line, or the part of it that is about the rate, or a TOML file with the same names, or kohya_ss' JSON.

    Raises:
        ImportFormatError: no such scheduler, an argument that is wrong, or rates that no text gives exactly.
    """
    args, notes = _read(text, steps_per_epoch)
    notes += _other_rules(args)
    return Imported(_text(args), args.max_train_steps, "; ".join(notes))


def _text(args: Any) -> str:
    if args.optimizer_type.lower().endswith("schedulefree"):
        return short(args.learning_rate)
    more = dict(args.lr_scheduler_args)
    if args.lr_scheduler_type:
        _no_warmup(args, args.lr_scheduler_type)
        if args.lr_scheduler_type == PLAN_LR:
            return plan_lr(more)[0]
        return from_torch_class(args.lr_scheduler_type, more, args.learning_rate, args.max_train_steps)
    if args.lr_scheduler == "piecewise_constant":
        args.lr_warmup_steps = 0  # sd-scripts does not look at it then
    items = [_READERS[args.lr_scheduler](args, more)] if args.lr_warmup_steps < args.max_train_steps else []
    if items and more:
        _fail("lr_scheduler_args", f"{brief(repr(next(iter(more))))} with {args.lr_scheduler} has no equivalent here")
    if args.lr_warmup_steps:
        start = _floor(args) if args.lr_scheduler == "warmup_stable_decay" else 0.0
        items.insert(0, f"linear({short(start)}, {short(args.learning_rate)}):{args.lr_warmup_steps}")
    return ", ".join(items)


# Arguments ------------------------------------------------------------------------------------


_NUMBER: tuple[str, tuple[type, ...]] = ("a number", (int, float))
_TOML_KINDS: dict[tuple[str, ...], tuple[str, tuple[type, ...]]] = {
    ("lr_scheduler_args", "optimizer_args"): ("a list of texts", (list,)),
    ("lr_scheduler", "lr_scheduler_type", "optimizer_type", "config_file"): ("a text", (str,)),
}


def _check_toml(name: str, value: Any) -> None:
    """Refuse a value of another kind than the argument has: sd-scripts takes it from its file as it is, and fails later."""
    ours = _names().get(_bare(name))
    if ours is None:
        return
    kind, kinds = next((row for options, row in _TOML_KINDS.items() if ours in options), _NUMBER)
    if not isinstance(value, kinds) or isinstance(value, bool):
        _fail(ours, f"expected {kind} in TOML; got {shown(value)}")


@cache
def _names() -> dict[str, str]:
    """The arguments that are read, by their bare names."""
    return {_bare(name): name for name in vars(_parser().parse_args([]))}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ImportFormatError(message)


def _read(text: str, steps_per_epoch: int | None) -> tuple[Any, list[str]]:
    """sd-scripts' arguments about the rate, with its defaults, and what there is to know about them."""
    parser, (words, of_gui) = _parser(), _words(text, steps_per_epoch)
    if len(words) > MOST_WORDS:
        raise ImportFormatError(
            f"expected at most {MOST_WORDS} words of a command line, got {len(words)}; give those about the rate"
        )
    known = [f"--{name}" for name in vars(parser.parse_args([]))]
    words, notes = _spelt(words, known)
    args, others = parser.parse_known_args(words)
    given = {word.partition("=")[0] for word in words}
    if given.isdisjoint(option for option in known if option[2:] not in NO_RATE):
        raise ImportFormatError(f"expected arguments of sd-scripts, such as {EXAMPLE}")
    notes += of_gui + _unread(others, known)
    notes += _steps(args, steps_per_epoch)
    notes += _defaults(args)
    for name in ("lr_warmup_steps", "lr_decay_steps"):
        if isinstance(getattr(args, name), float):
            setattr(args, name, int(getattr(args, name) * args.max_train_steps))
    return args, notes


def _words(text: str, steps_per_epoch: int | None) -> tuple[list[str], list[str]]:
    """The arguments as words of a command line, and what their form leaves to be known."""
    if text.lstrip().startswith("{"):
        return from_gui(read_json(text, "the settings of kohya_ss"), steps_per_epoch)
    if not is_toml(text):
        return words_of_command(text), []
    values = values_of_toml(text)
    if is_of_gui(values):
        return from_gui(values, steps_per_epoch)
    for name, value in values.items():
        _check_toml(name, value)
    return words_of_values(values), []


def _spelt(words: list[str], known: list[str]) -> tuple[list[str], list[str]]:
    """The words with option names as sd-scripts spells them: --learning-rate, or a dash that a web page made a long one."""
    names = {_bare(option): option for option in known}
    spelt, notes = [], []
    for word in words:
        name, mark, value = word.partition("=")
        meant = names.get(_bare(name), name) if name[:1] in ("-", "–", "—", "−") else name
        if meant != name:
            notes.append(f"{brief(name)} was read as {meant}")
        spelt.append(meant + mark + value)
    return spelt, notes


def _bare(option: str) -> str:
    return re.sub(r"[-–—−_]", "", option).lower()


def _unread(others: list[str], known: list[str]) -> list[str]:
    """Notes on other rates among the arguments that are left out; an error where one of them changes this rate."""
    notes = []
    for word in others:
        name = word.partition("=")[0].replace("-", "_")
        if not word.startswith("--"):
            continue
        name = f"--{name[2:]}"
        if name.endswith("_lr") or name.startswith("--learning_rate_"):
            notes.append(f"{brief(name)} is a second rate, which has no equivalent here")
        elif name.startswith(("--lr_", "--learning_", "--max_train_")) or any(option.startswith(name) for option in known):
            raise ImportFormatError(f"{brief(name)} has no equivalent here")
    return notes


def _steps(args: Any, steps_per_epoch: int | None) -> list[str]:
    if args.max_train_epochs is None:
        return []
    if steps_per_epoch is None:
        _fail("max_train_epochs", "how many steps that is depends on the data set; give the steps per epoch, or --max_train_steps "
                                  "in its place")
    args.max_train_steps = args.max_train_epochs * steps_per_epoch
    if args.max_train_steps >= MOST_STEPS:
        _fail("max_train_epochs", f"{args.max_train_epochs} epochs of {steps_per_epoch} steps exceed the longest possible run")
    return [f"{args.max_train_epochs} epochs of {steps_per_epoch} steps, as sd-scripts counts its own data set"]


def _defaults(args: Any) -> list[str]:
    notes = []
    for name, value in (("learning_rate", 2e-6), ("max_train_steps", 1600)):
        if getattr(args, name) is None:
            setattr(args, name, value)
            if name == "learning_rate" and args.lr_scheduler_type == PLAN_LR:
                continue  # it has rates of its own
            notes.append(f"without --{name} sd-scripts takes {short(value)}")
    return notes


def _other_rules(args: Any) -> list[str]:
    """What else has a hand in the rate there."""
    notes, kind = [], args.optimizer_type.rpartition(".")[2].lower()
    if args.lr_scheduler == "piecewise_constant" and args.lr_warmup_steps and not args.lr_scheduler_type:
        notes.append("sd-scripts does not look at --lr_warmup_steps with piecewise_constant")
    if args.config_file:
        notes.append("the file of --config_file is not read; its text can be imported in the same way")
    if args.num_processes > 1:
        notes.append(f"with {args.num_processes} processes sd-scripts counts the steps of all of them; the text is that of one")
    if kind.startswith(("prodigy", "dadapt")):
        notes.append(f"{brief(args.optimizer_type)} adapts its own step size: these rates are multipliers, usually around 1, "
                     "and too high for other optimizers")
    if kind.endswith("schedulefree"):
        notes.append(f"sd-scripts gives {brief(args.optimizer_type)} no schedule: its rate is constant")
    if kind == "adafactor" and not _is_off(args.optimizer_args, "relative_step"):
        _fail("optimizer_type", "Adafactor sets the rate itself, which has no equivalent here; with relative_step=False among the "
                                "--optimizer_args it follows the schedule")
    return notes


def _is_off(optimizer_args: list[str], name: str) -> bool:
    given = dict(word.partition("=")[::2] for word in optimizer_args)
    return given.get(name) == "False" and given.get("warmup_init", "False") == "False"


def _parser() -> _Parser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--learning_rate", type=_number)
    parser.add_argument("--max_train_steps", type=_whole)
    parser.add_argument("--max_train_epochs", type=_whole)
    parser.add_argument("--lr_scheduler", type=_scheduler, default="constant")
    parser.add_argument("--lr_scheduler_type", default="")
    parser.add_argument("--lr_scheduler_args", nargs="*", type=_argument, default=[])
    parser.add_argument("--lr_warmup_steps", type=_whole_or_part, default=0)
    parser.add_argument("--lr_decay_steps", type=_whole_or_part, default=0)
    parser.add_argument("--lr_scheduler_num_cycles", type=_whole, default=1)
    parser.add_argument("--lr_scheduler_power", type=_number, default=1.0)
    parser.add_argument("--lr_scheduler_timescale", type=_whole)
    parser.add_argument("--lr_scheduler_min_lr_ratio", type=_number)
    parser.add_argument("--optimizer_type", default="")
    parser.add_argument("--optimizer_args", nargs="*", default=[])
    parser.add_argument("--num_processes", type=_whole, default=1)
    parser.add_argument("--config_file", default="")
    return parser


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not isfinite(value) or value < 0:
        raise argparse.ArgumentTypeError(f"expected a finite number, 0 or more, got {cut(text)!r}")
    return value


def _whole(text: str, low: int = 1) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) >= low):
        raise argparse.ArgumentTypeError(f"expected a whole number from {low}, got {cut(text)!r}")
    return int(text)


def _whole_or_part(text: str) -> float:
    """Steps as an int; a part of max steps, written below 1 or in percent, as a float."""
    if text.endswith("%"):
        return _number(text.removesuffix("%")) / 100.0
    part = _number(text)
    return part if part < 1 and not text.isdigit() else _whole(text, 0)


def _scheduler(text: str) -> str:
    if text not in _READERS:
        raise argparse.ArgumentTypeError(f"{cut(text)!r} has no equivalent here; these can be read: {', '.join(_READERS)}")
    return text


def _argument(text: str) -> tuple[str, Any]:
    """``name=value`` with a Python value, such as T_max=100 or milestones=[100,200]."""
    name, mark, value = text.partition("=")
    try:
        found = ast.literal_eval(value) if len(text) <= LONGEST else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        found = None
    if not mark or (found is None and value != "None"):
        raise argparse.ArgumentTypeError(f"expected name=value with a Python value, such as T_max=100, got {cut(text)!r}")
    return name, found


def _fail(name: str, message: str) -> NoReturn:
    raise ImportFormatError(f"argument --{name}: {message}")


# Schedulers -----------------------------------------------------------------------------------


def _no_warmup(args: Any, name: str) -> None:
    if args.lr_warmup_steps:
        _fail("lr_warmup_steps", f"{brief(name)} takes none, and sd-scripts refuses it; constant_with_warmup does")


def _constant(args: Any, _: dict[str, Any]) -> str:
    _no_warmup(args, "constant")
    return short(args.learning_rate)


def _fall(args: Any, shape: str, floor: float = 0.0, more: str = "") -> str:
    return f"{shape}({short(args.learning_rate)}, {short(floor)}{more}):{args.max_train_steps}"


def _restarts(args: Any, _: dict[str, Any]) -> str:
    cycles, warm = args.lr_scheduler_num_cycles, args.lr_warmup_steps
    steps = args.max_train_steps - warm
    if cycles > MOST_CYCLES:
        _fail("lr_scheduler_num_cycles", f"expected at most {MOST_CYCLES}, got {cycles}")
    if cycles > steps:
        _fail("lr_scheduler_num_cycles", f"{cycles} cycles do not fit into {steps} steps")
    lost = lost_restart(cycles, steps)
    if lost is not None:
        where = f"the restart at step {warm + lost}"
        _fail("lr_scheduler_num_cycles", f"sd-scripts rounds {where} to the end of a cycle, where the rate is 0")
    return _fall(args, "restarts", more=f", cycles={cycles}")


def _polynomial(args: Any, more: dict[str, Any]) -> str:
    end = _extra(more, "lr_end", END)
    if end >= args.learning_rate:
        _fail("learning_rate", f"polynomial falls to {short(end)}, so that it has to be above that")
    return _fall(args, "poly", end, f", power={short(args.lr_scheduler_power)}")


def _extra(more: dict[str, Any], name: str, default: float) -> float:
    value = more.pop(name, default)
    if not is_number(value) or value < 0:
        _fail("lr_scheduler_args", f"{name}: expected a finite number, 0 or more, got {shown(value)}")
    return float(value)


def _inverse_sqrt(args: Any, _: dict[str, Any]) -> str:
    return f"inverse_sqrt({short(args.learning_rate)}, timescale={args.lr_scheduler_timescale or args.lr_warmup_steps or 10_000})"


def _cosine(args: Any, more: dict[str, Any]) -> str:
    return _half_waves(args, 0.0, 2.0 * _extra(more, "num_cycles", 0.5), "lr_scheduler_args")


def _with_floor(args: Any, more: dict[str, Any]) -> str:
    if (args.lr_scheduler_min_lr_ratio is None) == ("min_lr" not in more):
        _fail("lr_scheduler", "cosine_with_min_lr takes either --lr_scheduler_min_lr_ratio or min_lr among --lr_scheduler_args")
    floor = _extra(more, "min_lr", 0.0) if "min_lr" in more else _floor(args)
    return _half_waves(args, floor, float(args.lr_scheduler_num_cycles), "lr_scheduler_num_cycles")


def _half_waves(args: Any, floor: float, count: float, name: str) -> str:
    """``count`` falls and climbs by turns, which all end at a step."""
    steps = args.max_train_steps - args.lr_warmup_steps
    if count == 1.0:
        return _fall(args, "cosine", floor)
    if count < 1.0 or count != int(count) or steps % int(count):
        _fail(name, f"{short(count)} half waves over {steps} steps would turn between two steps, which has no equivalent here")
    return waves(args.learning_rate, floor, steps // int(count), steps)


def _floor(args: Any) -> float:
    return tidy(args.learning_rate * (args.lr_scheduler_min_lr_ratio or 0.0))


def _stable(args: Any, more: dict[str, Any]) -> str:
    """Hold, then fall over the last --lr_decay_steps. (Releases of transformers differ in its warm-up: see the docs.)"""
    start, rate, floor = args.max_train_steps - args.lr_decay_steps, short(args.learning_rate), short(_floor(args))
    if start < args.lr_warmup_steps:
        _fail("lr_decay_steps", f"warm-up and decay are longer than the run of {args.max_train_steps} steps")
    if args.lr_scheduler_num_cycles != 1:
        _fail("lr_scheduler_num_cycles", "warmup_stable_decay is read with one cycle")
    kind = more.pop("decay_type", "cosine")
    if kind not in ("cosine", "linear", "1-sqrt") or more.pop("warmup_type", "linear") != "linear":
        _fail("lr_scheduler_args", "warmup_stable_decay is read with warmup_type linear and decay_type cosine, linear or 1-sqrt")
    if kind == "1-sqrt":
        return f"wsd({rate}, {floor}, warmup=0, decay={args.lr_decay_steps}, curve=sqrt):{args.max_train_steps}"
    hold = [f"{rate}:{start}"] if start > args.lr_warmup_steps else []
    fall = [f"{kind}({rate}, {floor}):{args.max_train_steps}"] if args.lr_decay_steps else []
    return ", ".join(hold + fall)


def _piecewise(args: Any, more: dict[str, Any]) -> str:
    rules = more.pop("step_rules", None)
    if not isinstance(rules, str):
        _fail("lr_scheduler_args", """piecewise_constant takes step_rules, such as "step_rules='1:100,0.1:200,0.01'\"""")
    return from_diffusers(rules, args.learning_rate).text


_READERS: dict[str, Callable[[Any, dict[str, Any]], str]] = {
    "constant": _constant, "constant_with_warmup": lambda args, _: short(args.learning_rate),
    "linear": lambda args, _: _fall(args, "linear"), "cosine": _cosine, "cosine_with_restarts": _restarts,
    "polynomial": _polynomial, "inverse_sqrt": _inverse_sqrt, "cosine_with_min_lr": _with_floor,
    "warmup_stable_decay": _stable, "piecewise_constant": _piecewise,
}  # fmt: skip
