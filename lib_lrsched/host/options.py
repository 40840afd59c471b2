"""The WebUI's settings page and the frozen Settings: a row for each, and one for each option of a run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from math import inf
from typing import Any

from lib_lrsched.storage.former_settings import FORMER, renamed
from lib_lrsched.training.options import OPTIONS, Options, with_stored
from lib_lrsched.training.settings import CHOICES, Settings

HIGHEST = {"guard_factor": 1.0}

SECTION, CATEGORY, PREFIX = ("lrsched", "LR Schedule"), "training", "lrsched_"

OF_NEW_RUNS = "For new runs; a resumed run keeps its own value"  # the page puts brackets around all of it


def register() -> None:
    """Add our rows to the WebUI's settings page."""
    import gradio as gr
    from modules import shared

    default = Settings()
    rows = {
        "lrsched_enabled": (default.enabled, "Apply schedules in training",
                            "off: the WebUI's own schedules are in force; takes effect at the next training"),
        "lrsched_exact_clip": (default.exact_clip, "Clip true gradients",
                               "off: the WebUI's own clipping, which on CUDA clips gradients while they are still scaled"),
        "lrsched_freeze": (default.freeze, "Skip unused gradients",
                           "faster, less memory, same result: the WebUI computes gradients for the whole model at every update"),
        "lrsched_training_speed": (default.training_speed, "Training speed",
                                   ("exact: the WebUI's own bits. fast: torch's scaled_dot_product_attention, and no gradient "
                                    "checkpointing, which saves memory by computing the forward pass twice; the same to about six "
                                    "digits. auto: as fast, but without checkpointing only where there is room")),
        "lrsched_autosave_every": (default.autosave_every, "Save a snapshot every N updates",
                                   "weights, optimizer, random numbers, data position: to resume exactly; 0: never"),
        "lrsched_autosave_minutes": (default.autosave_minutes, "Also save one every N minutes", "0: never"),
        "lrsched_guard": (default.guard, "Rescue a run that goes wrong",
                          "after a NaN or an exploding loss: back to the last good state, at a lower rate from there on"),
        "lrsched_guard_loss": (default.guard_loss, "Treat a loss as exploded at this many times the highest of the last 200",
                               ("applies to three losses in a row or a rise of the whole level; a single loss must exceed the "
                                "square of this; 0: only NaN or infinity")),
        "lrsched_guard_factor": (default.guard_factor, "A rescue multiplies the rate by", "above 0, at most 1"),
        "lrsched_guard_rescues": (default.guard_rescues, "Rescues of a run before it is stopped",
                                  "it stops at its last good state"),
        **{f"lrsched_{name}": (one.default, one.label, f"{one.meaning}. {OF_NEW_RUNS}") for name, one in OPTIONS.items()},
        "lrsched_state_dir": (default.state_dir, "Folder for run state and history",
                              "empty: the folder lrsched beside the WebUI's own data; never the embeddings folder"),
    }
    _take_over(shared.opts)
    # Older hosts have no categories.
    category = {"category_id": CATEGORY} if "category_id" in inspect.signature(shared.OptionInfo).parameters else {}
    for key, (value, label, info) in rows.items():
        words = CHOICES.get(key.removeprefix(PREFIX))
        component: tuple[Any, Any] = (None, None)
        if words:
            component = (gr.Radio, {"choices": [*words]})
        elif type(value) in (int, float):  # the settings page knows no float by itself
            component = (gr.Number, {"precision": 0} if isinstance(value, int) else {})
        shared.opts.add_option(key, shared.OptionInfo(value, label, *component, section=SECTION, **category).info(info))


def read() -> Settings:
    """The settings as they are now."""
    from modules import shared

    default, data = Settings(), shared.opts
    names = [name for name in (*Settings.__dataclass_fields__, *FORMER) if name != "run"]
    own = renamed({name: getattr(data, f"{PREFIX}{name}") for name in names if hasattr(data, f"{PREFIX}{name}")})
    return checked({**own, "run": {name: getattr(data, f"{PREFIX}{name}", one.default) for name, one in OPTIONS.items()}}, default)


def _take_over(opts: Any) -> None:
    """What was set under a former name, before the page gets a default for the present one."""
    data = getattr(opts, "data", None) or {}
    for name, value in renamed(data, PREFIX).items():
        data.setdefault(name, value)


def _whole(value: Any) -> Any:
    """A settings page, and the API beside it, may say 8.0 for 8."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def checked(own: Mapping[str, Any], default: Settings) -> Settings:
    """Settings of the right types; a number that cannot be is the default, for a settings page refuses nothing."""
    found: dict[str, Any] = {}
    for name, value in own.items():
        usual = getattr(default, name)
        if isinstance(usual, Options):
            found[name] = with_stored(usual, {one: _whole(number) for one, number in value.items()})
        elif isinstance(usual, bool):
            found[name] = bool(value)
        elif name in CHOICES:
            found[name] = value if value in CHOICES[name] else usual
        elif isinstance(usual, str):
            found[name] = str(value or "").strip()
        else:
            found[name] = type(usual)(value) if _is_number(value, HIGHEST.get(name, inf)) else usual
    if found.get("guard_factor") == 0.0:
        found["guard_factor"] = default.guard_factor
    return Settings(**found)


def _is_number(value: Any, highest: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= highest and value < inf
