"""What is usual in a band of timesteps, what calls for a comparison with the start, and what condemns an update. Floats only."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from lib_lrsched.training.callbacks._band_rules import (  # torch is optional, see importorskip
    BANDS,
    KEPT,
    LEAST_OF_ALL,
    WATCHED,
    Bands,
    Sample,
    band_of,
    is_high,
    judge,
    learned,
    load_state_dict,
    state_dict,
)

USUAL = (0.05, 0.04, 0.06, 0.09)


def taught(updates: int = 80) -> Bands:
    """A state that has seen healthy losses in every band."""
    rng, state = random.Random(1), Bands()
    for k in range(updates):
        state = learned(state, [Sample(k % BANDS, USUAL[k % BANDS] * rng.uniform(0.8, 1.25))])
    return state


@pytest.mark.parametrize(("timestep", "band"), [(0, 0), (249, 0), (250, 1), (499, 1), (500, 2), (749, 2), (750, 3), (999, 3)])
def test_the_bands_are_quarters_of_the_noise_scale(timestep: int, band: int):
    assert band_of(timestep, 1000) == band


def test_a_model_with_another_number_of_timesteps_has_four_bands_too():
    assert [band_of(t, 10) for t in range(10)] == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]


def test_a_loss_is_high_against_its_own_band_and_not_against_the_others():
    state = taught()
    assert not is_high(state, [Sample(3, 0.15)])
    assert is_high(state, [Sample(1, 0.15)])


def test_several_images_are_judged_together():
    state = taught()
    assert not is_high(state, [Sample(1, 0.11), Sample(3, 0.09)])
    assert is_high(state, [Sample(1, 0.4), Sample(3, 0.09)])


def test_as_long_as_nothing_is_usual_every_update_is_compared():
    state = Bands()
    for k in range(LEAST_OF_ALL):
        assert is_high(state, [Sample(k % BANDS, 0.01)])
        state = learned(state, [Sample(k % BANDS, 0.05)])
    assert not is_high(state, [Sample(0, 0.01)])


def test_a_band_keeps_its_newest_losses():
    state = Bands()
    for k in range(KEPT + 20):
        state = learned(state, [Sample(2, float(k + 1))])
    assert state.losses[2] == tuple(float(k + 1) for k in range(20, KEPT + 20))


def test_one_update_far_above_the_start_is_condemned_at_once():
    _, reason = judge(taught(), (0.4, 0.1), 10.0)
    assert reason == "on the same noise the loss is 4 times that of what the run started from"


def test_three_in_a_row_are_condemned_at_twice_the_start():
    state = taught()
    for _ in range(2):
        state, reason = judge(state, (0.22, 0.1), 10.0)
        assert reason == ""
    state, reason = judge(state, (0.22, 0.1), 10.0)
    assert reason == "on the same noise the loss over the last 3 updates is 2.2 times that of what the run started from"
    assert state.compared == ()


def test_a_whole_watch_is_condemned_at_half_as_much_again():
    state, reasons = taught(), []
    for _ in range(WATCHED):
        state, reason = judge(state, (0.17, 0.1), 10.0)
        reasons.append(reason)
    assert reasons[:-1] == [""] * (WATCHED - 1)
    assert reasons[-1].startswith(f"on the same noise the loss over the last {WATCHED} updates is 1.7 times")


def test_a_suspicion_that_is_wrong_is_dropped():
    state, _ = judge(taught(), (0.19, 0.1), 10.0)
    assert state.compared
    assert is_high(state, [Sample(0, 0.01)])  # every update is compared while it stands
    for _ in range(3):
        state, reason = judge(state, (0.09, 0.1), 10.0)
        assert reason == ""
    assert state.compared == ()


def test_losses_under_suspicion_are_not_taken_for_usual():
    before = taught()
    state, _ = judge(before, (0.19, 0.1), 10.0)
    assert learned(state, [Sample(1, 5.0)]).losses == before.losses


def test_a_high_loss_that_the_start_has_too_is_an_unlucky_timestep():
    state, reason = judge(taught(), (2.0, 1.9), 10.0)
    assert (state.compared, reason) == ((), "")


@pytest.mark.parametrize("compared", [None, (float("nan"), 0.1), (0.1, float("inf"))])
def test_without_a_comparison_nothing_is_said(compared: tuple[float, float] | None):
    assert judge(taught(), compared, 10.0) == (taught(), "")


def test_factor_0_condemns_nothing():
    assert judge(taught(), (100.0, 0.1), 0.0)[1] == ""


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(1e-6, 10.0), st.floats(1e-6, 10.0)), max_size=80))
def test_any_state_survives_json(updates: list[tuple[int, float, float]]):
    state = Bands()
    for band, loss, before in updates:
        samples = [Sample(band, loss)]
        state, _ = judge(state, (loss, before) if is_high(state, samples) else None, 10.0)
        state = learned(state, samples)
    assert load_state_dict(json.loads(json.dumps(state_dict(state)))) == state


@pytest.mark.parametrize("parts", [
    3, [], {}, {"losses": [], "compared": []}, {"losses": [[1]] * 4, "compared": []}, {"losses": [[0.1]] * 4, "compared": [[0.1]]},
    {"losses": [[0.1] * 51, [], [], []], "compared": []}, {"losses": [[float("nan")], [], [], []], "compared": []},
    {"losses": [[], [], [], []], "compared": [[0.1, 0.2]] * 9}, {"losses": [[], [], [], []], "compared": [], "is_armed": 1},
])  # fmt: skip
def test_error_parts_that_are_no_state(parts: object):
    with pytest.raises(ValueError, match="expected"):
        load_state_dict(parts)


@pytest.mark.parametrize("first", [0.85, 1.3])
def test_a_hypernetwork_that_begins_far_worse_than_nothing_is_no_alarm(first: float):
    state, compared = Bands(is_armed=False), 0
    for times in (first, *(5.0,) * 50):
        samples = [Sample(1, 0.1 * times)]
        pair = (0.1 * times, 0.1) if is_high(state, samples) else None
        compared += pair is not None
        state, reason = judge(state, pair, 10.0)
        assert (reason, state.is_suspicious) == ("", False)
        state = learned(state, samples)
    assert compared <= 2 * WATCHED, "each costs a pass, and finds its usual loss"


def test_it_is_watched_once_it_has_been_as_good_as_nothing():
    state = Bands(is_armed=False)
    for _ in range(WATCHED):
        state, _ = judge(state, (0.12, 0.1), 10.0)
    assert state.is_armed
    assert judge(state, (0.4, 0.1), 10.0)[1]


def test_a_hypernetwork_that_begins_as_nothing_is_watched_from_its_first_update():
    state, _ = judge(Bands(is_armed=False), (0.1001, 0.1), 10.0)
    assert state.is_armed
    assert judge(state, (0.4, 0.1), 10.0)[1]
