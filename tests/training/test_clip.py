"""Gradient clipping: exact means on true gradients; off means the host's own, bit for bit; and the log says which."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

import practice_rig  # noqa: E402  # torch is optional, see importorskip
from practice_rig import NAME, OptimizerSpy, both_kinds, norm_of, same_bits, weights  # noqa: E402

from lib_lrsched import plan  # noqa: E402
from lib_lrsched.practice import shared  # noqa: E402
from lib_lrsched.training.callbacks.rate_and_clip import COMPARED_EVERY  # noqa: E402

SCHEDULE = "linear(0.001, 0.0002):4, 0.0005"  # a fifth of the smallest gradient or less: every update has something to cut
both_modes = pytest.mark.parametrize("mode", ["value", "norm"])


@pytest.fixture
def scaled(ground: Any) -> Any:
    """The practice host scales its losses by 65536, as the WebUI does on a GPU."""
    shared.opts.practice_grad_scaler = True
    return ground


def thresholds(text: str, steps: int) -> list[float]:
    """Of a schedule that may end early: the last one holds."""
    expected = plan(text, total_steps=steps)
    return [expected.value(min(k, expected.stop - 1)) for k in range(steps)]


def clipped(grads: list[Any], mode: str, threshold: float) -> list[Any]:
    """Written down from the definitions, in float64."""
    exact = [grad.double() for grad in grads]
    if mode == "value":
        return [grad.clip(-threshold, threshold) for grad in exact]
    return [grad * min(1.0, threshold / (norm_of(grads) + 1e-6)) for grad in exact]


def assert_clipped_exactly(spy: OptimizerSpy, mode: str, limits: list[float]) -> None:
    assert len(spy.seen) == len(limits)
    for seen, limit in zip(spy.seen, limits):
        for used, expected in zip(seen.used, clipped(seen.before, mode, limit)):
            torch.testing.assert_close(used.double(), expected, rtol=1e-5, atol=1e-12)


# Exact ------------------------------------------------------------------------------------


@both_kinds
@both_modes
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_threshold_means_true_gradients_also_while_the_loss_is_scaled(scaled, kind, mode, accumulate):
    scaled.install()
    with OptimizerSpy() as spy:
        scaled.train(kind, "0.005", 6, clip_mode=mode, clip=SCHEDULE, accumulate=accumulate)
    assert_clipped_exactly(spy, mode, thresholds(SCHEDULE, 6))
    changed = [not same_bits(seen.before, seen.used) for seen in spy.seen]
    assert all(changed)


@both_kinds
@both_modes
def test_a_scaled_run_gives_the_bits_of_the_hosts_own_unscaled_clipping(ground, kind, mode):
    """The scale is a power of two, so nothing but the clipping could differ."""
    shared.opts.save_training_settings_to_txt = False
    own = weights(ground.train(kind, "0.005", 6, clip_mode=mode, clip="0.01:3, 0.002"))
    ground.install()
    shared.opts.practice_grad_scaler = True
    ground.create(kind, NAME, overwrite=True)
    assert same_bits(own, weights(ground.train(kind, "0.005", 6, clip_mode=mode, clip="0.01:3, 0.002")))


@both_kinds
@both_modes
def test_a_threshold_that_no_gradient_reaches_changes_nothing(scaled, kind, mode):
    scaled.install()
    with OptimizerSpy() as spy:
        scaled.train(kind, "0.005", 4, clip_mode=mode, clip="1e9")
    assert all(same_bits(seen.before, seen.used) for seen in spy.seen)


@both_modes
def test_a_threshold_of_nought_lets_nothing_through(ground, mode):
    ground.install()
    with OptimizerSpy() as spy:
        ground.train("embedding", "0.005", 3, clip_mode=mode, clip="0")
    assert all(not grad.any() for seen in spy.seen for grad in seen.used)


@both_kinds
@both_modes
def test_a_clip_schedule_that_ends_early_holds_its_last_value_and_does_not_end_the_run(scaled, kind, mode):
    text = "0.01:2, linear(0.01, 0.001):4"
    scaled.install()
    with OptimizerSpy() as spy:
        trained = scaled.train(kind, "0.005", 9, clip_mode=mode, clip=text)
    assert trained.step == 9
    limits = thresholds(text, 9)
    assert limits[3:] == [limits[3]] * 6
    assert_clipped_exactly(spy, mode, limits)


@both_modes
def test_a_clip_schedule_goes_on_where_the_run_goes_on(ground, mode):
    ground.install()
    ground.train("embedding", "0.005", 3, clip_mode=mode, clip=SCHEDULE)
    with OptimizerSpy() as spy:
        ground.train("embedding", "0.005", 6, clip_mode=mode, clip=SCHEDULE)
    assert_clipped_exactly(spy, mode, thresholds(SCHEDULE, 6)[3:])


@both_modes
def test_a_clip_schedule_may_count_in_epochs_and_images(ground, mode):
    """Five images in batches of two: an epoch is two updates."""
    text = "0.01:1ep, 0.002:8img, 0.0005"
    ground.install()
    with OptimizerSpy() as spy:
        ground.train("embedding", "0.005", 6, clip_mode=mode, clip=text, batch=2)
    assert_clipped_exactly(spy, mode, [0.01] * 2 + [0.002] * 2 + [0.0005] * 2)


def test_the_same_text_for_rate_and_clip_is_both(ground):
    text = "0.01:2, 0.002"
    ground.install()
    with OptimizerSpy() as spy:
        ground.train("embedding", text, 4, clip_mode="norm", clip=text)
    assert spy.rates == [0.01] * 2 + [0.002] * 2
    assert_clipped_exactly(spy, "norm", [0.01] * 2 + [0.002] * 2)


@both_kinds
@both_modes
def test_the_history_has_the_norm_before_clipping(scaled, kind, mode):
    scaled.install()
    with OptimizerSpy() as spy:
        scaled.train(kind, "0.005", 5, clip_mode=mode, clip="0.001")
    norms = [record.grad_norm for record in scaled.records()]
    assert norms == pytest.approx([norm_of(seen.before) for seen in spy.seen], rel=1e-5)


@both_kinds
def test_the_norm_is_recorded_also_without_clipping_and_nothing_is_clipped(scaled, kind):
    scaled.install()
    with OptimizerSpy() as spy:
        scaled.train(kind, "0.005", 5, clip="0.0001")
    assert all(same_bits(seen.before, seen.used) for seen in spy.seen)
    assert [record.grad_norm for record in scaled.records()] == pytest.approx([norm_of(seen.used) for seen in spy.seen], rel=1e-5)
    assert (scaled.run().clip_mode, scaled.run().clip_text, scaled.run().clip_exact) == ("disabled", "", False)


# The host's own ---------------------------------------------------------------------------


@both_kinds
@both_modes
@pytest.mark.parametrize("scaler", [False, True])
def test_exact_clip_off_restores_the_hosts_own_clipping_to_the_bit(ground, kind, mode, scaler):
    shared.opts.save_training_settings_to_txt = False
    shared.opts.practice_grad_scaler = scaler
    own = weights(ground.train(kind, "0.005", 6, clip_mode=mode, clip="0.01:3, 0.002"))
    ground.install(exact_clip=False)
    ground.create(kind, NAME, overwrite=True)
    assert same_bits(own, weights(ground.train(kind, "0.005", 6, clip_mode=mode, clip="0.01:3, 0.002")))


@both_kinds
@both_modes
def test_the_hosts_own_clipping_takes_its_threshold_from_our_schedule(ground, kind, mode, monkeypatch):
    got = []
    name = f"clip_grad_{mode}_"
    original = getattr(torch.nn.utils, name)
    monkeypatch.setattr(torch.nn.utils, name, lambda parameters, limit: got.append(limit) or original(parameters, limit))
    ground.install(exact_clip=False)
    ground.train(kind, "0.005", 8, clip_mode=mode, clip=f"{SCHEDULE}:6")
    assert got == thresholds(f"{SCHEDULE}:6", 8)


@both_modes
def test_exact_clipping_gives_the_hosts_function_infinity(ground, mode, monkeypatch):
    got = []
    name = f"clip_grad_{mode}_"
    original = getattr(torch.nn.utils, name)
    monkeypatch.setattr(torch.nn.utils, name, lambda parameters, limit: got.append(limit) or original(parameters, limit))
    ground.install()
    ground.train("embedding", "0.005", 3, clip_mode=mode, clip="0.1")
    assert got == [float("inf")] * 3


# What the log says ------------------------------------------------------------------------


@both_kinds
@both_modes
@pytest.mark.parametrize("exact", [True, False])
def test_the_log_and_the_state_say_which_clipping_is_in_force(ground, kind, mode, exact, capsys):
    shared.opts.practice_quiet = False
    ground.install(exact_clip=exact)
    ground.train(kind, "0.005", 3, clip_mode=mode, clip="0.1")
    words = "exact: on true, unscaled gradients" if exact else "the WebUI's own: on scaled gradients"
    assert ("note", f"gradient clipping by {mode}, {words}") in ground.events()
    run = ground.run()
    assert (run.clip_mode, run.clip_text, run.clip_exact) == (mode, "0.1", exact)
    own = "exact" if exact else "the WebUI's own"
    assert f"clipping by {mode}, {own}" in capsys.readouterr().out


def test_without_clipping_the_log_does_not_speak_of_it(ground):
    ground.install()
    ground.train("embedding", "0.005", 3)
    assert [event for event, _ in ground.events()] == ["leg", "finished"]


# Overflow ---------------------------------------------------------------------------------


def overflow_in(monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """The gradients of the first so many updates overflow: their loss is 1e38 times as large, and then scaled."""
    model = practice_rig.small_model()
    forward, calls = type(model).forward, []

    def overflowing(self: Any, *args: Any) -> Any:
        calls.append(self)
        loss, named = forward(self, *args)
        return (loss * 1e38 if len(calls) <= first else loss), named

    monkeypatch.setattr(type(model), "forward", overflowing)


@both_kinds
@pytest.mark.parametrize("mode", ["disabled", "value", "norm"])
@pytest.mark.parametrize("skipped", [1, 3])
def test_an_update_that_the_scaler_skips_is_noted_and_counted(scaled, kind, mode, skipped, monkeypatch):
    overflow_in(monkeypatch, skipped)
    scaled.install()
    with OptimizerSpy() as spy:
        trained = scaled.train(kind, "cosine(0.01, 0)", 8, clip_mode=mode, clip="0.01")
    assert len(spy.seen) == 8 - skipped
    assert trained.step == 8  # the host counts them
    records = scaled.records()
    assert [record.step for record in records] == list(range(8))
    assert [record.grad_norm is None for record in records] == [True] * skipped + [False] * (8 - skipped)
    assert spy.rates == plan("cosine(0.01, 0)", total_steps=8).values(range(skipped, 8)).tolist()
    notes = [message for event, message in scaled.events() if event == "skipped"]
    first = "update 0 was skipped by GradScaler: its gradients overflowed"
    several = f"{skipped} updates were skipped by GradScaler: their gradients overflowed"
    assert notes == ([first] if skipped == 1 else [first, several])
    assert all(weight.isfinite().all() for weight in weights(trained))


@both_modes
def test_after_an_overflow_the_clipping_is_as_exact_as_before(scaled, mode, monkeypatch):
    overflow_in(monkeypatch, 2)
    scaled.install()
    with OptimizerSpy() as spy:
        scaled.train("embedding", "0.005", 8, clip_mode=mode, clip="linear(0.01, 0.001)")
    assert_clipped_exactly(spy, mode, thresholds("linear(0.01, 0.001)", 8)[2:])


@both_kinds
def test_value_clipping_does_not_hide_an_overflow_from_the_scaler(scaled, kind, monkeypatch):
    """The host's own clips inf to a number, and the update is made with a gradient of nonsense: exact clipping mends that."""
    original, updates = torch.nn.utils.clip_grad_value_, {}
    for exact in (False, True):
        first = []

        def clip(parameters: Any, limit: float, first: list[Any] = first) -> None:
            listed = [parameters] if isinstance(parameters, torch.Tensor) else list(parameters)
            if not first:
                first.append(listed[0].grad.fill_(float("inf")))
            original(listed, limit)

        monkeypatch.setattr(torch.nn.utils, "clip_grad_value_", clip)
        scaled.install(exact_clip=exact)
        scaled.create(kind, NAME, overwrite=True)
        with OptimizerSpy() as spy:
            scaled.train(kind, "0.005", 4, clip_mode="value", clip="0.01")
        updates[exact] = len(spy.seen)
    assert updates == {False: 4, True: 3}


# How much was cut -------------------------------------------------------------------------


@both_kinds
@both_modes
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_history_has_the_share_of_the_norm_that_was_cut(scaled, kind, mode, accumulate):
    scaled.install()
    with OptimizerSpy() as spy:
        scaled.train(kind, "0.005", 9, clip_mode=mode, clip=SCHEDULE, accumulate=accumulate)
    shares = [record.clip_share for record in scaled.records()]
    by_hand = [1 - norm_of(clipped(seen.before, mode, limit)) / norm_of(seen.before)
               for seen, limit in zip(spy.seen, thresholds(SCHEDULE, 9), strict=True)]
    assert all(0 < one < 1 for one in by_hand)
    is_measured = [mode == "norm" or kind == "embedding" or k % COMPARED_EVERY == 0 for k in range(9)]
    assert [share is not None for share in shares] == is_measured
    assert [one for one in shares if one is not None] == pytest.approx(
        [one for one, is_there in zip(by_hand, is_measured, strict=True) if is_there], abs=2e-6)


@both_modes
def test_the_share_is_0_where_nothing_is_cut_and_1_where_nothing_is_left(ground, mode):
    ground.install()
    ground.train("embedding", "0.005", 4, clip_mode=mode, clip="1e9:2, 0")
    assert [record.clip_share for record in ground.records()] == [0.0, 0.0, 1.0, 1.0]


def test_the_share_is_null_where_we_do_not_clip(ground):
    ground.install()
    ground.train("embedding", "0.005", 2)
    ground.install(exact_clip=False)
    ground.train("embedding", "0.005", 4, clip_mode="norm", clip="0.001")
    assert [record.clip_share for record in ground.records()] == [None] * 4


def test_the_share_of_an_update_that_the_scaler_skips_is_null(scaled, monkeypatch):
    overflow_in(monkeypatch, 2)
    scaled.install()
    scaled.train("embedding", "0.005", 5, clip_mode="norm", clip="0.001")
    assert [record.clip_share is None for record in scaled.records()] == [True, True, False, False, False]


# Refusals ---------------------------------------------------------------------------------


def test_a_clip_text_is_not_looked_at_while_clipping_is_off(ground):
    ground.install()
    assert ground.train("embedding", "0.005", 2, clip="nonsense").step == 2
    assert ground.call("embedding", "0.005", 4, clip_grad_value=7)[0].step == 4


def test_an_unknown_clip_mode_is_no_clipping_as_in_the_host(ground):
    ground.install()
    with OptimizerSpy() as spy:
        ground.train("embedding", "0.005", 2, clip_mode="Value", clip="0.0001")
    assert all(same_bits(seen.before, seen.used) for seen in spy.seen)
