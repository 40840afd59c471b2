"""The ways in which a training goes on: which rate comes out of each, and that the log, the state and the tab say which."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from practice_rig import NAME, OptimizerSpy, both_kinds, same_bits, weights  # noqa: E402

from lib_lrsched import plan  # noqa: E402
from lib_lrsched.practice import dataset  # noqa: E402

OLD = "linear(0.01, 0.001)"
NEW = "warmup(0.02):4, cosine(0.02, 0.001)"


def rates(ground: Any, kind: str, text: str, steps: int, choice: str | None = None) -> list[float]:
    """What the optimizer got in one training that goes on in that way."""
    if choice is not None:
        ground.runtime.choices.choose(kind, NAME, choice)
    with OptimizerSpy() as spy:
        ground.train(kind, text, steps)
    return list(spy.rates)


def planned(text: str, total: int, steps: range) -> list[float]:
    return list(plan(text, total_steps=total).values(steps).tolist())


@both_kinds
def test_continue_is_the_plan_where_it_was(ground, kind):
    ground.install()
    assert rates(ground, kind, OLD, 6) == planned(OLD, 6, range(6))
    assert rates(ground, kind, OLD, 12) == planned(OLD, 12, range(6, 12))
    run = ground.run()
    assert [leg.mode for leg in run.legs] == ["start", "continue"]
    assert ("resume", f"resumes at step 6 of 12 with `{OLD}`") in ground.events()


@both_kinds
@pytest.mark.parametrize("choice", [None, "continue", "new"])
def test_another_text_is_a_new_schedule_from_here_at_absolute_steps(ground, kind, choice):
    ground.install()
    rates(ground, kind, OLD, 6)
    assert rates(ground, kind, NEW, 12, choice) == planned(NEW, 12, range(6, 12))
    assert [leg.mode for leg in ground.run().legs] == ["start", "new"]
    assert ("resume", f"resumes with a new schedule from here at step 6 of 12 with `{NEW}`") in ground.events()


@both_kinds
@pytest.mark.parametrize("text", [OLD, NEW])
def test_restart_is_the_whole_text_over_the_steps_that_are_left(ground, kind, text):
    ground.install()
    rates(ground, kind, OLD, 6)
    assert rates(ground, kind, text, 14, "restart") == planned(text, 8, range(8))
    run = ground.run()
    assert [(leg.mode, leg.origin) for leg in run.legs] == [("start", 0), ("restart", 6)]
    assert (run.state, run.step) == ("finished", 14)
    message = f"resumes and restarts the schedule over the remaining steps at step 6 of 14 with `{text}`"
    assert ("resume", message) in ground.events()


@both_kinds
def test_a_restarted_schedule_goes_on_as_restarted(ground, kind, monkeypatch):
    ground.install()
    rates(ground, kind, OLD, 6)
    with monkeypatch.context() as patch:
        practice_host_interrupt(patch, ground, 9)
        first = rates(ground, kind, NEW, 14, "restart")
    assert ground.run().step == 9
    second = rates(ground, kind, NEW, 14)
    assert first + second == planned(NEW, 8, range(8))
    assert [(leg.mode, leg.origin) for leg in ground.run().legs] == [("start", 0), ("restart", 6), ("continue", 6)]


@both_kinds
def test_a_clip_schedule_restarts_with_it(ground, kind):
    ground.install()
    ground.train(kind, OLD, 4, clip_mode="value", clip="linear(0.001, 0.0001)")
    ground.runtime.choices.choose(kind, NAME, "restart")
    with OptimizerSpy() as spy:
        ground.train(kind, OLD, 10, clip_mode="value", clip="linear(0.001, 0.0001)")
    limits = planned("linear(0.001, 0.0001)", 6, range(6))
    for seen, limit in zip(spy.seen, limits, strict=True):
        assert max(grad.abs().max().item() for grad in seen.used) <= limit * (1 + 1e-6)


@both_kinds
def test_file_is_a_new_run_of_what_is_in_the_file(ground, kind):
    ground.install()
    rates(ground, kind, OLD, 6)
    assert rates(ground, kind, OLD, 9, "file") == planned(OLD, 9, range(6, 9))
    assert len(ground.runs()) == 2
    assert ground.runs()[0].legs[0].mode == "start"


@both_kinds
def test_a_new_run_of_the_file_can_begin_with_the_texts_beginning(ground, kind, monkeypatch):
    ground.install()
    rates(ground, kind, OLD, 6)
    with monkeypatch.context() as patch:
        practice_host_interrupt(patch, ground, 9)
        first = rates(ground, kind, NEW, 14, "file-restart")
    assert rates(ground, kind, NEW, 14) == planned(NEW, 8, range(8))[len(first):]
    assert first == planned(NEW, 8, range(len(first)))
    assert len(ground.runs()) == 2
    new = ground.runs()[0]
    assert [(leg.mode, leg.origin, leg.start_step) for leg in new.legs] == [("start", 6, 6), ("continue", 6, 9)]
    message = f"starts a new run and the schedule from its beginning at step 6 of 14 with `{NEW}`"
    assert ("leg", message) in ground.events(new)


@both_kinds
def test_a_text_of_which_only_the_tail_will_run_is_said_before_and_in_the_log(ground, kind):
    ground.install()
    rates(ground, kind, OLD, 6)
    over = "warmup(0.02):4 (steps 0 to 4) and 2 of the 8 steps of cosine(0.02, 0.001)"
    said = f"steps 6 to 12 of the text will be played; {over} are over"

    def before(text: str) -> list[str]:
        found = ground.runtime.preflight.findings(kind, NAME, {"learn_rate": text, "steps": 12})
        return [one["message"] for one in found if one["subject"] == "resume"]

    beginning = "To play the text from its beginning, choose that as the resume mode"
    assert before(NEW) == [f"training resumes at step 6: {said}. {beginning}"]
    assert before("0.003") == [], "all steps of a constant are alike"
    assert before("linear(0.01, 0.001):6, 0.0005") == [], "what is over was trained so"
    for choice in ("new", "restart", "file-restart", "file"):  # who chooses knows it
        ground.runtime.choices.choose(kind, NAME, choice)
        assert before(NEW) == []
    ground.runtime.choices.choose(kind, NAME, "continue")
    rates(ground, kind, NEW, 12)
    assert ("note", said) in ground.events()


@both_kinds
def test_a_choice_holds_for_one_training(ground, kind):
    ground.install()
    rates(ground, kind, OLD, 4)
    rates(ground, kind, OLD, 8, "restart")
    assert ground.runtime.choices.of(kind, NAME).choice == "continue"


@both_kinds
def test_a_refused_training_leaves_the_choice_as_it_is(ground, kind):
    from lib_lrsched import ScheduleError

    ground.install()
    rates(ground, kind, OLD, 4)
    ground.runtime.choices.choose(kind, NAME, "restart")
    with pytest.raises(ScheduleError):
        ground.train(kind, "cosine(", 8)
    assert ground.runtime.choices.of(kind, NAME).choice == "restart"


def test_error_no_such_way(ground):
    with pytest.raises(ValueError, match="expected one of continue, new, restart, file, file-restart, got 'back'"):
        ground.install().choices.choose("embedding", NAME, "back")


@both_kinds
def test_an_older_copy_put_back_is_trained_on_as_it_is(ground, kind):
    """Its state is not the newest one's: weights, optimizer and numbers of a future that was given up stay away."""
    import shutil
    from pathlib import Path

    from lib_lrsched.practice import sd_hijack, shared

    ground.install()
    ground.train(kind, OLD, 4)
    folder = Path(shared.cmd_opts.embeddings_dir if kind == "embedding" else shared.cmd_opts.hypernetwork_dir)
    kept = ground.root / "kept.pt"
    shutil.copy2(folder / f"{NAME}.pt", kept)
    then = weights(ground.train(kind, OLD, 9))
    shutil.copy2(kept, folder / f"{NAME}.pt")
    sd_hijack.model_hijack.embedding_db.load_textual_inversion_embeddings(force_reload=True)
    shared.reload_hypernetworks()
    trained = ground.train(kind, OLD, 6)
    assert trained.step == 6
    assert not same_bits(weights(trained), then)
    run = ground.run()
    assert [leg.start_step for leg in run.legs] == [0, 4]
    said = [message for _, message in ground.events() if "is not used" in message]
    assert said == [f"the snapshot after update 9 does not belong to {NAME} as it is now (step 4) and is not used"]
    assert run.floor > 0


def practice_host_interrupt(patch: pytest.MonkeyPatch, ground: Any, step: int) -> None:
    """Interrupts after that update, as the user's button does."""
    from lib_lrsched.practice import shared, textual_inversion

    original = textual_inversion.write_loss

    def write_loss(log_directory: Any, filename: Any, done: int, epoch_len: int, values: Any) -> Any:
        shared.state.interrupted = shared.state.interrupted or done == step
        return original(log_directory, filename, done, epoch_len, values)

    patch.setattr(textual_inversion, "write_loss", write_loss)


@both_kinds
def test_the_choice_stands_until_a_training_has_begun(ground, kind, monkeypatch):
    """Else a start that fails while the data set is made would have the next one follow another plan in silence."""
    ground.install()
    rates(ground, kind, OLD, 6)
    ground.runtime.choices.choose(kind, NAME, "restart")

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(dataset, "PersonalizedBase", refuse)
        with pytest.raises(RuntimeError, match="out of memory"):
            ground.train(kind, OLD, 12)
    assert ground.runtime.choices.of(kind, NAME).choice == "restart"
    assert rates(ground, kind, OLD, 12) == planned(OLD, 6, range(6))
    assert ground.runtime.choices.of(kind, NAME).choice == "continue"
