"""What is said of a run's progress: beyond its noise, and no more than that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib_lrsched.preview import not_measured
from lib_lrsched.preview._learning import NO_NOTE, WINDOW, Learning, learning, percent, window_noise, windows
from lib_lrsched.preview.run_view import PointsRequest, learning_of, run_answer
from lib_lrsched.storage.history import Compared, History, HistoryRow
from lib_lrsched.storage.run_state import RunState

SEEDS = range(20)
NOTHING = Compared(*np.empty((4, 0)))


def measured(curve: Any, *, every: int = 8, noise: float = 0.3, floor: float = 0.0, seed: int = 0) -> Compared:
    """A run whose true progress follows a curve; the noise is that of a single pair, as a share of its baseline."""
    curve = np.asarray(curve, dtype=float)
    chance, steps = np.random.default_rng(seed), np.arange(len(curve))
    baselines = 0.03 + 0.2 * chance.random(len(curve)) ** 2
    losses = baselines * (1 - curve + (floor + noise * np.sqrt(np.abs(curve))) * chance.standard_normal(len(curve)))
    is_measured = steps % every == 0
    sums = [np.cumsum(np.where(is_measured, one, 0)) for one in (losses, baselines)]
    own, before = (one - np.concatenate([np.zeros(WINDOW), one])[: len(one)] for one in sums)
    return Compared(steps.astype(float), losses, np.where(is_measured, baselines, np.nan), 1 - own / before)


def said(curve: Any, *, is_over: bool = True, **how: Any) -> str:
    return learning(measured(curve, **how), last_step=len(curve) - 1, is_over=is_over).said


def shaped(steps: int, *points: tuple[int, float]) -> Any:
    """Straight lines between (step, share)."""
    return np.interp(np.arange(steps), *zip(*points, strict=True))


def test_with_few_measured_updates_far_apart_the_error_is_a_number():
    with np.errstate(invalid="ignore"):  # where the window is empty
        run = measured(shaped(3001, (0, 0), (3000, 0.4)), every=600)
    found = learning(Compared(*(column[np.isfinite(run.progress)] for column in run)), last_step=3000, is_over=True)
    assert found.error is not None
    assert 0 < found.error < 1


def test_what_overflows_has_no_error_rather_than_nan():
    wild = Compared(np.arange(10.0), np.full(10, 1e200), np.full(10, 1e-200), np.full(10, -1e300))
    with np.errstate(all="ignore"):
        found = learning(wild, last_step=9, is_over=True)
    assert found.error is None
    assert found.said == "worse than at the start: the loss is 1e+300 times as high, on the same noise"


# Which curve it is ------------------------------------------------------------------------------


def test_the_share_that_is_gone_is_told_with_its_error():
    found = learning(measured(shaped(300, (0, 0), (299, 0.4))), last_step=299, is_over=True)
    assert found.share is not None
    assert found.error is not None
    assert found.share == pytest.approx(0.37, abs=3 * found.error)
    assert found.said == f"{percent(found.share)} of the loss is gone, on the same noise"


@pytest.mark.parametrize("every", [1, 8, 16])
@pytest.mark.parametrize("steps", [300, 1500])
def test_a_run_that_goes_on_learning_is_seldom_called_flat(every: int, steps: int):
    found = [said(shaped(steps, (0, 0), (steps - 1, 0.45)), every=every, seed=seed) for seed in SEEDS]
    assert sum("nothing gained" in one for one in found) <= 4
    assert not any("falling" in one or "nothing was" in one for one in found)


@pytest.mark.parametrize("every", [1, 8])
def test_a_run_that_gains_nothing_more_is_seen(every: int):
    found = [said(shaped(600, (0, 0), (200, 0.4)), every=every, seed=seed) for seed in SEEDS]
    flat = [int(one.split("for the last ")[1].split()[0]) for one in found if "nothing gained" in one]
    assert len(flat) >= 16
    assert 300 <= np.median(flat) <= 450
    assert min(flat) >= 100


def test_nothing_gained_is_not_said_of_a_run_too_short_to_tell():
    assert "nothing gained" not in said(shaped(120, (0, 0), (60, 0.4)))


@pytest.mark.parametrize("every", [1, 8, 16])
def test_noise_alone_is_seldom_called_learning(every: int):
    found = [said(np.zeros(400), every=every, floor=0.05, seed=seed) for seed in range(40)]
    assert found.count("nothing was learned") >= 35


def test_a_run_whose_losses_are_those_of_its_start_has_learned_nothing():
    assert said(np.zeros(300), is_over=False) == "nothing is learned yet"
    assert said(np.zeros(300)) == "nothing was learned"
    assert said(np.full(300, 0.0004), noise=0.001) == "nothing was learned"


def test_worse_than_at_the_start():
    assert said(np.full(300, -0.12), noise=0.0) == "worse than at the start: the loss is 12 % above it, on the same noise"
    assert said(np.full(300, -2.5), noise=0.0) == "worse than at the start: the loss is 3.5 times as high, on the same noise"


def test_a_run_that_loses_what_it_had_is_falling():
    curve = shaped(800, (0, 0), (300, 0.5), (450, 0.5), (799, 0.15))
    found = [said(curve, every=1, seed=seed) for seed in SEEDS]
    assert all("; falling: it was " in one for one in found)
    steps = [int(one.rsplit(" ", 1)[1]) for one in found]
    assert all(250 <= step <= 550 for step in steps)


def test_numbers_have_two_digits_that_say_something():
    assert [percent(share) for share in (0.384, 0.0731, 0.00423, 1.2, 0.0996)] == ["38 %", "7.3 %", "0.42 %", "120 %", "10 %"]


# How it is measured -----------------------------------------------------------------------------


def test_windows_do_not_overlap_and_end_with_the_newest():
    steps, shares = windows(measured(shaped(230, (0, 0), (229, 0.4))))
    assert steps.tolist() == [29, 79, 129, 179, 229]
    assert len(shares) == 5


def test_the_noise_of_a_window_is_that_of_repeated_runs():
    repeated = [measured(np.full(400, 0.4), seed=seed) for seed in range(60)]
    real = float(np.std([one.progress[-1] for one in repeated]))
    assert float(np.median([window_noise(one) for one in repeated])) == pytest.approx(real, rel=0.25)


def test_a_very_long_run_is_answered_at_once():
    found = said(shaped(40_000, (0, 0), (20_000, 0.4)))
    assert "nothing gained for the last " in found


# Where nothing is known -------------------------------------------------------------------------


def test_too_few_measurements_say_when_there_will_be_numbers():
    for updates, words in ((1, "measured once so far"), (9, "measured every 8 updates; first numbers after 25 updates"),
                           (24, "measured every 8 updates; first numbers after 25 updates")):
        assert learning(measured(np.zeros(updates)), last_step=updates - 1, is_over=False) == Learning(words)
    assert said(np.zeros(25), is_over=False) == "nothing is learned yet"
    assert said(np.zeros(24)) == "too few updates were measured to say whether it learned"


def test_what_is_not_measured_says_why():
    assert learning(NOTHING, last_step=None, is_over=False).said == "not measured yet"
    assert learning(NOTHING, last_step=10, is_over=False).said == "not measured yet"
    assert learning(NOTHING, last_step=100, is_over=False).said == f"not measured: {NO_NOTE}"
    assert learning(NOTHING, last_step=9, is_over=True, why_not="it began without it").said == "not measured: it began without it"


def test_measurements_that_ended_are_not_those_of_now():
    one = measured(np.full(200, 0.3), noise=0.0)
    assert learning(one, last_step=400, is_over=True).said.startswith("measured up to step 192: 30 % of the loss is gone")


# Of a run ---------------------------------------------------------------------------------------


def recorded(path: Path | None, one: Compared) -> History:
    history = History(path, clock=lambda: 1.0)
    for step, loss, before, share in zip(*one, strict=True):
        row = HistoryRow(int(step), 0.1, 0.1, float(loss), None, 1.0, None if np.isnan(before) else float(before), float(share))
        history.record(row)
    return history


def test_the_answer_of_a_run_has_it_and_a_file_that_was_read_gives_the_same(tmp_path: Path):
    one = measured(shaped(300, (0, 0), (299, 0.4)))
    history = recorded(tmp_path / "history.jsonl", one)
    history.close()
    state = RunState("a", "embedding", "a", "finished", 300, 300, 0.0, 0.0, "1")
    again = History.open(tmp_path / "history.jsonl")
    answers = [run_answer(state, known, PointsRequest(since))["learning"] for known in (history, again) for since in (0, 299)]
    assert all(answer == learning(one, last_step=299, is_over=True)._asdict() for answer in answers)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("progress and the distance from the start are not measured: this file is damaged: its digest",
         "this file is damaged: its digest"),
        ("progress is not measured any more: the GPU has no memory. Training continues", "the GPU has no memory"),
        ("progress was not measured: it is switched off", "it is switched off"),
        ("progress is not measured: this run began without it", "this run began without it"),  # of earlier versions
        (not_measured.without_start("it is gone"), "it is gone"),
        (not_measured.no_longer("the model failed"), "the model failed"),
        (not_measured.afterwards("it is off"), "it is off"),
    ],
)
def test_the_log_says_why_a_run_is_not_measured(message: str, why: str):
    history = History(None, clock=lambda: 1.0)
    history.record(HistoryRow(0, 0.1, 0.1, 0.1, None, 1.0))
    history.event(0, "note", message)
    history.event(0, "note", "the run is not validated: no images. Training continues")
    assert learning_of(history, history.events(), is_over=True).said == f"not measured: {why}"


def test_what_went_back_is_not_counted():
    history = recorded(None, measured(np.full(200, 0.4), noise=0.0))
    history.record(HistoryRow(100, 0.1, 0.1, 0.1, None, 1.0))
    assert history.compared().steps.tolist() == list(range(100))


# With validation --------------------------------------------------------------------------------


@pytest.mark.parametrize(("curve", "looks", "words"), [
    (shaped(300, (0, 0), (299, 0.4)), [(100, 0.1), (200, 0.25)], "of the loss is gone, on the same noise; validation: 25 % gone"),
    (shaped(300, (0, 0), (299, 0.4)), [(100, 0.31), (200, -0.02)],
     "on the same noise; validation: -2.0 % gone, at best 31 % after update 100"),
    (np.zeros(300), [(1000, 0.25)], "progress is within its noise; validation: 25 % gone"),
])
def test_the_newest_look_of_validation_and_the_best_are_told_too(curve, looks, words):
    found = learning(measured(curve), looks, last_step=299, is_over=True)
    assert found.said.endswith(words)


def test_validation_is_told_where_progress_was_not_measured():
    found = learning(NOTHING, [(10, 0.5)], last_step=100, is_over=False)
    assert found.said == f"progress: not measured: {NO_NOTE}; validation: 50 % gone"
