"""The plateau against torch's ReduceLROnPlateau, and its state: live, replayed, and in a run that goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lib_lrsched import plan
from lib_lrsched.schedule import plateau
from lib_lrsched.schedule.plan import Plan
from lib_lrsched.schedule.plateau import Plateau, Watch, advance, look, rate_at, replay, segment_at
from lib_lrsched.schedule.running_average import SMOOTHING
from lib_lrsched.storage.history import History, HistoryRow, read_losses, read_rows, watchable
from lib_lrsched.storage.run_state import Known
from lib_lrsched.storage.store import Store
from lib_lrsched.training.request import Request
from lib_lrsched.training.run import TrainingRun

torch = pytest.importorskip("torch")

from torch.optim.lr_scheduler import ReduceLROnPlateau  # noqa: E402  torch is optional, see importorskip

VALUES = st.fixed_dictionaries({
    "factor": st.floats(0.0, 0.99), "patience": st.integers(0, 4), "threshold": st.sampled_from([0.0, 1e-4, 0.01, 0.5, 1.0, 2.0]),
    "mode": st.sampled_from(["rel", "abs"]), "cooldown": st.integers(0, 4), "min": st.sampled_from([0.0, 1e-12, 1e-3, 0.5]),
})
PLAIN = {"factor": 0.5, "patience": 0, "threshold": 0.0, "mode": "rel", "cooldown": 0, "min": 0.0}
STEADY = st.sampled_from([1.0, 0.9999, 0.99, 0.5, 1.0001])
LOSSES = st.lists(STEADY | st.floats(-10.0, 10.0) | st.just(math.nan), max_size=60)


class Reference:
    """torch's ReduceLROnPlateau on an optimizer that trains nothing; eps = 0, for rates may be below torch's 1e-8."""

    def __init__(self, rate: float, values: dict[str, Any]) -> None:
        self.optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
        self.scheduler = ReduceLROnPlateau(
            self.optimizer, factor=values["factor"], patience=values["patience"], threshold=values["threshold"],
            threshold_mode=values["mode"], cooldown=values["cooldown"], min_lr=values["min"], eps=0,
        )

    def look(self, loss: float) -> float:
        self.scheduler.step(loss)
        return float(self.optimizer.param_groups[0]["lr"])


@given(rate=st.sampled_from([0.1, 1e-4, 1e-9, 1e-300]), values=VALUES, losses=LOSSES)
@example(rate=1e-9, values=PLAIN, losses=[1.0] * 5)
@example(rate=0.1, values=PLAIN | {"mode": "abs", "cooldown": 2, "min": 0.5}, losses=[math.nan] * 9)
def test_looks_are_those_of_reduce_lr_on_plateau(rate, values, losses):
    reference, state = Reference(rate, values), Plateau(rate)
    for loss in losses:
        state = look(state, loss, values)
        assert state.rate == reference.look(loss)
        assert (state.bad, state.resting) == (reference.scheduler.num_bad_epochs, reference.scheduler.cooldown_counter)
        assert state.best == reference.scheduler.best


def text_of(values: dict[str, Any], every: int) -> str:
    given_ = ", ".join(f"{name}={value!r}" if name != "mode" else f"mode={value}" for name, value in values.items())
    return f"plateau(0.1, {given_}, every={every})"


def smoothed(losses: Sequence[float]) -> list[float]:
    """The debiased average after each loss, over the finite ones; NaN where the loss is not a number."""
    found, mean, weight = [], 0.0, 0.0
    for loss in losses:
        if math.isfinite(loss):
            mean = SMOOTHING * mean + (1.0 - SMOOTHING) * loss
            weight = SMOOTHING * weight + (1.0 - SMOOTHING)
        found.append(mean / weight if math.isfinite(loss) else math.nan)
    return found


@given(values=VALUES, every=st.integers(1, 4), start=st.integers(0, 7), losses=LOSSES.filter(bool))
def test_a_plan_s_rates_are_those_of_torch_over_the_average_at_every_look(values, every, start, losses):
    head = f"1e-3:{start}, " if start else ""
    made = plan(head + text_of(values, every), total_steps=len(losses) + start)
    reference, rate = Reference(0.1, values), 0.1
    steady = [1.0] * start
    averages = smoothed(steady + losses)
    watch = replay(made, enumerate(steady))
    for j, loss in enumerate(losses):
        segment = segment_at(made, start + j)
        assert segment is not None
        assert rate_at(watch, segment) == rate
        watch = advance(watch, segment, start + j, loss)
        if (j + 1) % every == 0:
            rate = reference.look(averages[start + j])


# Replay -------------------------------------------------------------------------------------

TWO = "1e-3:5, plateau(0.1, factor=0.5, patience=1):30, 1e-3:+5, plateau(0.05, factor=0.3, patience=0, cooldown=1, every=2)"


def live(made: Plan, losses: Sequence[float]) -> Watch:
    watch = Watch()
    for step, loss in enumerate(losses):
        watch = advance(watch, segment_at(made, step), step, loss)
    return watch


def same(one: Watch, other: Watch) -> bool:
    """To the last bit; NaN, the rate before any plateau, is itself."""
    return repr(one) == repr(other)


@given(losses=st.lists(STEADY | st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=60), cut=st.integers(0, 60))
def test_a_replay_gives_the_live_state_to_the_last_bit(tmp_path_factory, losses, cut):
    made = plan(TWO, total_steps=60)
    assert same(replay(made, enumerate(losses)), live(made, losses))
    path = tmp_path_factory.mktemp("replay") / "history.jsonl"
    history = History(path)
    for step, loss in enumerate(losses):
        history.record(HistoryRow(step, 0.1, 0.1, loss, None, 5.0))
    history.close()
    assert same(replay(made, read_losses(path, cut)), live(made, losses[:cut]))


def test_a_history_that_went_back_counts_the_newest_losses_once(tmp_path):
    made, path = plan(TWO, total_steps=60), tmp_path / "history.jsonl"
    history = History(path)
    for step, loss in [*((k, 9.0) for k in range(20)), *((k, 1.0) for k in range(12, 15))]:
        history.record(HistoryRow(step, 0.1, 0.1, loss, None, 5.0))
    history.close()
    assert same(replay(made, read_losses(path, 15)), live(made, [9.0] * 12 + [1.0] * 3))


def test_a_second_plateau_starts_at_its_own_rate_and_keeps_the_average():
    made = plan(TWO, total_steps=60)
    watch = live(made, [1.0] * 35)
    second = segment_at(made, 35)
    assert second is not None
    assert watch.plateau.rate < 0.01
    assert rate_at(watch, second) == 0.05
    after = advance(watch, second, 35, 1.0)
    assert after.start == 35
    assert after.plateau == Plateau(0.05)
    assert after.weight > watch.weight


def seen(text: str, values: Sequence[float | None]) -> Watch:
    """The state after updates with these new values of what the text watches."""
    made, watch = plan(text, total_steps=60), Watch()
    (what,) = plateau.watched(made) - {"loss"}
    for step, value in enumerate(values):
        watch = advance(watch, segment_at(made, step), step, 9.0 if step % 2 else 0.1, {what: value})
    return watch


@pytest.mark.parametrize("what", ["progress", "validation"])
def test_what_else_is_watched_is_looked_at_as_it_is_and_only_where_it_is_new(what):
    text = f"plateau(0.1, factor=0.5, patience=1, threshold=0, watch={what})"
    found = seen(text, [None, 0.9, None, None, 0.8, None, 0.8, None, None])
    assert (found.plateau.rate, found.plateau.bad, found.plateau.best) == (0.1, 1, 0.8)
    found = seen(text, [None, 0.9, None, None, 0.8, None, 0.8, None, 0.85])
    assert (found.plateau.rate, found.plateau.cuts) == (0.05, 1)


def test_every_counts_updates_since_the_last_look_at_what_else_is_watched():
    text = "1e-3:2, plateau(0.1, factor=0.5, patience=0, every=4, watch=validation)"
    found = seen(text, [None, None, None, 0.9, 0.8, 0.7, None, 0.6, 0.5, None, None, 0.6])
    assert (found.plateau.best, found.looked, found.plateau.cuts) == (0.6, 11, 1), "looks at steps 3, 7 and 11"


def test_a_replay_of_what_else_is_watched_gives_the_live_state(tmp_path):
    text = "plateau(0.1, factor=0.5, patience=0, watch=validation):20, plateau(0.05, patience=0, watch=progress)"
    made = plan(text, total_steps=40)
    path, watch = tmp_path / "history.jsonl", Watch()
    history = History(path)
    for step in range(40):
        share = {"validation": None if step % 3 else math.sin(step), "progress": math.cos(step) if step > 1 else None}
        row = HistoryRow(step, 0.1, 0.1, 0.5, None, 5.0, None if step % 4 else 0.25, **share)
        history.record(row)
        watch = advance(watch, segment_at(made, step), step, 0.5, watchable(row))
    history.close()
    rows = read_rows(path, 40)
    assert same(replay(made, [(row.step, row.loss, watchable(row)) for row in rows]), watch)
    assert watch.plateau.cuts > 1


def test_a_state_of_an_earlier_version_has_no_last_look():
    watch = Watch(0.5, 0.25, 3, Plateau(0.1, 0.5, 1, 0, 2), 17)
    parts = tuple(tuple(one) if isinstance(one, tuple) else one for one in watch)
    assert plateau.load_state_dict(parts) == watch
    assert plateau.load_state_dict(parts[:4]) == watch._replace(looked=-1)
    with pytest.raises(ValueError, match="the last look"):
        plateau.load_state_dict(parts[:3])


def test_outside_a_plateau_there_is_no_feedback_segment():
    made = plan(TWO, total_steps=60)
    starts = [None if (segment := segment_at(made, step)) is None else segment.start for step in (0, 4, 5, 29, 30, 34, 35, 59)]
    assert starts == [None, None, 5, 5, None, None, 35, 35]


# In a run -----------------------------------------------------------------------------------

PLATEAU = "1e-3:3, plateau(0.1, factor=0.5, patience=2, cooldown=1, every=2):40, 1e-3"
TOTAL = 50


def loss_at(step: int) -> float:
    """Stands still, falls, is not a number for a while, stands still again."""
    if step in (20, 21):
        return math.nan
    return 0.75 if step < 12 else 0.75 / (step - 10) if step < 18 else 0.7 + 0.01 * math.sin(step)


def started(root: Path, name: str, step: int, known: Known | None) -> TrainingRun:
    run = TrainingRun(Request("embedding", name, PLATEAU, TOTAL), Store(root), clock=lambda: 1_000_000.0)
    run.begin(step, known)
    assert run.troubles == []
    return run


def trained(run: TrainingRun, steps: range) -> list[float]:
    rates = []
    for step in steps:
        rates.append(run.planned.rate_at(step))
        run.record(step, rates[-1], loss_at(step), None)
    return rates


def test_cuts_happen_in_a_run_and_stand_in_its_history(tmp_path):
    run = started(tmp_path, "mine", 0, None)
    rates = trained(run, range(TOTAL))
    run.end("finished")
    assert rates[:3] == [1e-3] * 3
    assert rates[40:] == [1e-3] * 10
    assert rates[3] == 0.1
    assert all(after in (before, before * 0.5) for before, after in pairwise(rates[3:40]))
    cuts = [step for step in range(4, 40) if rates[step] < rates[step - 1]]
    assert len(cuts) >= 3
    lines = [json.loads(line) for line in (Store(tmp_path).history_path(run.id)).read_text().splitlines()[1:]]
    records = [line for line in lines if isinstance(line, list)]
    assert [record[1] for record in records] == rates == [record[2] for record in records]
    events = [line for line in lines if isinstance(line, dict) and line["event"] == "plateau"]
    assert [event["step"] for event in events] == cuts
    expected = [f"the loss no longer improves: the rate is cut to {rates[step]:g}" for step in cuts]
    assert [event["message"] for event in events] == expected


@pytest.mark.parametrize("broken_at", [0, 1, 3, 4, 11, 20, 21, 22, 30, 39, 40, 45])
def test_a_resumed_run_has_exactly_the_state_of_an_unbroken_one(tmp_path, broken_at):
    whole = started(tmp_path, "whole", 0, None)
    expected = trained(whole, range(TOTAL))
    first = started(tmp_path, "mine", 0, Known(0, "new", 5))
    rates = trained(first, range(broken_at))
    known = Known(broken_at, "as it was then", 5)
    first.saved(known)
    first.end("interrupted")
    losses = read_losses(Store(tmp_path).history_path(first.id), broken_at)
    assert repr(losses) == repr([(step, loss_at(step)) for step in range(broken_at)])
    second = started(tmp_path, "mine", broken_at, known)
    assert second.id == first.id
    assert same(second.planned.watch, live(second.planned.plan, [loss_at(step) for step in range(broken_at)]))
    assert rates + trained(second, range(broken_at, TOTAL)) == expected
    assert same(second.planned.watch, whole.planned.watch)


def test_updates_after_the_saved_form_do_not_count(tmp_path):
    """The embedding was saved at 10, the loop went on to 25 and crashed: those losses are not the embedding's."""
    first = started(tmp_path, "mine", 0, Known(0, "new", 5))
    trained(first, range(10))
    known = Known(10, "as it was then", 5)
    first.saved(known)
    trained(first, range(10, 25))
    first.end("failed")
    second = started(tmp_path, "mine", 10, known)
    assert same(second.planned.watch, live(second.planned.plan, [loss_at(step) for step in range(10)]))
    trained(second, range(10, 12))
    assert same(second.planned.watch, live(second.planned.plan, [loss_at(step) for step in range(12)]))


def test_another_run_s_losses_are_not_replayed(tmp_path):
    trained(started(tmp_path, "mine", 0, None), range(25))
    stranger = started(tmp_path, "mine", 0, Known(0, "made anew", 9))
    assert same(stranger.planned.watch, plateau.Watch())
