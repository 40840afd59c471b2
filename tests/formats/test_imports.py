"""Imports, evaluated by the rules of the program that they come from, against the plan of the text."""

from __future__ import annotations

import json
import math
import shlex
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lib_lrsched import plan
from lib_lrsched.formats.exports import export
from lib_lrsched.formats.imports import ImportFormatError, import_text
from lib_lrsched.formats.registry import IMPORTERS
from lib_lrsched.practice.learn_schedule import LearnRateScheduler

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    transformers = pytest.importorskip("transformers.optimization")

STEPS = 300


def rates_of(text: str, steps: int = STEPS) -> list[float]:
    made = plan(text, total_steps=steps)
    return made.values(np.arange(made.stop)).tolist()


# The WebUI's string -----------------------------------------------------------------------------


def host_rates(text: str, max_steps: int) -> list[float]:
    scheduler = LearnRateScheduler(text, max_steps, 0, verbose=False)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=scheduler.learn_rate)
    rates: list[float] = []
    for k in range(max_steps):
        scheduler.apply(optimizer, k)
        if scheduler.finished:
            break
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


@pytest.mark.parametrize(
    ("text", "expected", "note"),
    [
        ("0.005", "0.005", ""),
        ("0.005:100, 1e-3:1000, 1e-5", "0.005:100, 1e-3:1000, 1e-5", ""),
        (" 0.005 : 100 ,, 1e-3 :-1 ,", "0.005:100, 1e-3", ""),
        ("0.005:100, 1e-3:200", "0.005:100, 1e-3:200", ""),
        ("1e-3:+50, 1e-4", "1e-3:50, 1e-4", ""),
        ("1e-3:0, 2e-3:-7, 1e-4:20, 1e-5", "1e-4:20, 1e-5", "`1e-3:0` never runs; `2e-3:-7` never runs"),
        ("1e-3:10, 1e-4, 1e-5:20, what", "1e-3:10, 1e-4", "`1e-5:20` never runs; `what` never runs"),
        ("1e-3:10:20", "1e-3", "`1e-3:10:20` was an open end there"),
    ],
)
def test_a_string_keeps_the_meaning_that_it_has_in_the_webui(text: str, expected: str, note: str):
    found = import_text(text, "a1111")
    assert found == (expected, None, note)
    assert rates_of(found.text) == host_rates(text, STEPS)


@settings(max_examples=100, deadline=None)
@given(
    rates=st.lists(st.floats(0, 1), min_size=1, max_size=6),
    ends=st.lists(st.integers(-2, 400), min_size=6, max_size=6),
    bare=st.booleans(),
)
def test_every_string_of_the_webui_is_read_as_there_or_refused(rates: list[float], ends: list[int], bare: bool):
    items = [f"{rate}:{end}" for rate, end in zip(rates, ends)] + (["0.25"] if bare else [])
    text = ",".join(items)
    try:
        found = import_text(text, "a1111")
    except ImportFormatError:
        below = [end for end in ends[: len(rates)] if end > 0]
        assert below != sorted(set(below)) or not (below or bare or -1 in ends)
        return
    # Where an item ends exactly at max steps and another follows, the WebUI makes one update more than it should.
    assume(STEPS not in ends)
    assert rates_of(found.text) == host_rates(text, STEPS)


@pytest.mark.parametrize(
    "text",
    ["0.005:100, 0.001:250, 1e-5", "0.005:100", "warmup(0.005):60, cosine(0.005, 1e-5)", "0:10, linear(0, 0.005):40, rex(1e-4)"],
)
def test_what_was_exported_to_the_webui_comes_back_with_the_same_rates(text: str):
    exported = export(plan(text, total_steps=STEPS), "a1111", error=0.05)
    assert rates_of(import_text(exported.text, "a1111").text) == host_rates(exported.text, STEPS)


# diffusers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "base", "expected"),
    [
        ("1:10,0.1:20,0.01:30,0.005", 0.005, "0.005:10, 0.0005:20, 5e-5:30, 2.5e-5"),
        ("0.1:20, 1:10, 0.01", 0.003, "0.003:10, 0.0003:20, 3e-5"),
        ("0.3", 0.003, "0.0009"),
        ("5:0,1:10,1:10,0.5:10,0", 0.001, "0.0005:10, 0"),
    ],
)
def test_rules_become_absolute_rates_as_their_decimals_say(rules: str, base: float, expected: str):
    found = import_text(rules, "diffusers", base=base)
    assert found == (expected, None, "")
    *parts, last = rules.split(",")
    table = {int(part.split(":")[1]): float(part.split(":")[0]) for part in parts}
    wanted = [base * next((table[end] for end in sorted(table) if k < end), float(last)) for k in range(60)]
    assert rates_of(found.text, 60) == pytest.approx(wanted, rel=1e-15)


def test_what_was_exported_to_diffusers_comes_back():
    text = "0.003:40, 0.0007:90, 1e-5"
    exported = export(plan(text, total_steps=STEPS), "diffusers")
    assert import_text(exported.text, "diffusers", base=0.003).text == text


# DeepSpeed --------------------------------------------------------------------------------------


def section(name: str, **params: Any) -> str:
    return json.dumps({"scheduler": {"type": name, "params": params}})


def warm(j: int, size: int, kind: str) -> float:
    if j >= size:
        return 1.0
    return math.log(j + 1) / math.log(size) if kind == "log" else j / size


@pytest.mark.parametrize("kind", ["linear", "log"])
@pytest.mark.parametrize("size", [2, 3, 40, 299, 500])
def test_a_warm_up_is_one_step_late(kind: str, size: int):
    given = section("WarmupLR", warmup_min_lr=1e-5, warmup_max_lr=0.01, warmup_num_steps=size, warmup_type=kind)
    text = import_text(given, "deepspeed").text
    wanted = [1e-5 + (0.01 - 1e-5) * (warm(k - 1, size, kind) if k else 0.0) for k in range(STEPS)]
    assert rates_of(text) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("size", [0, 1])
def test_a_warm_up_of_less_than_two_steps_is_one_of_two_as_there(size: int):
    given = section("WarmupLR", warmup_max_lr=0.01, warmup_num_steps=size, warmup_type="linear")
    assert rates_of(import_text(given, "deepspeed").text, 5) == pytest.approx([0, 0, 0.005, 0.01, 0.01])


@pytest.mark.parametrize("kind", ["linear", "log"])
@pytest.mark.parametrize("size", [2, 40, 299])
def test_warm_up_and_decay(kind: str, size: int):
    params = {"warmup_min_lr": 1e-5, "warmup_max_lr": 0.01, "warmup_num_steps": size, "warmup_type": kind}
    given = section("WarmupDecayLR", total_num_steps=STEPS, **params)
    found = import_text(given, "deepspeed")

    def factor(j: int) -> float:
        return warm(max(j, 0), size, kind) if j < size else (STEPS - j) / max(1, STEPS - size)

    assert found.total_steps == STEPS
    assert rates_of(found.text) == pytest.approx([1e-5 + (0.01 - 1e-5) * factor(k - 1) for k in range(STEPS)], rel=1e-12)


def test_a_warm_up_that_is_longer_than_the_run_is_cut_as_there():
    given = section("WarmupDecayLR", total_num_steps=30, warmup_max_lr=0.01, warmup_num_steps=100, warmup_type="linear")
    found = import_text(given, "deepspeed")
    assert rates_of(found.text, 30) == pytest.approx([0.0, *(0.0001 * k for k in range(29))])
    assert (found.total_steps, found.note) == (30, "the run of 30 steps is over before the warm-up of 100")


@pytest.mark.parametrize("low", [0.0, 0.02])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 40, 299])
def test_warm_up_and_cosine_of_the_optimizers_rate(size: int, low: float):
    params = {"total_num_steps": STEPS, "warmup_num_steps": size, "warmup_min_ratio": low}
    given = {"optimizer": {"params": {"lr": 0.004}}, "scheduler": {"type": "WarmupCosineLR", "params": params}}
    found = import_text(json.dumps(given), "deepspeed")
    size = max(2, size)

    def ratio(j: int) -> float:
        if j < 0:
            return 0.0
        if j < size:
            return low + (1 - low) * warm(j, size, "log")
        return 1e-4 + (1 - 1e-4) * (1 + math.cos(math.pi * (j - size + 1) / (STEPS - size))) / 2

    assert found.total_steps == STEPS
    assert rates_of(found.text) == pytest.approx([0.004 * ratio(k - 1) for k in range(STEPS)], rel=1e-11)


def test_one_cycle_is_a_triangle_and_then_its_lowest_rate():
    given = section("OneCycle", cycle_min_lr=1e-5, cycle_max_lr=1e-3, cycle_first_step_size=50, cycle_second_step_size=90)
    found = import_text(given, "deepspeed")
    wanted = [1e-5 + 99e-5 * (k / 50 if k <= 50 else max(0.0, (140 - k) / 90)) for k in range(STEPS)]
    assert rates_of(found.text) == pytest.approx(wanted, rel=1e-12)
    made = plan(found.text, total_steps=STEPS)
    assert [made.momentum(k) for k in (0, 50, 140)] == pytest.approx([0.9, 0.8, None])
    assert found.note == ("DeepSpeed also sets Adam's beta2 to 0.99, and leaves beta1 at 0.9 after the cycle; "
                          "neither has an equivalent here")


def test_one_cycle_without_momentum_has_no_note():
    given = section("OneCycle", cycle_min_lr=1e-5, cycle_max_lr=1e-3, cycle_momentum=False)
    found = import_text(given, "deepspeed")
    assert found.text == "cyclic(1e-5, 0.001, rise=2000, fall=2000, cycle_momentum=no):4000, 1e-5"
    assert found.note == ""


@pytest.mark.parametrize("stairs", [False, True])
def test_a_range_test_rises_as_long_as_the_run_lasts(stairs: bool):
    given = section("LRRangeTest", lr_range_test_min_lr=1e-4, lr_range_test_step_size=7, lr_range_test_step_rate=0.5,
                    lr_range_test_staircase=stairs)
    found = import_text(given, "deepspeed")
    wanted = [1e-4 * (1 + 0.5 * (k // 7 if stairs else k / 7)) for k in range(STEPS)]
    assert rates_of(found.text) == pytest.approx(wanted, rel=1e-12)
    assert found.note == "DeepSpeed's rate rises without an end; max steps ends the test"


def test_a_range_test_with_short_intervals_is_as_long_as_any_run():
    given = section("LRRangeTest", lr_range_test_min_lr=1e-4, lr_range_test_step_size=2, lr_range_test_step_rate=0.5,
                    lr_range_test_staircase=True)
    made = plan(import_text(given, "deepspeed").text, total_steps=100_000)
    assert made.stop == 100_000
    assert made.value(99_999) == pytest.approx(1e-4 * (1 + 0.5 * 49_999), rel=1e-12)


@pytest.mark.parametrize(
    "text",
    ["1e-6:1, linear(1e-6, 1e-3):+40, 1e-3", "0:1, linear(0, 1e-3):+40, linear(1e-3, 0):301",
     "0:2, repeat(1, warmup(0.005, start=0, curve=log):39):40, cosine(0.005, 5e-7):300",
     "cyclic(1e-5, 0.001, step_size=50, step_size_down=70, cycle_momentum=no):120, 1e-5"],
)
def test_what_was_exported_to_deepspeed_comes_back_with_the_same_rates(text: str):
    exported = export(plan(text, total_steps=STEPS), "deepspeed")
    assert rates_of(import_text(exported.text, "deepspeed", base=0.005).text) == pytest.approx(rates_of(text), rel=1e-11)


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: s["scheduler"], lambda s: {**s, "optimizer": {"params": {"lr": "auto"}}, "fp16": {}}]
)
def test_a_configuration_and_its_section_are_both_read(wrap: Any):
    given = json.loads(section("WarmupLR", warmup_max_lr=0.01, warmup_num_steps=10, last_batch_iteration=-1))
    assert import_text(json.dumps(wrap(given)), "deepspeed").text == "0:2, warmup(0.01, start=0, curve=log):11, 0.01"


# sd-scripts -------------------------------------------------------------------------------------


def sd_scripts_rates(rate: float, total: int, name: str, **arguments: Any) -> list[float]:
    """The rates of transformers' scheduler, made as sd-scripts makes it."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    made = transformers.TYPE_TO_SCHEDULER_FUNCTION[transformers.SchedulerType(name)](optimizer, **arguments)
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        made.step()
    return rates


@pytest.mark.parametrize("warm", [0, 1, 30, 199])
@pytest.mark.parametrize(
    ("name", "more", "arguments"),
    [
        ("constant_with_warmup", "", {}),
        ("linear", "", {"num_training_steps": 200}),
        ("cosine", "--lr_scheduler_power=2", {"num_training_steps": 200}),
        ("cosine_with_restarts", "", {"num_training_steps": 200}),
        ("polynomial", "", {"num_training_steps": 200}),
        ("polynomial", "--lr_scheduler_power 1.7 --lr_scheduler_args 'lr_end=1e-6'",
         {"num_training_steps": 200, "power": 1.7, "lr_end": 1e-6}),
        ("inverse_sqrt", "", {}),
        ("inverse_sqrt", "--lr_scheduler_timescale=50", {"timescale": 50}),
        ("cosine_with_min_lr", "--lr_scheduler_min_lr_ratio=0.1", {"num_training_steps": 200, "min_lr_rate": 0.1}),
    ],
)  # fmt: skip
def test_arguments_of_sd_scripts_give_its_rates(name: str, more: str, arguments: dict[str, Any], warm: int):
    given = f"--learning_rate=0.004 --lr_scheduler={name} {more} --lr_warmup_steps {warm} --max_train_steps=200"
    found = import_text(given, "kohya")
    wanted = sd_scripts_rates(0.004, 200, name, num_warmup_steps=warm, **arguments)
    assert (found.total_steps, found.note) == (200, "")
    assert rates_of(found.text, 200) == pytest.approx(wanted, rel=1e-12, abs=1e-17)


@pytest.mark.parametrize(("warm", "cycles"), [(0, 4), (20, 3), (72, 128), (7, 1), (0, 3), (100, 7), (0, 199), (3, 6)])
def test_restarts_of_sd_scripts(warm: int, cycles: int):
    given = f"--learning_rate=0.004 --lr_scheduler=cosine_with_restarts --lr_warmup_steps={warm} --max_train_steps=200"
    found = import_text(f"{given} --lr_scheduler_num_cycles={cycles}", "kohya")
    arguments = {"num_warmup_steps": warm, "num_training_steps": 200, "num_cycles": cycles}
    wanted = sd_scripts_rates(0.004, 200, "cosine_with_restarts", **arguments)
    assert rates_of(found.text, 200) == pytest.approx(wanted, rel=1e-12, abs=1e-17)


def torch_rates(name: str, rate: float, total: int, arguments: dict[str, Any]) -> list[float]:
    """The rates of torch's own scheduler."""
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=rate)
    made = getattr(torch.optim.lr_scheduler, name)(optimizer, **arguments)
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(rates) < total:
            made.step()
    return rates


TORCH: list[tuple[str, dict[str, Any]]] = [
    ("ConstantLR", {}), ("ConstantLR", {"factor": 0.5, "total_iters": 30}), ("LinearLR", {}),
    ("LinearLR", {"start_factor": 0.1, "end_factor": 0.7, "total_iters": 50}), ("PolynomialLR", {"total_iters": 150, "power": 2.5}),
    ("StepLR", {"step_size": 30}), ("StepLR", {"step_size": 30, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [90, 20, 90], "gamma": 0.5}), ("ExponentialLR", {"gamma": 0.99}),
    ("CosineAnnealingLR", {"T_max": 200, "eta_min": 1e-5}), ("CosineAnnealingLR", {"T_max": 60}),
    ("CosineAnnealingLR", {"T_max": 999}),
    ("CosineAnnealingWarmRestarts", {"T_0": 7, "T_mult": 3, "eta_min": 1e-5}), ("OneCycleLR", {"max_lr": 0.01, "total_steps": 200}),
    ("OneCycleLR", {"max_lr": 0.01, "epochs": 4, "steps_per_epoch": 50, "anneal_strategy": "linear", "cycle_momentum": False}),
    ("OneCycleLR", {"max_lr": 0.01, "total_steps": 200, "three_phase": True, "pct_start": 0.2}),
    ("CyclicLR", {"base_lr": 1e-4, "max_lr": 0.01, "step_size_up": 13, "step_size_down": 7, "mode": "triangular2"}),
    ("CyclicLR", {"base_lr": 1e-4, "max_lr": 0.01, "step_size_up": 13, "mode": "exp_range", "gamma": 0.99}),
]


@pytest.mark.parametrize("dotted", ["", "torch.optim.lr_scheduler."])
@pytest.mark.parametrize(("name", "arguments"), TORCH)
def test_schedulers_of_torch_are_read_by_name(name: str, arguments: dict[str, Any], dotted: str):
    words = " ".join(shlex.quote(f"{key}={value!r}") for key, value in arguments.items())
    given = f"--learning_rate=0.004 --lr_scheduler_type={dotted}{name} --lr_scheduler_args {words} --max_train_steps=200"
    found = import_text(given, "kohya")
    assert rates_of(found.text, 200) == pytest.approx(torch_rates(name, 0.004, 200, arguments), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(("name", "arguments"), TORCH)
def test_deepspeed_takes_the_schedulers_of_torch_too(name: str, arguments: dict[str, Any]):
    given = {"optimizer": {"params": {"lr": 0.004}}, "scheduler": {"type": name, "params": arguments}}
    rates = rates_of(import_text(json.dumps(given), "deepspeed").text, 200)
    assert rates == pytest.approx(torch_rates(name, 0.004, 200, arguments), rel=1e-9, abs=1e-15)


def test_momentum_of_torchs_cycles_is_read():
    given = "--lr_scheduler_type=CyclicLR --lr_scheduler_args base_lr=1e-4 max_lr=0.01 step_size_up=5 --max_train_steps=20"
    made = plan(import_text(given, "kohya").text, total_steps=20)
    assert [made.momentum(k) for k in (0, 5, 10)] == pytest.approx([0.9, 0.8, 0.9])


def wsd_rates(rate: float, total: int, warm: int, decay: int, low: float, kind: str) -> list[float]:
    """transformers' get_wsd_schedule since it has kinds of decay: the warm-up starts at the ratio ``low``."""
    falls = {"cosine": lambda p: (1 + math.cos(math.pi * p)) / 2, "linear": lambda p: 1 - p, "1-sqrt": lambda p: 1 - math.sqrt(p)}

    def factor(k: int) -> float:
        if k < warm:
            return k / warm
        return 1.0 if k < total - decay else falls[kind]((k - (total - decay)) / decay)

    return [rate * (low + (1 - low) * factor(k)) for k in range(total)]


@pytest.mark.parametrize("kind", ["cosine", "linear", "1-sqrt"])
@pytest.mark.parametrize(("warm", "decay", "low"), [(0, 50, 0), (20, 50, 0.1), (20, 180, 0), (0, 0.25, 0.01)])
def test_warm_up_stable_decay_of_sd_scripts(kind: str, warm: int, decay: float, low: float):
    given = f"--learning_rate=0.004 --lr_scheduler=warmup_stable_decay --lr_warmup_steps={warm} --lr_decay_steps={decay}"
    given += f" --lr_scheduler_min_lr_ratio={low} --lr_scheduler_args decay_type='\"{kind}\"' --max_train_steps=200"
    steps = int(decay * 200) if decay < 1 else int(decay)
    rates = rates_of(import_text(given, "kohya").text, 200)
    assert rates == pytest.approx(wsd_rates(0.004, 200, warm, steps, low, kind), rel=1e-12, abs=1e-17)
    if kind == "cosine" and not (warm and low):  # the installed release starts its warm-up at 0, and knows cosine alone
        hold = 200 - warm - steps
        arguments = {"num_warmup_steps": warm, "num_stable_steps": hold, "num_decay_steps": steps, "min_lr_ratio": low}
        assert rates == pytest.approx(sd_scripts_rates(0.004, 200, "warmup_stable_decay", **arguments), rel=1e-12, abs=1e-17)


@pytest.mark.parametrize("cycles", [1, 2, 5])
def test_more_cycles_of_a_cosine_with_a_floor_are_half_waves(cycles: int):
    given = f"--learning_rate=0.004 --lr_scheduler=cosine_with_min_lr --lr_scheduler_num_cycles={cycles} --lr_warmup_steps=20"
    found = import_text(f"{given} --lr_scheduler_args min_lr=1e-4 --max_train_steps=120", "kohya")
    arguments = {"num_warmup_steps": 20, "num_training_steps": 120, "num_cycles": cycles / 2, "min_lr": 1e-4}
    assert rates_of(found.text, 120) == pytest.approx(sd_scripts_rates(0.004, 120, "cosine_with_min_lr", **arguments), rel=1e-12)


def test_phases_of_sd_scripts_are_the_rules_of_diffusers():
    rules = "step_rules='1:20,0.1:50,0.01'"
    given = f'--learning_rate=0.004 --lr_scheduler=piecewise_constant --lr_scheduler_args "{rules}" --lr_warmup_steps=5'
    assert import_text(f"{given} --max_train_steps=90", "kohya") == (
        "0.004:20, 0.0004:50, 4e-5", 90, "sd-scripts does not look at --lr_warmup_steps with piecewise_constant",
    )


def test_epochs_need_the_steps_of_one():
    given = "--learning_rate=1 --lr_scheduler=linear --lr_warmup_steps=0.1 --max_train_epochs=4 --max_train_steps=7"
    assert import_text(given, "kohya", steps_per_epoch=30) == (
        "linear(0, 1):12, linear(1, 0):120", 120, "4 epochs of 30 steps, as sd-scripts counts its own data set",
    )


TOML = """\ufeff# a LoRA
[general]
learning_rate = 1e-3   # high
lr_scheduler = "polynomial"
lr_scheduler_args = [ "lr_end=1e-6",
]
[steps]
max_train_steps = 200
lr_warmup_steps = 0.1
cache_latents = true
xformers = false
"""


def test_a_toml_file_of_sd_scripts_is_read():
    pytest.importorskip("tomllib")
    assert import_text(TOML, "kohya") == ("linear(0, 0.001):20, poly(0.001, 1e-6, power=1):200", 200, "")
    assert import_text("learning_rate = 1", "kohya").text == "1"
    assert import_text('lr-scheduler="linear"\nmax_train_steps=9', "kohya").text == "linear(2e-6, 0):9"


def test_toml_is_read_by_what_an_older_python_has(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("pip._vendor.tomli")
    monkeypatch.setattr("lib_lrsched.formats._kohya_words.READERS", ("no_such_reader", "pip._vendor.tomli"))
    assert import_text(TOML, "kohya") == ("linear(0, 0.001):20, poly(0.001, 1e-6, power=1):200", 200, "")


def test_error_toml_where_nothing_reads_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lib_lrsched.formats._kohya_words.READERS", ("no_such_reader",))
    with pytest.raises(ImportFormatError) as caught:
        import_text(TOML, "kohya")
    assert caught.value.message == (
        "TOML is read with Python 3.11 or later, or where the package tomli is installed; in its place the arguments can be given "
        "as a command line, such as --learning_rate=0.005 --lr_scheduler=cosine --max_train_steps=2000"
    )


@pytest.mark.parametrize("mark", ["\\", "^", "`"])
def test_a_command_line_goes_on_over_lines_in_any_shell(mark: str):
    given = f"CUDA_VISIBLE_DEVICES=0 accelerate launch {mark}\n train.py --learning_rate=1 {mark}\r\n  --max_train_steps 9"
    assert import_text(given, "kohya") == ("1", 9, "")


MULTIPLIERS = "adapts its own step size: these rates are multipliers, usually around 1, and too high for other optimizers"


@pytest.mark.parametrize(
    ("given", "note"),
    [
        ("--learning-rate=1 --max-train-steps 9",
         "--learning-rate was read as --learning_rate; --max-train-steps was read as --max_train_steps"),
        ("--learning_rate=1 —max_train_steps=9", "—max_train_steps was read as --max_train_steps"),
        ("--LearningRate=1 --max_train_steps=9", "--LearningRate was read as --learning_rate"),
        ("--learning_rate=1 --max_train_steps=9 --unet-lr=1e-5", "--unet_lr is a second rate, which has no equivalent here"),
        ("--learning_rate=1 --max_train_steps=9 --learning_rate_te1=1e-5",
         "--learning_rate_te1 is a second rate, which has no equivalent here"),
        ("--num_processes=2 --learning_rate=1 --max_train_steps=9",
         "with 2 processes sd-scripts counts the steps of all of them; the text is that of one"),
        ("--config_file=my --learning_rate=1 --max_train_steps=9",
         "the file of --config_file is not read; its text can be imported in the same way"),
        *((f"--optimizer_type={name} --learning_rate=1 --max_train_steps=9", f"{name} {MULTIPLIERS}")
          for name in ("Prodigy", "DAdaptation", "DAdaptAdam", "dadaptlion", "prodigyopt.Prodigy")),
        ("--optimizer_type=AdamWScheduleFree --learning_rate=1 --max_train_steps=9 --lr_scheduler=cosine",
         "sd-scripts gives AdamWScheduleFree no schedule: its rate is constant"),
        ("--optimizer_type=Adafactor --optimizer_args relative_step=False --learning_rate=1 --max_train_steps=9", ""),
    ],
)  # fmt: skip
def test_what_else_has_a_hand_in_the_rate_is_said(given: str, note: str):
    assert import_text(given, "kohya") == ("1", 9, note)


COMMAND = """accelerate launch --num_processes 1 train_network.py --output_name 'my cat' --learning_rate=0.1 \\
    --learning_rate=1 --max_train_steps=10 --lr_scheduler=cosine --lr_warmup_steps=0 # the second rate counts
"""


@pytest.mark.parametrize(
    ("given", "text", "total", "note"),
    [
        ("--learning_rate=1e-4 --max_train_steps=300", "0.0001", 300, ""),
        ("--learning_rate 1e-4", "0.0001", 1600, "without --max_train_steps sd-scripts takes 1600"),
        ("--lr_scheduler=constant --max_train_steps=9", "2e-6", 9, "without --learning_rate sd-scripts takes 2e-6"),
        ("--learning_rate=1e-4 --max_train_steps=300 --unet_lr=1e-5", "0.0001", 300,
         "--unet_lr is a second rate, which has no equivalent here"),
        ("--learning_rate=1 --lr_scheduler=linear --lr_warmup_steps=0.255 --max_train_steps=10",
         "linear(0, 1):2, linear(1, 0):10", 10, ""),
        ("--learning_rate=1 --lr_scheduler=linear --lr_warmup_steps=20% --max_train_steps=10",
         "linear(0, 1):2, linear(1, 0):10", 10, ""),
        ("--learning_rate=1 --lr_scheduler=linear --lr_warmup_steps=12 --max_train_steps=10", "linear(0, 1):12", 10, ""),
        (COMMAND, "cosine(1, 0):10", 10, ""),
    ],
)  # fmt: skip
def test_what_a_command_line_of_sd_scripts_says(given: str, text: str, total: int, note: str):
    assert import_text(given, "kohya") == (text, total, note)
    assert len(rates_of(text, total)) == total


@pytest.mark.parametrize(
    "text",
    ["0.005", "linear(0, 0.005):30, 0.005", "linear(0, 0.005):30, linear(0)", "cosine(0.005, 0)",
     "linear(0, 0.005):30, cosine(0.005, 0)", "restarts(0.005, t_0=50)", "repeat(4, cosine(0.005, 0):75)",
     "linear(0, 0.005):20, poly(0.005, 1e-7, power=0.7)"],
)  # fmt: skip
def test_what_was_exported_to_sd_scripts_comes_back_with_the_same_rates(text: str):
    exported = export(plan(text, total_steps=STEPS), "kohya")
    found = import_text(exported.text, "kohya")
    assert found.total_steps == STEPS
    assert rates_of(found.text) == pytest.approx(rates_of(text), rel=1e-9, abs=1e-15)
    assert export(plan(found.text, total_steps=STEPS), "kohya").text == exported.text


# What cannot be read ----------------------------------------------------------------------------

LONG = f"0.{'1' * 50}"
TYPES = ("expected a scheduler section with a type of WarmupLR, WarmupDecayLR, WarmupCosineLR, OneCycle, LRRangeTest, "
         "or of a scheduler of torch")
MANY = "9" * 5000
ARGUMENTS = "expected arguments of sd-scripts, such as --learning_rate=0.005 --lr_scheduler=cosine --max_train_steps=2000"
VALUE = "argument --lr_scheduler_args: expected name=value with a Python value, such as T_max=100, got"
QUOTED = f"{'9' * 60}..."
RULE = "expected multiplier:step, such as 0.1:20, got "


THOUSANDS = "this TOML has a number with thousands of digits; expected one that a float holds"


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("a1111", "", "no segment that would run; expected rates with the steps where they end, such as 0.005:100, 1e-3"),
        ("a1111", "1e-3:0", "no segment that would run; expected rates with the steps where they end, such as 0.005:100, 1e-3"),
        ("a1111", "fast", "`fast`: expected a rate, a finite number of 0 or more, got `fast`"),
        ("a1111", "inf", "`inf`: expected a rate, a finite number of 0 or more, got `inf`"),
        ("a1111", "-1e-3:10", "`-1e-3:10`: expected a rate, a finite number of 0 or more, got `-1e-3`"),
        ("a1111", "1e-3:1e2", "`1e-3:1e2`: expected a whole number of steps, got `1e2`"),
        ("a1111", "1e-3:500, 1e-4:100",
         "`1e-4:100` ends at 100, not after the segment before it (500); how long the WebUI keeps it is undefined"),
        ("a1111", LONG, f"this comes to `{LONG}`, which cannot be planned: a number has at most 40 characters, this one has 52"),
        ("diffusers", "1:10,0.1", "diffusers' rules are multipliers: give the optimizer's rate as the base rate"),
        ("deepspeed", "{", "not valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("deepspeed", "[]", "expected a JSON object with a scheduler section"),
        ("deepspeed", '{"scheduler": {"type": "CosineLR"}}', f"{TYPES}, got 'CosineLR'"),
        ("deepspeed", '{"type": "WarmupLR", "params": 3}', "WarmupLR: params: expected an object, got 3"),
        ("deepspeed", section("WarmupLR"), "WarmupLR: warmup_max_lr is missing"),
        ("deepspeed", section("WarmupLR", warmup_max_lr="auto"),
         "WarmupLR: warmup_max_lr: expected a finite number, 0 or more, got 'auto'"),
        ("deepspeed", section("WarmupLR", warmup_max_lr=[0.1]),
         "WarmupLR: warmup_max_lr has a rate for each parameter group; a schedule has one"),
        ("deepspeed", section("WarmupLR", warmup_max_lr=0.1, warmup_num_steps=-1),
         "WarmupLR: warmup_num_steps: expected a whole number from 0, got -1"),
        ("deepspeed", section("WarmupLR", warmup_max_lr=0.1, warmup_type="cosine"),
         "WarmupLR: warmup_type: expected log or linear, got 'cosine'"),
        ("deepspeed", section("WarmupLR", warmup_max_lr=0.1, steps=3), "WarmupLR: it has no parameter 'steps'"),
        ("deepspeed", section("WarmupDecayLR"), "WarmupDecayLR: total_num_steps is missing"),
        ("deepspeed", section("WarmupCosineLR", total_num_steps=900).replace("Cosine", "Decay").replace("900", str(2**62)),
         f"WarmupDecayLR: total_num_steps: expected a whole number from 1, got {2**62}"),
        ("deepspeed", section("WarmupCosineLR", total_num_steps=900),
         "WarmupCosineLR: its numbers are ratios; give the optimizer's rate as the base rate"),
        ("deepspeed", section("OneCycle", cycle_min_lr=1e-5, cycle_max_lr=1e-3, cycle_momentum="no"),
         "OneCycle: cycle_momentum: expected true or false, got 'no'"),
        ("deepspeed", section("OneCycle", cycle_min_lr=1e-5, cycle_max_lr=1e-3, cycle_first_stair_count=3),
         ("OneCycle: cycle_first_stair_count: releases of DeepSpeed do not agree on stairs, which have no equivalent here; "
          "leave it at 0")),
        ("deepspeed", section("OneCycle", cycle_min_lr=1e-5, cycle_max_lr=1e-3, decay_lr_rate=0.1, decay_step_size=10),
         "OneCycle: decay_lr_rate: its fall by 1 / (1 + rate x steps) has no equivalent here; leave it at 0"),
        ("deepspeed", section("OneCycle", cycle_min_lr=1e-5, cycle_max_lr=1e-3, decay_mom_rate=0.1),
         "OneCycle: decay_mom_rate: momentum after the cycle has no equivalent here; leave it at 0"),
        ("json", "", "no format `json`; there are a1111, diffusers, deepspeed, kohya, onetrainer"),
        # What a reader does not expect: other types, numbers beyond floats and ints, deep nesting, endless words.
        ("deepspeed", '{"type": ["WarmupLR"]}', f"{TYPES}, got a list"),
        ("deepspeed", '{"type": {"WarmupLR": 1}}', f"{TYPES}, got an object"),
        ("deepspeed", "[" * 100_000, "not a configuration: its brackets are nested too deeply"),
        ("deepspeed", '{"type": ' + '{"a": ' * 100_000, "not a configuration: its brackets are nested too deeply"),
        ("deepspeed", f'{{"steps": {MANY}}}', "a whole number has at most 40 characters, this one has 5000"),
        ("deepspeed", section("WarmupLR", warmup_max_lr=10**39).replace("0}", "e999999999}"),
         "WarmupLR: warmup_max_lr: expected a finite number, 0 or more, got inf"),
        ("deepspeed", section("WarmupLR", warmup_max_lr={"a": 1}),
         "WarmupLR: warmup_max_lr: expected a finite number, 0 or more, got an object"),
        ("deepspeed", section("WarmupLR", warmup_max_lr=0.1, warmup_type={"log": 1}),
         "WarmupLR: warmup_type: expected log or linear, got an object"),
        ("deepspeed", section("LRRangeTest", lr_range_test_min_lr=1e308, lr_range_test_step_rate=1e308),
         ("this comes to `linear(1e308, inf):10000000`, which cannot be planned: a rate is a finite number, 0 or more, "
         "got inf")),
        ("deepspeed", section(MANY), f"{TYPES}, got '{'9' * 59}..."),
        ("a1111", f"1e-3:{MANY}", f"`1e-3:{'9' * 55}...`: expected a whole number of steps, got `{QUOTED}`"),
        ("a1111", "1e-3:" + "9" * 4000,
         f"this comes to `1e-3:{'9' * 55}...`, which cannot be planned: a number has at most 40 characters, this one has 4000"),
        ("a1111", MANY, f"`{QUOTED}`: expected a rate, a finite number of 0 or more, got `{QUOTED}`"),
        ("a1111", "(" * 100_000,
         f"`{'(' * 60}...`: expected a rate, a finite number of 0 or more, got `{'(' * 60}...`"),
        ("kohya", "(" * 100_000, ARGUMENTS),
        ("kohya", "--lr_scheduler_args T_max=" + "[" * 100_000, f"{VALUE} 'T_max={'[' * 14}...'"),
        ("kohya", "--lr_scheduler_args T_max=" + "-" * 90_000 + "1", f"{VALUE} 'T_max={'-' * 14}...'"),
        ("kohya", "--lr_scheduler_args T_max=" + "[" * 900, f"{VALUE} 'T_max={'[' * 14}...'"),
        ("kohya", "a = " + "[" * 100_000, "not valid TOML: its brackets are nested too deeply"),
        ("kohya", "learning_rate = [1]", "argument --learning_rate: expected a number in TOML; got a list"),
        ("kohya", "learning_rate = '1e-3'", "argument --learning_rate: expected a number in TOML; got '1e-3'"),
        ("kohya", "lr-scheduler = ['cosine']", "argument --lr_scheduler: expected a text in TOML; got a list"),
        ("kohya", "lr_scheduler_args = 'T_max=3'", "argument --lr_scheduler_args: expected a list of texts in TOML; got 'T_max=3'"),
        ("kohya", """lr_scheduler_type = 'CosineAnnealingLR'\nlr_scheduler_args = ["T_max=9", "eta_min='1e-6'"]""",
         "CosineAnnealingLR: eta_min: expected a finite number, 0 or more, got '1e-6'"),
        ("kohya", f"learning_rate = {'9' * 5000}", THOUSANDS), ("kohya", f"a = 0x{'f' * 5000}", THOUSANDS),
        ("kohya", f"--lr_scheduler=polynomial --lr_scheduler_args lr_end=0x{'f' * 5000}",
         "argument --lr_scheduler_args: lr_end: expected a finite number, 0 or more, got a number with hundreds of digits"),
        ("kohya", "--x " * 20_000, "expected at most 2000 words of a command line, got 20000; give those about the rate"),
    ],
)  # fmt: skip
def test_error_says_what_was_expected_and_what_came(kind: str, text: str, message: str):
    with pytest.raises(ImportFormatError) as caught:
        import_text(text, kind)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("kind", "text", "base", "message"),
    [
        ("a1111", "0.1", 0.1, "a1111 strings have absolute rates: leave out the base rate"),
        ("kohya", "", 0.1, "sd-scripts' arguments have an absolute rate, --learning_rate: leave out the base rate"),
        ("diffusers", "0.1", 0.0, "expected a finite number above 0 as the base rate, got 0"),
        ("diffusers", "0.1", math.nan, "expected a finite number above 0 as the base rate, got nan"),
        ("diffusers", "1:10", 0.1, "diffusers needs a bare multiplier at the end; the last one is `1:10`"),
        ("diffusers", "1,0.1", 0.1, f"{RULE}`1`"),
        ("diffusers", "1:2:3,0.1", 0.1, f"{RULE}`1:2:3`"),
        ("diffusers", "1:x,0.1", 0.1, "`1:x`: expected a whole number of steps, got `x`"),
        ("diffusers", "", 0.1, "expected a multiplier, a finite number of 0 or more, got ``"),
        ("diffusers", "-1:10,0.1", 0.1, "expected a multiplier, a finite number of 0 or more, got `-1`"),
        ("diffusers", "1e999999999", 0.1, "expected a multiplier, a finite number of 0 or more, got `1e999999999`"),
        ("diffusers", "1e400:10,1", 0.1, "expected a multiplier, a finite number of 0 or more, got `1e400`"),
        ("diffusers", f"1:{MANY},0.1", 0.1, f"`1:{'9' * 58}...`: expected a whole number of steps, got `{QUOTED}`"),
        ("diffusers", "nan", 0.1, "expected a multiplier, a finite number of 0 or more, got `nan`"),
        ("deepspeed", section("WarmupCosineLR", total_num_steps=2000, warmup_type="linear"), 0.1,
         "WarmupCosineLR: with warmup_type linear its cosine begins one step in, without the peak, which has no equivalent here"),
    ],
)  # fmt: skip
def test_error_says_what_a_base_rate_is_for(kind: str, text: str, base: float, message: str):
    with pytest.raises(ImportFormatError) as caught:
        import_text(text, kind, base=base)
    assert caught.value.message == message


def test_every_kind_is_in_the_table():
    assert list(IMPORTERS) == ["a1111", "diffusers", "deepspeed", "kohya", "onetrainer"]


def test_every_example_of_an_empty_box_is_read():
    for kind, importer in IMPORTERS.items():
        found = import_text(importer.example, kind, base=0.005 if "base" in importer.takes else None)
        assert rates_of(found.text, 2000)[-1] > 0


NUMBER = "expected a finite number, 0 or more, got"
RESTARTS = "--lr_scheduler=cosine_with_restarts"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("hello", ARGUMENTS),
        ("", ARGUMENTS),
        ("--output_name='cat", "not a valid command line: No closing quotation"),
        ("--learning_rate", "argument --learning_rate: expected one argument"),
        ("--learning_rate=-1e-3", f"argument --learning_rate: {NUMBER} '-1e-3'"),
        ("--learning_rate=fast", f"argument --learning_rate: {NUMBER} 'fast'"),
        ("--max_train_steps=0", "argument --max_train_steps: expected a whole number from 1, got '0'"),
        ("--max_train_steps=" + "9" * 5000,
         f"argument --max_train_steps: expected a whole number from 1, got '{'9' * 20}...'"),
        ("--lr_warmup_steps=1.5", "argument --lr_warmup_steps: expected a whole number from 0, got '1.5'"),
        ("--lr_warmup_steps=x%", f"argument --lr_warmup_steps: {NUMBER} 'x'"),
        ("--lr_warmup_steps=5",
         "argument --lr_warmup_steps: constant takes none, and sd-scripts refuses it; constant_with_warmup does"),
        ("--max_train_epochs=5",
         ("argument --max_train_epochs: how many steps that is depends on the data set; give the steps per epoch, "
         "or --max_train_steps in its place")),
        ("--max_train_step=9 --learning_rate=1", "--max_train_step has no equivalent here"),
        ("--learning_rate=1 --lr_sched=cosine", "--lr_sched has no equivalent here"),
        ("--learning_rate=1 --lr-cycles=3", "--lr_cycles has no equivalent here"),
        ("--optimizer_type=Adafactor --learning_rate=1",
         ("argument --optimizer_type: Adafactor sets the rate itself, which has no equivalent "
         "here; with relative_step=False among the --optimizer_args it follows the schedule")),
        ("--learning_rate=1 --lr_scheduler_type=CosineAnnealingLR", "CosineAnnealingLR: T_max is missing"),
        ("--learning_rate=1 --lr_scheduler_type=StepLR --lr_scheduler_args step_size=9 gama=1",
         "StepLR: it has no parameter 'gama'"),
        ("--learning_rate=1 --lr_scheduler_type=StepLR --lr_scheduler_args step_size=9 --lr_warmup_steps=5",
         "argument --lr_warmup_steps: StepLR takes none, and sd-scripts refuses it; constant_with_warmup does"),
        ("--lr_scheduler_type=OneCycleLR --lr_scheduler_args max_lr=1 total_steps=50",
         "OneCycleLR: its 50 steps are over before the run of 1600, and torch has no rate for the others"),
        ("--learning_rate=1 --lr_scheduler_type=ReduceLROnPlateau",
         "ReduceLROnPlateau has to be stepped with a loss, which this program does not do; its text is plateau(...)"),
        ("--learning_rate=1 --lr_scheduler_type=my.Waves",
         ("my.Waves has no equivalent here; these of torch can be read: ConstantLR, LinearLR, PolynomialLR, StepLR, MultiStepLR, "
         "ExponentialLR, CosineAnnealingLR, CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR")),
        ("--lr_scheduler_args T_max=9", "argument --lr_scheduler_args: 'T_max' with constant has no equivalent here"),
        ("--lr_scheduler_args lr_end=9", "argument --lr_scheduler_args: 'lr_end' with constant has no equivalent here"),
        ("--lr_scheduler=polynomial --lr_scheduler_args lr_end=inf",
         f"{VALUE} 'lr_end=inf'"),
        ("--lr_scheduler=polynomial --lr_scheduler_args lr_end=1e999",
         "argument --lr_scheduler_args: lr_end: expected a finite number, 0 or more, got inf"),
        ("--lr_scheduler=polynomial --learning_rate=1e-7",
         "argument --learning_rate: polynomial falls to 1e-7, so that it has to be above that"),
        (f"{RESTARTS} --lr_scheduler_num_cycles=1601",
         "argument --lr_scheduler_num_cycles: 1601 cycles do not fit into 1600 steps"),
        (f"{RESTARTS} --lr_scheduler_num_cycles=98 --max_train_steps=735",
         "argument --lr_scheduler_num_cycles: sd-scripts rounds the restart at step 15 to the end of a cycle, where the rate is 0"),
        (f"{RESTARTS} --lr_scheduler_num_cycles=49 --max_train_steps=490",
         "argument --lr_scheduler_num_cycles: sd-scripts rounds the restart at step 10 to the end of a cycle, where the rate is 0"),
        (f"{RESTARTS} --lr_scheduler_num_cycles=2000000 --max_train_steps=2000000",
         "argument --lr_scheduler_num_cycles: expected at most 1000000, got 2000000"),
        ("--lr_scheduler=cosine_with_min_lr",
         ("argument --lr_scheduler: cosine_with_min_lr takes either --lr_scheduler_min_lr_ratio or "
         "min_lr among --lr_scheduler_args")),
    ],
)  # fmt: skip
def test_error_arguments_of_sd_scripts_are_named(given: str, message: str):
    with pytest.raises(ImportFormatError) as caught:
        import_text(given, "kohya")
    assert caught.value.message == message


def test_the_restart_that_sd_scripts_misses_is_at_the_end_of_a_cycle_there():
    arguments = {"num_warmup_steps": 0, "num_training_steps": 490, "num_cycles": 49}
    assert sd_scripts_rates(0.004, 12, "cosine_with_restarts", **arguments)[10] < 1e-9


def test_error_another_scheduler_of_sd_scripts_is_answered_with_those_that_can_be_read():
    message = r"^argument --lr_scheduler: 'adafactor:1' has no equivalent here; .*cosine_with_restarts"
    with pytest.raises(ImportFormatError, match=message):
        import_text("--lr_scheduler=adafactor:1", "kohya")
