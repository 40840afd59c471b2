"""What the user has set, as one frozen value. Where the settings come from is options.py's business."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """The extension's settings; a run keeps those with which it was started.

    Attributes:
        enabled: apply schedules in the training loops; off leaves the host as it is.
        exact_clip: clip true, unscaled gradients; off restores the host's own clipping.
        freeze: leave out the gradients that nobody uses, for the length of a run.
        state_dir: folder of run state; empty for the default beside the host's other data.
    """

    enabled: bool = True
    exact_clip: bool = True
    state_dir: str = ""
    freeze: bool = True
