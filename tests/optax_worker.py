"""optax's schedules, evaluated in a process of their own: once jax computes, a process should not fork, and other tests do.

Reads lines of JSON, ``[name, arguments]``, and answers each with a line: the rates at steps 0 .. STEPS - 1, in float64.
"""

from __future__ import annotations

import json
import sys
from typing import Any

STEPS = 256
"""Every schedule is asked for so many steps: jax compiles each formula for each length."""


def answer(name: str, arguments: dict[str, Any]) -> list[float]:
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)
    if name == "reduce_on_plateau":
        return scales(**arguments)
    if "boundaries_and_scales" in arguments:  # JSON has no whole numbers for keys
        arguments["boundaries_and_scales"] = dict(arguments["boundaries_and_scales"])
    rates: list[float] = jax.vmap(getattr(optax, name)(**arguments))(jax.numpy.arange(STEPS)).tolist()
    return rates


def scales(losses: list[float], **arguments: Any) -> list[float]:
    """What the rate is multiplied by after each loss."""
    import jax
    import optax.contrib

    plateau = optax.contrib.reduce_on_plateau(**arguments)
    one = jax.numpy.ones(())
    update = jax.jit(lambda state, loss: plateau.update(one, state, value=loss))
    state, found = plateau.init(one), []
    for loss in losses:
        scale, state = update(state, loss)
        found.append(float(scale))
    return found


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(*json.loads(line))), flush=True)
