"""The WebUI's settings page and the frozen Settings: one row for each."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from lib_lrsched.storage.former_settings import FORMER, renamed
from lib_lrsched.training.settings import CHOICES, Settings

HIGHEST = {"guard_factor": 1.0}

SECTION = ("lrsched", "LR Schedule")
PREFIX = "lrsched_"


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
        "lrsched_guard_loss": (default.guard_loss, "A loss has exploded at this many times the highest of the last 200",
                               ("three losses in a row, or a level that has risen so much; one alone only at the square of it; "
                                "0: only a loss of NaN or infinity counts")),
        "lrsched_guard_factor": (default.guard_factor, "A rescue multiplies the rate by", "above 0, at most 1"),
        "lrsched_guard_rescues": (default.guard_rescues, "Rescues of a run before it is stopped",
                                  "it stops at its last good state"),
        "lrsched_progress_every": (default.progress_every, "Measure progress every N updates",
                                   ("how much of the loss is gone, on the same noise: one more pass through the model each time; "
                                    "1, 2, 4, 8 or 16 are usual; 0: never")),
        "lrsched_max_norm": (default.max_norm, "Limit the norm of an embedding's vectors",
                             ("each is held at most at so many times its norm at the start of the run, or times 0.05 * sqrt(width) "
                              "if that is more; 2 to 4 are usual; 0: no limit; hypernetworks have none")),
        "lrsched_state_dir": (default.state_dir, "Folder for run state and history",
                              "empty: the folder lrsched beside the WebUI's own data; never the embeddings folder"),
    }
    _take_over(shared.opts)
    for key, (value, label, info) in rows.items():
        words = CHOICES.get(key.removeprefix(PREFIX))
        component: tuple[Any, Any] = (None, None)
        if words:
            component = (gr.Radio, {"choices": [*words]})
        elif type(value) in (int, float):  # the settings page knows no float by itself
            component = (gr.Number, {"precision": 0} if isinstance(value, int) else {})
        shared.opts.add_option(key, shared.OptionInfo(value, label, *component, section=SECTION).info(info))


def read() -> Settings:
    """The settings as they are now."""
    from modules import shared

    default, names = Settings(), (*Settings.__dataclass_fields__, *FORMER)
    there = {name: getattr(shared.opts, f"{PREFIX}{name}") for name in names if hasattr(shared.opts, f"{PREFIX}{name}")}
    return checked({**vars(default), **renamed(there)}, default)


def _take_over(opts: Any) -> None:
    """What was set under a former name, before the page gets a default for the present one."""
    data = getattr(opts, "data", None) or {}
    for name, value in renamed(data, PREFIX).items():
        data.setdefault(name, value)


def checked(own: Mapping[str, Any], default: Settings) -> Settings:
    """Settings of the right types; a number that cannot be is the default, for a settings page refuses nothing."""
    found: dict[str, Any] = {}
    for name, value in own.items():
        usual = getattr(default, name)
        if isinstance(usual, bool):
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
