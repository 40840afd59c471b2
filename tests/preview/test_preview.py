"""A request to what a chart draws, the sampling of long curves, and how images become steps."""

from __future__ import annotations

import json
from math import cos, pi
from typing import Any

import numpy as np
import pytest

from lib_lrsched import plan
from lib_lrsched.preview.curve import MAX_ROWS, CurveRequest, past_curve, preview, resume_lints
from lib_lrsched.schedule.counting import Counts, count_steps
from lib_lrsched.schedule.plan import PLANNER_VERSION
from lib_lrsched.schedule.sampling import WHOLE, sample_steps
from lib_lrsched.storage.run_state import Leg

_STRETCHES = "this segment scales with max steps: changing max steps makes the rate jump; absolute ends do not scale"


def ask(text: str = "0.5", total_steps: int = 100, past: tuple[Leg, ...] = (), **fields: Any) -> dict[str, Any]:
    """The one result of a request."""
    answer = preview(CurveRequest(texts=[text], total_steps=total_steps, **fields), past)
    json.dumps(answer, allow_nan=False)
    (result,) = answer["results"]
    return result


def messages(result: dict[str, Any]) -> list[str]:
    return [warning["message"] for warning in result["warnings"]]


def leg(text: str, start_step: int = 0, total_steps: int = 100, steps_per_epoch: int | None = None, origin: int = 0) -> Leg:
    return Leg(start_step, 0.0, total_steps, text, steps_per_epoch, None, PLANNER_VERSION, origin)


# The answer -----------------------------------------------------------------------------------


def test_the_answer_carries_the_request_back() -> None:
    answer = preview(CurveRequest(id="a7", texts=["1", "2"], total_steps=50, images=12, batch=5, initial_step=3))
    results = answer.pop("results")
    assert answer == {"id": "a7", "pictures": 12, "steps_per_epoch": 2, "images_per_step": 5, "initial_step": 3}
    assert [(r["ok"], r["text"], r["total_steps"]) for r in results] == [(True, "1", 50), (True, "2", 50)]


def test_what_is_left_out_has_a_default() -> None:
    answer = preview(CurveRequest(texts=["1"], total_steps=50))
    results = answer.pop("results")
    assert answer == {"id": None, "pictures": None, "steps_per_epoch": None, "images_per_step": 1, "initial_step": 0}
    assert results[0]["epochs_total"] is None


def test_a_short_curve_has_every_step() -> None:
    result = ask("0.5:40, cosine(0.5, 0)")
    assert result["x"] == list(range(100))
    np.testing.assert_allclose(result["y"], [0.5] * 40 + [0.25 + 0.25 * cos(pi * j / 60) for j in range(60)], rtol=1e-12)
    assert (result["min"], result["max"], result["momentum"]) == (result["y"][-1], 0.5, None)
    assert (result["stop"], result["boundaries"]) == (100, [40])
    assert (result["past"], result["rate_at_resume"]) == (None, None)


def test_segments_say_where_they_lie_in_steps_epochs_and_images() -> None:
    result = ask("0.5:40 , cosine(0.5, 0):200", images=15, batch=2)
    assert result["segments"] == [
        {
            "start": 0,
            "stop": 40,
            "shape": "constant",
            "text": "0.5:40",
            "span": [0, 6],
            "first": 0.5,
            "last": 0.5,
            "epochs": [0.0, 5.71],
            "images": [0, 80], "watch": None,
        },
        {
            "start": 40,
            "stop": 100,
            "shape": "cosine",
            "text": "cosine(0.5, 0):200",
            "span": [9, 27],
            "first": 0.5,
            "last": pytest.approx(0.25 + 0.25 * cos(pi * 59 / 160), rel=1e-12),
            "epochs": [5.71, 14.29],
            "images": [80, 200], "watch": None,
        },
    ]
    assert (result["segments_total"], result["epochs_total"]) == (2, 14.29)


def test_segments_have_no_epochs_where_the_images_are_unknown() -> None:
    (segment,) = ask(batch=3)["segments"]
    assert (segment["epochs"], segment["images"]) == (None, [0, 300])


def test_momentum_is_drawn_where_something_schedules_it() -> None:
    result = ask("0.5:2, cyclic(0, 1, step_size=1)", 5)
    assert result["momentum"] == [None, None, 0.95, pytest.approx(0.85), 0.95]


def test_epochs_in_a_text_need_images() -> None:
    assert ask("1:3ep, 0", images=10, batch=2)["boundaries"] == [15]
    assert ask("1:3ep, 0")["error"]["message"] == "epochs need the data set's size: say how many images there are"


def test_a_bad_text_does_not_harm_the_others() -> None:
    results = preview(CurveRequest(texts=["1", "1:5,\n foo(1)", "2"], total_steps=50))["results"]
    assert [result["ok"] for result in results] == [True, False, True]
    assert results[1] == {
        "ok": False,
        "text": "1:5,\n foo(1)",
        "mode": "start",
        "error": {
            "message": "no shape `foo`",
            "span": [6, 9],
            "line": 2,
            "column": 2,
            "caret": "no shape `foo`\n     foo(1)\n     ^^^",
            "fix": None,
            "needs": "",
        },
    }
    assert ask("1:3ep")["error"]["needs"] == "images"


def test_warnings_come_with_span_and_correction() -> None:
    message = "the schedule stops the run at step 50 of 100; a last segment `0.1` continues at that rate"
    assert ask("0.1:50")["warnings"] == [{"message": message, "span": (4, 6), "fix": "0.1:50, 0.1"}]


def test_a_clip_threshold_may_jump_and_holds_after_its_end() -> None:
    assert messages(ask("1e-3:20, 0.1:50")) == [
        "the rate jumps from 0.001 to 0.1 at step 20",
        "the schedule stops the run at step 50 of 100; a last segment `0.1` continues at that rate",
    ]
    assert messages(ask("1e-3:20, 0.1:50", kind="clip")) == ["this ends at step 50; after that the last threshold stays in force"]
    assert not ask("foo(1)", kind="clip")["ok"]


def test_a_clip_threshold_drives_no_momentum() -> None:
    result = ask("onecycle(0.1)", kind="clip", optimizer="Adagrad")
    assert (result["momentum"], messages(result)) == (None, [])


def test_an_optimizer_without_momentum_is_told_where_its_name_is_known() -> None:
    assert messages(ask("onecycle(0.1)", optimizer="AdamW")) == messages(ask("onecycle(0.1)", optimizer=None)) == []
    (warning,) = ask("onecycle(0.1)", optimizer="Adagrad")["warnings"]
    message = "this drives momentum, and Adagrad has neither betas nor momentum: only the rate will follow"
    assert warning == {"message": message, "span": (0, 13), "fix": "onecycle(0.1, cycle_momentum=no)"}


def test_a_rate_far_from_what_is_usual_is_told_at_its_place_for_the_kind_that_is_known() -> None:
    far = "the highest learning rate is 5, far above what "
    both = "an embedding (1e-4 to 0.1) and a hypernetwork (1e-6 to 1e-3) are usually trained with"
    (warning,) = ask("1:5, linear(5, 0)")["warnings"]
    assert warning == {"message": far + both, "span": (5, 17), "fix": None}
    assert messages(ask("1e30")) == [f"the highest learning rate is 1e+30, far above what {both}"]
    assert messages(ask("5", trainee="embedding")) == [f"{far}an embedding is usually trained with, 1e-4 to 0.1"]
    (message,) = messages(ask("0.005", trainee="hypernetwork"))
    assert message.endswith("usually trained with, 1e-6 to 1e-3; for an embedding it would be usual (1e-4 to 0.1)")
    for text in ("0.005", "1e-5", "range_test(1e-6, 10)", "0"):
        assert messages(ask(text)) == []
    assert messages(ask("100", kind="clip")) == []


def test_an_item_that_scales_comes_with_absolute_ends_that_plan_the_same() -> None:
    past = (leg("0.004", 0, 80),)
    text = "warmup(0.005):5%, cosine(0.005, 1e-5)"
    (found, _) = ask(text, initial_step=50, past=past)["warnings"]
    assert (found["message"], found["fix"]) == (_STRETCHES, "warmup(0.005):5, cosine(0.005, 1e-5):100")
    assert ask(found["fix"])["y"] == ask(text)["y"]


def test_a_segment_says_what_decides_when_its_rate_falls() -> None:
    rows = ask("0.005:10, plateau(0.005):60, plateau(0.005, watch=progress)")["segments"]
    assert [row["watch"] for row in rows] == [None, "loss", "progress"]


def test_many_segments_are_listed_up_to_a_limit() -> None:
    text = ", ".join(f"{1 + i % 2}:{i + 1}" for i in range(2_000))
    result = ask(text, 10_000)
    assert (len(result["segments"]), len(result["boundaries"]), result["segments_total"]) == (MAX_ROWS, MAX_ROWS, 2_000)


# Resuming a run -------------------------------------------------------------------------------


def test_the_rate_at_the_resume_point_is_told() -> None:
    assert ask("0.5:40, 0.25", initial_step=40)["rate_at_resume"] == 0.25
    assert ask("0.5:40, 0.25", initial_step=39)["rate_at_resume"] == 0.5
    assert ask("0.5:40", initial_step=40)["rate_at_resume"] is None


def test_nothing_left_to_train_is_said_alone() -> None:
    for text, total, stop in (("0.5:40, 0.25:60", 100, 60), ("cosine(1, 0)", 60, 60)):
        made = plan(text, total_steps=total)
        (found,) = resume_lints(made, 60)
        assert found.message == f"the run resumes at step 60, but the plan ends at {stop}: nothing is left to train"
        assert found.span == (0, len(text))


def test_a_run_that_has_not_begun_has_no_such_warnings() -> None:
    assert resume_lints(plan("cosine(1, 0)", total_steps=100), 0) == []
    assert messages(ask("cosine(0.1, 0)")) == []


@pytest.mark.parametrize(
    "text",
    [
        "cosine(1, 0)",
        "cosine(1, 0):-1",
        "cosine(1, 0):-01",
        "1:80%, 0",
        "cosine(1, 0):30%, 0:200",  # over at step 30, and with twice the steps not yet at step 50
        "linear(1, 0):80%, 0",
        "repeat(9, 1:20%, 0.5:50%):100%",
        "1:5, onecycle(0.1)",
        "warmup(1)",
        "wsd(1)",
        "range_test(1e-6, 1)",
        "step(1, every=10%)",
        "restarts(1, t_0=10%)",
        "1:5%, cosine(1, 0):+60, 0",
        "step(1, every=5):5%, decay(1, 0.9)",
        "1:+10, 0.5:+5%, linear(1, 0):90, 0",
    ],
)
def test_what_stretches_with_max_steps_is_told_to_a_run_that_has_begun(text: str) -> None:
    # Told rightly: with twice the max steps the rates from step 50 on are others.
    here, longer = (plan(text, total_steps=total) for total in (100, 200))
    both = range(50, min(here.stop, longer.stop))
    assert here.values(both).tolist() != longer.values(both).tolist()
    assert [found.message for found in resume_lints(here, 50)] == [_STRETCHES]


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "1:-1",
        "constant(1)",
        "1:5, step(1, every=10)",
        "decay(1, 0.99)",
        "inverse_sqrt(1, timescale=10)",
        "cyclic(0, 1, step_size=10)",
        "restarts(1, t_0=10, t_mult=2)",
        "plateau(1)",
        "cosine(1, 0):60, 0",
        "repeat(9, 1:50%):80, 0",
        "step(1, every=10%):80, 0",
    ],
)
def test_what_does_not_stretch_is_not_said_to(text: str) -> None:
    here, longer = (plan(text, total_steps=total) for total in (100, 140))
    assert here.values(range(50, 80)).tolist() == longer.values(range(50, 80)).tolist()
    assert resume_lints(here, 50) == []


def test_a_run_whose_max_steps_stay_has_nothing_that_stretches() -> None:
    made = plan("cosine(1, 0)", total_steps=100)
    assert resume_lints(made, 50, (leg("cosine(1, 0)"),)) == []
    (found,) = resume_lints(made, 50, (leg("cosine(1, 0)", 0, 80),))
    assert found.message.startswith(
        f"the rate at step 50 was planned as {0.5 + 0.5 * cos(pi * 50 / 80):g} and is now 0.5: max steps was 80 and is now 100"
    )
    # The text that is offered has the rates that were planned.
    kept = plan(found.fix, total_steps=100)
    assert kept.values(range(80)).tolist() == plan("cosine(1, 0)", total_steps=80).values(range(80)).tolist()
    assert kept.stop == 100


def test_a_change_of_the_rate_at_the_resume_point_is_told() -> None:
    made = plan("1e-3", total_steps=100)
    assert [found.message for found in resume_lints(made, 50, (leg("0.5:20, 2e-3"),))] == [
        "at step 50 the rate changes from 0.002, as planned before, to 0.001",
    ]
    assert resume_lints(made, 50, (leg("0.5:20, 1e-3"),)) == []
    assert resume_lints(made, 50, (leg("0.5:50"),)) == []  # the plan before ended here
    assert resume_lints(made, 50, (leg("no text"),)) == []


def test_the_past_is_drawn_with_each_leg_by_its_own_text() -> None:
    past = (leg("0.5"), leg("0.25", 20), leg("linear(0.25, 0)", 30))
    result = ask("1e-3", past=past, initial_step=40)
    assert result["past"]["x"] == list(range(40))
    np.testing.assert_allclose(
        result["past"]["y"], [0.5] * 20 + [0.25] * 10 + [0.25 * (1 - k / 100) for k in range(30, 40)], rtol=1e-12
    )


def test_the_past_of_a_fresh_run_is_none() -> None:
    assert ask("1", past=(leg("0.5"),))["past"] is None
    assert past_curve((leg("no text"),), 20, 100) is None


def test_a_leg_that_cannot_be_read_any_more_leaves_a_gap() -> None:
    curve = past_curve((leg("0.5"), leg("no text", 20), leg("0.25", 30)), 40, 100)
    assert curve == {"x": [*range(20), *range(30, 40)], "y": [0.5] * 20 + [0.25] * 10}


def test_a_leg_is_drawn_to_the_end_of_its_own_plan() -> None:
    curve = past_curve((leg("0.5:10"), leg("0.25", 20)), 30, 100)
    assert curve == {"x": [*range(10), *range(20, 30)], "y": [0.5] * 10 + [0.25] * 10}


# Sampling -------------------------------------------------------------------------------------

CURVES = [
    ("0.5:777, cosine(0.5, 0):50_000, 1e-3:50_001, 0.1", 100_000),
    ("cyclic(0, 1, step_size=13, mode=exp_range, gamma=0.9999)", 100_000),
    ("restarts(1, 0.1, t_0=100, t_mult=2)", 99_991),
    ("repeat(1e6, 1:17, 0.5:1)", 123_456),
    ("range_test(1e-9, 1)", 2_001),
]


@pytest.mark.parametrize("limit", [16, 17, 100, 2_000])
@pytest.mark.parametrize(("text", "total"), CURVES)
def test_a_sample_is_short_and_keeps_ends_extremes_and_both_sides_of_boundaries(text: str, total: int, limit: int) -> None:
    made = plan(text, total_steps=total)
    steps = sample_steps(made, limit)
    assert steps.dtype == np.int64
    assert (np.diff(steps) > 0).all()
    assert len(steps) <= limit
    every, some = made.values(range(made.stop)), made.values(steps)
    assert (some.min(), some.max()) == (every.min(), every.max())
    assert {0, made.stop - 1} <= set(steps.tolist())
    for boundary in made.boundaries:
        assert {boundary - 1, boundary} <= set(steps.tolist())


def test_every_bucket_of_a_sample_keeps_its_extremes() -> None:
    made = plan("cyclic(0, 1, step_size=13, mode=exp_range, gamma=0.9999)", total_steps=100_000)
    steps = sample_steps(made, 1_002)
    size = -(-100_000 // 500)
    every = made.values(range(100_000))
    for start in range(0, 100_000, size):
        inside = steps[(steps >= start) & (steps < start + size)]
        assert made.values(inside).max() == every[start : start + size].max()
        assert made.values(inside).min() == every[start : start + size].min()


@pytest.mark.parametrize("total", [WHOLE + 1, 5_000_003, 10**9])
def test_a_curve_too_long_to_evaluate_keeps_its_extremes(total: int) -> None:
    # The first peak is the highest, and a grid of every third step goes past it.
    made = plan("cyclic(0, 1, step_size=1_000, mode=exp_range, gamma=0.9999)", total_steps=total)
    values = made.values(sample_steps(made, 2_000))
    if total < 10**8:
        assert values.max() == pytest.approx(0.9999**1000, rel=1e-12)
    assert values.min() == 0
    falling = plan("linear(1, 0.5)", total_steps=total)
    steps = sample_steps(falling, 2_000)
    assert (steps[0], steps[-1], len(steps) <= 2_000) == (0, total - 1, True)


@pytest.mark.parametrize("total", [WHOLE + 1, 5_000_003])
def test_each_bucket_of_a_long_curve_is_refined_to_both_extremes(total: int) -> None:
    """Period 2: the grid sees lows alone or highs alone, and the neighbours have the others."""
    made = plan("cyclic(0.25, 1, step_size=1)", total_steps=total)
    steps = sample_steps(made, 202)
    size = -(-total // 100)
    for start in range(0, total - size, size):
        values = made.values(steps[(steps >= start) & (steps < start + size)])
        assert (values.min(), values.max()) == (0.25, 1.0)


def test_a_part_of_a_curve_can_be_sampled() -> None:
    made = plan("0.5:50, cosine(0.5, 0)", total_steps=10_000)
    assert sample_steps(made, 100, 20, 60).tolist() == list(range(20, 60))
    assert sample_steps(made, 100, 9_950, 20_000).tolist() == list(range(9_950, 10_000))
    steps = sample_steps(made, 100, 40, 5_000)
    assert (steps[0], steps[-1]) == (40, 4_999)
    assert {49, 50} <= set(steps.tolist())


def test_more_boundaries_than_points_still_give_a_short_sample() -> None:
    made = plan(", ".join(f"{1 + i % 2}:{i + 1}" for i in range(500)), total_steps=1_000)
    assert len(sample_steps(made, 100)) <= 100


# Counting -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "batch", "accumulate", "expected"),
    [
        (None, 3, 4, Counts(3, 4, None, 12)),
        (1, 1, 1, Counts(1, 1, 1, 1)),
        (1, 8, 8, Counts(1, 1, 1, 1)),
        (10, 2, 1, Counts(2, 1, 5, 2)),
        (10, 3, 1, Counts(3, 1, 3, 3)),
        (10, 3, 2, Counts(3, 2, 1, 6)),
        (10, 3, 9, Counts(3, 3, 1, 9)),
        (10, 20, 1, Counts(10, 1, 1, 10)),
        (100, 8, 4, Counts(8, 4, 3, 32)),
    ],
)
def test_images_batch_and_accumulation_become_steps(images: int | None, batch: int, accumulate: int, expected: Counts) -> None:
    assert count_steps(images, batch, accumulate) == expected


# A schedule of its own beginning ----------------------------------------------------------


def test_a_restarted_schedule_is_drawn_from_where_the_run_goes_on():
    """warmup over 10 steps of the 60 that are left, at absolute steps of the run's life."""
    past = (leg("0.01", 0, 50, 10),)
    result = ask("warmup(0.02):10, 0.005", total_steps=100, initial_step=40, images=10, choice="restart", past=past)
    assert (result["origin"], result["stop"], result["x"][0], result["x"][-1]) == (40, 100, 40, 99)
    rows = [(row["start"], row["stop"], row["epochs"]) for row in result["segments"]]
    assert rows == [(40, 50, [4.0, 5.0]), (50, 100, [5.0, 10.0])]
    assert result["boundaries"] == [50]
    assert result["rate_at_resume"] == pytest.approx(0.002)
    assert (result["past"]["x"][0], result["past"]["x"][-1]) == (0, 39)
    assert [w["message"] for w in result["warnings"]] == ["at step 40 the rate changes from 0.01, as planned before, to 0.002"]


@pytest.mark.parametrize(
    ("choice", "text", "origin"), [("continue", "linear(0.1, 0)", 40), ("new", "linear(0.1, 0)", 0), ("continue", "0.5", 0)]
)
def test_a_restarted_schedule_goes_on_as_restarted_unless_another_begins(choice, text, origin):
    past = (leg("0.01", 0, 50), leg("linear(0.1, 0)", 40, origin=40))
    result = ask(text, total_steps=100, initial_step=60, choice=choice, past=past)
    assert result["origin"] == origin
    assert result["past"]["x"][-1] == 59
    if origin:
        assert result["rate_at_resume"] == plan("linear(0.1, 0)", total_steps=60).value(20)
        assert result["warnings"] == []


@pytest.mark.parametrize(
    ("choice", "text", "mode"),
    [("continue", "0.5", "continue"), ("continue", "0.25", "new"), ("continue", "foo(", "new"), ("new", "0.5", "new"),
     ("restart", "0.5", "restart"), ("file", "0.5", "file")],
)  # fmt: skip
def test_each_text_is_told_how_it_resumes(choice: str, text: str, mode: str) -> None:
    assert ask(text, past=(leg("0.5"),), initial_step=50, choice=choice)["mode"] == mode
    assert ask(text)["mode"] == "start"


@pytest.mark.parametrize(("rate_text", "mode", "origin"), [(None, "continue", 20), ("0.01", "continue", 20), ("0.02", "new", 0)])
def test_a_threshold_resumes_as_the_rate_beside_it(rate_text: str | None, mode: str, origin: int) -> None:
    past = (leg("0.01", 20, origin=20),)
    result = ask("1", initial_step=40, past=past, kind="clip", rate_text=rate_text)
    assert (result["mode"], result["origin"]) == (mode, origin)


@pytest.mark.parametrize(("choice", "origin"), [("continue", 20), ("new", 0), ("restart", 40), ("file", 0)])
def test_a_threshold_goes_on_as_the_rate_does_and_shows_no_rates_as_its_past(choice: str, origin: int) -> None:
    past = (leg("0.01", 20, origin=20),)
    result = ask("linear(0.1, 0)", total_steps=100, initial_step=40, choice=choice, past=past, kind="clip")
    assert (result["origin"], result["past"], result["x"][0]) == (origin, None, origin)
    assert result["warnings"] == []


def test_a_factor_by_timestep_is_drawn_over_the_timesteps_with_its_mean():
    request = CurveRequest(["2:25%, 1", "1:200", "0.01:500, 1"], 1000, kind="timestep", points=16)
    drawn, wrong, jump = preview(request)["results"]
    assert (drawn["x"][0], drawn["x"][-1], drawn["stop"], drawn["mean"]) == (0, 999, 1000, 1.25)
    assert dict(zip(drawn["x"], drawn["y"], strict=True))[249] == 2.0
    assert wrong["error"]["fix"] == "1:200, 1"
    assert "give a factor for the rest" in wrong["error"]["message"]
    assert jump["warnings"] == []
