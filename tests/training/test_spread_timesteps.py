"""Evenly spread timesteps: the formula, over the life of a run; and nothing else is drawn otherwise."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from practice_rig import NAME, interrupt_at, random_states  # noqa: E402  # torch is optional, see importorskip

from lib_lrsched.practice import shared  # noqa: E402
from lib_lrsched.snapshot.snapshot import Folder  # noqa: E402
from lib_lrsched.training.callbacks.spread_timesteps import spread  # noqa: E402


@pytest.fixture
def drawn(monkeypatch) -> list[tuple[list[int], Any]]:
    """Timesteps and noise of each micro-batch that is trained on."""
    found: list[tuple[list[int], Any]] = []
    p_losses = type(shared.sd_model).p_losses

    def spy(model: Any, x: Any, cond: Any, t: Any, noise: Any = None) -> Any:
        noise = torch.randn_like(x) if noise is None else noise
        if torch.is_grad_enabled():
            found.append((t.tolist(), noise.clone()))
        return p_losses(model, x, cond, t, noise)

    monkeypatch.setattr(type(shared.sd_model), "p_losses", spy)
    return found


def kept(ground: Any) -> dict[str, Any]:
    """What the newest snapshot has of it."""
    run = ground.run().id
    _, snapshot, _ = Folder(ground.runtime.store.snapshots_path(run), run).newest()
    assert snapshot is not None
    return snapshot.parts["spread"]


def test_any_17_images_in_a_row_have_a_timestep_in_each_tenth_of_the_scale():
    for first in (0, 7, 1234567):
        assert len({t // 100 for t in spread(0.377, first, 17, 1000)}) == 10


def test_timesteps_follow_the_formula_over_micro_batches_and_a_break(ground, drawn, monkeypatch):
    ground.install(spread_timesteps=True)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 4)  # in the first micro-batch of the third update, which is not made
        ground.train("embedding", "0.005", 6, batch=2, accumulate=2)
    assert (ground.run().step, kept(ground)["images"]) == (2, 8)
    before = len(drawn)
    ground.train("embedding", "0.005", 6, batch=2, accumulate=2, seed=8)
    trained = [t for batch, _ in [*drawn[:4], *drawn[before:]] for t in batch]
    assert trained == spread(kept(ground)["u"], 0, 24, 1000)


def test_the_noise_and_all_later_draws_are_those_without_it(ground, drawn):
    ends = []
    for name, on in (("drawn", False), ("spread", True)):
        ground.install(spread_timesteps=on)
        ground.train("embedding", "0.005", 6, name=name, batch=2)
        ends.append(random_states())
    own, ours = drawn[:6], drawn[6:]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(own, ours, strict=True))
    assert [t for t, _ in own] != [t for t, _ in ours]
    assert ends[0] == ends[1]


def test_another_seed_begins_elsewhere(ground):
    ground.install(spread_timesteps=True)
    found = set()
    for seed in (1, 2):
        ground.train("embedding", "0.005", 2, seed=seed)
        found.add(kept(ground)["u"])
        ground.runtime.stored_runs.delete(ground.run().id)
        ground.create("embedding", NAME, overwrite=True)
    assert len(found) == 2
