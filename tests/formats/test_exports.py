"""Exports, evaluated by the rules of the program that they are for, against the plan."""

from __future__ import annotations

import ast
import inspect
import json
import math
import random
import re
import shlex
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lrsched import plan
from lib_lrsched.formats.export_phases import fewest_phases
from lib_lrsched.formats.exports import ExportError, export
from lib_lrsched.formats.nearest import is_near
from lib_lrsched.formats.registry import EXPORTERS
from lib_lrsched.practice.learn_schedule import LearnRateScheduler
from lib_lrsched.schedule.plan import Plan
from lib_lrsched.schedule.plateau import advance, rate_at, replay, segment_at
from lib_lrsched.schedule.segments import Segment
from lib_lrsched.schedule.shapes import SHAPES, Shape
from lib_lrsched.storage._presets import BUILTIN

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    diffusers = pytest.importorskip("diffusers.optimization")
    transformers = pytest.importorskip("transformers.optimization")

CURVES = (
    "0.005",
    "0.005:10, 1e-3:60, 1e-5",
    "0.005:10, 1e-3:60",
    "0:10, 0.001:20, 0",
    "warmup(0.005):20, cosine(0.005, 1e-5)",
    "cosine(0.005, 0)",
    "cosine(1e-5, 0.005)",
    "linear(0.005, 0)",
    "linear(0, 0.005)",
    "linear(0.001, 0.005):150, 0.003",
    "exp(0.005, 1e-6)",
    "poly(0.005, 0, power=2.5)",
    "poly(0.005, 1e-4, power=0.5)",
    "warmup(0.005)",
    "warmup(0.005, start=0.001)",
    "warmup(0.005, curve=cosine)",
    "warmup(0.005, start=1e-4, curve=log):50, rex(1e-6)",
    "step(0.005, every=30, gamma=0.5)",
    "step(0.005, every=30, gamma=0)",
    "decay(0.005, gamma=0.99)",
    "decay(1e-6, gamma=1.01)",
    "inverse_sqrt(0.005, timescale=17)",
    "rex(0.005, 1e-5)",
    "rex(0.005, 0, d=0)",
    "cyclic(1e-5, 0.005, step_size=13, cycle_momentum=no)",
    "cyclic(1e-5, 0.005, step_size=13, step_size_down=7, mode=triangular2, cycle_momentum=no)",
    "cyclic(1e-5, 0.005, step_size=13, mode=exp_range, gamma=0.99, cycle_momentum=no)",
    "cyclic(1e-5, 0.005, step_size=13, wave=cosine, cycle_momentum=no)",
    "restarts(0.005, 1e-5, t_0=7, t_mult=3)",
    "restarts(0.005, 1e-5, t_0=40, peak_decay=0.7, warmup=6)",
    "restarts(0.005, 0, t_0=5, t_mult=2, peak_decay=0.9, warmup=2)",
    "restarts(0.005, 1e-5, cycles=4)",
    "restarts(0.005, 1e-5, cycles=7, peak_decay=0.9, warmup=3)",
    "restarts(0.005, cycles=4, t_mult=2):90, repeat(2, restarts(0.001, cycles=3):50)",
    "onecycle(0.005, cycle_momentum=no)",
    "onecycle(0.005, anneal=linear, three_phase=yes, pct_start=0.2, cycle_momentum=no)",
    "wsd(0.005, 1e-5, warmup=11, decay=31, curve=sqrt)",
    "wsd(0.005, 1e-5, curve=cosine):100, wsd(0.001, warmup=0, decay=0)",
    "range_test(1e-6, 0.1)",
    "range_test(1e-6, 0.1, mode=linear, stair=7)",
    "repeat(2.5, 1e-3:10, exp(1e-5):20), 1e-4",
    "0.01:10, repeat(3, cosine(1e-5):20, repeat(2, warmup(0.003):7)), 1e-6",
    "repeat(9, linear(0.005, 1e-4):20%):50%, 1e-4",
    "0.002:30, repeat(1.5, decay(0.005, gamma=0.9):25, step(0.004, every=20%):30)",
)
STEPS = 200


def planned(text: str, steps: int = STEPS) -> Plan:
    return plan(text, total_steps=steps, steps_per_epoch=20)


def values(made: Plan) -> np.ndarray:
    return made.values(np.arange(made.stop))


def text_of(rates: str | float) -> str:
    return repr(float(rates))


# The WebUI's string -----------------------------------------------------------------------------


def host_rates(text: str, max_steps: int) -> list[float]:
    """What the host's own scheduler does over a run, step by step."""
    scheduler = LearnRateScheduler(text, max_steps, 0, verbose=False)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=scheduler.learn_rate)
    rates: list[float] = []
    for k in range(max_steps + 5):
        scheduler.apply(optimizer, k)
        if scheduler.finished:
            break
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


@pytest.mark.parametrize("error", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("text", CURVES)
def test_the_host_trains_an_exported_string_within_the_error_and_for_as_many_steps(text: str, error: float):
    made = planned(text)
    found = export(made, "a1111", error=error)
    rates = np.array(host_rates(found.text, STEPS))
    assert len(rates) == made.stop
    wanted = values(made)
    assert np.all(np.abs(rates - wanted) <= error * wanted * (1 + 1e-12))
    assert np.array_equal(rates == 0, wanted == 0)
    off = np.abs(rates - wanted)[wanted > 0] / wanted[wanted > 0]
    assert found.worst_error == pytest.approx(off.max(initial=0.0), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("preset", BUILTIN, ids=lambda preset: preset.name)
def test_every_preset_that_schedules_the_rate_alone_runs_without_the_extension(preset: Any):
    made = planned(preset.text, 2_000)
    if made.feedback or made.momenta([0]) is not None:
        with pytest.raises(ExportError):
            export(made, "a1111")
        return
    found = export(made, "a1111")
    rates = np.array(host_rates(found.text, 2_000))
    assert np.all(np.abs(rates - values(made)) <= 0.02 * values(made) * (1 + 1e-12))
    assert found.note.startswith(f"{len(found.text.split(','))} segment")


def fewest_by_force(rates: list[float], error: float) -> int:
    """The least number of phases, by trying every cut: a phase is good where one rate suits all of it."""
    best = [0]
    for j in range(1, len(rates) + 1):
        fits = [i for i in range(j) if max(r * (1 - error) for r in rates[i:j]) <= min(r * (1 + error) for r in rates[i:j])]
        best.append(min(best[i] for i in fits) + 1)
    return best[-1]


NEAR = [1e-3, 1.01e-3, 1.05e-3, 1.2e-3]


@settings(max_examples=150, deadline=None)
@given(
    rates=st.lists(st.one_of(st.just(0.0), st.floats(1e-7, 1e-2), st.sampled_from(NEAR)), min_size=1, max_size=14),
    error=st.sampled_from([0.0, 0.02, 0.1, 0.5, 0.9]),
)
def test_no_other_choice_of_phases_is_shorter(rates: list[float], error: float):
    phases = fewest_phases(np.array(rates), error)
    assert len(phases) == fewest_by_force(rates, error)
    assert phases[-1].stop == len(rates)
    start = 0
    for phase in phases:
        for rate in rates[start : phase.stop]:
            assert abs(float(phase.text) - rate) <= error * rate * (1 + 1e-12)
        start = phase.stop


def test_phases_of_smooth_random_curves_are_as_few_as_by_force():
    draw = random.Random(3)
    for _ in range(30):
        rates = np.exp(np.cumsum([draw.gauss(0, 0.05) for _ in range(40)]))
        assert len(fewest_phases(rates, 0.08)) == fewest_by_force(rates.tolist(), 0.08)


def test_a_million_steps_are_compiled_and_stay_within_the_error():
    made = plan("warmup(0.005):1000, cosine(0.005, 1e-5)", total_steps=1_000_000)
    found = export(made, "a1111")
    ends = [int(item.split(":")[1]) for item in found.text.split(", ")[:-1]]
    levels = [float(item.split(":")[0]) for item in found.text.split(", ")]
    rates = np.repeat(levels, np.diff([0, *ends, made.stop]))
    assert np.all(np.abs(rates - values(made)) <= 0.02 * values(made) * (1 + 1e-12))


def test_a_string_of_constants_comes_back_as_it_was():
    assert export(planned("0.005:10, 1e-3:60, 1e-5"), "a1111").text == "0.005:10, 0.001:60, 1e-5"
    assert export(planned("0.005:10, 1e-3:60"), "a1111").text == "0.005:10, 0.001:60"


def test_the_end_of_a_plan_that_stops_at_max_steps_is_left_open():
    assert export(planned("0.005:10, 1e-3:200"), "a1111").text == "0.005:10, 0.001"


def test_a_note_says_how_many_phases_and_how_far_from_the_plan():
    assert export(planned("0.005:10, 1e-3"), "a1111").note == "2 segments for max steps 200; exact at every step"
    found = export(planned("exp(0.004, 0.001)"), "a1111", error=0.1)
    assert found.note == "7 segments for max steps 200; at most 9.88% from the plan at any step"


# torch ------------------------------------------------------------------------------------------


def snippet(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(text, "snippet", "exec"), names)
    return names


def torch_run(names: dict[str, Any], steps: int) -> tuple[list[float], list[float]]:
    """Rates and Adam's beta1 at each update of a run with the snippet's scheduler."""
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=0.123)
    scheduler = names["make_scheduler"](optimizer)
    rates, betas = [], []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        betas.append(float(optimizer.param_groups[0]["betas"][0]))
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            scheduler.step()
    return rates, betas


@pytest.mark.parametrize("text", CURVES)
def test_a_snippet_runs_in_torch_and_gives_the_plans_rates(text: str):
    made = planned(text)
    names = snippet(export(made, "pytorch").text)
    rates, _ = torch_run(names, names["STEPS"])
    assert names["STEPS"] == made.stop
    assert rates == pytest.approx(values(made).tolist(), rel=1e-9, abs=1e-17)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES.values() if not shape.is_feedback], ids=lambda shape: shape.name)
def test_a_snippet_of_one_shape_alone_gives_the_plans_rates(shape: Shape):
    made = planned(shape.example)
    rates, _ = torch_run(snippet(export(made, "pytorch").text), STEPS)
    assert rates == pytest.approx(values(made).tolist(), rel=1e-9, abs=1e-17)


@pytest.mark.parametrize(
    ("text", "scheduler"),
    [
        ("0.005", "ConstantLR"),
        ("linear(0.005, 1e-5)", "LinearLR"),
        ("warmup(0.005)", "LinearLR"),
        ("cosine(0.005, 1e-5)", "CosineAnnealingLR"),
        ("exp(0.005, 1e-5)", "ExponentialLR"),
        ("poly(0.005, 0, power=2)", "PolynomialLR"),
        ("step(0.005, every=30)", "StepLR"),
        ("decay(0.005, gamma=0.99)", "ExponentialLR"),
        ("restarts(0.005, 1e-5, t_0=20, t_mult=2)", "CosineAnnealingWarmRestarts"),
        ("cyclic(1e-5, 0.005, step_size=20)", "CyclicLR"),
        ("onecycle(0.005)", "OneCycleLR"),
        ("plateau(0.005)", "ReduceLROnPlateau"),
        ("inverse_sqrt(0.005, timescale=9)", "LambdaLR"),
        ("poly(0.005, 1e-5, power=2)", "LambdaLR"),
        ("linear(0, 0.005)", "LambdaLR"),
        ("0.005:10, 1e-3", "LambdaLR"),
        ("warmup(0.005):10, cosine(0)", "LambdaLR"),
    ],
)
def test_torchs_own_scheduler_is_used_where_it_is_the_same(text: str, scheduler: str):
    assert f"from torch.optim.lr_scheduler import {scheduler}\n" in export(planned(text), "pytorch").text


@pytest.mark.parametrize(
    "text",
    ["onecycle(0.005)", "onecycle(0.005, three_phase=yes, anneal=linear, max_momentum=0.9)", "cyclic(1e-5, 0.005, step_size=13)",
     "cyclic(1e-5, 0.005, step_size=13, step_size_down=5, mode=triangular2, base_momentum=0.7)"],
)
def test_a_snippet_of_one_shape_drives_momentum_too(text: str):
    made = planned(text)
    rates, betas = torch_run(snippet(export(made, "pytorch").text), STEPS)
    assert rates == pytest.approx(values(made).tolist(), rel=1e-9)
    assert betas == pytest.approx(made.momenta(np.arange(STEPS)).tolist(), rel=1e-9)


@pytest.mark.parametrize(
    "text",
    [
        "plateau(0.005, factor=0.5, patience=2)",
        "plateau(0.005, patience=0, mode=abs, threshold=0.01, cooldown=3, every=4, min=1e-4)",
        "plateau(1e-8, factor=0.3, patience=1, min=1)",
    ],
)
def test_a_plateaus_snippet_cuts_when_the_run_does(text: str):
    made = planned(text)
    names = snippet(export(made, "pytorch").text)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    watcher, watch = names["make_scheduler"](optimizer), replay(made, [])
    draw = random.Random(7)
    for k in range(STEPS):
        segment = segment_at(made, k)
        assert segment is not None
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate_at(watch, segment), rel=1e-12)
        loss = math.nan if draw.random() < 0.05 else 0.1 + draw.random()
        watch = advance(watch, segment, k, loss)
        optimizer.step()
        watcher.step(loss)


def test_a_plateau_that_watches_validation_is_torchs_own_and_the_note_says_what_it_is_given():
    made = planned("plateau(0.005, factor=0.5, patience=2, watch=validation)")
    found = export(made, "pytorch")
    assert "step(metric) where there is a new validation, lower being better" in found.note
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    watcher, watch = snippet(found.text)["make_scheduler"](optimizer), replay(made, [])
    for k, left in enumerate((0.9, 0.8, 0.8, 0.8, 0.8, 0.7)):
        watch = advance(watch, segment_at(made, k), k, math.nan, {"validation": left})
        optimizer.step()
        watcher.step(left)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(watch.plateau.rate, rel=1e-12)
    assert watch.plateau.rate < 0.005
    with pytest.raises(ExportError, match="has no `every`"):
        export(planned("plateau(0.005, watch=progress, every=10)"), "pytorch")


def test_a_snippet_goes_on_with_the_last_rate_after_the_run():
    names = snippet(export(planned("0.005:10, rex(0.005, 1e-4):50"), "pytorch").text)
    rates, _ = torch_run(names, 60)
    assert rates[49:] == [rates[49]] * 11


@pytest.mark.parametrize("text", CURVES)
def test_the_formulas_of_snippets_agree_with_the_curves(text: str):
    made = planned(text)
    for segment in made.segments:
        if segment.passes is None:
            rates = [formula_value(segment, k - segment.start) for k in range(segment.start, min(segment.stop, made.stop))]
            assert rates == pytest.approx(values(made)[segment.start : segment.stop].tolist(), rel=1e-9, abs=1e-17)


def formula_value(segment: Segment, j: int) -> float:
    formula: Any = segment.entry.formula
    given = {"n": segment.length, **segment.values}
    return formula(j, **{name: given[name] for name in inspect.signature(formula).parameters if name != "j"})


def test_a_text_with_a_comment_stays_a_comment_in_the_snippet():
    text = export(planned("0.005:10, # up\n1e-3"), "pytorch").text
    assert text.startswith("# 0.005:10, 1e-3\n# exported for max steps 200\n")
    snippet(text)


# diffusers --------------------------------------------------------------------------------------


def diffusers_rates(rules: str, base: float, steps: int) -> list[float]:
    """get_piecewise_constant_schedule: multipliers, thresholds that are absolute steps, a bare last one."""
    *parts, last = rules.split(",")
    table = sorted((int(part.split(":")[1]), float(part.split(":")[0])) for part in parts)
    return [base * next((multiple for end, multiple in table if k < end), float(last)) for k in range(steps)]


@pytest.mark.parametrize("base", [None, 0.003, 1.0])
@pytest.mark.parametrize(
    "text", ["0.005", "0.005:10, 1e-3:60, 1e-5", "0.005:10, 1e-3:60", "0:10, 0.001:20, 0", "step(0.005, every=30, gamma=0.3)",
             "repeat(3, 1e-3:10, 7e-4:20), constant(1e-4)"],
)
def test_constant_phases_are_diffusers_rules(text: str, base: float | None):
    made = planned(text)
    found = export(made, "diffusers", base=base)
    unit = base or next(rate for rate in values(made) if rate)
    assert diffusers_rates(found.text, unit, made.stop) == pytest.approx(values(made).tolist(), rel=1e-14)
    assert found.worst_error == 0.0
    assert f"the optimizer's rate, which is {text_of(unit).removesuffix('.0')}" in found.note


def test_rules_look_like_those_of_the_documentation():
    assert export(planned("0.005:10, 5e-4:20, 5e-5"), "diffusers").text == "1:10,0.1:20,0.01"


def test_a_curve_becomes_rules_where_an_error_is_asked_for():
    made = planned("cosine(0.005, 1e-4)")
    found = export(made, "diffusers", error=0.05)
    rates = np.array(diffusers_rates(found.text, 0.005, STEPS))
    assert np.all(np.abs(rates / values(made) - 1) <= 0.05 + 1e-12)
    assert 0.04 < found.worst_error <= 0.05 + 1e-12


# DeepSpeed --------------------------------------------------------------------------------------


def deepspeed_rates(section: dict[str, Any], steps: int, lr: float = 0.0) -> list[float]:
    """DeepSpeed's schedulers at updates 0, 1, ...: warm-ups are those of the index before, which starts at -1."""
    p, name = section["params"], section["type"]
    size = max(2, p.get("warmup_num_steps", 2))

    def climb(j: int) -> float:
        return math.log(j + 1) / math.log(size) if p["warmup_type"] == "log" else j / size

    def warm(j: int) -> float:
        low, high = p["warmup_min_lr"], p["warmup_max_lr"]
        if j < 0:
            return low
        if j < size:
            return low + (high - low) * climb(j)
        if name == "WarmupLR":
            return high
        return low + (high - low) * max(0.0, (p["total_num_steps"] - j) / max(1.0, p["total_num_steps"] - size))

    def cosine(j: int) -> float:
        if j < 0:
            return 0.0
        if j < size:
            return lr * (p["warmup_min_ratio"] + (1 - p["warmup_min_ratio"]) * climb(j))
        t = (j - size + 1) / max(1, p["total_num_steps"] - size)
        return lr * max(0.0, p["cos_min_ratio"] + (1 - p["cos_min_ratio"]) * (1 + math.cos(math.pi * t)) / 2)

    def triangle(k: int) -> float:
        low, up, down = p["cycle_min_lr"], p["cycle_first_step_size"], p["cycle_second_step_size"]
        if k > up + down:
            return low
        return low + (p["cycle_max_lr"] - low) * (k / up if k <= up else (up + down - k) / down)

    def test(k: int) -> float:
        size = p["lr_range_test_step_size"]
        steps = k // size if p["lr_range_test_staircase"] else k / size
        return p["lr_range_test_min_lr"] * (1 + p["lr_range_test_step_rate"] * steps)

    late = {"WarmupLR": warm, "WarmupDecayLR": warm, "WarmupCosineLR": cosine}
    now = {"OneCycle": triangle, "LRRangeTest": test}
    return [late[name](k - 1) if name in late else now[name](k) for k in range(steps)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("1e-6:1, linear(1e-6, 1e-3):+40, 1e-3", "WarmupLR"),
        ("0:2, warmup(1e-3, curve=log):+39, 1e-3", "WarmupLR"),
        ("0:1, linear(0, 1e-3):+40, linear(1e-3, 0):201", "WarmupDecayLR"),
        ("1e-5:2, warmup(1e-3, start=1e-5, curve=log):+39, linear(1e-3, 1e-5):301", "WarmupDecayLR"),
        ("0:1, linear(0, 1e-3):+40, linear(1e-3, 0):151, 0", "WarmupDecayLR"),
        ("0:2, repeat(1, warmup(0.005, curve=log):39):40, cosine(0.005, 5e-7)", "WarmupCosineLR"),
        ("0:1, 1e-4:2, repeat(1, warmup(0.005, start=1e-4, curve=log):39):40, cosine(0.005, 5e-7):300", "WarmupCosineLR"),
        ("0:2, cosine(0.005, 0)", "WarmupCosineLR"),
        ("cyclic(1e-5, 1e-3, step_size=50, step_size_down=70, cycle_momentum=no):120, 1e-5", "OneCycle"),
        ("linear(0, 1e-3):50, linear(0):150, 0", "OneCycle"),
        ("cyclic(1e-5, 1e-3, step_size=80, step_size_down=140, cycle_momentum=no)", "OneCycle"),
        ("linear(1e-5, 1e-2)", "LRRangeTest"),
        ("range_test(1e-5, 1e-2, mode=linear)", "LRRangeTest"),
        ("range_test(1e-5, 1e-2, mode=linear, stair=9)", "LRRangeTest"),
    ],
)
def test_deepspeed_computes_the_plans_rates_from_the_section(text: str, name: str):
    made = planned(text)
    section = json.loads(export(made, "deepspeed").text)["scheduler"]
    assert section["type"] == name
    assert deepspeed_rates(section, made.stop, values(made).max()) == pytest.approx(values(made).tolist(), rel=1e-9, abs=1e-16)


def test_deepspeeds_one_cycle_takes_the_momentum_of_a_single_cycle():
    text = "cyclic(1e-5, 1e-3, step_size=60, step_size_down=140, base_momentum=0.8, max_momentum=0.9)"
    found = export(planned(text), "deepspeed")
    params = json.loads(found.text)["scheduler"]["params"]
    assert [params[name] for name in ("cycle_momentum", "cycle_min_mom", "cycle_max_mom")] == [True, 0.8, 0.9]
    assert found.note == "train 200 updates; DeepSpeed sets Adam's beta2 to 0.99 along with momentum"


# kohya ------------------------------------------------------------------------------------------


def kohya_rates(arguments: str) -> list[float]:
    """The schedules of transformers from sd-scripts' arguments, as Python computes them."""
    given = dict(item.removeprefix("--").split("=") for item in arguments.split(" "))
    lr, name, total = float(given["learning_rate"]), given["lr_scheduler"], int(given["max_train_steps"])
    warm = int(given.get("lr_warmup_steps", 0))
    cycles, power = int(given.get("lr_scheduler_num_cycles", 1)), float(given.get("lr_scheduler_power", 1))

    def factor(k: int) -> float:
        if k < warm:
            return k / max(1, warm)
        if name.startswith("constant"):
            return 1.0
        if name == "linear":
            return max(0.0, (total - k) / max(1, total - warm))
        p = (k - warm) / max(1, total - warm)
        if name == "cosine":
            return max(0.0, 0.5 * (1 + math.cos(math.pi * 0.5 * 2 * p)))
        if name == "cosine_with_restarts":
            return 0.0 if p >= 1 else max(0.0, 0.5 * (1 + math.cos(math.pi * ((cycles * p) % 1.0))))
        return ((lr - 1e-7) * (1 - p) ** power + 1e-7) / lr

    return [lr * factor(k) for k in range(total)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("0.005", "constant"),
        ("0.005:70", "constant"),
        ("linear(0, 0.005):30, 0.005", "constant_with_warmup"),
        ("linear(0, 0.005)", "constant_with_warmup"),
        ("linear(0.005, 0)", "linear"),
        ("linear(0, 0.005):30, linear(0)", "linear"),
        ("cosine(0.005, 0)", "cosine"),
        ("linear(0, 0.005):30, cosine(0.005, 0)", "cosine"),
        ("linear(0, 0.005):30, cosine(0.005, 0):130", "cosine"),
        ("restarts(0.005, t_0=50)", "cosine_with_restarts"),
        ("linear(0, 0.005):20, restarts(0.005, t_0=60)", "cosine_with_restarts"),
        ("repeat(4, cosine(0.005, 0):50)", "cosine_with_restarts"),
        ("restarts(0.005, cycles=3)", "cosine_with_restarts"),
        ("linear(0, 0.005):20, restarts(0.005, cycles=7)", "cosine_with_restarts"),
        ("restarts(0.005, cycles=130)", "cosine_with_restarts"),
        ("poly(0.005, 1e-7, power=2)", "polynomial"),
        ("linear(0, 0.005):20, poly(0.005, 1e-7, power=0.7)", "polynomial"),
    ],
)
def test_sd_scripts_computes_the_plans_rates_from_the_arguments(text: str, name: str):
    made = planned(text)
    found = export(made, "kohya")
    assert f" --lr_scheduler={name} " in found.text
    assert kohya_rates(found.text) == pytest.approx(values(made).tolist(), rel=1e-9, abs=1e-15)


def sd_scripts_rates(arguments: str, steps: int) -> list[float]:
    """The rates of the scheduler that sd-scripts makes from a command line, of torch, transformers or diffusers."""
    given: dict[str, list[str]] = {}
    for word in shlex.split(arguments):
        if word.startswith("--"):
            name, mark, value = word[2:].partition("=")
            given[name] = [value] if mark else []
        else:
            given[name].append(word)
    one = {name: values[0] for name, values in given.items() if name != "lr_scheduler_args"}
    pairs = (word.partition("=") for word in given.get("lr_scheduler_args", []))
    more = {name: ast.literal_eval(value) for name, _, value in pairs}
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=float(one["learning_rate"]))
    scheduler = sd_scripts_scheduler(optimizer, one, more)
    rates = []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if len(rates) < steps:
            scheduler.step()
    return rates


def sd_scripts_scheduler(optimizer: Any, one: dict[str, str], more: dict[str, Any]) -> Any:
    name, total, warm = one.get("lr_scheduler", ""), int(one["max_train_steps"]), int(one.get("lr_warmup_steps", 0))
    if "lr_scheduler_type" in one:
        assert not warm
        return getattr(torch.optim.lr_scheduler, one["lr_scheduler_type"])(optimizer, **more)
    if name == "piecewise_constant":
        return diffusers.get_piecewise_constant_schedule(optimizer, **more)
    cycles, decay = int(one.get("lr_scheduler_num_cycles", 1)), int(one.get("lr_decay_steps", 0))
    ratio = float(one.get("lr_scheduler_min_lr_ratio", 0))
    more |= {
        "constant": {}, "constant_with_warmup": {"num_warmup_steps": warm},
        "inverse_sqrt": {"num_warmup_steps": warm, "timescale": int(one.get("lr_scheduler_timescale", 0)) or None},
        "warmup_stable_decay": {"num_warmup_steps": warm, "num_stable_steps": total - warm - decay, "num_decay_steps": decay,
                                "min_lr_ratio": ratio},
    }.get(name, {"num_warmup_steps": warm, "num_training_steps": total})
    if name == "cosine_with_restarts":
        more["num_cycles"] = cycles
    if name == "cosine_with_min_lr":
        more |= {"num_cycles": cycles / 2, "min_lr_rate": ratio}
    if name == "polynomial":
        more["power"] = float(one.get("lr_scheduler_power", 1))
    return transformers.TYPE_TO_SCHEDULER_FUNCTION[transformers.SchedulerType(name)](optimizer, **more)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("cosine(0.005, 1e-5)", "cosine_with_min_lr"),
        ("linear(0, 0.005):30, cosine(1e-4)", "cosine_with_min_lr"),
        ("linear(0, 0.005):30, cosine(0.0021837219347):200", "cosine_with_min_lr"),
        ("inverse_sqrt(0.005, timescale=17)", "inverse_sqrt"),
        ("linear(0, 0.005):100, inverse_sqrt(0.005, timescale=100)", "inverse_sqrt"),
        ("wsd(0.005, 0, warmup=0, decay=50, curve=cosine)", "warmup_stable_decay"),
        ("wsd(0.005, 1e-5, warmup=0, decay=150, curve=cosine)", "warmup_stable_decay"),
        ("linear(0, 0.005):30, 0.005:120, cosine(0)", "warmup_stable_decay"),
        ("0.005:120, cosine(1e-3)", "warmup_stable_decay"),
        ("linear(0.005, 1e-4)", "polynomial"),
        ("linear(0, 0.005):30, linear(1e-4)", "polynomial"),
        ("linear(0, 0.005):30, poly(0, power=2.5)", "polynomial"),
        ("0.005:10, 1e-3:60, 1e-5", "piecewise_constant"),
        ("0:10, 0.001:20, 0", "piecewise_constant"),
        ("repeat(3, 1e-3:10, 7e-4:20), constant(1e-4)", "piecewise_constant"),
        ("repeat(3, step(1e-3, every=5):30), 1e-4", "piecewise_constant"),
        ("cosine(0.005, 1e-5):300", "CosineAnnealingLR"),
        ("cosine(1e-5, 0.005)", "CosineAnnealingLR"),
        ("linear(0.001, 0.005)", "LinearLR"),
        ("exp(0.005, 1e-6)", "ExponentialLR"),
        ("decay(0.005, gamma=0.99)", "ExponentialLR"),
        ("step(0.005, every=30, gamma=0.5)", "StepLR"),
        ("poly(0.005, 0, power=2.5):300", "PolynomialLR"),
        ("restarts(0.005, 1e-5, t_0=7, t_mult=3)", "CosineAnnealingWarmRestarts"),
        ("warmup(0.005)", "LinearLR"),
        ("cyclic(1e-5, 0.005, step_size=13, step_size_down=7, mode=triangular2)", "CyclicLR"),
        ("onecycle(0.005, anneal=linear, three_phase=yes, pct_start=0.2)", "OneCycleLR"),
        ("onecycle(0.005, cycle_momentum=no)", "OneCycleLR"),
    ],
)
def test_sd_scripts_makes_a_scheduler_with_the_plans_rates_from_the_arguments(text: str, name: str):
    made = planned(text)
    found = export(made, "kohya")
    assert re.search(f" --lr_scheduler(_type)?={name} ", found.text)
    assert sd_scripts_rates(found.text, made.stop) == pytest.approx(values(made).tolist(), rel=1e-9, abs=1e-15)


def test_arguments_that_the_shell_would_take_apart_are_quoted():
    found = export(planned("0.005:10, 1e-3:60, 1e-5"), "kohya")
    assert found.text == (
        "--learning_rate=0.005 --lr_scheduler=piecewise_constant "
        "--lr_scheduler_args \"step_rules='1:10,0.2:60,0.002'\" --max_train_steps=200"
    )


def test_error_more_phases_than_a_command_line_takes():
    message = r"^these segments are \d{6} characters of step_rules; a command line takes 100000 at most$"
    with pytest.raises(ExportError, match=message):
        export(planned("repeat(9999, 1e-3:1, 2e-3:1)", 19_998), "kohya")


def test_a_cycle_that_drives_momentum_says_what_the_optimizer_needs():
    assert export(planned("onecycle(0.005)"), "kohya").note.endswith("; its optimizer needs a momentum or betas")


DECAYS = [
    ("0.001:150, linear(0.001, 0):200", "linear", 0, 50, 0.0), ("linear(0, 0.001):20, 0.001:150, linear(0)", "linear", 20, 50, 0.0),
    ("wsd(0.001, 1e-4, warmup=0, decay=50, curve=linear)", "linear", 0, 50, 0.1),
    ("wsd(0.001, 1e-4, warmup=0, decay=50, curve=sqrt)", "1-sqrt", 0, 50, 0.1),
    ("wsd(0.001, 0, warmup=0, decay=200, curve=sqrt)", "1-sqrt", 0, 200, 0.0),
    ("linear(0, 0.001):20, wsd(0.001, 0, warmup=0, decay=30, curve=sqrt)", "1-sqrt", 20, 30, 0.0),
]


@pytest.mark.parametrize(("text", "kind", "warm", "decay", "low"), DECAYS)
def test_a_decay_of_another_kind_is_an_argument_of_sd_scripts_schedule(text: str, kind: str, warm: int, decay: int, low: float):
    """By transformers' formulas: the installed release may know no kinds yet."""
    made = planned(text)
    found = export(made, "kohya")
    assert found.text == (
        f"--learning_rate=0.001 --lr_scheduler=warmup_stable_decay --lr_warmup_steps={warm} --lr_decay_steps={decay} "
        f'--lr_scheduler_min_lr_ratio={low:g} --lr_scheduler_args "decay_type=\'{kind}\'" --max_train_steps=200'
    )
    assert found.note.endswith("; its transformers has to know decay_type")
    t = np.maximum(0, np.arange(200) - (200 - decay)) / decay
    wanted = 0.001 * (low + (1 - low) * (1 - (t if kind == "linear" else np.sqrt(t))))
    wanted[:warm] = 0.001 * np.arange(warm) / max(1, warm)
    assert values(made) == pytest.approx(wanted, rel=1e-12, abs=1e-17)


def test_arguments_of_sd_scripts_are_one_line():
    found = export(planned("linear(0, 0.005):20, restarts(0.005, t_0=60)"), "kohya")
    assert found.text == (
        "--learning_rate=0.005 --lr_scheduler=cosine_with_restarts --lr_warmup_steps=20 "
        "--lr_scheduler_num_cycles=3 --max_train_steps=200"
    )


# What cannot be said ----------------------------------------------------------------------------

MOMENTUM = "drives momentum too, and {} cannot; write `cycle_momentum=no` to export the rate alone"
CURVE = "is a curve, and diffusers has constant segments only; give an error such as 2% to approximate it with constant segments"
AFTER = MOMENTUM.format("DeepSpeed's OneCycle after its cycle")
LOOKS = "`plateau` looks at the loss, and"
TORCH = "drives momentum, which torch has for one shape over the whole run only; write `cycle_momentum=no` to export the rate alone"
DEEPSPEED = "none of DeepSpeed's WarmupLR, WarmupDecayLR, WarmupCosineLR, OneCycle and LRRangeTest gives these rates "
KOHYA = "none of the schedules of sd-scripts gives these rates "


@pytest.mark.parametrize(
    ("to", "text", "message"),
    [
        ("a1111", "plateau(0.005)", "`plateau` looks at the loss, and the WebUI without this extension cannot"),
        ("a1111", "0.005:5, onecycle(0.005)", f"`onecycle` {MOMENTUM.format('the WebUI without this extension')}"),
        ("pytorch", "0.005:5, plateau(0.005)", f"{LOOKS} a torch scheduler together with other segments cannot"),
        ("pytorch", "0.005:5, cyclic(0, 0.005, step_size=9)", f"`cyclic` {TORCH}"),
        ("diffusers", "plateau(0.005)", "`plateau` looks at the loss, and diffusers cannot"),
        ("diffusers", "0.005:5, cosine(0)", f"`cosine` {CURVE}"),
        ("diffusers", "repeat(2, 1e-3:5, decay(0.005, gamma=0.9):5)", f"`decay` {CURVE}"),
        ("diffusers", "0", "every rate of this plan is 0: multipliers need a base rate, give one"),
        ("deepspeed", "plateau(0.005)", "`plateau` looks at the loss, and DeepSpeed cannot"),
        ("deepspeed", "0.005", "a constant rate is not a scheduler in DeepSpeed: set lr 0.005 in its optimizer section"),
        ("deepspeed", "rex(0.005, 0)", f"{DEEPSPEED}(rex)FAR"),
        ("deepspeed", "warmup(0.005, curve=cosine):100, 0.005",
         f"{DEEPSPEED}(warmup, constant); its warm-up is one step late, such as 0:1, linear(0, 0.005):+100, 0.005FAR"),
        ("deepspeed", "cyclic(1e-5, 1e-3, step_size=50):100, 1e-5", f"`cyclic` {AFTER}"),
        ("deepspeed", "cyclic(1e-5, 1e-3, step_size=20, cycle_momentum=no)", f"{DEEPSPEED}(cyclic)FAR"),
        ("kohya", "plateau(0.005)", "`plateau` looks at the loss, and sd-scripts cannot"),
        ("kohya", "0.005:5, onecycle(0.005)", f"`onecycle` {MOMENTUM.format('sd-scripts beside other segments')}"),
        ("kohya", "warmup(0.005):30, rex(0)",
         f"{KOHYA}(warmup, rex); their warm-up starts at a rate of 0, such as linear(0, 0.005):100FAR"),
        ("kohya", "exp(0.005, 1e-3):10, cosine(1e-5)",
         f"{KOHYA}(exp, cosine); each climbs from 0 or not at all, then holds, and falls once, to max stepsFAR"),
        ("kohya", "rex(0.005, 1e-3):+10, rex(1e-4):+10, rex(1e-3):+10, rex(1e-4):+10, rex(1e-5):+10, rex(0)",
         f"{KOHYA}(rex, rex, rex, rex and 2 more); each climbs from 0 or not at all, then holds, and falls once, to max stepsFAR"),
    ],
)
def test_error_a_format_names_what_it_cannot_say(to: str, text: str, message: str):
    with pytest.raises(ExportError) as caught:
        export(planned(text), to)
    found, far = caught.value.message, ""
    if message.endswith("FAR"):
        found, _, far = found.partition("; the nearest is off by ")
        assert re.fullmatch(r"\S+ \(\S+ in the place of \S+ at step \d+\), \d+% of the highest rate", far), far
    assert found == message.removesuffix("FAR")
    assert str(caught.value) == caught.value.message


def test_error_floats_that_miss_a_restart_are_not_given_out():
    made = planned("linear(0, 0.005):10, restarts(0.005, t_0=10)", 500)
    with pytest.raises(ExportError) as caught:
        export(made, "kohya")
    assert caught.value.message == (
        "sd-scripts' cosine_with_restarts rounds the restart at step 20 to the end of a cycle, where the rate is 0 "
        "(linear, restarts)"
    )
    # 49 x (10 / 490) is just below 1, and its cosine just above 0: the peak is missed.
    arguments = "--learning_rate=0.005 --lr_scheduler=cosine_with_restarts --lr_scheduler_num_cycles=49 --max_train_steps=490"
    assert kohya_rates(arguments)[10] < 1e-9


def test_restarts_that_floats_miss_are_left_to_torch():
    made = planned("restarts(0.005, t_0=10)", 490)
    found = export(made, "kohya")
    assert "--lr_scheduler_type=CosineAnnealingWarmRestarts" in found.text
    assert sd_scripts_rates(found.text, 490) == pytest.approx(values(made).tolist(), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(
    ("to", "options", "message"),
    [
        ("json", {}, "no format `json`; there are a1111, pytorch, diffusers, deepspeed, kohya"),
        ("pytorch", {"error": 0.1}, "pytorch takes no error: it expresses a plan exactly or not at all"),
        ("a1111", {"base": 0.1}, "a1111 takes no base rate"),
        ("a1111", {"error": 1.0}, "expected an error from 0 to below 1, such as 0.02 or 2%, got 1"),
        ("a1111", {"error": math.nan}, "expected an error from 0 to below 1, such as 0.02 or 2%, got nan"),
        ("diffusers", {"base": 0.0}, "expected a finite number above 0 as the base rate, got 0"),
        ("diffusers", {"base": math.inf}, "expected a finite number above 0 as the base rate, got inf"),
    ],
)
def test_error_options_that_a_format_does_not_take(to: str, options: dict[str, float], message: str):
    with pytest.raises(ExportError) as caught:
        export(planned("0.005:10, 1e-3"), to, **options)
    assert caught.value.message == message


def test_error_a_plan_too_long_to_look_at_is_refused():
    with pytest.raises(ExportError) as caught:
        export(planned("0.005", 10_000_001), "a1111")
    assert caught.value.message == "an export looks at every step, at most 10000000 of them; this plan has 10000001"


@pytest.mark.parametrize("to", ["a1111", "diffusers", "deepspeed", "kohya"])
def test_error_rates_that_overflow_are_refused(to: str):
    with pytest.raises(ExportError) as caught:
        export(planned("1e-3:3, 1e300"), to)
    assert caught.value.message == "an export takes rates up to 1e+100; this plan has 1e+300"


def test_error_a_base_rate_too_far_away_is_refused():
    with pytest.raises(ExportError) as caught:
        export(planned("5e-324:3, 1e-3"), "diffusers")
    assert caught.value.message == "no multiplier makes 0.001 of the base rate 5e-324; give one that is nearer"


def test_the_tiniest_rates_are_phases_of_their_own():
    made = planned("decay(1e-320, gamma=0.5)", 20)
    assert host_rates(export(made, "a1111", error=0.5).text, 20) == values(made).tolist()


def test_error_a_constant_with_dust_is_a_constant():
    with pytest.raises(ExportError) as caught:
        export(planned("warmup(0.005, start=0.005, curve=log)"), "deepspeed")
    assert caught.value.message == "a constant rate is not a scheduler in DeepSpeed: set lr 0.005 in its optimizer section"


def test_an_error_points_at_the_item():
    with pytest.raises(ExportError) as caught:
        export(planned("0.005:5, onecycle(0.005)"), "a1111")
    assert caught.value.span == (9, 24)


# The nearest form ---------------------------------------------------------------------------------


def their_rates(found: Any, to: str, made: Any) -> np.ndarray:
    """By the other program's own rules, not by those of the exporter."""
    if to == "kohya":
        return np.array(sd_scripts_rates(found.text, made.stop))
    return np.array(deepspeed_rates(json.loads(found.text)["scheduler"], made.stop, float(values(made).max())))


@pytest.mark.parametrize(
    ("to", "text", "name", "at_start"),
    [
        ("kohya", "warmup(0.005):5%, cosine(0.005, 1e-5)", "cosine_with_min_lr --lr_warmup_steps=100 ", True),
        ("kohya", "warmup(0.005):100, cosine(0)", "cosine --lr_warmup_steps=100 ", True),
        ("kohya", "warmup(0.005):100, 0.005", "constant_with_warmup --lr_warmup_steps=100 ", True),
        ("kohya", "warmup(0.005):30, linear(1e-5)", "polynomial --lr_warmup_steps=30 ", True),
        ("deepspeed", "warmup(0.005):5%, cosine(0.005, 1e-5)", "WarmupCosineLR", True),
        ("deepspeed", "linear(0, 0.005):100, cosine(0.005, 1e-5)", "WarmupCosineLR", False),
        ("deepspeed", "warmup(0.005):100, 0.005", "WarmupLR", False),
        ("deepspeed", "warmup(0.005):30, linear(1e-5)", "WarmupDecayLR", False),
        ("deepspeed", "cosine(0.005, 0)", "WarmupCosineLR", True),
    ],
)
def test_what_has_no_exact_form_leaves_in_the_nearest_which_says_how_near(to: str, text: str, name: str, at_start: bool):
    made = planned(text, 2000)
    found = export(made, to)
    assert name in found.text
    wanted, rates = values(made), their_rates(found, to, made)
    away = np.abs(rates - wanted)
    assert found.worst_error == pytest.approx((away[wanted > 0] / wanted[wanted > 0]).max(), rel=1e-6)
    said = re.match(
        r"the nearest form, not exact: (.* has a rate of 0 in the first update; )?(.*?) differs?(?: \((\d+) to (\d+)\))?; "
        r"at most by (\S+) \((\S+) in the place of (\S+) at step (\d+)\), ([\d.]+)% of the highest rate(.*?)([\d.]+)%.*; "
        r"with PlanLR it is exact there too; ", found.note,
    )
    assert said is not None, found.note
    assert (said[1] is not None) == at_start == bool(rates[0] == 0 < wanted[0])
    differ = np.flatnonzero(~np.isclose(rates, wanted, rtol=1e-8, atol=1e-16))
    if said[3] is None:
        assert said[2] == f"step {differ[0]} alone"
        assert len(differ) == 1
    else:
        assert said[2] == f"{len(differ)} of 2000 steps"
        assert (int(said[3]), int(said[4])) == (differ[0], differ[-1])
    worst = int(said[8])
    assert away[worst] == pytest.approx(away.max(), rel=1e-6)
    assert float(said[5]) == pytest.approx(away[worst], rel=0.01)
    assert (float(said[6]), float(said[7])) == pytest.approx((rates[worst], wanted[worst]), rel=0.01, abs=1e-12)
    assert float(said[9]) == pytest.approx(100 * away.max() / wanted.max(), abs=0.006)
    assert float(said[11]) == pytest.approx(100 * found.worst_error, abs=0.006)


def test_what_is_near_is_never_far_at_a_single_step():
    """Near is at most two updates early or late, and 5% beside that; nothing is trained where the plan trains nothing."""
    wanted = np.concatenate((np.linspace(0.1, 1.0, 10), np.full(200, 1.0)))
    late = np.concatenate(([0.0], wanted[:-1]))
    assert is_near(late, wanted)
    assert not is_near(np.concatenate((np.zeros(3), wanted[:-3])), wanted)
    assert is_near(wanted * 1.02, wanted)
    assert not is_near(wanted * 1.06, wanted)
    assert not is_near(late[::-1], wanted)
    assert not is_near(np.full(50, 1.0), np.concatenate(([0.1], np.full(49, 1.0))))  # ten times the rate for one update
    silent = wanted.copy()
    silent[100] = 0.0
    assert not is_near(wanted, silent)
    jumps = np.tile([1.0, 2.0], 50)
    assert not is_near(np.roll(jumps, 1), jumps)


def test_every_format_is_in_the_table():
    assert list(EXPORTERS) == ["a1111", "pytorch", "diffusers", "deepspeed", "kohya"]
