"""What is exported to another program imports back with the same rates; whatever is given to an importer is read or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_schedules import planned, rates, schedules, shapes, soup, whole

from lib_lrsched.formats.exports import ExportError, export
from lib_lrsched.formats.imports import Imported, ImportFormatError, import_text
from lib_lrsched.formats.registry import EXPORTERS, IMPORTERS
from lib_lrsched.schedule.plan import Plan, plan
from lib_lrsched.schedule.shapes import SHAPES

BOTH_WAYS = [kind for kind in IMPORTERS if kind in EXPORTERS]

ERROR = 0.1
"""Allowed where a curve becomes constant phases."""


def check_round_trip(made: Plan, kind: str) -> bool:
    """Whether the format can say the plan; if it can, what it says has to come back, as near as the export says."""
    values = made.values(np.arange(made.stop))
    error = ERROR if kind in ("a1111", "diffusers") else None
    base = float(values.max()) or 0.5 if kind in ("diffusers", "deepspeed") else None
    try:
        found = export(made, kind, error=error, base=base if kind == "diffusers" else None)
    except ExportError:
        return False
    is_exact = error is not None or found.worst_error == 0.0
    try:
        back = import_text(found.text, kind, base=base)
    except ImportFormatError:
        assert not is_exact
        return True  # a near form of theirs, which may have no exact text here
    again = plan(back.text, total_steps=back.total_steps or made.stop)
    # A section of DeepSpeed has the end of the schedule, which may lie behind that of the run, and no other.
    assert again.stop == made.stop or (kind == "deepspeed" and again.stop > made.stop)
    rates = again.values(np.arange(made.stop))
    if not is_exact:
        parts = np.abs(rates - values)[values > 0.0] / values[values > 0.0]
        assert parts.max() == pytest.approx(found.worst_error, rel=1e-6, abs=1e-9)
        assert np.all(rates <= 1.05 * values + 0.0501 * values.max())
        return True
    np.testing.assert_allclose(rates, values, rtol=(error or 0.0) + 2e-9, atol=3e-14 * values.max())
    if kind == "kohya":
        np.testing.assert_allclose(momenta(again), momenta(made), rtol=1e-12)
    return True


def momenta(made: Plan) -> np.ndarray:
    found = made.momenta(np.arange(made.stop))
    return np.full(made.stop, np.nan) if found is None else found


@pytest.mark.parametrize("kind", BOTH_WAYS)
@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=15)
@given(st.data())
def test_what_is_exported_of_any_shape_imports_back(name: str, kind: str, data: st.DataObject) -> None:
    check_round_trip(planned(data.draw(shapes((name,))), data.draw(st.integers(1, 200))), kind)


@pytest.mark.parametrize("kind", BOTH_WAYS)
@settings(max_examples=40)
@given(schedules(), st.integers(1, 200))
def test_what_is_exported_of_any_text_imports_back(kind: str, text: str, total: int) -> None:
    check_round_trip(planned(text, total), kind)


@pytest.mark.long
@pytest.mark.parametrize("kind", BOTH_WAYS)
@settings(max_examples=5_000)
@given(schedules(), st.integers(1, 400))
def test_what_is_exported_of_any_text_imports_back_long(kind: str, text: str, total: int) -> None:
    check_round_trip(planned(text, total), kind)


# Each program's own schedules, which random texts seldom hit -----------------------------------

LINES: dict[str, tuple[str, ...]] = {
    "deepspeed": (
        "{low}:1, linear({low}, {high}):+{w}, {high}", "0:2, warmup({high}, curve=log):+{w}, {high}",
        "0:1, linear(0, {high}):+{w}, linear({high}, 0):{past}",
        "{low}:2, warmup({high}, start={low}, curve=log):+{w}, linear({low}):{past}",
        "0:2, repeat(1, warmup({high}, curve=log):{v}):{w}, cosine({high}, {low})",
        "cyclic({low}, {high}, step_size={w}, step_size_down={d}, cycle_momentum=no):+{cycle}, {low}",
        "linear({low}, {high})", "range_test({low}, {high}, mode=linear, stair={d})",
    ),
    "kohya": (
        "{high}", "linear(0, {high}):{w}, {high}", "linear(0, {high}):{w}, linear(0)",
        "linear(0, {high}):{w}, linear({low})",
        "linear(0, {high}):{w}, cosine(0)", "linear(0, {high}):{w}, cosine({low})",
        "linear(0, {high}):{w}, poly({low}, power={p})",
        "linear(0, {high}):{w}, inverse_sqrt({high}, timescale={d})", "linear(0, {high}):{w}, {high}:+{d}, cosine(0)",
        "{high}:+{d}, cosine({low})", "{high}:+{d}, linear({low})", "linear(0, {high}):{w}, {high}:+{d}, linear(0)",
        "wsd({high}, {low}, warmup=0, decay={d})", "wsd({high}, {low}, warmup=0, decay={d}, curve=sqrt)",
        "wsd({high}, {low}, warmup=0, decay={d}, curve=cosine)", "{high}:{w}, {low}",
        "cosine({high}, {low})", "cosine({low}, {high})", "linear({high}, {low})", "poly({high}, 0, power={p})",
        "exp({high}, {low})",
        "inverse_sqrt({high}, timescale={d})", "step({high}, every={d}, gamma={p})", "decay({high}, gamma=0.99)",
        "restarts({high}, {low}, t_0={d})", "cyclic({low}, {high}, step_size={d})", "onecycle({high})",
        "repeat(3, {high}:{w}, {low}:{d})",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "line"), [(kind, line) for kind, lines in LINES.items() for line in lines])
@settings(max_examples=8)
@given(st.data())
def test_each_schedule_of_a_program_is_exported_and_imports_back(kind: str, line: str, data: st.DataObject) -> None:
    low, high = sorted(data.draw(st.lists(st.floats(1e-6, 0.5), min_size=2, max_size=2, unique_by=lambda rate: f"{rate:.2g}")))
    w, d = data.draw(st.integers(3, 40)), data.draw(st.integers(2, 60))
    power = data.draw(st.sampled_from(["0.5", "1.7", "3"]))
    numbers = {"low": repr(low), "high": repr(high), "v": w - 1, "w": w, "d": d, "p": power}
    made = planned(line.format(**numbers, past=data.draw(st.integers(201, 300)), cycle=w + d), 200)
    assert check_round_trip(made, kind)


# Anything at all ------------------------------------------------------------------------------

_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 50), st.integers(), st.floats(), st.text(max_size=5),
    st.sampled_from([10**400, 2**62, "log", "linear", "auto"]),
)  # fmt: skip


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=2))


_VALUES = st.recursive(_SCALARS, nested)
_TYPES = st.one_of(
    st.sampled_from(["WarmupLR", "WarmupDecayLR", "WarmupCosineLR", "OneCycle", "LRRangeTest", "StepLR", "MultiStepLR"]),
    st.sampled_from(["OneCycleLR", "CosineAnnealingLR", "CyclicLR", "ReduceLROnPlateau"]), _VALUES,
)  # fmt: skip
_NAMES = st.sampled_from([
    "warmup_min_lr", "warmup_max_lr", "warmup_num_steps", "warmup_type", "total_num_steps", "warmup_min_ratio", "cos_min_ratio",
    "cycle_min_lr", "cycle_max_lr", "cycle_first_step_size", "cycle_momentum", "decay_lr_rate", "lr_range_test_min_lr", "gamma",
    "lr_range_test_step_rate", "lr_range_test_step_size", "step_size", "milestones", "T_max", "max_lr", "total_steps", "base_lr",
])  # fmt: skip


@st.composite
def configurations(draw: Callable[[Any], Any]) -> str:
    params = draw(st.one_of(st.dictionaries(_NAMES, _SCALARS, max_size=4), _VALUES))
    section = {"type": draw(_TYPES), "params": params}
    return json.dumps(draw(st.sampled_from([{"scheduler": section, "optimizer": {"params": {"lr": draw(_VALUES)}}}, section])))


_ODD = st.sampled_from(["1e999999999", "9" * 5000, "[" * 300, "T_max=" + "(" * 900, "1e-3", "50", "nan"])
_ARGUMENT = st.one_of(st.text(max_size=8), _ODD)
_OPTION = st.sampled_from([
    "learning_rate", "max_train_steps", "max_train_epochs", "lr_scheduler", "lr_scheduler_type", "lr_scheduler_args",
    "lr_warmup_steps", "lr_decay_steps", "lr_scheduler_num_cycles", "lr_scheduler_power", "lr_scheduler_timescale",
    "lr_scheduler_min_lr_ratio", "optimizer_type", "num_processes", "other",
])  # fmt: skip
_GOOD = st.sampled_from([
    "--learning_rate=1e-3", "--max_train_steps=50", "--max_train_epochs=3", "--lr_scheduler=cosine_with_min_lr",
    "--lr_warmup_steps=0.3", "--lr_scheduler=warmup_stable_decay", "--lr_scheduler_type=MultiStepLR",
    "--lr_scheduler_args", "milestones=[3,4]", "lr_end=0.1",
])  # fmt: skip
_LINES = st.lists(st.one_of(st.builds("--{}={}".format, _OPTION, _ARGUMENT), _GOOD, _ARGUMENT), max_size=5).map(" ".join)
_TOML = st.lists(st.builds("{} = {}".format, _OPTION, _ARGUMENT), max_size=4).map("\n".join)
_RULE = st.builds("{}:{}".format, st.one_of(rates, _ARGUMENT), st.one_of(whole(-5, 99), _ARGUMENT))
_RULES = st.lists(_RULE, max_size=4).map(",".join)


_SETTING = st.sampled_from([
    "learning_rate", "lr_scheduler", "lr_scheduler_args", "lr_warmup", "lr_warmup_steps", "max_train_steps", "max_train_epochs",
    "epoch", "unet_lr", "additional_parameters", "learning_rate_scheduler", "learning_rate_warmup_steps", "learning_rate_cycles",
    "learning_rate_min_factor", "epochs", "gradient_accumulation_steps", "scheduler_params", "optimizer",
])  # fmt: skip
_VALUE = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 400), st.floats(), rates, _ARGUMENT, st.lists(_ARGUMENT, max_size=2),
    st.sampled_from(["cosine", "COSINE", "REX", "COSINE_WITH_RESTARTS", "COSINE_WITH_HARD_RESTARTS", "CUSTOM", "constant"]),
)  # fmt: skip
_SETTINGS = st.dictionaries(_SETTING, _VALUE, max_size=6).map(json.dumps)


@settings(max_examples=400)
@given(st.one_of(configurations(), _SETTINGS, _LINES, _TOML, _RULES, soup, st.text(max_size=30)),
       st.sampled_from([None, 1e-3, 1e300]))
def test_any_text_is_imported_or_refused_whatever_the_format(text: str, base: float | None) -> None:
    for kind in IMPORTERS:
        found = imported(text, kind, base if "base" in IMPORTERS[kind].takes else None)
        if isinstance(found, str):
            assert len(found) < 500
            assert found.isprintable()
        else:
            assert plan(found.text, total_steps=found.total_steps or 50).stop >= 1


def imported(text: str, kind: str, base: float | None) -> Imported | str:
    try:
        return import_text(text, kind, base=base, steps_per_epoch=7)
    except ImportFormatError as refused:
        return refused.message
