"""The configuration that OneTrainer saves as JSON, as schedule texts.

Its rates are those of one LambdaLR: a climb from 0, and a factor of the rate after it. What a configuration leaves out has
OneTrainer's defaults, a warm-up of 200 batches among them. Read in Nerogar/OneTrainer 23df383 (create_lr_scheduler in
modules/util/create.py; modules/util/lr_scheduler_util.py; modules/util/NamedParameterGroup.py).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from .export_result import short, tidy
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
    refuse_another,
    shown,
    waves,
)
from .import_torch import from_torch_class

DEFAULTS: Mapping[str, Any] = {
    "learning_rate": 3e-6, "learning_rate_scheduler": "CONSTANT", "learning_rate_warmup_steps": 200.0,
    "learning_rate_cycles": 1.0, "learning_rate_min_factor": 0.0, "epochs": 100, "batch_size": 1,
    "gradient_accumulation_steps": 1, "learning_rate_scaler": "NONE",
}  # fmt: skip

READ = (*DEFAULTS, "custom_learning_rate_scheduler")

SCHEDULE_FREE = ("SCHEDULE_FREE_ADAMW", "SCHEDULE_FREE_SGD", "PRODIGY_PLUS_SCHEDULE_FREE")

MOST_CYCLES = 1_000_000

ADAPTIVE = ("DADAPT_", "PRODIGY")


class Run(NamedTuple):
    """What the schedule depends on. ``total`` is the run's updates, or None; ``warm`` those of the warm-up."""

    rate: float
    floor: float
    cycles: float
    warm: int
    total: int | None

    @property
    def steps(self) -> int:
        """The updates after the warm-up."""
        if self.total is None:
            _fail("epochs", "how many steps that is depends on the data set, and so does this schedule; give the steps per epoch")
        return self.total - self.warm


def from_onetrainer(text: str, steps_per_epoch: int | None = None) -> Imported:
    """A configuration, or a preset, which is one with fewer keys.

    Args:
        steps_per_epoch: batches, as OneTrainer shows them: with gradient accumulation an update has several.

    Raises:
        ImportFormatError: no such scheduler, a value that is wrong, with its key, or rates that no text gives exactly.
    """
    config = read_json(text, "OneTrainer's settings")
    _check_keys(config)
    run, notes = _run(config, steps_per_epoch)
    kind = "CONSTANT" if _optimizer(config) in SCHEDULE_FREE else _word(config, "learning_rate_scheduler")
    if kind == "CUSTOM":
        found, total = _custom(config, run)
        return Imported(found, total, "; ".join(notes))
    if kind not in _READERS:
        _fail("learning_rate_scheduler", f"{brief(kind)} has no equivalent here; these can be read: {', '.join(_READERS)}, CUSTOM")
    items = [f"linear(0, {short(run.rate)}):{run.warm}"] if run.warm else []
    if run.total is None or run.warm < run.total:
        items.append(_READERS[kind](run))
    return Imported(", ".join(items), run.total, "; ".join(notes))


def _check_keys(config: Mapping[str, Any]) -> None:
    refuse_another(config, "onetrainer")
    if not any(key in config for key in (*READ, "training_method")):
        raise ImportFormatError("expected OneTrainer's settings, such as learning_rate and learning_rate_scheduler")
    for key in config:
        if key.startswith(("learning_rate_", "lr_")) and key not in READ:
            raise ImportFormatError(f"{brief(key)} has no equivalent here")


def _run(config: Mapping[str, Any], batches: int | None) -> tuple[Run, list[str]]:
    notes = [f"without {key} OneTrainer takes {_said(DEFAULTS[key])}" for key in
             ("learning_rate", "learning_rate_warmup_steps") if config.get(key) is None]
    epochs, each = _whole(config, "epochs"), _whole(config, "gradient_accumulation_steps")
    total = None
    if batches is None:
        notes.append(f"its {epochs} epochs do not give max steps: set max steps, or give the steps per epoch")
    else:
        total = int(batches * epochs / each)
        if not 0 < total < MOST_STEPS:
            _fail("epochs", f"{epochs} epochs of {batches} batches, {each} in an update, are {total} updates, which no run has")
        notes.append(f"{epochs} epochs of {batches} batches" + (f", {each} in an update" if each > 1 else ""))
    rate = tidy(_number(config, "learning_rate") * _scale(config, each) ** 0.5)
    low = _number(config, "learning_rate_min_factor")
    run = Run(rate, tidy(rate * low), _number(config, "learning_rate_cycles"), _warm(config, total, each), total)
    return run, notes + _other_rules(config)


def _warm(config: Mapping[str, Any], total: int | None, each: int) -> int:
    """The updates of the warm-up: a part of all up to 1, else batches."""
    steps = _number(config, "learning_rate_warmup_steps")
    if _optimizer(config) in SCHEDULE_FREE:
        return 0
    if steps > 1:
        if steps >= MOST_STEPS:
            _fail("learning_rate_warmup_steps", f"{short(steps)} steps exceed the longest possible run")
        return int(steps / each)
    if steps and total is None:
        _fail("learning_rate_warmup_steps", f"{short(steps)} is a part of all steps; give the steps per epoch")
    return int(steps * (total or 0))


def _scale(config: Mapping[str, Any], each: int) -> int:
    """What the rate is multiplied with, squared."""
    word, batch = _word(config, "learning_rate_scaler"), _whole(config, "batch_size")
    scales = {"NONE": 1, "BATCH": batch, "GLOBAL_BATCH": batch, "GRADIENT_ACCUMULATION": each, "BOTH": each * batch,
              "GLOBAL_BOTH": each * batch}
    if word not in scales:
        _fail("learning_rate_scaler", f"{brief(word)} has no equivalent here; these can be read: {', '.join(scales)}")
    return scales[word]


def _other_rules(config: Mapping[str, Any]) -> list[str]:
    """What else has a hand in the rate there."""
    notes, kind = [], _optimizer(config)
    word = _word(config, "learning_rate_scaler")
    if word != "NONE":
        notes.append(f"the rate is multiplied as learning_rate_scaler {word} says" + (", for one GPU" if "GLOBAL" in word else ""))
    if kind in SCHEDULE_FREE:
        notes.append(f"OneTrainer gives the optimizer {kind} no schedule: its rate is constant")
    if kind.startswith(ADAPTIVE):
        notes.append(f"{brief(kind)} adapts its own step size: these rates are multipliers, usually around 1, and too high for "
                     "other optimizers")
    optimizer = config.get("optimizer")
    if kind == "ADAFACTOR" and isinstance(optimizer, dict) and optimizer.get("relative_step"):
        _fail("optimizer.relative_step", "Adafactor sets the rate itself then, which has no equivalent here")
    others = {key: value for key, value in config.items() if key.endswith("_learning_rate")}
    others |= {f"{key}.learning_rate": part["learning_rate"] for key, part in config.items()
               if isinstance(part, dict) and "learning_rate" in part}
    given = [f"{brief(key)} {shown(value)}" for key, value in others.items() if value is not None]
    return notes + ([f"{', '.join(given)}: for a part of the model, which has no equivalent here"] if given else [])


# Schedulers -----------------------------------------------------------------------------------


def _fall(run: Run, shape: str, more: str = "") -> str:
    end = "" if run.total is None else f":{run.total}"
    return f"{shape}({short(run.rate)}, {short(run.floor)}{more}){end}"


def _waves(run: Run) -> str:
    """Cosines down and up again, without jumps."""
    halves = 2.0 * run.cycles
    if halves == 1.0:
        return _fall(run, "cosine")
    if halves < 1.0 or halves != int(halves) or run.steps % int(halves):
        what = f"{short(run.cycles)} cycles over {run.steps} steps would turn between two steps"
        _fail("learning_rate_cycles", f"{what}, which has no equivalent here")
    return waves(run.rate, run.floor, run.steps // int(halves), run.steps)


def _restarts(run: Run) -> str:
    cycles, most = run.cycles, min(run.steps, MOST_CYCLES)
    if not 1.0 <= cycles <= most or cycles != int(cycles):
        _fail("learning_rate_cycles", f"expected a whole number of cycles from 1 to {most}, got {short(cycles)}")
    lost = lost_restart(cycles, run.steps)
    if lost is not None:
        where = f"the restart at step {run.warm + lost}"
        _fail("learning_rate_cycles", f"OneTrainer rounds {where} to the end of a cycle, where the rate is lowest")
    return _fall(run, "restarts", f", cycles={int(cycles)}")


_READERS: dict[str, Callable[[Run], str]] = {
    "CONSTANT": lambda run: short(run.rate), "LINEAR": lambda run: _fall(run, "linear"),
    "COSINE": lambda run: _fall(run, "cosine"), "COSINE_WITH_RESTARTS": _waves, "COSINE_WITH_HARD_RESTARTS": _restarts,
    "REX": lambda run: _fall(run, "rex"),
}  # fmt: skip


def _custom(config: Mapping[str, Any], run: Run) -> tuple[str, int | None]:
    """A class by its name, with parameters by theirs."""
    name = config.get("custom_learning_rate_scheduler")
    if not isinstance(name, str) or "." not in name:
        _fail("custom_learning_rate_scheduler", f"expected a class such as torch.optim.lr_scheduler.StepLR, got {shown(name)}")
    if run.warm:
        what = f"a warm-up of {run.warm} steps before a class of one's own"
        _fail("learning_rate_warmup_steps", f"{what} has no equivalent here; with 0 it can be read")
    arguments = _arguments(config, run)
    if name == PLAN_LR:
        text, total = plan_lr(arguments)
        return text, total or run.total
    return from_torch_class(name, arguments, run.rate, run.total), run.total


def _arguments(config: Mapping[str, Any], run: Run) -> dict[str, Any]:
    rows = config.get("scheduler_params") or []
    arguments: dict[str, Any] = {}
    for row in rows if isinstance(rows, list) else [rows]:
        key, value = (row.get("key"), row.get("value")) if isinstance(row, dict) else (None, None)
        if not isinstance(key, str) or not isinstance(value, str):
            _fail("scheduler_params", f"expected a list of objects with key and value, both texts, got {shown(row)}")
        arguments[key] = _value(key, value, config, run)
    return arguments


def _value(key: str, text: str, config: Mapping[str, Any], run: Run) -> Any:
    if text in ("%TOTAL_STEPS%", "%SCHEDULER_STEPS%"):
        return run.total if key == "total_steps" else run.steps
    if text in ("%LR%", "%EPOCHS%"):
        return _number(config, "learning_rate") if text == "%LR%" else _whole(config, "epochs")
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        _fail("scheduler_params", f"{brief(key)}: expected a Python value, such as 100 or 'a text', got {brief(text)!r}")


# Values ---------------------------------------------------------------------------------------


def _optimizer(config: Mapping[str, Any]) -> str:
    optimizer = config.get("optimizer")
    name = optimizer.get("optimizer") if isinstance(optimizer, dict) else optimizer
    return name if isinstance(name, str) else ""


def _get(config: Mapping[str, Any], key: str) -> Any:
    value = config.get(key)
    return DEFAULTS[key] if value is None else value


def _word(config: Mapping[str, Any], key: str) -> str:
    value = _get(config, key)
    if not isinstance(value, str):
        _fail(key, f"expected a word, got {shown(value)}")
    return value


def _number(config: Mapping[str, Any], key: str) -> float:
    value = _get(config, key)
    if isinstance(value, str):  # its fields are saved as text by some releases
        try:
            value = float(value)
        except ValueError:
            _fail(key, f"expected a number, got {shown(value)}")
    if not is_number(value) or value < 0:
        _fail(key, f"expected a finite number, 0 or more, got {shown(value)}")
    return float(value)


def _whole(config: Mapping[str, Any], key: str) -> int:
    number = _number(config, key)
    if not 1 <= number < MOST_STEPS or number != int(number):
        _fail(key, f"expected a whole number from 1, got {shown(_get(config, key))}")
    return int(number)


def _said(value: Any) -> str:
    return short(value) if isinstance(value, float) else str(value)


def _fail(key: str, message: str) -> NoReturn:
    raise ImportFormatError(f"{key}: {message}")
