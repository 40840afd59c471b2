"""The life of one run without any host: floats in, floats out, and what is on disk after each event."""

from __future__ import annotations

import json
import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib_lrsched import ScheduleError, plan
from lib_lrsched.schedule.ahead import CHUNK
from lib_lrsched.storage.run_state import KNOWN_KEPT, Known
from lib_lrsched.storage.store import Store
from lib_lrsched.training.request import Request
from lib_lrsched.training.run import STATE_EVERY_S, TrainingRun

TEXT = "warmup(0.01):4, cosine(0.01, 0.001)"


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "lrsched")


def made(store: Store, clock: Any, text: str = TEXT, total: int = 20, *, exact_clip: bool = True, **asked: Any) -> TrainingRun:
    wanted = Request(**{"kind": "embedding", "name": "mine", "rate_text": text, "total_steps": total, **asked})
    return TrainingRun(wanted, store, exact_clip=exact_clip, clock=clock)


def train(run: TrainingRun, steps: range, *, known: Known | None = None, loss: float = 0.5) -> None:
    """A whole leg that ends well; the thing's last form is known by its step."""
    run.begin(steps.start, known)
    for step in steps:
        run.record(step, run.planned.rate_at(step), loss, 1.0)
    run.saved(Known(steps.stop, f"digest {steps.stop}", 7))
    run.end("finished")


def lines(store: Store, run: TrainingRun) -> list[Any]:
    return [json.loads(line) for line in store.history_path(run.id).read_text().splitlines()][1:]


# What is in force -------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["0.005", TEXT, "0.01:100, exp(0.01, 1e-5):2500, repeat(9, linear(0.01, 0.001):50), 0.003"])
def test_the_rate_at_a_step_is_the_plans_to_the_last_bit(store, clock, text):
    total = 3 * CHUNK
    run, expected = made(store, clock, text, total), plan(text, total_steps=total)
    steps = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 5, 0, 3 * CHUNK - 1, CHUNK - 1]
    for step in map(int, [*steps, *np.random.default_rng(0).integers(0, total, 300)]):
        rate = run.planned.rate_at(step)
        assert rate == expected.value(step)
        assert type(rate) is float


def test_every_step_in_order_is_the_plans(store, clock):
    total = 2 * CHUNK + 7
    run = made(store, clock, TEXT, total)
    assert [run.planned.rate_at(k) for k in range(total)] == plan(TEXT, total_steps=total).values(range(total)).tolist()


def test_a_run_is_over_at_the_end_of_its_schedule_or_of_its_steps(store, clock):
    run = made(store, clock, "0.01:7", 20)
    assert [run.planned.is_over(k) for k in (0, 6, 7, 8, 20)] == [False, False, True, True, True]
    assert [made(store, clock).planned.is_over(k) for k in (19, 20, 21)] == [False, True, True]


def test_there_is_a_clip_threshold_only_where_clipping_is_on_and_it_holds_after_its_end(store, clock):
    assert made(store, clock, clip_text="nonsense").planned.clip_at(3) is None
    run = made(store, clock, clip_mode="norm", clip_text="linear(1, 0.1):5")
    expected = plan("linear(1, 0.1):5", total_steps=20)
    assert [run.planned.clip_at(k) for k in range(20)] == [expected.value(min(k, 4)) for k in range(20)]


def test_momentum_is_the_plans_where_it_schedules_one(store, clock):
    assert made(store, clock).planned.momentum_at(3) is None
    text = "onecycle(0.01, cycle_momentum=yes):8, 0.001"
    run, expected = made(store, clock, text), plan(text, total_steps=20)
    assert [run.planned.momentum_at(k) for k in range(20)] == [expected.momentum(k) for k in range(20)]
    assert run.planned.momentum_at(12) is None


def test_the_data_sets_own_numbers_plan_the_texts_again(store, clock):
    run = made(store, clock, "0.01:2ep, 0.001", images=5, batch=2, clip_mode="value", clip_text="1:12img, 2")
    assert (run.planned.plan.boundaries, run.planned.clip_plan.boundaries) == ((4,), (6,))
    assert run.planned.rate_at(4) == 0.001
    run.planned.bind(9, 1, 3)
    assert (run.planned.plan.boundaries, run.planned.clip_plan.boundaries) == ((6,), (4,))
    assert run.planned.rate_at(4) == 0.01
    assert (run.planned.images, run.planned.counts.steps_per_epoch, run.planned.counts.images_per_step) == (9, 3, 3)


def test_what_is_kept_of_a_run_has_the_data_sets_own_numbers(store, clock):
    run = made(store, clock, "0.01:2ep, 0.001", images=5, batch=2)
    run.planned.bind(3, 8, 4)
    run.begin(0, None)
    (state,) = store.runs()
    assert (state.pictures, state.batch, state.accumulate, state.steps_per_epoch) == (3, 3, 1, 1)
    assert (state.legs[0].steps_per_epoch, state.legs[0].images_per_step) == (1, 3)


@pytest.mark.parametrize(("field", "text"), [("rate", "cosin(1, 2)"), ("clip", "cosin(1, 2)")])
def test_error_a_text_that_cannot_be_planned(store, clock, field, text):
    with pytest.raises(ScheduleError) as caught:
        made(store, clock, text) if field == "rate" else made(store, clock, clip_mode="norm", clip_text=text)
    assert str(caught.value) == "no shape `cosin`; did you mean `cosine`?\n    cosin(1, 2)\n    ^^^^^"


def test_error_epochs_without_a_data_set(store, clock):
    with pytest.raises(ScheduleError, match="epochs need the data set's size"):
        made(store, clock, "0.01:3ep")


# What is on disk --------------------------------------------------------------------------


def test_nothing_is_written_before_the_loop_starts(store, clock):
    run = made(store, clock)
    run.planned.bind(5, 1, 1)
    run.planned.rate_at(3)
    assert not store.root.exists()
    assert run.state().state == "pending"
    assert not run.is_live


def test_a_run_that_begins_is_on_disk_as_running(store, clock):
    run = made(store, clock, settings={"steps": 20, "learn_rate": TEXT})
    run.begin(0, Known(0, "digest 0", 5))
    (state,) = store.runs()
    assert (state.id, state.state, state.step, state.name, state.rate_text) == (run.id, "running", 0, "mine", TEXT)
    assert state.settings == {"steps": 20, "learn_rate": TEXT}
    assert state.known == (Known(0, "digest 0", 5),)
    assert lines(store, run)[0]["message"] == f"starts at step 0 of 20 with `{TEXT}`"
    assert run.is_live


def test_the_step_on_disk_is_at_most_so_many_seconds_old(store, clock):
    run = made(store, clock, total=1000)
    run.begin(0, None)
    for step in range(200):
        clock.now_s += STATE_EVERY_S / 10
        run.record(step, 0.01, 0.5, None)
        assert step + 1 - store.load(run.id).step <= 10
    assert run.state().step == 200


def test_a_clock_that_is_set_back_does_not_keep_the_step_from_the_disk(store, clock):
    run = made(store, clock, total=1000)
    run.begin(0, None)
    clock.now_s -= 3600
    run.record(0, 0.01, 0.5, None)
    assert store.load(run.id).step == 1


def test_a_finished_run_is_on_disk_with_all_its_updates(store, clock):
    run = made(store, clock)
    train(run, range(20))
    state = store.load(run.id)
    assert (state.state, state.step, state.message) == ("finished", 20, "")
    records = [line for line in lines(store, run) if isinstance(line, list)]
    assert [record[0] for record in records] == list(range(20))
    rates = plan(TEXT, total_steps=20).values(range(20)).tolist()
    assert [record[1] for record in records] == [record[2] for record in records] == rates
    assert lines(store, run)[-1]["message"] == "finished after 20 updates"
    assert not run.is_live


@pytest.mark.parametrize("outcome", ["interrupted", "failed"])
def test_the_outcome_and_its_message_are_kept(store, clock, outcome):
    run = made(store, clock)
    run.begin(0, None)
    run.record(0, 0.01, 0.5, None)
    run.end(outcome, "for a reason")
    assert (store.load(run.id).state, store.load(run.id).message) == (outcome, "for a reason")
    assert (lines(store, run)[-1]["event"], lines(store, run)[-1]["message"]) == (outcome, "for a reason")


def test_a_loss_or_norm_that_is_no_number_is_recorded_as_none(store, clock):
    run = made(store, clock)
    run.begin(0, None)
    run.record(0, 0.01, math.nan, math.inf)
    run.end("failed")
    assert next(line for line in lines(store, run) if isinstance(line, list))[3:5] == [None, None]


def test_an_update_past_the_plan_has_no_planned_rate(store, clock):
    run = made(store, clock, "0.01:3", 20)
    run.begin(0, None)
    run.record(3, 0.01, 0.5, None)
    run.end("finished")
    assert next(line for line in lines(store, run) if isinstance(line, list))[1] is None


def test_the_same_form_saved_twice_is_known_once_and_old_forms_are_dropped(store, clock):
    run = made(store, clock, total=1000)
    run.begin(0, None)
    for step in range(KNOWN_KEPT + 3):
        run.saved(Known(step, "digest", 1))
    run.saved(Known(KNOWN_KEPT + 2, "digest", 1))
    assert [known.step for known in store.load(run.id).known] == list(range(3, KNOWN_KEPT + 3))


# Resuming --------------------------------------------------------------------------------


def test_a_run_that_goes_on_keeps_its_id_and_gets_a_leg(store, clock):
    first = made(store, clock)
    train(first, range(20))
    clock.now_s += 100
    second = made(store, clock, "0.002", 30)
    train(second, range(20, 30), known=Known(20, "digest 20", 99))
    state = store.load(first.id)
    assert second.id == first.id
    assert [(leg.start_step, leg.total_steps, leg.rate_text) for leg in state.legs] == [(0, 20, TEXT), (20, 30, "0.002")]
    assert state.created_s == 1_000_000.0
    assert (state.step, state.rate_text) == (30, "0.002")


def test_a_form_that_no_run_knows_makes_a_new_run(store, clock):
    first = made(store, clock)
    train(first, range(20))
    for known in (Known(20, "another digest", 7), Known(19, "digest 20", 7), None):
        run = made(store, clock, total=30)
        train(run, range(20, 30), known=known)
        assert run.id != first.id
    assert len(store.runs()) == 4


def test_a_form_at_step_nought_is_known_by_its_files_time_too(store, clock):
    first = made(store, clock)
    first.begin(0, Known(0, "digest 0", 5))
    first.end("interrupted")
    again = made(store, clock)
    again.begin(0, Known(0, "digest 0", 6))
    assert again.id != first.id
    same = made(store, clock)
    same.begin(0, Known(0, "digest 0", 5))
    assert same.id == first.id


def test_a_run_that_goes_on_from_an_earlier_form_drops_the_legs_it_undoes(store, clock):
    first = made(store, clock)
    first.begin(0, None)
    for step in range(10):
        first.record(step, 0.01, 0.5, None)
    first.saved(Known(5, "digest 5", 3))
    first.end("interrupted")
    train(made(store, clock), range(10, 20), known=Known(10, "digest 10", 1))
    run = made(store, clock)
    train(run, range(5, 20), known=Known(5, "digest 5", 8))
    assert run.id == first.id
    assert [leg.start_step for leg in store.load(run.id).legs] == [0, 5]


def test_a_run_that_goes_on_at_this_moment_is_not_taken_up(store, clock):
    first = made(store, clock)
    first.begin(0, Known(0, "digest 0", 5))
    second = made(store, clock)
    second.begin(0, Known(0, "digest 0", 5))
    assert second.id != first.id
    assert {state.state for state in store.runs()} == {"running"}


def test_two_runs_that_begin_in_the_same_second_have_two_ids(store, clock):
    runs = [made(store, clock) for _ in range(4)]
    for run in runs:
        run.begin(0, None)
    assert len({run.id for run in runs}) == 4


# A plateau --------------------------------------------------------------------------------

PLATEAU = "plateau(0.01, factor=0.5, patience=2):30, 0.004"


def test_a_plateau_cuts_the_rate_while_the_loss_stands_still_and_says_so(store, clock):
    """The first look is the best one; then every third look in a row that is not better cuts."""
    run = made(store, clock, PLATEAU, 40)
    run.begin(0, None)
    rates = []
    for step in range(40):
        rates.append(run.planned.rate_at(step))
        run.record(step, rates[-1], 0.5, None)
    assert rates == [0.01 * 0.5 ** max(0, (step - 1) // 3) for step in range(30)] + [0.004] * 10
    notes = [line["message"] for line in lines(store, run) if isinstance(line, dict) and line["event"] == "plateau"]
    assert notes[:2] == [f"the loss no longer improves: the rate is cut to {rate}" for rate in ("0.005", "0.0025")]
    assert len(notes) == 9


def test_a_falling_loss_keeps_a_plateaus_rate(store, clock):
    run = made(store, clock, PLATEAU, 40)
    run.begin(0, None)
    for step in range(30):
        assert run.planned.rate_at(step) == 0.01
        run.record(step, 0.01, 1.0 / (step + 1), None)


@pytest.mark.parametrize("broken_at", [1, 8, 17])
def test_a_resumed_plateau_is_that_of_an_unbroken_run(store, clock, broken_at):
    def losses(step: int) -> float:
        return 0.5 + 0.3 * math.sin(step)

    def leg(run: TrainingRun, steps: range, known: Known | None) -> list[float]:
        run.begin(steps.start, known)
        rates = []
        for step in steps:
            rates.append(run.planned.rate_at(step))
            run.record(step, rates[-1], losses(step), None)
        run.saved(Known(steps.stop, f"{run.request.name} {steps.stop}", 1))
        run.end("finished")
        return rates

    unbroken = leg(made(store, clock, PLATEAU, 25, name="unbroken"), range(25), None)
    first = leg(made(store, clock, PLATEAU, 25), range(broken_at), None)
    second = leg(made(store, clock, PLATEAU, 25), range(broken_at, 25), Known(broken_at, f"mine {broken_at}", 1))
    assert first + second == unbroken


# Trouble ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lrsched", "lrsched/runs"])
def test_a_folder_that_cannot_be_made_stops_nothing_and_is_said_once(tmp_path, clock, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("no folder")
    run = made(Store(tmp_path / "lrsched"), clock)
    run.begin(0, None)
    for step in range(20):
        clock.now_s += 2 * STATE_EVERY_S
        run.record(step, run.planned.rate_at(step), 0.5, None)
    run.saved(Known(20, "digest", 1))
    run.end("finished")
    assert len(run.troubles) == len(set(run.troubles)) <= 2
    assert str(tmp_path / "lrsched") in " ".join(run.troubles)
    assert run.state().step == 20


def test_a_disk_that_is_full_for_a_while_loses_no_update(store, clock, monkeypatch):
    run = made(store, clock)
    run.begin(0, None)
    full: dict[str, Any] = {}

    def failing(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("lib_lrsched.storage.store.write_whole", failing)
        patch.setattr("lib_lrsched.storage.atomic_files.write_all", lambda fd, data: failing(Path(), data))
        for step in range(10):
            clock.now_s += 2 * STATE_EVERY_S
            run.record(step, 0.01, 0.5, None)
        full["troubles"] = list(run.troubles)
    for step in range(10, 20):
        clock.now_s += 2 * STATE_EVERY_S
        run.record(step, 0.01, 0.5, None)
    run.end("finished")
    assert any("No space left on device" in trouble for trouble in full["troubles"])
    assert store.load(run.id).step == 20
    assert [line[0] for line in lines(store, run) if isinstance(line, list)] == list(range(20))


def test_a_settings_value_that_json_cannot_hold_stops_nothing(store, clock):
    run = made(store, clock, settings={"bad": math.nan})
    run.begin(0, None)
    run.record(0, 0.01, 0.5, None)
    run.end("finished")
    assert any("settings" in trouble for trouble in run.troubles)


def test_readers_on_other_threads_get_snapshots(store, clock):
    run = made(store, clock, total=4000)
    run.begin(0, None)
    stop, wrong = threading.Event(), []

    def read() -> None:
        last = 0
        while not stop.is_set():
            state, points = run.state(), run.history.since(0)
            if state.step < last or state.state != "running" or len(points["step"]) != len(points["loss"]):
                wrong.append(state)
            last = state.step

    reader = threading.Thread(target=read)
    reader.start()
    for step in range(4000):
        run.record(step, run.planned.rate_at(step), 0.5, 1.0)
    stop.set()
    reader.join(timeout=60)
    assert not wrong
    assert run.state().step == 4000
