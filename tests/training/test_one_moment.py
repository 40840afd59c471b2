"""What is written when a loop breaks off is one moment: weights, optimizer, step, generators and place in the data of one update.

A loop can break off anywhere: inside the optimizer, before the host has counted the update, in our own bookkeeping, in a save.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import practice_rig  # noqa: E402  # torch is optional, see importorskip
from halves import half  # noqa: E402
from practice_rig import NAME, both_kinds, draw_images, same_bits, weights  # noqa: E402
from torch.optim.optimizer import register_optimizer_step_post_hook  # noqa: E402
from training_steps import EXACTLY, FULL, INF, events, history, in_child, losses_that, main_file, whole  # noqa: E402

from lib_lrsched.practice import files as pt_files  # noqa: E402
from lib_lrsched.practice import sd_hijack, service, shared, textual_inversion  # noqa: E402
from lib_lrsched.practice.hypernetwork_layers import Hypernetwork  # noqa: E402
from lib_lrsched.snapshot import snapshot  # noqa: E402
from lib_lrsched.training import session  # noqa: E402
from lib_lrsched.training._interrupts import Held  # noqa: E402
from lib_lrsched.training.callback import Callback, Callbacks  # noqa: E402
from lib_lrsched.training.callbacks.guard import Guard  # noqa: E402
from lib_lrsched.training.callbacks.rate_and_clip import RateAndClip  # noqa: E402
from lib_lrsched.training.reporter import Reporter  # noqa: E402
from lib_lrsched.training.run import TrainingRun  # noqa: E402

TEXT = "warmup(0.01):4, cosine(0.01, 0.001)"
NOT_EXACT = "weights and step are restored, but the run is not exact (see above)"


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def break_step(monkeypatch: pytest.MonkeyPatch, at: int, how: Callable[[Any, Callable[[], Any]], Any]) -> None:
    """The optimizer's own step number ``at`` (from 1) is ``how(optimizer, step)``; the hooks on the optimizer are around it."""
    hooked, calls = torch.optim.AdamW.step, []
    original = hooked.__wrapped__ if getattr(hooked, "hooked", False) else hooked

    def step(self: Any, closure: Any = None) -> Any:
        calls.append(self)
        return how(self, lambda: original(self, closure)) if len(calls) == at else original(self, closure)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)


def before(_optimizer: Any, _step: Callable[[], Any]) -> None:
    raise RuntimeError("broken")


def in_the_middle(optimizer: Any, _step: Callable[[], Any]) -> None:
    (group,) = optimizer.param_groups
    with torch.no_grad():
        group["params"][0].add_(0.5)
        next(iter(optimizer.state.values()))["step"] += 1
    raise RuntimeError("broken")


def after(_optimizer: Any, step: Callable[[], Any]) -> None:
    step()
    raise RuntimeError("broken")


def newest(ground: Any) -> Any:
    """The newest snapshot of the run under test."""
    (run,) = (run for run in ground.runs() if run.name == NAME)
    _, found, _ = snapshot.Folder(ground.runtime.store.snapshots_path(run.id), run.id).newest()
    return found


def goes_on_exactly(ground: Any, kind: str, steps: int, expected: Any, **choices: Any) -> None:
    trained = ground.train(kind, TEXT, steps, **{**choices, "seed": 99})
    assert EXACTLY in events(ground), "; ".join(events(ground))
    assert same_bits(weights(trained), expected)
    assert history(ground, NAME) == history(ground, "whole")


# Inside the optimizer ---------------------------------------------------------------------


@half(every=[50, 10, 0], how=[before, in_the_middle, after], kind=service.KINDS)
def test_an_update_that_the_optimizer_broke_off_is_undone_and_what_is_written_is_one_moment(
    ground, kind, how, every, monkeypatch, capsys
):
    back = {50: 25, 10: 30, 0: 25}[every]
    ground.install(autosave_every=every, autosave_minutes=0.0 if every == 0 else 5.0)
    expected = whole(ground, kind, TEXT, 60)
    ground.create(kind, NAME, overwrite=True)
    with monkeypatch.context() as patch:
        break_step(patch, 34, how)
        broken = ground.train(kind, TEXT, 60)
    assert broken.step == back
    assert f"the optimizer was stopped in the middle of an update: restored the state after update {back}" in events(ground)
    (run,) = (run for run in ground.runs() if run.name == NAME)
    assert (run.state, run.step) == ("failed", back)
    assert pt_files.load_pt(str(main_file(kind)))["step"] == back
    if not every:
        assert newest(ground) is None
        ground.train(kind, TEXT, 60)
        assert EXACTLY not in events(ground)
        return
    assert newest(ground).facts.step == back
    assert same_bits(newest(ground).trained, [weight.cpu() for weight in weights(broken)])
    goes_on_exactly(ground, kind, 60, expected)


@both_kinds
def test_a_first_update_that_broke_off_leaves_the_start(ground, kind, monkeypatch, capsys):
    ground.install(autosave_every=2)
    expected = whole(ground, kind, TEXT, 8)
    ground.create(kind, NAME, overwrite=True)
    with monkeypatch.context() as patch:
        break_step(patch, 1, in_the_middle)
        assert ground.train(kind, TEXT, 8).step == 0
    assert same_bits(weights(ground.train(kind, TEXT, 8)), expected)


@both_kinds
def test_a_state_that_was_gone_back_to_once_is_gone_back_to_again(ground, kind, monkeypatch, capsys):
    """A rescue goes further back where the last one did not help; an update that broke off is not a sign of that."""
    ground.install(autosave_every=4)
    with monkeypatch.context() as patch:
        losses_that(patch, lambda n, loss: loss * INF if n == 11 else loss)
        break_step(patch, 13, in_the_middle)
        assert ground.train(kind, TEXT, 20).step == 11
    assert newest(ground).facts.step == 11


# Between the optimizer and the report ---------------------------------------------------------


def interrupted_behind_the_seventh(ground: Any, kind: str) -> None:
    """A training that is broken off right behind its seventh update of the weights."""
    made: list[int] = []
    hook = register_optimizer_step_post_hook(lambda *_: interrupt() if made.append(1) or len(made) == 7 else None)
    try:
        with pytest.raises(KeyboardInterrupt):
            ground.train(kind, TEXT, 16)
    finally:
        hook.remove()


@both_kinds
def test_an_update_that_the_host_did_not_come_to_count_is_counted(ground, kind, monkeypatch):
    """The weights are exact, and it is said what is not."""
    ground.install(autosave_every=4)
    expected = whole(ground, kind, TEXT, 16)
    ground.create(kind, NAME, overwrite=True)
    interrupted_behind_the_seventh(ground, kind)
    assert newest(ground).facts.step == 7
    trained = ground.train(kind, TEXT, 16, seed=99)
    assert NOT_EXACT in events(ground)
    why = "training ended after update 6, before its loss was reported: the guard and any plateau did not see it"
    assert events(ground).count(why) == 2, "when it broke off, and when it goes on"
    assert same_bits(weights(trained), expected)
    lost = [record for record in ground.records(next(run for run in ground.runs() if run.name == NAME)) if record.step == 6]
    assert [(record.loss, record.actual is not None) for record in lost] == [(None, True)]


@both_kinds
def test_with_grad_scaler_an_update_that_was_not_counted_is_undone(ground, kind, monkeypatch):
    """Nobody knows whether the scaler has drawn its conclusions from it."""
    shared.opts.practice_grad_scaler = True
    ground.install(autosave_every=4)
    expected = whole(ground, kind, TEXT, 16)
    ground.create(kind, NAME, overwrite=True)
    interrupted_behind_the_seventh(ground, kind)
    assert newest(ground).facts.step == 4
    goes_on_exactly(ground, kind, 16, expected)


@both_kinds
@pytest.mark.parametrize("is_updated", [False, True])
def test_an_update_that_grad_scaler_skipped_is_made_again_where_it_was_not_counted(ground, kind, is_updated, monkeypatch):
    shared.opts.practice_grad_scaler = True
    ground.install(autosave_every=4)
    batches: list[int] = []

    def seventh(_: int, loss: Any) -> Any:
        batches.append(1)
        return loss * INF if len(batches) == 7 else loss

    losses_that(monkeypatch, seventh)
    expected = whole(ground, kind, TEXT, 16)
    ground.create(kind, NAME, overwrite=True)
    batches.clear()
    update, calls = torch.amp.GradScaler.update, []

    def interrupted(self: Any, *args: Any) -> None:
        calls.append(self)
        if len(calls) == 7 and not is_updated:
            interrupt()
        update(self, *args)
        if len(calls) == 7:
            interrupt()

    with monkeypatch.context() as patch:
        patch.setattr(torch.amp.GradScaler, "update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ground.train(kind, TEXT, 16)
    assert newest(ground).facts.step == 6
    batches.pop()  # the seventh comes again
    goes_on_exactly(ground, kind, 16, expected)


# In our own bookkeeping -------------------------------------------------------------------------


def interrupted_at(ground: Any, kind: str, monkeypatch: pytest.MonkeyPatch, put: Callable[[pytest.MonkeyPatch], None]) -> Any:
    """A training of 16 updates that Ctrl-C ends somewhere; then the weights of one that nothing ended."""
    ground.install(autosave_every=4)
    expected = whole(ground, kind, TEXT, 16)
    ground.create(kind, NAME, overwrite=True)
    with monkeypatch.context() as patch:
        put(patch)
        with pytest.raises(KeyboardInterrupt):
            ground.train(kind, TEXT, 16)
    (run,) = (run for run in ground.runs() if run.name == NAME)
    assert run.state == "interrupted"
    assert not ground.runtime.trainings.active()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return expected


def at_call(number: int, function: Callable[..., Any], action: Callable[[], Any]) -> Callable[..., Any]:
    calls = []

    def called(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == number:
            action()
        return function(*args, **kwargs)

    return called


@both_kinds
def test_ctrl_c_in_the_report_of_an_update(ground, kind, monkeypatch):
    """The guard has judged or has not, the moment is taken or is not: Ctrl-C waits until all of it is done."""
    expected = interrupted_at(
        ground, kind, monkeypatch, lambda patch: patch.setattr(Guard, "on_update", at_call(6, Guard.on_update, interrupt))
    )
    assert newest(ground).facts.step == 6
    goes_on_exactly(ground, kind, 16, expected)


@both_kinds
def test_ctrl_c_in_the_hosts_write_loss(ground, kind, monkeypatch):
    shared.opts.training_write_csv_every = 1
    writer = textual_inversion.csv.DictWriter
    expected = interrupted_at(
        ground, kind, monkeypatch, lambda patch: patch.setattr(writer, "writerow", at_call(7, writer.writerow, interrupt))
    )  # the header is a row of the writer's too
    assert newest(ground).facts.step == 6
    goes_on_exactly(ground, kind, 16, expected)


@both_kinds
@pytest.mark.parametrize("is_signal", [True, False])
def test_ctrl_c_at_an_autosave(ground, kind, is_signal, monkeypatch):
    """Also where it does not come as a signal and cannot wait: what was not written is written at the end."""

    def action() -> None:
        if is_signal:
            interrupt()
        raise KeyboardInterrupt

    number = 3 if kind == "hypernetwork" else 4  # an embedding's first file is what its run started from
    expected = interrupted_at(
        ground, kind, monkeypatch, lambda patch: patch.setattr(snapshot, "save_file", at_call(number, snapshot.save_file, action))
    )
    assert newest(ground).facts.step == 8
    goes_on_exactly(ground, kind, 16, expected)


@both_kinds
def test_ctrl_c_in_the_final_save_leaves_file_and_backup_as_they_should_be(ground, kind, monkeypatch):
    ground.install(autosave_every=4)
    ground.train(kind, TEXT, 4)
    with monkeypatch.context() as patch:
        patch.setattr(pt_files, "save_pt", at_call(1, pt_files.save_pt, interrupt))
        with pytest.raises(KeyboardInterrupt):
            ground.train(kind, TEXT, 8)
    assert (ground.run().state, ground.run().step) == ("finished", 8)
    assert pt_files.load_pt(str(main_file(kind)))["step"] == 8
    assert pt_files.load_pt(f"{main_file(kind)}.bak")["step"] == 4


@both_kinds
def test_ctrl_c_where_the_host_cleans_up_leaves_no_run_that_seems_to_go_on(ground, kind, monkeypatch):
    ground.install(autosave_every=4)
    expected = whole(ground, kind, TEXT, 16)
    ground.create(kind, NAME, overwrite=True)
    with monkeypatch.context() as patch:
        if kind == "embedding":
            decoder = type(shared.sd_model.first_stage_model)
            patch.setattr(decoder, "to", at_call(1, decoder.to, interrupt))
        else:
            patch.setattr(Hypernetwork, "eval", at_call(3, Hypernetwork.eval, interrupt))  # two are when it is made and loaded
        practice_rig.interrupt_at(patch, 6)
        with pytest.raises(KeyboardInterrupt):
            ground.train(kind, TEXT, 16)
    goes_on_exactly(ground, kind, 16, expected)


@both_kinds
def test_bookkeeping_that_failed_is_not_called_exact(ground, kind, monkeypatch, capsys):
    """As a fault of ours: the hook raises at the last update before the loop breaks off."""
    ground.install(autosave_every=4)
    ground.create(kind, NAME)

    def broken() -> None:
        raise ValueError("a fault of ours")

    with monkeypatch.context() as patch:
        patch.setattr(Guard, "on_update", at_call(7, Guard.on_update, broken))
        practice_rig.fail_at(patch, 7, RuntimeError("broken"))
        assert ground.train(kind, TEXT, 16).step == 7
    assert newest(ground).facts.step == 7
    ground.train(kind, TEXT, 16)
    assert NOT_EXACT in events(ground)
    assert "a hook failed in the previous training: Guard" in events(ground)


@both_kinds
def test_a_history_that_failed_does_not_spoil_the_end(ground, kind, monkeypatch, capsys):
    """The update that it failed at is recorded once more when the loop is over, and that fails too."""
    ground.install(autosave_every=50)
    ground.create(kind, NAME)
    look, record, let_go, freed = TrainingRun.look, TrainingRun.record, RateAndClip.let_go, []

    def looked(self: TrainingRun, step: int, *measured: Any) -> None:
        if step == 7:
            raise ValueError("the loss cannot be looked at")
        look(self, step, *measured)

    def recorded(self: TrainingRun, step: int, *row: Any, **measured: Any) -> None:
        if step == 7:
            raise ValueError("the row cannot be recorded")
        record(self, step, *row, **measured)

    monkeypatch.setattr(TrainingRun, "look", looked)
    monkeypatch.setattr(TrainingRun, "record", recorded)
    monkeypatch.setattr(RateAndClip, "let_go", lambda self: freed.append(self.hook) or let_go(self))
    ground.train(kind, TEXT, 16)
    (run,) = ground.runs()
    assert (run.state, len(freed)) == ("finished", 1)
    assert newest(ground).facts.step == 16, "the last snapshot is that of the end"
    told = "; ".join(events(ground))
    assert "the loss cannot be looked at" in told, "in the loop"
    assert "the row cannot be recorded" in told, "when it was over"


def test_a_part_that_a_snapshot_has_no_place_for_is_a_failure():
    """Else it would silently not be written."""

    class Forgetful(Callback):
        def state_dict(self) -> dict[str, Any]:
            return {"watch": None, "seen": 1}

    with pytest.raises(AssertionError, match=r"Forgetful: without a place in snapshot.PARTS .*: {'seen'}"):
        Callbacks([Forgetful()], Reporter(None, None), print).state_dict()


def test_a_callback_that_was_switched_off_is_told_to_forget_too():
    """It may hold a copy of all that was trained."""
    told = []

    class Failing(Callback):
        def on_update(self, update: Any) -> None:
            told.append(update)
            raise ValueError("a fault of ours")

        def on_forget(self) -> None:
            told.append("forget")
            raise ValueError("another one")

    callbacks = Callbacks([Failing()], SimpleNamespace(failed=lambda _: None), print)
    for event, *args in [("on_update", 1), ("on_update", 2), ("on_forget",), ("on_forget",)]:
        callbacks.call(event, *args)
    assert told == [1, "forget", "forget"]


class Counting(Callback):
    """Counts updates in a tensor that it changes in place."""

    def __init__(self) -> None:
        self.count, self.found = torch.zeros(()), []

    def after_step(self) -> None:
        self.count += 1

    def state_dict(self) -> dict[str, Any]:
        return {"seen": {"count": self.count}}

    def load_state_dict(self, parts: Any) -> None:
        self.found.append(parts["seen"])

    on_rollback = load_state_dict


def test_the_state_of_a_new_callback_takes_a_line_in_the_list_of_parts(ground, monkeypatch, capsys):
    """It is written, read, copied, and None where it is not there: in an older version's snapshot, and where it is off."""
    ground.install(autosave_every=50)
    ground.create("embedding", NAME)

    def part_after(steps: int, *callbacks: Callback) -> Any:
        monkeypatch.setattr(session, "that_change_updates", lambda *_: list(callbacks))
        ground.train("embedding", TEXT, steps)
        assert newest(ground).facts.step == steps
        return newest(ground).parts.get("seen")

    assert part_after(4) is None
    monkeypatch.setitem(snapshot.PARTS, "seen", (dict, type(None)))
    older, resumed, broken = Counting(), Counting(), Counting()
    assert part_after(8, older) == {"count": 4}
    assert older.found == [None]
    assert part_after(12, resumed) == {"count": 4}
    assert resumed.found == [{"count": 4}]
    assert part_after(16) is None
    break_step(monkeypatch, 7, before)
    monkeypatch.setattr(session, "that_change_updates", lambda *_: [broken])
    ground.train("embedding", TEXT, 32)
    assert (broken.count, broken.found) == (6, [None, {"count": 0}]), "the state of the start is as it was then"


# A save that fails ------------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("is_small", [True, False])
def test_an_autosave_that_failed_is_tried_again_at_the_next_update(ground, kind, is_small, monkeypatch):
    from lib_lrsched.training.callbacks import snapshots

    if not is_small:
        monkeypatch.setattr(snapshots, "SMALL_BYTES", 0)
        # The thread that writes is done before the next update.
        monkeypatch.setattr(snapshots.Writer, "submit", snapshots.Writer.write_now)
    ground.install(autosave_every=6)
    steps, write = [], snapshot.write

    def counted(path: Path, host_object: Any, *state: Any) -> None:
        steps.append(host_object.facts.step)
        if len(steps) in (1, 2):
            raise FULL
        write(path, host_object, *state)

    monkeypatch.setattr(snapshot, "write", counted)
    ground.train(kind, TEXT, 19)
    assert steps == [6, 7, 9, 15, 19]
    about = [message for message in events(ground) if "cannot be saved" in message]
    assert about == ["the snapshot cannot be saved; training continues: No space left on device"]


@both_kinds
def test_a_save_that_fails_again_and_again_is_tried_less_and_less_and_at_the_end(ground, kind, monkeypatch):
    ground.install(autosave_every=2)
    steps = []

    def full(_: Path, host_object: Any, *__: Any) -> None:
        steps.append(host_object.facts.step)
        raise FULL

    monkeypatch.setattr(snapshot, "write", full)
    ground.train(kind, TEXT, 40)
    assert sorted(set(steps)) == [2, 3, 5, 9, 17, 33, 40]


# Ctrl-C, held -----------------------------------------------------------------------------------


def test_ctrl_c_waits_for_the_end_of_the_block():
    done = []

    def block() -> None:
        with Held():
            interrupt()
            done.append(1)

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_does_not_wait():
    done = []

    def block() -> None:
        with Held():
            interrupt()
            interrupt()
            done.append(1)

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_between_keep_and_release_a_block_costs_no_exchange_and_ctrl_c_outside_comes_through():
    held, done = Held(), []

    def blocks() -> None:
        with held, held:
            interrupt()
            done.append(1)
        done.append(2)

    held.keep()
    try:
        for action in (interrupt, blocks, interrupt):
            with pytest.raises(KeyboardInterrupt):
                action()
    finally:
        held.release()
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_that_somebody_puts_over_ours_stays_there_and_ours_passes_on():
    held = Held()
    held.keep()
    ours = signal.getsignal(signal.SIGINT)
    theirs = lambda number, frame: ours(number, frame)  # noqa: E731
    signal.signal(signal.SIGINT, theirs)
    try:
        held.release()
        assert signal.getsignal(signal.SIGINT) is theirs
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Held():
            interrupt()
    finally:
        signal.signal(signal.SIGINT, before)


# At random --------------------------------------------------------------------------------------

UPDATES = 12
EVERY = 4


class Countdown:
    """Ctrl-C at the so-manyth call or return, of Python or C, within one update."""

    def __init__(self, update: int, events: int) -> None:
        self._update, self._left, self._made = update, events, 0

    def start(self) -> None:
        self._hook = register_optimizer_step_post_hook(self._count)
        self._apply = torch.optim.Optimizer.zero_grad

    def _count(self, *_: Any) -> None:
        self._made += 1
        if self._made == self._update:
            sys.setprofile(self._profile)

    def _profile(self, *_: Any) -> None:
        self._left -= 1
        if self._left == 0:
            sys.setprofile(None)
            interrupt()


def leave_at(ground: Any, kind: str, chance: random.Random, **choices: Any) -> int:
    """A child trains, and Ctrl-C reaches it at random: in half of the trials close after an optimizer's step, in half anywhere."""
    update, calls = chance.randrange(EVERY, UPDATES), chance.randrange(1, 400 if chance.random() < 0.5 else 4000)

    def run() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        Countdown(update, calls).start()
        try:
            ground.train(kind, TEXT, UPDATES, **choices)
        except KeyboardInterrupt:
            os._exit(130)

    return in_child(run)


def resume(ground: Any, kind: str, **choices: Any) -> tuple[list[Any], list[str]]:
    """Another child goes on; its weights, and what it said."""
    found = ground.root / "found.pt"

    def run() -> None:
        trained = ground.train(kind, TEXT, UPDATES, **{**choices, "seed": 99})
        torch.save([trained.step, weights(trained)], found)

    sd_hijack.model_hijack.embedding_db.load_textual_inversion_embeddings(force_reload=True)
    shared.reload_hypernetworks()
    assert in_child(run) == 0
    step, ended = torch.load(found)
    assert step == UPDATES
    return ended, events(ground)


def ctrl_c_at_random(ground: Any, kind: str, trials: int, seed: int) -> dict[str, int]:
    """How the trials ended; one that claims to be exact and is not fails the test."""
    chance = random.Random(seed)
    ends = {"exact": 0, "says why not": 0, "nothing left": 0, "from the start": 0}
    draw_images(ground.data, 3)
    ground.install(autosave_every=EVERY)
    for trial in range(trials):
        shared.opts.practice_grad_scaler = trial % 2 == 1
        choices = {"batch": 1 + trial % 2, "shuffle_tags": True}
        expected = whole(ground, kind, TEXT, UPDATES, **choices)
        ground.create(kind, NAME, overwrite=True)
        status = leave_at(ground, kind, chance, **choices)
        assert status in (0, 130)
        reached = next((run.step for run in ground.runs() if run.name == NAME), 0)
        ended, said = resume(ground, kind, **choices)
        where = f"{kind}, trial {trial} of seed {seed}: {json.dumps(said)}"
        if EXACTLY in said:
            ends["exact"] += 1
            assert same_bits(ended, expected), where
        elif NOT_EXACT in said:
            ends["says why not"] += 1
            assert any("before its loss was reported" in message for message in said), where
            assert same_bits(ended, expected), f"nothing here looks at the loss: {where}"
        elif reached == UPDATES:
            ends["nothing left"] += 1
            assert same_bits(ended, expected), where
        else:
            assert reached == 0, where
            ends["from the start"] += 1
        for run in ground.runs():
            ground.runtime.store.delete(run.id)
    return ends


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@both_kinds
@needs_fork
def test_after_ctrl_c_at_random_a_run_goes_on_exactly_or_says_why_not(ground, kind):
    ends = ctrl_c_at_random(ground, kind, 6, seed=1)
    assert ends["exact"] > 3


@both_kinds
@needs_fork
@pytest.mark.long
def test_after_ctrl_c_a_hundred_times_at_random_a_run_goes_on_exactly_or_says_why_not(ground, kind):
    ends = ctrl_c_at_random(ground, kind, 100, seed=2)
    assert ends["exact"] > 50
    assert ends["says why not"] > 5
