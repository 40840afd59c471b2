"""Losses and progress by band of timestep: against numbers worked out by hand from what passed through the model."""

from __future__ import annotations

import json
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from practice_rig import NAME, both_kinds, same_bits, weights  # noqa: E402  # torch is optional, see importorskip
from training_steps import EXACTLY, TEXT, UPDATES, events, history, train_and_die, whole  # noqa: E402

from lib_lrsched.practice import shared  # noqa: E402

SMOOTHING = 0.95


def rows(ground: Any) -> list[dict[str, Any]]:
    (header, *lines) = ground.runtime.store.history_path(ground.run().id).read_text().splitlines()
    columns = json.loads(header)["columns"]
    return [dict(zip(columns, row, strict=True)) for row in map(json.loads, lines) if isinstance(row, list)]


class Passes:
    """Timesteps and losses of each image, trained and compared, as the model gave them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trained: list[list[tuple[int, float]]] = []
        self.compared: list[list[tuple[int, float]]] = []
        p_losses = type(shared.sd_model).p_losses

        def spy(model: Any, x: Any, cond: Any, t: Any, noise: Any = None) -> Any:
            noise = torch.randn_like(x) if noise is None else noise
            answer = p_losses(model, x, cond, t, noise)
            (self.trained if torch.is_grad_enabled() else self.compared).append(self._each(model, x, cond, t, noise))
            return answer

        monkeypatch.setattr(type(shared.sd_model), "p_losses", spy)

    def _each(self, model: Any, x: Any, cond: Any, t: Any, noise: Any) -> list[tuple[int, float]]:
        with torch.no_grad():
            predicted = model.apply_model(model.schedule.add_noise(x, t, noise), t, cond)
            losses = (predicted - model.schedule.velocity(x, t, noise)).square().flatten(1).mean(1)
        return list(zip(t.tolist(), losses.tolist(), strict=True))


def smoothed(updates: list[list[tuple[int, float]]], band: int) -> float | None:
    total = weight = 0.0
    for samples in updates:
        for t, loss in samples:
            if t // 250 == band:
                total, weight = SMOOTHING * total + (1 - SMOOTHING) * loss, SMOOTHING * weight + (1 - SMOOTHING)
    return total / weight if weight else None


@both_kinds
@pytest.mark.parametrize("choices", [{}, {"batch": 3}, {"batch": 2, "accumulate": 2}], ids=["one", "batch", "accumulation"])
def test_each_band_has_the_smoothed_loss_and_the_progress_of_its_own_images(ground, kind, choices, monkeypatch):
    ground.install(progress_every=1, guard=False)
    passes = Passes(monkeypatch)
    ground.train(kind, "0.01", 20, **choices)
    micro = choices.get("accumulate", 1)
    found = rows(ground)
    assert len(found) * micro == len(passes.trained) == len(passes.compared)
    for k, row in enumerate(found):
        trained = passes.trained[: (k + 1) * micro]
        compared = passes.compared[: (k + 1) * micro]
        bands = {t // 250 for samples in trained[-micro:] for t, _ in samples}
        assert row["band"] == (bands.pop() if len(bands) == 1 else None)
        for band in range(4):
            now, before = smoothed(trained, band), smoothed(compared, band)
            if now is None or before is None:
                assert (row[f"loss_band_{band}"], row[f"progress_band_{band}"]) == (None, None)
            else:
                assert row[f"loss_band_{band}"] == pytest.approx(now, rel=1e-4)
                assert row[f"progress_band_{band}"] == pytest.approx(1 - now / before, abs=1e-4)


def test_without_progress_there_are_losses_by_band_and_no_progress(ground):
    ground.install(progress_every=0, guard=False)
    ground.train("embedding", "0.01", 20)
    last = rows(ground)[-1]
    assert [last[f"progress_band_{band}"] for band in range(4)] == [None] * 4
    assert all(isinstance(last[f"loss_band_{band}"], float) for band in range(4))


@both_kinds
def test_a_killed_run_goes_on_with_the_bands_that_it_had(ground, kind):
    ground.install(autosave_every=2, progress_every=2)
    expected = whole(ground, kind, batch=2)
    ground.create(kind, NAME, overwrite=True)
    train_and_die(ground, kind, 7, batch=2)
    trained = ground.train(kind, TEXT, UPDATES, batch=2)
    assert EXACTLY in events(ground)
    assert same_bits(weights(trained), expected)
    assert history(ground, NAME) == history(ground, "whole")
