"""Where the references differ from each other or from us: each row of the table in docs/references.md, seen in the reference itself
where it can be installed, else in its formula (DeepSpeed, timm)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lib_lrsched import plan
from lib_lrsched.schedule import plateau

torch = pytest.importorskip("torch")

from torch.optim import lr_scheduler as torch_schedulers  # noqa: E402  torch is optional, see importorskip

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    diffusers = pytest.importorskip("diffusers.optimization")
    transformers = pytest.importorskip("transformers.optimization")

TESTS = Path(__file__).resolve().parents[1]
REFERENCES = TESTS.parent / "docs" / "references.md"
BOTH = pytest.mark.parametrize("library", [transformers, diffusers], ids=["transformers", "diffusers"])

ROWS = {
    "transformers, diffusers, optax, OneTrainer: warm-up": [
        "test_a_warm_up_of_others_starts_at_0_and_peaks_a_step_later",
        "property/test_agreement_optax.py::test_a_climb_and_cosine_are_the_warm_up_and_cosine_of_optax_whose_ramp_is_one_step_later_than_warmup",
    ],
    "DeepSpeed: warm-up": ["test_deepspeeds_warm_up_is_late", "test_imports.py::test_a_warm_up_is_one_step_late"],
    "transformers: `get_wsd_schedule`": [
        "property/test_agreement_libraries.py::test_wsd_holds_and_decays_as_transformers_does_and_warms_up_one_step_earlier",
    ],
    "torch `CosineAnnealingWarmRestarts.step(epoch)`, timm with `cycle_mul`": [
        "test_closed_forms_miss_the_peak_at_some_boundaries",
        "test_shapes.py::test_restarts_pick_the_right_cycle_at_every_boundary",
    ],
    "transformers, diffusers, sd-scripts: `cosine_with_restarts`": ["test_cycles_counted_in_floats_miss_a_restart"],
    "torch `CosineAnnealingLR`, transformers, diffusers": [
        "test_torchs_cosine_rises_again_past_its_end", "test_the_cosine_of_others_rises_again_past_its_end",
    ],
    "torch `ReduceLROnPlateau`": ["test_torch_leaves_out_the_cuts_of_small_rates"],
    "optax `reduce_on_plateau`": ["property/test_agreement_optax.py::test_a_plateau_of_optax_counts_one_look_less_of_patience"],
    "torch `OneCycleLR` with pct_start × steps = 1": ["test_torchs_one_cycle_without_a_climb_divides_by_zero"],
    "optax `cosine_onecycle_schedule`": [
        "property/test_agreement_optax.py::test_the_one_cycle_of_optax_takes_a_step_more_for_each_phase_than_onecycle",
    ],
    "DeepSpeed `LRRangeTest`": [
        "test_deepspeeds_stairs_need_not_reach_a_last_rate", "test_imports.py::test_a_range_test_rises_as_long_as_the_run_lasts",
    ],
}  # fmt: skip
"""The table's rows, and the tests that show each."""


def test_every_row_of_the_table_has_its_test_and_the_other_way_round():
    table = REFERENCES.read_text(encoding="utf-8").partition("| reference | differs how |\n|---|---|\n")[2].partition("\n\n")[0]
    assert [row.split(" | ")[0].removeprefix("| ") for row in table.splitlines()] == list(ROWS)
    for where in (where for tests in ROWS.values() for where in tests):
        file, _, name = where.rpartition("::")
        assert f"\ndef {name}(" in next(TESTS.rglob(Path(file or __file__).name)).read_text(encoding="utf-8")


def stepped(make: Callable[[torch.optim.Optimizer], Any], rate: float, steps: int) -> list[float]:
    """The rates that a scheduler gives to updates 0 .. steps - 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=rate)
    scheduler = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return found


@BOTH
def test_a_warm_up_of_others_starts_at_0_and_peaks_a_step_later(library):
    theirs = stepped(lambda o: library.get_constant_schedule_with_warmup(o, 10), 0.004, 12)
    ours = plan("warmup(0.004):10, 0.004", total_steps=12).values(range(12))
    assert (theirs[0], theirs[10]) == (0.0, 0.004)
    assert theirs[9] < 0.004
    assert (ours[0], ours[9]) == (pytest.approx(0.0004, rel=1e-12), 0.004)
    assert theirs[1:] == pytest.approx(ours[:-1].tolist(), rel=1e-12)


def test_deepspeeds_warm_up_is_late():
    def theirs(k: int, n: int = 10) -> float:
        j = max(0, k - 1)
        return 1.0 if j >= n else math.log(j + 1) / math.log(n)

    ours = plan("warmup(1, curve=log):10, 1", total_steps=20).values(range(20))
    assert [theirs(0), theirs(1)] == [0.0, 0.0]
    assert ours[:10].tolist() == pytest.approx([math.log(k + 2) / math.log(11) for k in range(10)], rel=1e-12)
    assert all(theirs(k) < ours[k] for k in range(9))
    assert (theirs(10), ours[9]) == (1.0, 1.0)


def test_closed_forms_miss_the_peak_at_some_boundaries():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=0.004)
    scheduler = torch_schedulers.CosineAnnealingWarmRestarts(optimizer, 5, 3)
    scheduler.step(605)
    assert scheduler.get_last_lr() == pytest.approx([0.0], abs=1e-12)
    assert plan("restarts(0.004, t_0=5, t_mult=3)", total_steps=606).value(605) == 0.004
    # timm's rule for a cycle's number; the fifth cycle (number 5) starts at 100 (3^5 - 1) / 2.
    assert math.floor(math.log(1 - 12100 / 100 * (1 - 3), 3)) == 4
    assert plan("restarts(0.004, t_0=100, t_mult=3)", total_steps=12101).value(12100) == 0.004


@BOTH
def test_cycles_counted_in_floats_miss_a_restart(library):
    theirs = stepped(lambda o: library.get_cosine_with_hard_restarts_schedule_with_warmup(o, 0, 490, 49), 0.004, 12)
    assert theirs[10] < 1e-9
    assert plan("restarts(0.004, t_0=10)", total_steps=490).value(10) == 0.004
    assert plan("restarts(0.004, cycles=49)", total_steps=490).value(10) == 0.004


def test_torchs_cosine_rises_again_past_its_end():
    theirs = stepped(lambda o: torch_schedulers.CosineAnnealingLR(o, 10), 0.004, 16)
    assert theirs[10] == pytest.approx(0.0, abs=1e-15)
    assert theirs[15] == pytest.approx(0.002, rel=1e-9)
    assert plan("cosine(0.004, 0):10, 0", total_steps=16).value(15) == 0.0


@BOTH
def test_the_cosine_of_others_rises_again_past_its_end(library):
    theirs = stepped(lambda o: library.get_cosine_schedule_with_warmup(o, 0, 10), 0.004, 16)
    assert theirs[10] == pytest.approx(0.0, abs=1e-15)
    assert theirs[15] == pytest.approx(0.002, rel=1e-9)


def test_torch_leaves_out_the_cuts_of_small_rates():
    values = {"factor": 0.5, "patience": 0, "threshold": 1e-4, "mode": "rel", "cooldown": 0, "min": 0.0}
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=1e-8)
    theirs = torch_schedulers.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    ours = plateau.Plateau(1e-8)
    for _ in range(3):
        theirs.step(1.0)
        ours = plateau.look(ours, 1.0, values)
    assert (theirs.get_last_lr(), ours.rate) == ([1e-8], 0.25e-8)


def test_torchs_one_cycle_without_a_climb_divides_by_zero():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=0.1, momentum=0.9)
    with pytest.raises(ZeroDivisionError):
        torch_schedulers.OneCycleLR(optimizer, 0.004, 10, pct_start=0.1)
    assert plan("onecycle(0.004, pct_start=0.1)", total_steps=10).value(0) == 0.004


def test_deepspeeds_stairs_need_not_reach_a_last_rate():
    low, high, stair, steps = 1e-4, 1e-3, 7, 31
    ours = plan(f"range_test({low}, {high}, mode=linear, stair={stair})", total_steps=steps).values(range(steps))
    rate = (high / low - 1) / (steps - 1) * stair  # so that its climb without stairs ends at high
    theirs = [low * (1 + rate * (k // stair)) for k in range(steps)]
    assert ours[-1] == pytest.approx(high, rel=1e-12)
    assert theirs[-1] < 0.95 * high
