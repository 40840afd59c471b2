"""What a trial suggests and why, from losses made up for it; and null with a reason where it cannot tell."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

pytest.importorskip("torch")

from lib_lrsched.schedule.plan import plan  # torch is optional
from lib_lrsched.storage.trial_store import MOST_UPDATES
from lib_lrsched.training._trial_rules import Course, Point, share
from lib_lrsched.training._trial_words import Answer, Row, judge_rates, judge_texts
from lib_lrsched.web.requests import TrialRequest

NOISE = tuple(0.1 + 0.05 * (k % 3) for k in range(1200))


def course(gone: float, updates: int = 48, wave: float = 0.0) -> Course:
    """So much of the loss is gone, give or take a wave of its own."""
    return Course(tuple(loss * (1 - gone + wave * (1 if k % 4 < 2 else -1)) for k, loss in enumerate(NOISE[:updates])))


def row(one: Course, text: str = "") -> Row:
    found = share(one, NOISE[: len(one.losses)])
    return Row(text, 1.0, None, None, None, one.stopped_at) if found is None else Row(text, 1.0, *found, None)


def finder(courses: Sequence[Course], text: str = "cosine(1, 1e-3)") -> Answer:
    """Of rates 0.01, 0.1, 1, ..."""
    rows = [row(one) for one in courses]
    points = [Point(10.0 ** (k - 2), one.progress) for k, one in enumerate(rows)]
    return judge_rates(plan(text, total_steps=300), rows, courses, points)


def test_the_text_is_scaled_to_the_peak_and_the_reason_names_what_does_harm():
    found = finder([course(0.1, wave=0.02), course(0.3, wave=0.02), Course((9.0,), 6)])
    assert found.suggested == "cosine(0.05, 5e-5)"
    assert found.why.startswith("the best highest rate is about 0.05: with 0.1, 30 % of the loss is gone, ")
    assert found.why.endswith("; 1 diverges")


def test_a_text_that_holds_its_rate_gets_a_word_of_advice():
    courses = [course(0.1, wave=0.02), course(0.3, wave=0.02), course(0.1, wave=0.02)]
    assert finder(courses, "1").why.endswith("a decay would make it safer")
    assert "decay" not in finder(courses).why


@pytest.mark.parametrize(
    ("courses", "why"),
    [
        ([course(0.3), course(0.3)], "the candidates cannot be told apart in 48 updates: try 96"),
        ([course(0.0), course(0.0)], "nothing learned more than the noise explains in 48 updates (the best: 0 %"),
        ([course(-0.1), course(-0.2)], "nothing learned more than the noise explains"),
        ([course(0.01, wave=0.5), course(0.0)], "nothing learned more than the noise explains"),
        ([course(0.3, updates=1), course(0.1, updates=1)], "1 update is too few: at least 8 are needed, 48 are usual"),
        ([course(0.3, updates=7), course(0.1, updates=7)], "7 updates are too few"),
        ([Course((9.0,), 6), Course((9.0,), 2)], "every rate diverged, down to 0.01"),
    ],
)
def test_where_the_finder_cannot_tell_it_says_why(courses, why):
    found = finder(courses)
    assert found.suggested is None
    assert found.why.startswith(why)


@pytest.mark.parametrize(
    ("updates", "end"),
    [(24, ": try 48"), (500, ": try 1000"), (501, ": try 1000"), (999, ": try 1000"), (1000, ""), (1200, "")],
)
def test_where_nothing_can_be_told_it_names_twice_the_updates_as_far_as_a_trial_may_have_them(updates: int, end: str):
    nothing = finder([course(-0.1, updates), course(-0.2, updates)]).why
    assert re.search(r"\)(: try \d+)?$", nothing)
    assert nothing.endswith(f"draws){end}")
    equal = finder([course(0.3, updates), course(0.3, updates)]).why
    assert equal == f"the candidates cannot be told apart in {updates} updates{end}"


def test_what_it_names_can_be_asked_for():
    body = {"kind": "embedding", "name": "mine", "inputs": {}}
    assert TrialRequest(**body, updates=MOST_UPDATES).updates == MOST_UPDATES
    with pytest.raises(ValueError, match=f"{MOST_UPDATES + 1}|{MOST_UPDATES}"):
        TrialRequest(**body, updates=MOST_UPDATES + 1)


@pytest.mark.parametrize(
    ("shares", "suggested", "why"),
    [
        ((0.1, 0.3), "b", "`b` gains most: 30 % of the loss is gone"),
        ((0.3, 0.3), None, "the candidates cannot be told apart in 48 updates"),
        ((0.3, 0.3, 0.1), None, "`a` and `b` cannot be told apart on the same noise"),
        ((0.0, 0.0), None, "nothing learned more than the noise explains"),
    ],
)
def test_of_texts_one_is_suggested_only_where_it_is_clearly_better(shares, suggested, why):
    courses = [course(gone) for gone in shares]
    found = judge_texts([row(one, text) for one, text in zip(courses, "abc", strict=False)], courses, 300, 48)
    assert found.suggested == suggested
    assert found.why.startswith(why)
    assert found.why.endswith("each schedule was compressed from 300 to 48 updates")
