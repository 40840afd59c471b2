"""The WebUI's settings page and the frozen Settings: one row for each."""

from __future__ import annotations

from .settings import Settings

SECTION = ("lrsched", "LR Schedule")


def register() -> None:
    """Add our rows to the WebUI's settings page."""
    from modules import shared

    default = Settings()
    rows = {
        "lrsched_enabled": (default.enabled, "Apply schedules in training",
                            "off: the WebUI's own schedules are in force; takes effect at the next training"),
        "lrsched_exact_clip": (default.exact_clip, "Clip true gradients",
                               "off: the WebUI's own clipping, which on CUDA clips gradients while they are still scaled"),
        "lrsched_freeze": (default.freeze, "Leave out gradients that nobody uses",
                           "faster, less memory, same result: the WebUI computes gradients for the whole model at every update"),
        "lrsched_state_dir": (default.state_dir, "Folder for run state and history",
                              "empty: the folder lrsched beside the WebUI's own data; never the embeddings folder"),
    }
    for key, (value, label, info) in rows.items():
        shared.opts.add_option(key, shared.OptionInfo(value, label, section=SECTION).info(info))


def read() -> Settings:
    """The settings as they are now."""
    from modules import shared

    default, data = Settings(), shared.opts
    return Settings(
        enabled=bool(getattr(data, "lrsched_enabled", default.enabled)),
        exact_clip=bool(getattr(data, "lrsched_exact_clip", default.exact_clip)),
        freeze=bool(getattr(data, "lrsched_freeze", default.freeze)),
        state_dir=str(getattr(data, "lrsched_state_dir", default.state_dir) or "").strip(),
    )
