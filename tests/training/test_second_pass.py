"""The pass that compares with the start, where it draws, fails, or shares its model: what is trained and the guard go on."""

from __future__ import annotations

import csv
import threading
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from practice_rig import NAME, both_kinds, random_states, same_bits, small_model, weights  # noqa: E402  # torch is optional
from training_steps import EXACTLY, NAN, TEXT, UPDATES, events, losses_that, rescues, train_and_die, whole  # noqa: E402

from lib_lrsched.practice import shared, textual_inversion  # noqa: E402
from lib_lrsched.snapshot import snapshot  # noqa: E402
from lib_lrsched.training import loss_seam  # noqa: E402
from lib_lrsched.training.callbacks.progress import Progress  # noqa: E402
from lib_lrsched.training.callbacks.timesteps import TimestepLosses  # noqa: E402


def refuse(*_: Any, **__: Any) -> Any:
    raise RuntimeError("the backend has no memory left")


def batch() -> tuple[Any, Any]:
    """Latents and contexts that the small model takes."""
    return torch.zeros(2, 12, 4, 4), torch.zeros(2, 3, small_model().cond_stage_model.context_width)


def keeps(one: loss_seam.Batch) -> None:
    one.keeps_noise = one.keeps_sample_losses = True


# It draws ----------------------------------------------------------------------------------------


def test_a_text_encoder_that_draws_leaves_weights_and_generators_the_same_bits(ground, monkeypatch):
    encoder = type(small_model().cond_stage_model)
    forward = encoder.forward
    monkeypatch.setattr(encoder, "forward", lambda *args: torch.nn.functional.dropout(forward(*args), 0.1))
    found = []
    for every in (0, 1):
        ground.install(progress_every=every, guard=every > 0)
        ground.create("embedding", NAME, overwrite=True)
        found.append((weights(ground.train("embedding", TEXT, UPDATES)), random_states()))
    assert same_bits(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


@pytest.mark.parametrize("is_alone", [True, False])
def test_beside_another_training_the_generators_are_not_set_back(ground, is_alone):
    """That one has drawn from them in the meantime, and would draw the same numbers again."""
    x, context = batch()
    moved = []

    def after(one: loss_seam.Batch) -> None:
        before = torch.get_rng_state()
        one.loss_with(lambda: context + torch.rand(()))
        moved.append(not torch.equal(before, torch.get_rng_state()))

    others: list[loss_seam.LossSeam] = []
    if not is_alone:
        other = threading.Thread(target=lambda: others.append(loss_seam.LossSeam(small_model(), keeps, keeps)))
        other.start()
        other.join()
    seam = loss_seam.LossSeam(small_model(), keeps, after)
    try:
        small_model()(x, context)
    finally:
        seam.undo()
        for one in others:
            one.undo()
    assert moved == [not is_alone]


# It fails ----------------------------------------------------------------------------------------


@both_kinds
def test_where_it_fails_progress_is_off_once_and_the_guard_goes_on(ground, kind, monkeypatch):
    ground.install(progress_every=1)
    monkeypatch.setattr(loss_seam.Batch, "loss_with", refuse)
    losses_that(monkeypatch, lambda n, loss: loss * NAN if n == 9 else loss)
    ground.train(kind, "0.001", UPDATES)
    assert len(rescues(ground)) == 1
    (said,) = [text for text in events(ground) if "progress" in text]
    assert said == ("progress is no longer measured: the extra forward pass failed; the traceback is on the console. "
                    "Training continues")
    assert ground.run().state == "finished"


def test_the_vectors_are_back_when_the_text_encoder_fails(ground, monkeypatch):
    ground.install(progress_every=1)
    expected = whole(ground, "embedding")
    encoder = type(small_model().cond_stage_model)
    forward = encoder.forward

    def failing(*args: Any) -> Any:
        return forward(*args) if torch.is_grad_enabled() else refuse()

    with monkeypatch.context() as patch:
        patch.setattr(encoder, "forward", failing)
        ground.create("embedding", NAME, overwrite=True)
        trained = ground.train("embedding", TEXT, UPDATES)
    assert same_bits(weights(trained), expected)


def test_the_csv_is_empty_from_where_progress_failed(ground, monkeypatch):
    shared.opts.training_write_csv_every = 1
    ground.install(progress_every=1)
    after_forward = Progress.after_forward

    def failing(self: Any, one: Any) -> None:
        if self._step == 2:
            refuse()
        after_forward(self, one)

    monkeypatch.setattr(Progress, "after_forward", failing)
    ground.train("embedding", "0.01", 5)
    (path,) = ground.log.rglob("textual_inversion_loss.csv")
    with path.open() as file:
        assert [row["progress"] == "" for row in csv.DictReader(file)] == [False, False, True, True, True]


# It ends up elsewhere ----------------------------------------------------------------------------


def test_tensorboard_has_the_progress_at_its_own_step(ground, monkeypatch):
    """The host adds the loss of an update before it reports that update."""
    added: list[tuple[str, float, int]] = []

    def add_scalar(tag: str, scalar_value: float, global_step: int) -> None:
        added.append((tag, scalar_value, global_step))

    shared.opts.training_enable_tensorboard = True
    monkeypatch.setattr(textual_inversion, "tensorboard_setup", lambda _: SimpleNamespace(add_scalar=add_scalar))
    ground.install(progress_every=2)
    ground.train("hypernetwork", "0.001", 5)
    shown = [(step, share) for tag, share, step in added if tag == "Progress/train"]
    measured = [(record.step + 1, record.progress) for record in ground.records() if record.baseline_loss is not None]
    assert [step for step, _ in shown] == [1, 3, 5]
    assert shown == measured


def test_a_get_loss_that_another_thread_puts_back_too_late_still_answers(ground):
    """weighted_forward keeps what it finds, which may be ours, and puts it back when we are gone."""
    model, (x, context), found = small_model(), batch(), []
    seam = loss_seam.LossSeam(model, keeps, lambda _: None)
    apply_model = type(model).apply_model

    def seen(*args: Any) -> Any:
        found.append(model.get_loss)
        return apply_model(model, *args)

    model.apply_model = seen
    try:
        model(x, context)
        seam.undo()
        model.get_loss = found[0]
        assert torch.isfinite(model(x, context)[0])
    finally:
        seam.undo()
        for name in ("get_loss", "apply_model"):
            vars(model).pop(name, None)


def test_what_a_rescue_undoes_leaves_the_bands_smoothed_losses(ground, monkeypatch):
    ground.install(progress_every=1)
    model, trained = type(small_model()), []
    p_losses = model.p_losses

    def ruined(*args: Any, **kwargs: Any) -> Any:
        loss, named = p_losses(*args, **kwargs)
        trained.extend([1] if torch.is_grad_enabled() else [])
        return (loss * 1e6 if len(trained) == 30 and torch.is_grad_enabled() else loss), named

    monkeypatch.setattr(model, "p_losses", ruined)
    ground.train("embedding", "0.001", 34)
    assert len(rescues(ground)) == 1
    (_, *smoothed) = ground.records()[-1].rest[:5]
    assert all(value is None or value < 100 for value in smoothed)


# What was saved of it is damaged ---------------------------------------------------------------


def damage(ground: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Another program has changed the parts of the newest snapshot of NAME."""
    (run,) = (run for run in ground.runs() if run.name == NAME)
    folder = snapshot.Folder(ground.runtime.store.snapshots_path(run.id), run.id)
    path = folder.numbered()[0][1]
    kept = snapshot.read(path)
    snapshot.write(path, replace(kept, parts=change(dict(kept.parts))), kept.state)


@pytest.mark.parametrize("bands", [3, [], {"losses": [[0.1]] * 4, "compared": None}])
def test_a_guard_that_starts_over_is_not_called_exact(ground, bands):
    ground.install(autosave_every=2)
    train_and_die(ground, "embedding", 6)
    damage(ground, lambda parts: {**parts, "guard": {**parts["guard"], "bands": bands}})
    ground.train("embedding", TEXT, UPDATES)
    assert any(text.startswith("the guard starts over: expected at most") for text in events(ground))
    assert EXACTLY not in events(ground)


def test_a_part_that_cannot_be_loaded_keeps_no_other_from_it_and_is_not_called_exact(ground, monkeypatch):
    ground.install(autosave_every=2)
    train_and_die(ground, "embedding", 6)
    monkeypatch.setattr(TimestepLosses, "load_state_dict", refuse)
    damage(ground, lambda parts: {**parts, "guard": {}})
    ground.train("embedding", TEXT, UPDATES)
    said = events(ground)
    assert "what was saved of TimestepLosses could not be loaded and starts over" in said
    assert any(text.startswith("the guard starts over") for text in said)
    assert EXACTLY not in said
