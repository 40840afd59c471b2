"""A range test measures every update and leaves what was trained as it was; inside a longer text nothing is put back."""

from __future__ import annotations

import os
from typing import Any

import pytest
import training_steps
from training_steps import NAN, folder_of, losses_that, main_file

torch = pytest.importorskip("torch")

from practice_rig import NAME, both_kinds, fail_at, interrupt_at, same_bits, weights  # noqa: E402  # torch is optional

from lib_lrsched.practice import sd_hijack, shared  # noqa: E402
from lib_lrsched.schedule.plan import plan  # noqa: E402
from lib_lrsched.schedule.searching import searches  # noqa: E402
from lib_lrsched.training.range_test import range_test_of  # noqa: E402
from lib_lrsched.training.trainee import EmbeddingTrainee  # noqa: E402

TEXT = "warmup(0.01):10, cosine(0.01, 1e-4)"
SEARCH = "range_test(1e-5, 0.3)"


def thing_of(kind: str) -> Any:
    """What the host has in memory."""
    return sd_hijack.model_hijack.embedding_db.word_embeddings[NAME] if kind == "embedding" else shared.loaded_hypernetworks[0]


def facts(host_object: Any) -> dict[str, Any]:
    """What it says of itself beside its tensors; the host works out the checksum before the loop."""
    plain = {name: value for name, value in vars(host_object).items() if isinstance(value, (str, int, type(None)))}
    return {name: value for name, value in plain.items() if name != "cached_checksum"}


def files(kind: str) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder_of(kind).iterdir()}


def half(ground: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until somebody presses "Interrupt" in the update after the 11th."""
    with monkeypatch.context() as patch:
        interrupt_at(patch, 11)
        ground.train(kind, TEXT, 32, batch=2)


def search_run(ground: Any) -> Any:
    (run,) = (run for run in ground.runs() if run.rate_text == SEARCH)
    return run


def said(ground: Any) -> list[str]:
    return [message for _, message in ground.events(search_run(ground))]


# Alone: everything is put back ------------------------------------------------------------------------------------


@both_kinds
def test_training_12_a_range_test_and_training_to_32_is_training_to_32(ground, kind, monkeypatch):
    ground.install(autosave_every=5)
    shared.opts.save_optimizer_state = True
    ground.create(kind, "whole")
    expected = weights(ground.train(kind, TEXT, 32, name="whole", batch=2))
    half(ground, kind, monkeypatch)
    (before,) = (run for run in ground.runs() if run.name == NAME)
    there = files(kind)
    ground.train(kind, SEARCH, 32, batch=2)
    assert files(kind) == there
    assert search_run(ground).initial_step == 12  # the update in which it was pressed is made
    assert [round(record.actual, 6) for record in ground.records(search_run(ground))][:: 32 - 13] == [1e-5, 0.3]
    resumed = ground.train(kind, TEXT, 32, batch=2)
    assert same_bits(weights(resumed), expected)
    (after,) = (run for run in ground.runs() if run.id == before.id)
    assert [leg.mode for leg in after.legs] == ["start", "continue"]
    assert "resumed exactly" in " ".join(message for _, message in ground.events(after))


@both_kinds
def test_what_is_new_is_trained_as_if_the_range_test_had_not_been(ground, kind):
    """The host's copies would give an embedding their name, and with them its images."""
    ground.install(autosave_every=5)
    shared.opts.save_optimizer_state = True
    ground.create(kind, "whole")
    expected = weights(ground.train(kind, TEXT, 30, name="whole"))
    ground.create(kind)
    there, start = files(kind), facts(thing_of(kind)) if kind == "embedding" else None
    choices = {"image_with_embedding": True} if kind == "embedding" else {}
    trained = ground.train(kind, SEARCH, 30, copies_every=7, previews_every=10, **choices)
    assert files(kind) == there
    assert trained.step in (0, None)
    if start is not None:
        assert facts(trained) == start
    assert not list(ground.log.rglob(f"{NAME}-*.pt"))
    assert search_run(ground).state == "finished"
    assert same_bits(weights(ground.train(kind, TEXT, 30)), expected)
    assert len(ground.runs()) == 3
    assert len(ground.records(search_run(ground))) == 30


@both_kinds
def test_there_is_nothing_to_average_or_to_call_the_best(ground, kind):
    ground.install(ema=0.98, validate_every=5)
    ground.create(kind)
    there = files(kind)
    ground.train(kind, SEARCH, 20)
    assert files(kind) == there
    assert not list(ground.log.rglob("*-best.pt"))


def ruined(patch: pytest.MonkeyPatch) -> None:
    losses_that(patch, lambda n, loss: loss * (NAN if n > 12 else 1))


@both_kinds
@pytest.mark.parametrize(
    ("spoil", "state"),
    [
        (lambda patch: interrupt_at(patch, 12), "interrupted"),
        (lambda patch: fail_at(patch, 12, RuntimeError("no memory")), "failed"),
        (lambda patch: fail_at(patch, 12, KeyboardInterrupt()), "interrupted"),
        (ruined, "finished"),
    ],
    ids=["interrupt", "exception", "Ctrl-C", "NaN"],
)  # fmt: skip
def test_however_it_ends_everything_is_as_it_was(ground, kind, spoil, state, monkeypatch):
    ground.install()
    trained = ground.train(kind, TEXT, 10)
    start, there = weights(trained), files(kind)
    with monkeypatch.context() as patch:
        spoil(patch)
        try:
            ground.train(kind, SEARCH, 40)
        except KeyboardInterrupt:
            assert state == "interrupted"
    run = search_run(ground)
    assert run.state == state
    assert "saved" not in run.message
    assert files(kind) == there
    assert same_bits(weights(thing_of(kind)), start)
    assert thing_of(kind).step == 10
    assert any(f"{NAME} is what it was before the range test, at step 10" in message for message in said(ground))
    assert range_test_of(run, _history(ground, run)) is not None


def _history(ground: Any, run: Any) -> Any:
    from lib_lrsched.storage.history import History

    return History.open(ground.runtime.store.history_path(run.id), append=False)


@both_kinds
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_kill_in_the_middle_leaves_the_file_and_the_run_before_it(ground, kind, monkeypatch):
    ground.install(autosave_every=5)
    expected = training_steps.whole(ground, kind, TEXT, 40, batch=2)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 20)
        ground.train(kind, TEXT, 40, batch=2)
    there = files(kind)
    training_steps.train_and_die(ground, kind, 33, 40, SEARCH, batch=2)
    assert files(kind) == there
    assert search_run(ground).state == "crashed"
    assert not ground.runtime.stored_runs.snapshots(search_run(ground).id)["bundles"]
    assert same_bits(weights(ground.train(kind, TEXT, 40, batch=2)), expected)


def test_a_range_test_that_was_killed_begins_anew(ground):
    ground.install(autosave_every=5)
    ground.create("embedding")
    training_steps.train_and_die(ground, "embedding", 12, 30, SEARCH)
    ground.train("embedding", SEARCH, 30)
    newest = ground.runs()[0]
    assert (len(ground.runs()), newest.initial_step, newest.state) == (2, 0, "finished")
    assert len(ground.records(newest)) == 30


# Inside a longer text nothing is ----------------------------------------------------------------------------------


@both_kinds
def test_inside_a_longer_text_nothing_is_put_back(ground, kind):
    ground.install()
    ground.create(kind)
    there = main_file(kind).read_bytes()
    trained = ground.train(kind, f"{SEARCH}:20, 0.001", 30)
    assert trained.step == 30
    assert main_file(kind).read_bytes() != there
    assert ground.run().known


def test_every_update_of_a_range_test_is_measured_and_others_as_ever(ground):
    ground.install(progress_every=4)
    ground.train("embedding", f"0.001:8, {SEARCH}:+12, 0.001", 24)
    measured = [record.step for record in ground.records() if record.baseline_loss is not None]
    assert measured == [0, 4, *range(8, 20), 20]


def test_where_progress_is_off_a_range_test_says_that_nothing_was_measured(ground):
    ground.install(progress_every=0)
    ground.train("embedding", SEARCH, 30)
    found = range_test_of(ground.run(), _history(ground, ground.run()))
    assert found is not None
    assert found.answer.suggested is None
    assert found.answer.why == "progress was not measured: it is switched off"


def test_where_progress_failed_a_range_test_says_why(ground, monkeypatch):
    def fail(*_: Any) -> None:
        raise RuntimeError("of the test")

    monkeypatch.setattr(EmbeddingTrainee, "baseline_loss", fail)
    ground.install()
    ground.train("embedding", SEARCH, 30)
    found = range_test_of(ground.run(), _history(ground, ground.run()))
    assert found is not None
    assert found.answer.why == "progress was not measured: the extra forward pass failed; the traceback is on the console"


def test_the_reason_of_an_earlier_leg_is_not_that_of_a_range_test(ground, monkeypatch):
    def fail(*_: Any) -> None:
        raise RuntimeError("of the test")

    with monkeypatch.context() as patch:
        patch.setattr(EmbeddingTrainee, "baseline_loss", fail)
        ground.install()
        ground.train("embedding", "0.001", 10)
    ground.choose("embedding", progress_every=0)
    ground.train("embedding", f"0.001:10, {SEARCH}", 30)
    found = range_test_of(ground.run(), _history(ground, ground.run()))
    assert found is not None
    assert found.answer.why == "progress was not measured: it is switched off"


def test_the_steps_of_range_tests_alone_and_in_a_repeat():
    found = plan("0.1:5, repeat(3, 0.2:2, range_test(1e-5, 0.1):4):18, range_test(1e-6, 1)", total_steps=40)
    assert list(searches(found)) == [(7, 11), (18, 40)]
