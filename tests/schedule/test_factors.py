"""Texts over timesteps: their factors, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from lib_lrsched.errors import ScheduleError
from lib_lrsched.schedule.by_timestep import factors, normalized, plan_factors, trouble, warnings_of
from lib_lrsched.storage._presets import BY_TIMESTEP


def test_a_text_gives_one_factor_for_each_timestep():
    found = factors(plan_factors("2:25%, linear(1, 0)"))
    assert len(found) == 1000
    assert (found[0], found[249], found[250], found[625]) == (2.0, 2.0, 1.0, pytest.approx(0.5))


def test_weights_are_normalized_to_a_mean_of_1_and_keep_their_ratios():
    found = normalized(factors(plan_factors("1:200, 4")))
    assert sum(found) / len(found) == pytest.approx(1.0)
    assert found[-1] / found[0] == pytest.approx(4.0)


@pytest.mark.parametrize(("text", "message"), [
    ("1:200", "expected a factor for each timestep from 0 to 999, but the text ends at 200: give a factor for the rest"),
    ("0", "the factor is 0 at every timestep: nothing would be trained"),
    ("1:3ep, 2", "there are no epochs and no images here: end a segment at a timestep or with %"),
    ("plateau(1)", "plateau follows the updates of a run; here a factor depends on the timestep alone"),
    ("range_test(0.1, 1)", "range_test follows the updates of a run; here a factor depends on the timestep alone"),
])
def test_error_what_no_factor_can_be_made_of_is_refused(text, message):
    with pytest.raises(ScheduleError) as caught:
        plan_factors(text)
    assert caught.value.message == message == trouble(text)


def test_error_a_text_that_ends_too_early_comes_with_one_that_does_not():
    with pytest.raises(ScheduleError) as caught:
        plan_factors("2:100, 1:200")
    assert caught.value.fix == "2:100, 1:200, 1"


def test_a_jump_is_no_warning_here():
    made = plan_factors("0.01:500, 1")
    assert made.warnings
    assert not warnings_of(made)


def test_the_min_snr_presets_are_those_of_the_paper_on_stable_diffusion_s_noise():
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2  # ldm's "scaled linear"
    kept = np.cumprod(1 - betas)
    snr = kept / (1 - kept)
    formulas = (np.minimum(snr, 5) / snr, np.minimum(snr, 5) / (snr + 1))
    for preset, expected in zip(BY_TIMESTEP, formulas, strict=True):
        made = plan_factors(preset.text)
        assert np.abs(factors(made) - expected).max() < 0.01
        assert not warnings_of(made)
