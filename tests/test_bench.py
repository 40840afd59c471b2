"""The rows of the benchmarks: a goal is missed only where the noise leaves no doubt."""

from __future__ import annotations

import pytest
from bench_lines import MISSED, OK, OPEN, Goal, Line, ends


@pytest.mark.parametrize(("ratios", "verdict"), [
    ([1.9, 1.8, 1.7, 1.9, 1.8, 1.7, 1.9], OK), ([2.1, 2.2, 2.3, 2.1, 2.2, 2.3, 2.1], MISSED),
    ([1.9, 2.1, 2.3, 1.5, 1.7, 2.6, 1.2], OPEN), ([2.1], MISSED), ([2.0], OK),
])
def test_a_goal_is_decided_where_what_the_median_may_be_lies_on_one_side(ratios, verdict):
    assert Goal(2.0).verdict(ratios) == verdict
    other = {OK: MISSED, MISSED: OK, OPEN: OPEN}[verdict] if 2.0 not in ratios else OK
    assert Goal(2.0, at_least=True).verdict(ratios) == other


def test_one_outlier_in_many_rounds_changes_nothing():
    assert Goal(2.0).verdict([1.9] * 14 + [30.0]) == OK
    assert ends([1.9] * 4 + [30.0]) == (1.9, 30.0), "of five rounds all are needed"


def test_a_row_has_the_ratio_its_ends_and_the_verdict():
    row = Line("a thing", 2.0, "ms", 1.0, "another", [2.0, 2.1, 2.2], Goal(3.0))
    assert str(row).split() == ["a", "thing", "2", "ms", "1", "ms", "another", "2.1x", "(2", "to", "2.2)", "<=", "3", "ok"]
    assert row.as_goal().split() == ["a", "thing,", "against", "another", "2.1x", "(2", "to", "2.2)", "<=", "3", "ok"]
    assert Line("a thing", 2.0, "ms").verdict == ""
