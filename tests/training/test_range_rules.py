"""The pure rules of a range test, on losses made up for them."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, log10, nan

import pytest

pytest.importorskip("torch")

from lib_lrsched.training._range_rules import FEWEST, Pair, judge  # torch is optional


def climb(updates: int, share: Callable[[float], float], low: float = 1e-5, high: float = 1.0, noise: float = 0.02,
          start: float = 0.0) -> list[Pair]:
    """Updates with a rising rate; share(decade) of the loss is gone, and every other baseline is a hard timestep's."""
    pairs = []
    for k in range(updates):
        rate = low * (high / low) ** (k / max(1, updates - 1))
        before = 0.3 if k % 2 else 0.03
        wave = 0.0 if k == 0 else noise * (1 if k % 4 < 2 else -1)
        gone = start if k == 0 else share(log10(rate))
        pairs.append(Pair(rate, before * (1 - gone + wave), before))
    return pairs


def usual(decade: float) -> float:
    """It rises from 1e-3 to 1e-1, by 40 %, and is far worse than nothing from there on."""
    if decade > -1:
        return 0.4 - 6 * (decade + 1)
    return max(0.0, 0.2 * (decade + 3))


def test_the_suggestion_is_where_half_of_the_best_progress_is_made():
    found = judge(climb(300, usual))
    assert found.suggested == pytest.approx(10**-2, rel=0.3)
    assert found.why.startswith(f"the loss falls fastest at about {found.suggested:g}: half of the best progress, ")
    assert "on it is far worse than nothing" in found.why
    rates, shares = zip(*found.points, strict=True)
    assert list(rates) == sorted(rates)
    assert max(shares) == pytest.approx(0.38, abs=0.04)
    assert len(found.points) < 125


def test_what_is_noise_alone_does_not_move_it():
    assert judge(climb(300, usual, noise=0.0)).suggested == pytest.approx(judge(climb(300, usual, noise=0.1)).suggested, rel=0.35)


def test_a_run_that_has_learned_already_begins_at_its_own_level():
    """A trained hypernetwork is compared with the model without it: 30 % are gone at every low rate."""
    assert judge(climb(300, lambda decade: 0.3 + 0.7 * usual(decade), start=0.3)).suggested == pytest.approx(10**-2, rel=0.3)


def test_it_keeps_a_step_from_where_it_does_harm():
    cliff = judge(climb(300, lambda decade: 0.4 if -1.2 < decade < -1 else -3.0 if decade >= -1 else 0.001))
    assert cliff.suggested == pytest.approx(0.1 / 10**0.5, rel=0.3)


@pytest.mark.parametrize("ruin", [nan, inf, None])
def test_a_loss_that_is_not_finite_is_harm_too(ruin):
    pairs = [pair if pair.rate < 0.1 else Pair(pair.rate, ruin, None) for pair in climb(300, usual)]
    found = judge(pairs)
    assert found.suggested == pytest.approx(10**-2, rel=0.3)
    assert all(rate < 0.1 for rate, _ in found.points)


@pytest.mark.parametrize(
    ("pairs", "why"),
    [
        ([], "0 measured updates are too few: at least 24 are needed, 300 are usual"),
        (climb(1, usual), "1 measured update is too few: at least 24 are needed, 300 are usual"),
        (climb(FEWEST - 1, usual), "23 measured updates are too few"),
        (climb(300, lambda _: 0.0), "nothing was learned at any rate"),
        (climb(300, lambda _: 1e-5, noise=0.0), "nothing was learned at any rate"),
        (climb(300, lambda decade: -3.0 if decade > -2 else 0.0), "nothing was learned at any rate before it does harm"),
        (climb(300, usual, high=0.03), "progress was still rising at 0.03, the highest rate reached: use a higher `to`"),
        (climb(300, lambda d: 0.4 if d < -1 else -3.0, low=0.01),
         "it gains most at the lowest rate already, 0.01: use a lower `from`"),
    ],
)
def test_where_it_cannot_tell_nothing_is_suggested_and_it_says_why(pairs, why):
    found = judge(pairs)
    assert found.suggested is None
    assert found.why.startswith(why)
