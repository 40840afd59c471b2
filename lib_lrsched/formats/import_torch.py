"""torch's schedulers by the names of their classes and arguments: how sd-scripts and DeepSpeed take them.

The rates are those of a scheduler that is stepped once after every update.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from .export_result import short, tidy
from .import_result import ImportFormatError, Params, brief, waves

MODULE = "torch.optim.lr_scheduler."


def has_torch_class(name: str) -> bool:
    return name.removeprefix(MODULE) in _READERS


def from_torch_class(name: str, arguments: Mapping[str, Any], base: float | None, total: int | None) -> str:
    """The items of a text for a class of torch.optim.lr_scheduler.

    Args:
        base: the optimizer's rate; ``None`` where it is not known, which some classes do not need.
        total: the run's steps, where they are known.

    Raises:
        ImportFormatError: another class, an argument that is wrong or missing, or rates that no text gives exactly.
    """
    known = name.removeprefix(MODULE)
    if known == "ReduceLROnPlateau":
        raise ImportFormatError(f"{known} has to be stepped with a loss, which this program does not do; its text is plateau(...)")
    if known not in _READERS:
        raise ImportFormatError(f"{brief(name)} has no equivalent here; these of torch can be read: {', '.join(_READERS)}")
    given = {key: value for key, value in arguments.items() if value is not None}
    if given.pop("last_epoch", -1) != -1:
        raise ImportFormatError(f"{known}: last_epoch starts in the middle of a schedule, which has no equivalent here")
    params = Params(known, given, base, ignored={"verbose"})
    text = _READERS[known](params, total)
    params.check_all_read()
    return text


def _constant(p: Params, _: int | None) -> str:
    factor, size = p.rate("factor", 1.0 / 3.0), p.whole("total_iters", 5, low=0)
    first = [f"{_part(p, factor)}:{size}"] if size else []
    return ", ".join([*first, short(p.base_rate())])


def _linear(p: Params, _: int | None) -> str:
    start, end = p.rate("start_factor", 1.0 / 3.0), p.rate("end_factor", 1.0)
    size = p.whole("total_iters", 5)
    if not 0 < start <= 1 or end > 1:
        p.fail(f"start_factor is above 0 and both factors are 1 at most, got {short(start)} to {short(end)}")
    return f"linear({_part(p, start)}, {_part(p, end)}):{size}, {_part(p, end)}"


def _part(p: Params, factor: float) -> str:
    return short(tidy(p.base_rate() * factor))


def _poly(p: Params, _: int | None) -> str:
    size, power = p.whole("total_iters", 5), p.rate("power", 1.0)
    return f"poly({short(p.base_rate())}, 0, power={short(power)}):{size}, 0"


def _step(p: Params, _: int | None) -> str:
    return f"step({short(p.base_rate())}, every={p.whole('step_size')}, factor={short(p.rate('gamma', 0.1))})"


def _multi_step(p: Params, _: int | None) -> str:
    rate, gamma, items = p.base_rate(), p.rate("gamma", 0.1), []
    for milestone, times in sorted(Counter(p.wholes("milestones")).items()):
        items.append(f"{short(rate)}:{milestone}")
        rate = tidy(rate * gamma**times)
    return ", ".join([*items, short(rate)])


def _exponential(p: Params, _: int | None) -> str:
    return f"decay({short(p.base_rate())}, factor={short(p.rate('gamma'))})"


def _cosine(p: Params, total: int | None) -> str:
    high, low, length = p.base_rate(), p.rate("eta_min", 0.0), p.whole("T_max")
    if total is not None and total <= length:
        return f"cosine({short(high)}, {short(low)}):{length}"
    return waves(high, low, length, total)  # the rate climbs again after T_max


def _restarts(p: Params, _: int | None) -> str:
    low, length, mult = p.rate("eta_min", 0.0), p.whole("T_0"), p.whole("T_mult", 1)
    return f"restarts({short(p.base_rate())}, {short(low)}, first_cycle={length}, growth={mult})"


def _cyclic(p: Params, _: int | None) -> str:
    low, high, up = p.rate("base_lr"), p.rate("max_lr"), p.whole("step_size_up", 2000)
    down = p.whole("step_size_down", up)
    mode, gamma = p.word("mode", "triangular", ("triangular", "triangular2", "exp_range")), p.rate("gamma", 1.0)
    shape = f"rise={up}, fall={down}, mode={mode}, factor={short(gamma)}"
    return f"cyclic({short(low)}, {short(high)}, {shape}, {_momentum(p, 0.8, 0.9)})"


def _momentum(p: Params, base: float, most: float) -> str:
    low, high = p.rate("base_momentum", base), p.rate("max_momentum", most)
    if not p.flag("cycle_momentum", True):
        return "cycle_momentum=no"
    return f"base_momentum={short(low)}, max_momentum={short(high)}"


def _one_cycle(p: Params, total: int | None) -> str:
    high, size = p.rate("max_lr"), _cycle_length(p)
    first, last = p.rate("div_factor", 25.0), p.rate("final_div_factor", 1e4)
    three = "yes" if p.flag("three_phase", False) else "no"
    form = f"anneal={p.word('anneal_strategy', 'cos', ('cos', 'linear'))}, three_phase={three}"
    parts = f"pct_start={short(p.rate('pct_start', 0.3))}, div_factor={short(first)}, final_div_factor={short(last)}"
    if total is not None and total > size:
        p.fail(f"its {size} steps are over before the run of {total}, and torch has no rate for the others")
    return f"onecycle({short(high)}, {parts}, {form}, {_momentum(p, 0.85, 0.95)}):{size}"


def _cycle_length(p: Params) -> int:
    if p.has("total_steps"):
        p.value("epochs", 1), p.value("steps_per_epoch", 1)  # torch does not look at them then
        return p.whole("total_steps")
    return p.whole("epochs") * p.whole("steps_per_epoch")


_READERS: dict[str, Callable[[Params, int | None], str]] = {
    "ConstantLR": _constant, "LinearLR": _linear, "PolynomialLR": _poly, "StepLR": _step, "MultiStepLR": _multi_step,
    "ExponentialLR": _exponential, "CosineAnnealingLR": _cosine, "CosineAnnealingWarmRestarts": _restarts,
    "CyclicLR": _cyclic, "OneCycleLR": _one_cycle,
}  # fmt: skip
