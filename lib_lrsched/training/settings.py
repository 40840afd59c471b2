"""What the user has set, as one frozen value. Where the settings come from is options.py's business."""

from __future__ import annotations

from dataclasses import dataclass

from .options import Options

TRAINING_SPEED = '"Training speed"'
"""The setting training_speed, as the settings page has it."""

CHOICES = {"training_speed": ("exact", "fast", "auto")}
"""What a setting that is a word may be."""


@dataclass(frozen=True)
class Settings:
    """The extension's settings; a run keeps those with which it was started.

    Attributes:
        enabled: apply schedules in the training loops; off leaves the host as it is.
        exact_clip: clip true, unscaled gradients; off restores the host's own clipping.
        freeze: leave out the gradients that nobody uses, for the length of a run.
        training_speed: "exact" leaves the host's attention and its gradient checkpointing as they are; "fast" takes torch's
            scaled_dot_product_attention and no checkpointing; "auto" the same, and no checkpointing where there is memory for it.
        autosave_every: save a snapshot, all that it takes to resume exactly, every so many updates; 0 for never.
        autosave_minutes: and when this many minutes have passed since the last time; 0 for never.
        guard: go back to the last good state, at a lower rate, where a run has gone wrong.
        guard_loss: losses this many times the highest of the recent ones count as wrong, see `guard`; 0 for never.
        guard_factor: what the rate is multiplied by when that happens.
        guard_rescues: after this many times the run is stopped at its last good state.
        state_dir: folder of run state; empty for the default beside the host's other data.
        run: what a new run's options are where nobody chooses others.
    """

    enabled: bool = True
    exact_clip: bool = True
    state_dir: str = ""
    freeze: bool = True
    training_speed: str = "exact"
    autosave_every: int = 50
    autosave_minutes: float = 5.0
    guard: bool = True
    guard_loss: float = 10.0
    guard_factor: float = 0.5
    guard_rescues: int = 3
    run: Options = Options()  # noqa: RUF009 a frozen value
