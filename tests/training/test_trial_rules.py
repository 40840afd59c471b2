"""The pure rules of trials, against numbers worked out by hand."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from lib_lrsched.training._trial_rules import (  # torch is optional
    FURTHEST,
    GRID,
    Course,
    Point,
    best_of,
    is_better,
    is_ruined,
    next_factor,
    peak_of,
    share,
    t_quantile,
)

INF, NAN = float("inf"), float("nan")


def test_the_grid_is_half_decades_from_a_hundredth_to_a_hundred():
    assert pytest.approx([0.01, 0.0316228, 0.1, 0.316228, 1, 3.16228, 10, 31.6228, 100]) == GRID


def test_progress_is_that_of_the_second_half_with_the_interval_of_a_ratio():
    """Losses 1, 2 against 2, 2: ratio 0.75, rests -0.5 and 0.5, error sqrt(0.5 * 2 / 1) / 4 = 0.25."""
    found = share(Course((9.0, 9.0, 1.0, 2.0)), (1.0, 1.0, 2.0, 2.0))
    assert found is not None
    assert found.progress == pytest.approx(0.25)
    width = 0.25 * t_quantile(1)
    assert (found.low, found.high) == (pytest.approx(0.25 - width), pytest.approx(0.25 + width))


def test_a_candidate_that_ended_early_has_no_progress():
    assert share(Course((1.0,), 1), (1.0, 1.0)) is None


def test_one_update_has_an_interval_without_end():
    assert share(Course((0.5,)), (1.0,)) == (0.5, -INF, INF)


@pytest.mark.parametrize(("freedom", "value"), [(3, 2.3534), (5, 2.0150), (10, 1.8125), (23, 1.7139), (1000, 1.6464)])
def test_the_quantile_is_that_of_students_distribution(freedom, value):
    assert t_quantile(freedom) == pytest.approx(value, rel=0.02)


def test_better_is_judged_by_the_paired_differences():
    noise = (0.0, 0.0, 0.0, 0.0, 5.0, 1.0, 9.0, 3.0)
    lower = Course(tuple(one - 0.1 for one in noise))
    assert is_better(lower, Course(noise))  # by the sums alone nobody could tell
    assert not is_better(Course(noise), lower)
    assert not is_better(Course(noise), Course(noise))
    other = Course((0.0, 0.0, 0.0, 0.0, 6.0, 0.0, 10.0, 2.2))  # 0.05 better on the whole, and it varies by 1
    assert not is_better(Course(noise), other)


def test_what_ended_early_is_worse_than_anything():
    assert is_better(Course((9.0, 9.0)), Course((1.0,), 1))
    assert not is_better(Course((1.0,), 1), Course((9.0, 9.0)))


@pytest.mark.parametrize(
    ("losses", "ruined"),
    [((NAN,), True), ((1.0, INF), True), ((1.0,) * 9, False), ((9.0,) * 5, False), ((3.0,) * 6, False), ((3.1,) * 6, True),
     ((9.0,) * 6 + (0.5,) * 6, False)],
)
def test_a_candidate_ends_where_it_is_not_finite_or_three_times_as_bad_as_nothing(losses, ruined):
    assert is_ruined(losses, (1.0,) * 12) is ruined


def test_the_peak_is_the_vertex_of_the_parabola():
    """-(x + 1.9)^2 through x = -2.5, -2, -1.5 in decades."""
    points = [Point(10**x, 0.4 - (x + 1.9) ** 2) for x in (-2.5, -2.0, -1.5)]
    assert peak_of(points) == pytest.approx(10**-1.9)


def test_the_peak_lies_half_a_step_below_the_first_that_does_harm():
    points = [Point(0.1, 0.2), Point(0.2, 0.3), Point(0.25, -0.6), Point(1.0, 0.1)]  # the vertex is at 0.144
    assert peak_of(points) == pytest.approx(0.25 / 10**0.25)


def test_at_the_edge_it_is_the_best_itself_and_where_all_diverge_nothing():
    assert peak_of([Point(0.1, 0.3), Point(1.0, 0.1)]) == pytest.approx(0.1)
    assert peak_of([Point(0.1, None), Point(1.0, None)]) is None
    assert best_of([Point(0.1, None), Point(1.0, -0.2)]) == 1


def test_the_grid_grows_where_the_best_lies_at_its_edge_and_not_for_ever():
    rising, falling = [Point(1, 0.1), Point(2, 0.2), Point(3, 0.3)], [Point(1, 0.3), Point(2, 0.2), Point(3, None)]
    middle = [Point(1, 0.1), Point(2, 0.2), Point(3, 0.1)]
    factors = (0.1, 1.0, 10.0)
    assert next_factor(factors, rising, (0, 0)) == pytest.approx(31.6228)
    assert next_factor(factors, falling, (0, 0)) == pytest.approx(0.0316228)
    assert next_factor(factors, [Point(1, None)] * 3, (0, 0)) == pytest.approx(0.0316228)
    assert next_factor(factors, middle, (0, 0)) is None
    assert next_factor(factors, rising, (0, FURTHEST)) is None
    assert next_factor(factors, falling, (FURTHEST, 0)) is None
