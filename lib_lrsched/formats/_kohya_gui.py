"""The settings that kohya_ss, the web interface of sd-scripts, saves as JSON, as the arguments that it starts sd-scripts with.

Read in bmaltais/kohya_ss 45088f0 (train_model in kohya_gui/lora_gui.py; resolve_lr_warmup_steps in kohya_gui/common_gui.py).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from math import isfinite
from typing import Any, NoReturn

from .import_result import MOST_STEPS, ImportFormatError, brief, refuse_another, shown

AS_THEY_ARE = ("lr_scheduler", "lr_scheduler_type", "lr_scheduler_num_cycles", "lr_scheduler_power")

OTHER_RATES = (
    "unet_lr", "text_encoder_lr", "t5xxl_lr", "learning_rate_te", "learning_rate_te1", "learning_rate_te2", "block_lr",
    "down_lr_weight", "mid_lr_weight", "up_lr_weight", "loraplus_lr_ratio", "loraplus_text_encoder_lr_ratio",
    "loraplus_unet_lr_ratio",
)  # fmt: skip
"""Rates, or factors of it, of a part of the model."""

READ = (*AS_THEY_ARE, *OTHER_RATES, "learning_rate", "lr_scheduler_args", "lr_warmup", "lr_warmup_steps", "max_train_steps",
        "max_train_epochs")  # fmt: skip


def is_of_gui(values: Mapping[str, Any]) -> bool:
    """Whether these are its own names, which sd-scripts does not have. It has a TOML file of its own, too."""
    return "lr_warmup" in values or "optimizer" in values


def from_gui(values: Mapping[str, Any], steps_per_epoch: int | None) -> tuple[list[str], list[str]]:
    """The words of the command line, and what there is to know about them.

    Raises:
        ImportFormatError: the settings of another program, or a value that cannot be what it should, with its key.
    """
    _check_keys(values)
    words, notes = _steps(values, steps_per_epoch)
    words += _warmup(values)
    words += [f"--learning_rate={_rate(values)}"]
    words += [f"--{key}={_text(values, key)}" for key in AS_THEY_ARE if _text(values, key)]
    for key in ("lr_scheduler_args", "optimizer_args"):
        given = values.get(key)
        listed = [str(one) for one in given] if isinstance(given, list) else _text(values, key).replace('"', "").split()
        words += [f"--{key}", *listed] if listed else []
    kind = _text(values, "optimizer") or _text(values, "optimizer_type")
    words += [f"--optimizer_type={kind}"] if kind else []
    words += _additional(values)
    return words, notes + _other_rates(values)


def _check_keys(values: Mapping[str, Any]) -> None:
    refuse_another(values, "kohya")
    if "learning_rate" not in values:
        raise ImportFormatError("learning_rate is missing; expected the settings that kohya_ss saves")
    for key, value in values.items():
        is_about_it = key.startswith(("lr_", "learning_rate", "max_train_")) or key.endswith("_lr")
        if is_about_it and key not in READ and value not in ("", None, False, 0):
            raise ImportFormatError(f"{brief(key)} has no equivalent here")


def _rate(values: Mapping[str, Any]) -> str:
    rate = _number(values, "learning_rate")
    others = [key for key in OTHER_RATES if key.endswith("_lr") and _is_set(values, key)]
    if rate == 0.0 and others:
        _fail("learning_rate", f"it is 0, and {others[0]} is what is trained with: paste it as learning_rate")
    return _text(values, "learning_rate")


def _steps(values: Mapping[str, Any], steps_per_epoch: int | None) -> tuple[list[str], list[str]]:
    epochs, steps = _whole(values, "max_train_epochs"), _whole(values, "max_train_steps")
    if epochs:
        return [f"--max_train_epochs={epochs}"], []  # counts for more in sd-scripts
    if steps:
        return [f"--max_train_steps={steps}"], []
    if _text(values, "dataset_config"):
        return [], []  # it does not count the images of such a data set, and sd-scripts has a default
    epochs = _whole(values, "epoch") or 1
    if steps_per_epoch is None:
        _fail("max_train_steps", f"it is not set, so that kohya_ss counts the steps of {epochs} epochs (epoch) in its data "
                                 "set; give the steps per epoch, or max_train_steps")
    if epochs * steps_per_epoch >= MOST_STEPS:
        _fail("epoch", f"{epochs} epochs of {steps_per_epoch} steps exceed the longest possible run")
    note = f"{epochs} epochs of {steps_per_epoch} steps, as kohya_ss counts its own data set"
    return [f"--max_train_steps={epochs * steps_per_epoch}"], [note]


def _warmup(values: Mapping[str, Any]) -> list[str]:
    steps, percent = _whole(values, "lr_warmup_steps"), _number(values, "lr_warmup")
    if steps:
        return [f"--lr_warmup_steps={steps}"]
    if not percent:
        return []
    total = _whole(values, "max_train_steps")
    if _text(values, "dataset_config") and total and percent * total < MOST_STEPS:
        return [f"--lr_warmup_steps={round(percent * total / 100)}"]
    return [f"--lr_warmup_steps={_text(values, 'lr_warmup')}%"]


def _additional(values: Mapping[str, Any]) -> list[str]:
    """What it puts at the end of the command line, where it counts for more."""
    try:
        return shlex.split(_text(values, "additional_parameters"))
    except ValueError as error:
        _fail("additional_parameters", f"not a valid command line: {error}")


def _other_rates(values: Mapping[str, Any]) -> list[str]:
    given = [key for key in OTHER_RATES if _is_set(values, key)]
    notes = [f"{key} {brief(str(values[key]))}" for key in given if str(values[key]) != str(values["learning_rate"])]
    if not notes:
        return []
    return [f"{', '.join(notes)}: for a part of the model, which has no equivalent here"]


def _is_set(values: Mapping[str, Any], key: str) -> bool:
    value = values.get(key)
    if isinstance(value, list):
        return bool(value)
    text = _text(values, key)
    return bool(text) and text not in ("0", "0.0")


def _text(values: Mapping[str, Any], key: str) -> str:
    """A value as it would be written in a command line; it saves numbers as text as well, and nothing as an empty text."""
    value = values.get(key)
    if value is None or value is False:
        return ""
    if not isinstance(value, (str, int, float)) or value is True:
        _fail(key, f"expected a text or a number, got {shown(value)}")
    return str(value).strip()


def _number(values: Mapping[str, Any], key: str) -> float:
    text = _text(values, key)
    try:
        number = float(text or 0.0)
    except ValueError:
        number = -1.0
    if not isfinite(number) or number < 0:
        _fail(key, f"expected a finite number, 0 or more, got {shown(values[key])}")
    return number


def _whole(values: Mapping[str, Any], key: str) -> int:
    number = _number(values, key)
    if number >= MOST_STEPS or number != int(number):
        _fail(key, f"expected a whole number, got {shown(values[key])}")
    return int(number)


def _fail(key: str, message: str) -> NoReturn:
    raise ImportFormatError(f"{brief(key)}: {message}")
