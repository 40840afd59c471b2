"""The strength of an embedding: what is recorded of its vectors, against numbers worked out beside it; and that nothing changes."""

from __future__ import annotations

import os
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from practice_rig import NAME, OptimizerSpy, Record, both_kinds, random_states, same_bits, weights  # noqa: E402  # torch is optional
from training_steps import EXACTLY, TEXT, UPDATES, events, history, losses_that, train_and_die, whole  # noqa: E402

from lib_lrsched.practice import shared  # noqa: E402
from lib_lrsched.training.callbacks import strength  # noqa: E402
from lib_lrsched.training.callbacks.strength import measure  # noqa: E402


def strengths(record: Record) -> tuple[Any, ...]:
    return record.vector_norm, record.vector_distance, record.vector_mean_abs


def test_by_hand():
    vectors = torch.tensor([[3.0, -4.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    start = torch.tensor([[3.0, -4.0, 0.0, 1.0], [1.0, 1.0, 1.0, -2.0]])
    assert measure(vectors, start).tolist() == [11.0, 5.0, 3.0]
    assert measure(vectors, None).tolist() == [11.0, 5.0]
    assert measure(vectors.mul(float("nan")), None).isnan().all()


@pytest.mark.parametrize("choices", [{}, {"batch": 2, "accumulate": 2}], ids=["plain", "batch and accumulation"])
def test_a_row_has_the_strength_of_the_vectors_before_its_update(ground, choices):
    ground.install()
    ground.create("embedding", vectors=3, init_text="red thing")
    vec, seen = ground.host().embedding(NAME).vec, []
    with OptimizerSpy() as spy:
        spy.at_step = lambda _: seen.append(vec.detach().double().clone())
        ground.train("embedding", "0.05", 7, **choices)
    assert len(seen) == 7
    for record, one in zip(ground.records(), seen, strict=True):
        by_hand = float(one.norm(dim=1).max()), float((one - seen[0]).norm(dim=1).max()), float(one.abs().mean())
        assert strengths(record) == pytest.approx(by_hand, rel=5e-6)  # six digits are stored
        assert all(float(f"{number:.6g}") == number for number in strengths(record))
    first, *others = ground.records()
    assert first.vector_distance == 0.0
    assert all(record.vector_distance > 0.0 for record in others)


def test_a_hypernetwork_has_none(ground):
    ground.install()
    ground.train("hypernetwork", "0.001", 3)
    assert [strengths(record) for record in ground.records()] == [(None, None, None)] * 3


@both_kinds
def test_weights_and_generators_are_the_same_bits_with_and_without(ground, kind, monkeypatch):
    ground.install()
    expected, draws = whole(ground, kind), random_states()
    monkeypatch.setattr(strength.Strength, "after_forward", lambda self, batch: None)
    ground.create(kind, NAME, overwrite=True)
    assert same_bits(weights(ground.train(kind, TEXT, UPDATES)), expected)
    assert random_states() == draws
    assert [row[-4:-1] for row in history(ground, NAME)] == [(None, None, None)] * UPDATES


def test_an_update_that_the_scaler_skips_leaves_the_strength_as_it_was(ground, monkeypatch):
    shared.opts.practice_grad_scaler = True
    losses_that(monkeypatch, lambda n, loss: loss * 1e38 if n <= 2 else loss)
    ground.install()
    ground.train("embedding", "0.05", 5)
    found = [strengths(record) for record in ground.records()]
    assert [record.grad_norm is None for record in ground.records()] == [True, True, False, False, False]
    assert found[0] == found[1] == found[2]
    assert len(set(found)) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_killed_run_has_the_same_strength_as_one_without_a_break_also_where_progress_is_off(ground):
    ground.install(autosave_every=2, progress_every=0)
    expected = whole(ground, "embedding")
    ground.create("embedding", NAME, overwrite=True)
    train_and_die(ground, "embedding", 7)
    trained = ground.train("embedding", TEXT, UPDATES)
    assert EXACTLY in events(ground)
    assert same_bits(weights(trained), expected)
    assert history(ground, NAME) == history(ground, "whole")
    assert history(ground, NAME)[-1][-3] > 0.0


def test_a_run_that_began_without_progress_can_measure_it_later(ground):
    ground.install(progress_every=0)
    ground.train("embedding", "0.05", 3)
    ground.choose("embedding", progress_every=1)
    ground.train("embedding", "0.05", 6)
    assert [record.baseline_loss is None for record in ground.records()] == [True] * 3 + [False] * 3


def test_without_what_the_run_started_from_the_distance_is_null_and_the_rest_is_not(ground):
    ground.install(progress_every=0)
    ground.train("embedding", "0.05", 3)
    ground.runtime.store.baseline_path(ground.run().id).unlink()
    ground.train("embedding", "0.05", 6)
    found = ground.records()
    assert [record.vector_distance is None for record in found] == [False] * 3 + [True] * 3
    assert all(record.vector_norm > 0 and record.vector_mean_abs > 0 for record in found)
    (said,) = [text for text in events(ground) if "distance" in text]
    assert said.endswith("what it started from is not known")
