"""The guard: what counts as wrong, what is done about it, and that a run which needs no help does not feel it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import practice_fixtures  # noqa: E402  # torch is optional, see importorskip
from practice_fixtures import NAME, OptimizerSpy, both_kinds, same_bits, weights  # noqa: E402
from torch.optim.optimizer import register_optimizer_step_post_hook  # noqa: E402  # torch is optional, see importorskip

from lib_lrsched import plan  # noqa: E402
from lib_lrsched.guard import LEAST, RECENT, Limits, State, from_parts, judge, to_parts  # noqa: E402
from lib_lrsched.practice import shared  # noqa: E402

ground = practice_fixtures.ground

TEXT = "linear(0.01, 0.005)"
NAN = float("nan")
INF = float("inf")


def losses_that(monkeypatch: pytest.MonkeyPatch, change: Callable[[int, Any], Any]) -> None:
    """The loss of micro-batch number n (from 1) is what ``change`` makes of it."""
    model = type(practice_fixtures.small_model())
    forward, calls = model.forward, []

    def changed(self: Any, *args: Any) -> Any:
        calls.append(self)
        loss, named = forward(self, *args)
        return change(len(calls), loss), named

    monkeypatch.setattr(model, "forward", changed)


def rescues(ground: Any) -> list[str]:
    return [message for event, message in ground.events() if event == "rescue"]


# Judging ----------------------------------------------------------------------------------


@given(st.lists(st.floats(1e-6, 1.0), max_size=300))
def test_usual_losses_are_never_wrong(losses):
    """Whatever comes first is usual; after that nothing here is ten times the highest of 20."""
    state = State()
    for loss in [1.0] * LEAST + losses:
        state, reason = judge(state._replace(losses=(*state.losses[-RECENT + 2:], 1.0)), Limits(), loss, 1.0, False)
        assert reason == ""
    assert len(state.losses) <= RECENT


@pytest.mark.parametrize("loss", [NAN, INF, -INF])
def test_a_loss_that_is_no_number_is_wrong(loss):
    state, reason = judge(State((1.0,)), Limits(loss_factor=0.0), loss, None, False)
    assert (reason, state.losses) == (f"the loss is {loss}", (1.0,))


def test_only_many_skipped_updates_in_a_row_are_wrong():
    state, reasons = State(), []
    for _ in range(19):
        state, reason = judge(state, Limits(), 1.0, None, True)
        reasons.append(reason)
    assert reasons == [""] * 19
    assert judge(state, Limits(), 1.0, 1.0, False)[0].skipped == 0
    assert judge(state, Limits(), 1.0, None, True)[1] == "GradScaler skipped 20 updates in a row: their gradients overflowed"


def test_a_skipped_update_has_done_no_harm():
    assert judge(State(), Limits(), INF, None, True)[1] == ""


def test_few_losses_say_nothing_about_what_is_usual():
    state = State((0.001,) * (LEAST - 1))
    assert judge(state, Limits(), 1.0, None, False)[1] == ""
    assert judge(State((0.001,) * LEAST), Limits(), 1.0, None, False)[1] != ""


def test_a_factor_of_0_leaves_large_losses_alone():
    assert judge(State((0.001,) * LEAST), Limits(loss_factor=0.0), 1e30, None, False)[1] == ""


def test_the_state_survives_a_file():
    state = State((0.5, 0.25), 3, 1)
    assert from_parts(to_parts(state)) == state


@pytest.mark.parametrize(
    "parts",
    [{}, {"losses": [NAN], "skipped": 0, "rescues": 0}, {"losses": [1.0], "skipped": -1, "rescues": 0},
     {"losses": [1.0] * 201, "skipped": 0, "rescues": 0}, {"losses": "1", "skipped": 0, "rescues": 0},
     {"losses": [True], "skipped": 0, "rescues": 0}, {"losses": [], "skipped": 0.0, "rescues": 0}],
)  # fmt: skip
def test_error_no_state_of_a_guard(parts):
    with pytest.raises(ValueError, match="expected"):
        from_parts(parts)


# Rescuing ---------------------------------------------------------------------------------


@both_kinds
def test_after_a_nan_the_run_goes_on_from_its_last_good_state_at_half_the_rate(ground, kind, monkeypatch):
    ground.install(autosave_every=4)
    losses_that(monkeypatch, lambda n, loss: loss * NAN if n == 11 else loss)
    with OptimizerSpy() as spy:
        trained = ground.train(kind, TEXT, 20)
    expected = plan(TEXT, total_steps=20).values(range(20)).tolist()
    assert spy.rates == expected[:11] + [rate * 0.5 for rate in expected[11:]]
    assert trained.step == 20
    assert all(torch.isfinite(weight).all() for weight in weights(trained))
    half = "from here on the rate is the planned one times 0.5"
    assert rescues(ground) == [f"update 10: the loss is nan. Back to the state after update 8; {half}"]
    run = ground.run()
    assert (run.state, run.multiplier) == ("finished", 0.5)
    records = ground.records()
    assert [record.planned for record in records] == expected  # the plan stays
    assert [record.actual for record in records] == spy.rates


@both_kinds
def test_the_weights_after_a_rescue_are_those_of_the_good_state_trained_on(ground, kind, monkeypatch):
    """With a rate of 0 from the rescue on, nothing moves: the end is the state after update 8, to the bit."""
    ground.install(autosave_every=4, guard_factor=1.0)
    text = "0.01:11, 0"
    expected = weights(ground.train(kind, "0.01:8, 0", 20, name="eight"))
    losses_that(monkeypatch, lambda n, loss: loss * NAN if n == 11 else loss)
    assert same_bits(weights(ground.train(kind, text, 20)), expected)


@both_kinds
def test_the_multiplier_holds_for_the_rest_of_the_run_also_after_a_break(ground, kind, monkeypatch):
    ground.install(autosave_every=2)
    with monkeypatch.context() as patch:
        losses_that(patch, lambda n, loss: loss * NAN if n == 5 else loss)
        ground.train(kind, TEXT, 10)
    with OptimizerSpy() as spy:
        ground.train(kind, TEXT, 14)
    assert spy.rates == [rate * 0.5 for rate in plan(TEXT, total_steps=14).values(range(10, 14)).tolist()]
    assert any(message.endswith(", times 0.5 since the guard stepped in") for _, message in ground.events())


@both_kinds
def test_an_exploding_loss_is_rescued_and_a_hard_picture_is_not(ground, kind, monkeypatch):
    ground.install(autosave_every=5)
    losses_that(monkeypatch, lambda n, loss: loss * {26: 3.0, 31: 1e4}.get(n, 1.0))
    assert ground.train(kind, "0.0001", 40).step == 40
    (only,) = rescues(ground)
    assert only.startswith("update 30: the loss is ")
    assert ", more than 10 times the highest of the last 30, " in only
    assert ground.run().multiplier == 0.5


@both_kinds
def test_after_some_rescues_the_run_stops_at_its_last_good_state(ground, kind, monkeypatch):
    ground.install(autosave_every=4)
    losses_that(monkeypatch, lambda n, loss: loss * NAN if n > 10 else loss)
    trained = ground.train(kind, TEXT, 40)
    assert len(rescues(ground)) == 4
    assert ground.run().multiplier == 0.125
    assert "Back to the state after update 8;" in rescues(ground)[0]
    stopped = "Back to the state after update 4, and stopped: 3 rescues did not help. Train again at a lower rate"
    assert rescues(ground)[-1].endswith(stopped)
    assert (ground.run().state, trained.step) == ("failed", 14)
    assert ground.run().message == rescues(ground)[-1]
    assert all(torch.isfinite(weight).all() for weight in weights(trained))


@both_kinds
def test_too_many_skipped_updates_are_a_reason(ground, kind, monkeypatch):
    shared.opts.practice_grad_scaler = True
    ground.install(autosave_every=4)
    losses_that(monkeypatch, lambda n, loss: loss * INF if 10 < n <= 31 else loss)
    trained = ground.train(kind, TEXT, 40)
    assert trained.step == 40
    assert rescues(ground)[0].startswith("update 29: GradScaler skipped 20 updates in a row")


@both_kinds
@pytest.mark.parametrize("blown", [24, 25, 26, 49, 50, 51])
@pytest.mark.parametrize("is_loss_finite", [True, False])
def test_a_skipped_update_proves_nothing(ground, kind, blown, is_loss_finite, monkeypatch):
    """An update ruins the weights, and GradScaler skips every one after it: no ruined state is gone back to or kept."""
    shared.opts.practice_grad_scaler = True
    ground.install(autosave_every=50)
    steps, trained = [], []

    def ruin(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        steps.append(optimizer)
        trained[:] = optimizer.param_groups[0]["params"]
        if len(steps) == blown:
            with torch.no_grad():
                trained[0].mul_(1e12)

    def overflow(_: int, loss: torch.Tensor) -> torch.Tensor:
        if not trained or float(trained[0].detach().abs().max()) < 1e6:
            return loss
        loss = loss if is_loss_finite and bool(loss.isfinite()) else loss * 0 + 1.0 if is_loss_finite else loss * INF
        loss.register_hook(lambda gradient: gradient * INF)
        return loss

    losses_that(monkeypatch, overflow)
    hook = register_optimizer_step_post_hook(ruin)
    try:
        ended = weights(ground.train(kind, TEXT, 100))
    finally:
        hook.remove()
    (rescued,) = rescues(ground)
    back = int(rescued.split("Back to the state after update ")[1].split(";")[0])
    assert 0 <= back < blown, rescued
    assert ground.run().state == "finished"
    assert max(float(weight.abs().max()) for weight in ended) < 1e6


@both_kinds
def test_off_it_lets_things_take_their_course(ground, kind, monkeypatch):
    ground.install(guard=False)
    losses_that(monkeypatch, lambda n, loss: loss * 1e4 if n == 30 else loss)
    with OptimizerSpy() as spy:
        ground.train(kind, TEXT, 40)
    assert spy.rates == plan(TEXT, total_steps=40).values(range(40)).tolist()
    assert rescues(ground) == []


@both_kinds
@pytest.mark.parametrize("scaled", [False, True])
def test_a_run_that_needs_no_rescue_is_the_same_to_the_bit(ground, kind, scaled):
    shared.opts.practice_grad_scaler = scaled
    results = []
    for guard in (False, True):
        ground.install(guard=guard)
        ground.create(kind, NAME, overwrite=True)
        results.append(weights(ground.train(kind, TEXT, 60, shuffle_tags=True)))
    assert same_bits(*results)
