"""DeepSpeed's schedulers as schedule texts.

Its warm-ups are one step late: update k has the schedule's value k - 1, and update 0 the lowest rate. The texts say so:
they begin with one or two steps at that rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .export_result import MOST_STEPS, short, tidy
from .import_result import Imported, ImportFormatError, Params, is_number, read_json, refuse_another, shown
from .import_torch import from_torch_class, has_torch_class

INTERVALS = 1000
"""How many intervals of a range test the text continues for, at least: longer than anybody lets a rate rise."""


def from_deepspeed(text: str, base: float | None = None) -> Imported:
    """A configuration with a scheduler section, that section, or ``{"type", "params"}`` alone.

    Raises:
        ImportFormatError: no such scheduler, a parameter that is wrong or missing, or rates that no text gives exactly.
    """
    config = read_json(text, "a scheduler section")
    refuse_another(config, "deepspeed")
    section = config.get("scheduler", config)
    name = section.get("type") if isinstance(section, dict) else None
    if isinstance(name, str) and name not in _READERS and has_torch_class(name):
        return _torch_class(name, section.get("params", {}), _base(config, base))
    if not isinstance(name, str) or name not in _READERS:
        kinds = f"{', '.join(_READERS)}, or of a scheduler of torch"
        raise ImportFormatError(f"expected a scheduler section with a type of {kinds}, got {shown(name)}")
    params = Params(name, section.get("params", {}), _base(config, base), ignored={"last_batch_iteration"})
    found = _READERS[name](params)
    params.check_all_read()
    return found


def _torch_class(name: str, given: Any, base: float | None) -> Imported:
    """DeepSpeed looks a type up among torch's schedulers where it has none of that name itself."""
    if not isinstance(given, dict):
        raise ImportFormatError(f"{name}: params: expected an object, got {shown(given)}")
    return Imported(from_torch_class(name, given, base, None), None, "")


def _base(config: Mapping[str, Any], base: float | None) -> float | None:
    """The optimizer's rate: as given, or from the configuration's own section."""
    if base is not None:
        return base
    optimizer = config.get("optimizer")
    params = optimizer.get("params") if isinstance(optimizer, dict) else None
    rate = params.get("lr") if isinstance(params, dict) else None
    return float(rate) if is_number(rate) and rate > 0 else None


def _kind(p: Params) -> str:
    return p.word("warmup_type", "log", ("log", "linear"))


def _warmup_lr(p: Params) -> Imported:
    items, high, _ = _warm(p, p.rate("warmup_min_lr", 0.0), p.rate("warmup_max_lr", p.base))
    return Imported(", ".join([*items, short(high)]), None, "")


def _warmup_decay(p: Params) -> Imported:
    low = p.rate("warmup_min_lr", 0.0)
    items, high, size = _warm(p, low, p.rate("warmup_max_lr", 0.001))
    total = p.whole("total_num_steps")
    if total <= size:
        return Imported(", ".join([*items, short(low)]), total, f"the run of {total} steps is over before the warm-up of {size}")
    return Imported(", ".join([*items, f"linear({short(high)}, {short(low)}):{total + 1}"]), total, "")


def _warmup_cosine(p: Params) -> Imported:
    if p.base is None:
        p.fail("its numbers are ratios; give the optimizer's rate as the base rate")
    low, floor = p.rate("warmup_min_ratio", 0.0), p.rate("cos_min_ratio", 0.0001)
    size, kind = max(2, p.whole("warmup_num_steps", 1000, low=0)), _kind(p)
    total = _total(p, size)
    if kind == "linear":
        p.fail("with warmup_type linear its cosine begins one step in, without the peak, which has no equivalent here")
    peak, start = p.base, short(tidy(p.base * low))
    items = ["0:2"] if low == 0 else ["0:1", f"{start}:2"]
    if size > 2:
        # DeepSpeed's cosine has its peak where the logarithmic climb would have: the climb is cut one step before.
        items.append(f"repeat(1, warmup({short(peak)}, start={start}, curve=log):{size - 1}):{size}")
    items.append(f"cosine({short(peak)}, {short(tidy(peak * floor))}):{total}")
    return Imported(", ".join(items), total, "")


def _warm(p: Params, low: float, high: float) -> tuple[list[str], float, int]:
    """The items up to the peak, which update size + 1 has, the peak, and the size."""
    size = max(2, p.whole("warmup_num_steps", 1000, low=0))
    if _kind(p) == "linear":
        return [f"{short(low)}:1", f"linear({short(low)}, {short(high)}):{size + 1}"], high, size
    return [f"{short(low)}:2", f"warmup({short(high)}, start={short(low)}, curve=log):{size + 1}"], high, size


def _total(p: Params, size: int) -> int:
    total = p.whole("total_num_steps")
    if total <= size:
        p.fail(f"the run of {total} steps is over before the warm-up of {size}")
    return total


def _one_cycle(p: Params) -> Imported:
    low, high = p.rate("cycle_min_lr"), p.rate("cycle_max_lr")
    up = p.whole("cycle_first_step_size", 2000)
    down = p.whole("cycle_second_step_size", up)
    for name in ("cycle_first_stair_count", "cycle_second_stair_count"):
        if p.whole(name, 0, low=0):
            p.fail(f"{name}: releases of DeepSpeed do not agree on stairs, which have no equivalent here; leave it at 0")
    if p.rate("decay_lr_rate", 0.0) and p.whole("decay_step_size", 0, low=0):
        p.fail("decay_lr_rate: its fall by 1 / (1 + rate x steps) has no equivalent here; leave it at 0")
    p.whole("decay_step_size", 0, low=0)
    momentum, note = _momentum(p)
    cycle = f"cyclic({short(low)}, {short(high)}, rise={up}, fall={down}, {momentum}):{up + down}"
    return Imported(f"{cycle}, {short(low)}", None, note)


def _momentum(p: Params) -> tuple[str, str]:
    low, high = p.rate("cycle_min_mom", 0.8), p.rate("cycle_max_mom", 0.9)
    falls = p.rate("decay_mom_rate", 0.0)
    if not p.flag("cycle_momentum", True):
        return "cycle_momentum=no", ""
    if falls:
        p.fail("decay_mom_rate: momentum after the cycle has no equivalent here; leave it at 0")
    note = (f"DeepSpeed also sets Adam's beta2 to 0.99, and leaves beta1 at {short(high)} after the cycle; "
            "neither has an equivalent here")
    return f"base_momentum={short(low)}, max_momentum={short(high)}", note


def _range_test(p: Params) -> Imported:
    low, rate = p.rate("lr_range_test_min_lr", 0.001), p.rate("lr_range_test_step_rate", 1.0)
    size = p.whole("lr_range_test_step_size", 2000)
    # DeepSpeed's rate rises for ever; n is that of the written end, so an end far away cuts nothing.
    count = max(INTERVALS, -(-MOST_STEPS // size))  # no fewer steps than an export has
    first, last, steps = short(low), short(tidy(low * (1.0 + rate * count))), size * count
    note = "DeepSpeed's rate rises without an end; max steps ends the test"
    if p.flag("lr_range_test_staircase", False):
        return Imported(f"range_test({first}, {last}, mode=linear, stair={size}):{steps + 1}", None, note)
    return Imported(f"linear({first}, {last}):{steps}", None, note)


_READERS: dict[str, Callable[[Params], Imported]] = {
    "WarmupLR": _warmup_lr, "WarmupDecayLR": _warmup_decay, "WarmupCosineLR": _warmup_cosine,
    "OneCycle": _one_cycle, "LRRangeTest": _range_test,
}  # fmt: skip
