"""The rate and the loss by timestep: against what the optimizer got and what passed through the model."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from practice_rig import NAME, OptimizerSpy, both_kinds, same_bits  # noqa: E402  # torch is optional, see importorskip
from training_steps import whole  # noqa: E402

from lib_lrsched.practice import shared  # noqa: E402
from lib_lrsched.schedule.by_timestep import factors, normalized, plan_factors  # noqa: E402
from lib_lrsched.storage.history import History  # noqa: E402

TEXT = "linear(3, 0.5):600, 0.25"
FACTORS = factors(plan_factors(TEXT))


@pytest.fixture
def passes(monkeypatch) -> list[tuple[list[int], list[float], float]]:
    """Timesteps, unweighted losses and the model's own answer for each micro-batch that is trained on."""
    found: list[tuple[list[int], list[float], float]] = []
    p_losses = type(shared.sd_model).p_losses

    def spy(model: Any, x: Any, cond: Any, t: Any, noise: Any = None) -> Any:
        noise = torch.randn_like(x) if noise is None else noise
        answer = p_losses(model, x, cond, t, noise)
        if torch.is_grad_enabled():
            with torch.no_grad():
                predicted = model.apply_model(model.schedule.add_noise(x, t, noise), t, cond)
                losses = (predicted - model.schedule.velocity(x, t, noise)).square().flatten(1).mean(1)
            found.append((t.tolist(), losses.tolist(), float(answer[0].detach())))
        return answer

    monkeypatch.setattr(type(shared.sd_model), "p_losses", spy)
    return found


def points(ground: Any) -> dict[str, list[Any]]:
    return History.open(ground.runtime.store.history_path(ground.run().id), append=False).since(0)


@both_kinds
@pytest.mark.parametrize("choices", [{}, {"batch": 2, "accumulate": 2}], ids=["one", "accumulation"])
def test_the_rate_of_an_update_is_the_plan_s_times_the_mean_factor_of_its_images(ground, kind, choices, passes):
    ground.install(rate_by_timestep=TEXT)
    with OptimizerSpy() as spy:
        ground.train(kind, "0.005:3, 0.002", 6, **choices)
    micro = choices.get("accumulate", 1)
    means = []
    for k in range(6):
        timesteps = [t for batch, _, _ in passes[k * micro : (k + 1) * micro] for t in batch]
        means.append(sum(FACTORS[t] for t in timesteps) / len(timesteps))
    assert spy.rates == pytest.approx([(0.005 if k < 3 else 0.002) * mean for k, mean in enumerate(means)])
    found = points(ground)
    assert found["actual"] == pytest.approx(spy.rates)
    assert found["rate_factor"] == pytest.approx(means, rel=1e-5)
    assert not [message for _, message in ground.events() if "Something else changes it" in message]


def test_a_factor_of_1_changes_no_bit(ground):
    ground.install()
    expected = whole(ground, "embedding")
    for option in ("rate_by_timestep", "loss_by_timestep"):
        ground.install(**{"rate_by_timestep": "", "loss_by_timestep": "", option: "1"})
        assert same_bits(expected, whole(ground, "embedding"))


@both_kinds
def test_each_image_s_loss_is_weighted_and_what_is_measured_is_not(ground, kind, passes):
    ground.install(loss_by_timestep=TEXT, progress_every=1)
    ground.train(kind, "0.005", 5, batch=3)
    weight = normalized(FACTORS)
    found = points(ground)
    for k, (timesteps, losses, answer) in enumerate(passes):
        weighted = [weight[t] * loss for t, loss in zip(timesteps, losses, strict=True)]
        assert answer == pytest.approx(sum(weighted) / 3, rel=1e-5)
        assert found["loss"][k] == pytest.approx(answer, rel=1e-5)
    # Of the very first update the loss is that of what the run started from, on the same noise.
    if kind == "embedding":
        assert found["baseline_loss"][0] == pytest.approx(sum(passes[0][1]) / 3, rel=1e-5)
        assert found["progress"][0] == pytest.approx(0.0, abs=1e-6)


def test_an_image_of_weight_0_has_no_gradient(ground, passes):
    ground.install(loss_by_timestep="0:500, 1")
    with OptimizerSpy() as spy:
        ground.train("embedding", "0.005", 8)
    silent = [not seen.used[0].any() for seen in spy.seen]
    assert silent == [timesteps[0] < 500 for timesteps, _, _ in passes]
    assert 0 < sum(silent) < 8


@pytest.mark.parametrize("option", ["rate_by_timestep", "loss_by_timestep"])
def test_error_a_wrong_text_is_refused_before_anything_starts(ground, option):
    runtime = ground.install()
    with pytest.raises(ValueError, match=f"{option}: expected a factor for each timestep"):
        runtime.next_training.choose_options("embedding", NAME, {option: "1:200"})


def test_error_a_model_whose_batches_cannot_be_seen_ends_the_training_as_failed(ground, monkeypatch):
    ground.install(rate_by_timestep="2")
    monkeypatch.delattr(type(shared.sd_model), "get_loss")
    ground.train("embedding", "0.005", 4)
    assert ground.run().state == "failed"
    assert ground.run().step == 0
