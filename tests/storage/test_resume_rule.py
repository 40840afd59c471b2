"""The rule of how a training resumes: from what was chosen, what is stored and the text, to the mode and the text's origin."""

from __future__ import annotations

from typing import get_args

import pytest

from lib_lrsched.storage.resume import CHOICES, SAID, Choice, mode_of, origin_of, written_mode
from lib_lrsched.storage.run_state import MODES, Leg

LAST = Leg(40, 1_000.0, 100, " 0.5 ", None, 1, 1, origin=40)


@pytest.mark.parametrize(("choice", "last", "text", "mode", "origin"), [
    ("continue", None, "0.5", "start", 0),
    ("continue", LAST, "0.5", "continue", 40),
    ("continue", LAST, "\n0.5", "continue", 40),
    ("continue", LAST, "0.25", "new", 0),
    ("continue", LAST, "", "new", 0),
    ("new", LAST, "0.5", "new", 0),
    ("new", None, "0.5", "start", 0),
    ("restart", LAST, "0.5", "restart", 60),
    ("restart", None, "0.5", "restart", 60),
    ("file", LAST, "0.5", "file", 0),
    ("file", None, "0.5", "file", 0),
    *((choice, last, "range_test(1e-5, 0.1)", "restart", 60) for choice in CHOICES for last in (None, LAST)),
    ("continue", LAST, "range_test(1e-5, 0.1):80, 0.5", "new", 0),
])  # fmt: skip
def test_a_way_and_a_text_make_a_mode(choice: str, last: Leg | None, text: str, mode: str, origin: int):
    assert mode_of(choice, last, text) == mode
    assert origin_of(mode, last, 60) == origin


def test_what_a_leg_keeps_is_a_mode_of_the_file():
    assert {written_mode(mode) for mode in SAID} == set(MODES)
    assert written_mode("file") == "start"


def test_a_way_is_one_of_those_that_can_be_chosen():
    assert get_args(Choice) == CHOICES
    assert set(CHOICES) < set(SAID)
