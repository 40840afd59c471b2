"""The callbacks that an option of a run asks for."""

from __future__ import annotations

from .callback import Callback, Training
from .callbacks.by_timestep import LossByTimestep, RateByTimestep
from .callbacks.norm_limit import NormLimit
from .callbacks.spread_timesteps import SpreadTimesteps
from .options import Options


def that_change_updates(session: Training, options: Options) -> list[Callback]:
    """Those with which what is trained is another one, in the order in which they see a batch."""
    found: list[Callback] = []
    if options.max_norm > 0:
        found.append(NormLimit(session, options.max_norm))
    if options.spread_timesteps:
        found.append(SpreadTimesteps())  # before those that look at timesteps
    if options.rate_by_timestep:
        found.append(RateByTimestep(session, options.rate_by_timestep))
    if options.loss_by_timestep:
        found.append(LossByTimestep(options.loss_by_timestep))
    return found
