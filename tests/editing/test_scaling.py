"""A text times a factor: its rates are scaled, and all else in it stands as it stood."""

from __future__ import annotations

import numpy as np
import pytest

from lib_lrsched.editing.scaling import scaled
from lib_lrsched.errors import RequestError, ScheduleError
from lib_lrsched.schedule.plan import plan
from lib_lrsched.schedule.shapes import ENTRIES, REQUIRED


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0.5:100, 1e-3:1000, 1e-5", "0.05:100, 0.0001:1000, 1e-6"),
        ("warmup( 0.5 , start=0.1 ):5% ,\n cosine(0.5, 0)  # mine", "warmup( 0.05 , start=0.01 ):5% ,\n cosine(0.05, 0)  # mine"),
        ("onecycle(0.4)", "onecycle(0.04)"),
        ("repeat(3, cosine(0.5, b=0.1):100, 0.2:5)", "repeat(3, cosine(0.05, b=0.01):100, 0.02:5)"),
        ("0.5:200, linear(0.1)", "0.05:200, linear(0.01)"),
        ("restarts(0.5, 0.01, t_0=25%, peak_decay=0.7)", "restarts(0.05, 0.001, t_0=25%, peak_decay=0.7)"),
        ("plateau(0.5, threshold=0.1, min=0.01)", "plateau(0.05, threshold=0.1, min=0.001)"),
    ],
)
def test_rates_are_scaled_and_nothing_else(text, found):
    assert scaled(text, 0.1) == found


def test_a_factor_of_1_is_the_text_itself():
    assert scaled("0.123456789", 1.0) == "0.123456789"


@pytest.mark.parametrize("shape", ENTRIES, ids=lambda shape: shape.name)
def test_every_shape_scales(shape):
    made, times = plan(shape.example, total_steps=400), plan(scaled(shape.example, 0.1), total_steps=400)
    steps = np.arange(made.stop)
    assert times.stop == made.stop
    assert times.values(steps) == pytest.approx(0.1 * made.values(steps), rel=0.005)


def test_no_shape_has_a_rate_that_is_not_written_and_not_0():
    """Such a default would stay while the others are scaled."""
    assert [p.name for shape in ENTRIES for p in shape.params if p.kind == "rate" and p.default not in (REQUIRED, None, 0.0)] == []


def test_error_a_rate_that_overflows():
    with pytest.raises(RequestError, match="not a number that can be trained with"):
        scaled("1e300", 1e100)


def test_error_a_text_without_a_form():
    with pytest.raises(ScheduleError):
        scaled("cosin(0.1)", 0.1)
