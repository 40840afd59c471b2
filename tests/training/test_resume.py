"""Resuming a run: at the right step and rate, with its last settings, and only with what is really its own."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import practice_rig  # noqa: E402  # torch is optional, see importorskip
from practice_rig import (  # noqa: E402
    NAME,
    OptimizerSpy,
    both_kinds,
    fail_at,
    interrupt_at,
    same_bits,
    weights,
)
from stored_runs import rewrite  # noqa: E402

from lib_lrsched import plan  # noqa: E402
from lib_lrsched.host import installation  # noqa: E402
from lib_lrsched.host.input_checks import InputError  # noqa: E402
from lib_lrsched.practice import hypernetwork, sd_hijack, shared  # noqa: E402
from lib_lrsched.preview.curve import CurveRequest, preview  # noqa: E402
from lib_lrsched.preview.run_view import past_legs  # noqa: E402
from lib_lrsched.schedule import running_average  # noqa: E402
from lib_lrsched.storage import process  # noqa: E402
from lib_lrsched.storage.run_state import KNOWN_KEPT  # noqa: E402
from lib_lrsched.training import reporter  # noqa: E402

CURVED = "warmup(0.01):4, cosine(0.01, 0.001)"


def file_of(kind: str, name: str = NAME) -> Path:
    folder = shared.cmd_opts.embeddings_dir if kind == "embedding" else shared.cmd_opts.hypernetwork_dir
    return Path(folder) / f"{name}.pt"


def reload(kind: str) -> None:
    """What the WebUI does when it has started again, or when the folder has changed."""
    if kind == "embedding":
        sd_hijack.model_hijack.embedding_db.load_textual_inversion_embeddings(force_reload=True)
    else:
        shared.reload_hypernetworks()


def found(ground: Any, kind: str, name: str = NAME) -> Any:
    """The run that the store offers for what the host has under that name now."""
    now = ground.runtime.next_training.lookup(kind, name)
    return ground.runtime.store.find(kind, name, step=now.step, digest=now.digest, mtime_ns=now.mtime_ns)


# The same run -----------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("fresh", [False, True])
def test_starting_again_goes_on_at_the_right_step_and_rate(ground, kind, fresh):
    ground.install()
    ground.train(kind, CURVED, 6)
    first = ground.run()
    if fresh:  # a WebUI that was started anew knows only the files
        practice_rig.hooks.uninstall()
        reload(kind)
        ground.install()
    with OptimizerSpy() as spy:
        ground.train(kind, CURVED, 10)
    assert spy.rates == plan(CURVED, total_steps=10).values(range(6, 10)).tolist()
    run = ground.run()
    assert (run.id, run.state, run.step, run.total_steps) == (first.id, "finished", 10, 10)
    assert [(leg.start_step, leg.total_steps) for leg in run.legs] == [(0, 6), (6, 10)]
    assert [record.step for record in ground.records()] == list(range(10))
    assert ("resume", f"resumes at step 6 of 10 with `{CURVED}`") in ground.events()


@both_kinds
def test_an_interrupted_run_goes_on_on_the_same_curve(ground, kind, monkeypatch):
    ground.install()
    with monkeypatch.context() as patch:
        interrupt_at(patch, 4)
        ground.train(kind, CURVED, 12)
    with OptimizerSpy() as spy:
        ground.train(kind, CURVED, 12)
    assert spy.rates == plan(CURVED, total_steps=12).values(range(5, 12)).tolist()
    assert [record.actual for record in ground.records()] == plan(CURVED, total_steps=12).values(range(12)).tolist()


@both_kinds
def test_the_last_settings_are_offered(ground, kind):
    ground.install()
    ground.train(kind, "0.01", 3, batch=2, clip_mode="norm", clip="0.5", copies_every=2)
    ground.train(kind, CURVED, 5, accumulate=2, shuffle_tags=True)
    run = found(ground, kind)
    assert (run.step, run.rate_text, run.clip_mode) == (5, CURVED, "disabled")
    assert run.settings == {
        "learn_rate": CURVED, "batch_size": 1, "gradient_step": 2, "data_root": str(ground.data), "log_directory": str(ground.log),
        "training_width": 8, "training_height": 8, "varsize": False, "steps": 5, "clip_grad_mode": "disabled",
        "clip_grad_value": "0.1", "shuffle_tags": True, "tag_drop_out": 0.0, "latent_sampling_method": "once", "use_weight": False,
        "create_image_every": 0, f"save_{kind}_every": 0, "template_filename": "subject.txt", "preview_from_txt2img": False,
        "optimizer": "AdamW", **({"save_image_with_stored_embedding": False} if kind == "embedding" else {}),
    }  # fmt: skip


@both_kinds
def test_the_settings_are_those_typed_not_those_capped(ground, kind):
    ground.install()
    ground.train(kind, "0.01", 2, batch=9, accumulate=7)
    assert (found(ground, kind).settings["batch_size"], found(ground, kind).settings["gradient_step"]) == (9, 7)


@both_kinds
def test_a_plain_copy_of_the_trained_file_of_an_earlier_step_goes_on_from_there(ground, kind):
    """The user puts back a periodic copy: it belongs to the run, whose later steps are then undone."""
    ground.install()
    ground.train(kind, CURVED, 9, copies_every=5)
    (copy,) = ground.log.rglob(f"{NAME}-5.pt")
    shutil.copyfile(copy, file_of(kind))
    reload(kind)
    if kind == "embedding":
        sd_hijack.model_hijack.embedding_db.word_embeddings[NAME].name = NAME
    with OptimizerSpy() as spy:
        ground.train(kind, CURVED, 9)
    assert spy.rates == plan(CURVED, total_steps=9).values(range(5, 9)).tolist()
    run = ground.run()
    assert [leg.start_step for leg in run.legs] == [0, 5]
    assert run.step == 9


@both_kinds
def test_a_backup_put_back_with_its_time_is_known_at_its_own_step(ground, kind):
    ground.install()
    ground.train(kind, "0.01", 3)
    backup = ground.root / "backup.pt"
    shutil.copy2(file_of(kind), backup)
    ground.train(kind, "0.01", 6)
    shutil.copy2(backup, file_of(kind))
    reload(kind)
    assert ground.runtime.next_training.lookup(kind, NAME).step == 3
    assert found(ground, kind).id == ground.run().id


@both_kinds
def test_lookup_after_a_failed_final_save_tells_what_is_in_the_file(ground, kind, monkeypatch):
    """A hypernetwork lives in its file; an embedding in memory, with all that it has learned. The snapshot has both."""
    ground.install()
    ground.train(kind, "0.01", 3)
    module = practice_rig.textual_inversion if kind == "embedding" else hypernetwork
    original = module.Hypernetwork.save if kind == "hypernetwork" else sd_hijack.Embedding.save
    owner = module.Hypernetwork if kind == "hypernetwork" else sd_hijack.Embedding

    def failing(self: Any, *args: Any) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(owner, "save", failing)
        if kind == "hypernetwork":
            with pytest.raises(OSError, match="No space left"):
                ground.train(kind, "0.01", 6)
        else:
            ground.train(kind, "0.01", 6)
    assert owner.save is original
    assert ground.runtime.next_training.lookup(kind, NAME).step == (6 if kind == "embedding" else 3)
    with OptimizerSpy() as spy:
        ground.train(kind, "0.01", 8)
    assert len(spy.rates) == 2
    assert len(ground.runs()) == 1


def test_an_embedding_whose_run_failed_goes_on_from_what_is_in_memory(ground, monkeypatch, capsys):
    ground.install()
    with monkeypatch.context() as patch:
        fail_at(patch, 3, RuntimeError("no memory left"))
        ground.train("embedding", CURVED, 8)
    assert ground.runtime.next_training.lookup("embedding", NAME).step == 3
    assert found(ground, "embedding").state == "failed"
    ground.train("embedding", CURVED, 8)
    assert [leg.start_step for leg in ground.run().legs] == [0, 3]


def test_a_run_that_crashed_is_taken_up_again(ground, monkeypatch):
    """The process went away while the run was on disk as running; the file has an earlier copy put in its place."""
    ground.install()
    ground.train("embedding", CURVED, 5)
    path = ground.state_dir / "runs" / ground.run().id / "run.json"
    rewrite(path, state="running", process="another start of this machine/1", pid=2**22 + 1)
    assert not process.alive(2**22 + 1, "another start of this machine/1", time.time())
    assert ground.run().state == "crashed"
    ground.train("embedding", CURVED, 8)
    assert (ground.run().state, ground.run().step, len(ground.run().legs)) == ("finished", 8, 2)


@pytest.mark.parametrize("in_memory", [True, False], ids=["reloaded", "forgotten"])
def test_after_a_full_disk_and_reload_ui_the_run_does_not_count_as_running(ground, monkeypatch, tmp_path, in_memory):
    """On the disk it is running, by this very process, whose training has ended."""
    ground.install(autosave_every=2)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill(update: int) -> None:
        if update == 4:
            monkeypatch.setattr("lib_lrsched.storage.store.write_whole", full)

    with OptimizerSpy() as spy:
        spy.at_step = fill
        ground.train("embedding", CURVED, 6)
    run_id = ground.run().id
    path = ground.state_dir / "runs" / run_id / "run.json"
    practice_rig.hooks.uninstall()
    if not in_memory:
        installation._stores.clear()
    ground.install()
    assert json.loads(path.read_bytes())["state"] == "running"
    expected = ("finished", "") if in_memory else ("crashed", "the training ended, but this could not be saved")
    assert (ground.run().state, ground.run().message, ground.run().step) == (*expected, 6)
    monkeypatch.undo()
    assert (ground.run().state, ground.run().step) == (expected[0], 6)
    assert json.loads(path.read_bytes())["state"] == ("finished" if in_memory else "running")
    with (tmp_path / "out.zip").open("wb") as target:
        ground.runtime.transfer.export_run(run_id, target)
    if in_memory:  # else the form in which the embedding was saved is known to nobody
        assert ground.train("embedding", CURVED, 8).step == 8
        assert (ground.run().id, ground.run().state, [leg.start_step for leg in ground.run().legs]) == (run_id, "finished", [0, 6])
    ground.runtime.stored_runs.delete(run_id)
    assert ground.runs() == []


def test_a_changed_text_shows_in_the_legs(ground):
    ground.install()
    ground.train("embedding", "0.01", 3)
    with OptimizerSpy() as spy:
        ground.train("embedding", "0.002", 5)
    assert spy.rates == [0.002] * 2
    assert [leg.rate_text for leg in ground.run().legs] == ["0.01", "0.002"]


@pytest.mark.parametrize("reached", [6, 10])
def test_raising_max_steps_shows_what_that_does_to_the_curve(ground, reached, monkeypatch):
    text = "cosine(0.01, 0.001)"
    ground.install()
    if reached < 10:
        interrupt_at(monkeypatch, reached - 1)
    ground.train("embedding", text, 10)
    request = CurveRequest(texts=[text], total_steps=40, images=5, initial_step=reached, points=50)
    (result,) = preview(request, past_legs(ground.run()))["results"]
    messages = [warning["message"] for warning in result["warnings"]]
    before, after = plan(text, total_steps=10), plan(text, total_steps=40)
    change = f"the rate was {before.value(9):g} at step 9 and is now {after.value(10):g} at step 10: max steps was 10 and is now 40"
    if reached < 10:
        change = f"the rate at step 6 was planned as {before.value(6):g} and is now {after.value(6):g}: "
        change += "max steps was 10 and is now 40"
    assert [message.startswith(change) for message in messages] == [True]
    # The page says it above the buttons as well, and the resumed training in its log.
    found = ground.runtime.preflight.findings("embedding", NAME, {"learn_rate": text, "steps": 40, "data_root": str(ground.data)})
    assert messages[0] in [one["message"] for one in found]
    assert ground.runtime.preflight.stretches("embedding", NAME, {"learn_rate": text, "steps": 10}) == []
    ground.train("embedding", text, 40)
    assert messages[0] in [message for _, message in ground.events()]
    assert (result["past"]["x"][-1], result["past"]["y"][-1]) == (reached - 1, before.value(reached - 1))


def test_known_forms_are_bounded_and_the_newest_stay(ground):
    ground.install()
    for steps in range(2, 2 * KNOWN_KEPT, 40):
        ground.train("embedding", "0.001", steps, copies_every=1)
    run = ground.run()
    assert len(run.known) == KNOWN_KEPT
    assert run.known[-1].step == run.step


@both_kinds
def test_training_nothing_more_changes_no_state(ground, kind):
    ground.install()
    ground.train(kind, "0.01", 4)
    before = {path: data for path, data in ground.listing().items() if path.startswith("lrsched")}
    ground.train(kind, "0.01", 4)
    assert {path: data for path, data in ground.listing().items() if path.startswith("lrsched")} == before


@both_kinds
def test_a_leg_that_was_interrupted_before_its_first_update_belongs_to_the_run(ground, kind, monkeypatch):
    ground.install()
    ground.train(kind, "0.01", 3)
    with monkeypatch.context() as patch:
        original = shared.State.begin
        patch.setattr(shared.State, "begin", lambda self, job="": (original(self, job), None)[1])
        patch.setattr(shared.state, "interrupted", False)
        patch.setattr(practice_rig.sd_hijack_checkpoint, "add", _interrupting(practice_rig.sd_hijack_checkpoint.add))
        ground.train(kind, "0.01", 6)
    assert (ground.run().state, ground.run().step) == ("interrupted", 3)
    ground.train(kind, "0.01", 6)
    assert (ground.run().state, ground.run().step, len(ground.records())) == ("finished", 6, 6)


def _interrupting(add: Any) -> Any:
    def pressed() -> None:
        add()
        shared.state.interrupt()

    return pressed


# Not the same run -------------------------------------------------------------------------


@both_kinds
def test_one_deleted_and_made_again_under_the_same_name_is_another(ground, kind):
    ground.install()
    ground.train(kind, CURVED, 5)
    first = ground.run().id
    file_of(kind).unlink()
    reload(kind)
    ground.create(kind)
    assert found(ground, kind) is None
    with OptimizerSpy() as spy:
        ground.train(kind, CURVED, 3)
    assert spy.rates == plan(CURVED, total_steps=3).values(range(3)).tolist()
    new, old = ground.runs()
    assert (old.id, old.step, new.step) == (first, 5, 3)
    assert new.id != first
    assert [record.step for record in ground.records(new)] == [0, 1, 2]


@both_kinds
def test_one_overwritten_before_its_first_update_is_another(ground, kind, monkeypatch):
    """Both stand at step 0 with the same vectors; the file's time tells them apart."""
    ground.install()
    ground.create(kind)
    first_time = file_of(kind).stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr(practice_rig.sd_hijack_checkpoint, "add", _interrupting(practice_rig.sd_hijack_checkpoint.add))
        ground.train(kind, CURVED, 5)
    assert ground.run().step == 0
    ground.create(kind, overwrite=True)
    os.utime(file_of(kind), ns=(first_time + 5, first_time + 5))
    reload(kind)
    assert found(ground, kind) is None
    ground.train(kind, CURVED, 2)
    assert len(ground.runs()) == 2


def test_one_of_the_same_content_under_another_name_is_another(ground):
    ground.install()
    ground.train("embedding", CURVED, 4)
    shutil.copy2(file_of("embedding"), file_of("embedding", "twin"))
    reload("embedding")
    assert found(ground, "embedding", "twin") is None
    ground.train("embedding", CURVED, 6, name="twin")
    assert sorted((run.name, run.step) for run in ground.runs()) == [(NAME, 4), ("twin", 6)]


def test_an_embedding_and_a_hypernetwork_of_one_name_are_two(ground):
    ground.install()
    ground.train("embedding", "0.01", 3)
    ground.train("hypernetwork", "0.01", 4)
    assert sorted((run.kind, run.step) for run in ground.runs()) == [("embedding", 3), ("hypernetwork", 4)]


@both_kinds
def test_one_that_was_trained_elsewhere_meanwhile_is_another(ground, kind):
    """With the hooks away it went on by the host's own means: what the state says is not true of it any more."""
    ground.install()
    ground.train(kind, "0.01", 3)
    practice_rig.hooks.uninstall()
    shared.opts.save_training_settings_to_txt = False
    ground.train(kind, "0.02", 5)
    ground.install()
    assert found(ground, kind) is None
    ground.train(kind, "0.01", 7)
    new, old = ground.runs()
    assert (old.step, new.step) == (3, 7)
    assert [record.step for record in ground.records(new)] == [5, 6]


def test_error_what_is_being_trained_at_this_moment_is_refused_to_a_second_training(ground):
    """Two trainings of the same embedding at once would both end "finished", and the later one's file would be left."""
    ground.install()
    ground.train("embedding", "0.01", 3)
    seen: list[Any] = []

    def train() -> None:
        try:
            ground.call("embedding", "0.01", 4)
        except InputError as error:
            seen.append(str(error))

    def second(count: int) -> None:
        if count == 0:
            worker = threading.Thread(target=train)
            worker.start()
            worker.join(timeout=60)

    with OptimizerSpy() as spy:
        spy.at_step = second
        ground.train("embedding", "0.01", 5)
    (message,) = seen
    assert message.startswith(f"the embedding 'mine' is being trained by this process, {os.getpid()}, since 2")
    assert message.endswith(": wait until that has ended, or stop it; nothing was changed")
    assert [leg.start_step for leg in ground.run().legs] == [0, 3]


# Feedback ---------------------------------------------------------------------------------

PLATEAU = "plateau(0.01, factor=0.5, patience=1, threshold=0.5)"


def cut_rates(text: str, losses: list[float]) -> list[float]:
    """The rate in force at each update, by torch's own ReduceLROnPlateau on the running average of the losses before."""
    values = plan(text, total_steps=len(losses)).segments[0].values
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=values["v"])
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=values["factor"], patience=values["patience"], threshold=values["threshold"], eps=0.0
    )
    rates, mean, weight = [], 0.0, 0.0
    for loss in losses:
        rates.append(optimizer.param_groups[0]["lr"])
        mean = running_average.SMOOTHING * mean + (1 - running_average.SMOOTHING) * loss
        weight = running_average.SMOOTHING * weight + (1 - running_average.SMOOTHING)
        scheduler.step(mean / weight)
    return rates


@both_kinds
def test_a_plateau_cuts_the_rate_by_the_losses_of_the_run(ground, kind):
    ground.install()
    with OptimizerSpy() as spy:
        ground.train(kind, PLATEAU, 12)
    records = ground.records()
    assert spy.rates == pytest.approx(cut_rates(PLATEAU, [record.loss for record in records]), rel=1e-12)
    assert spy.rates[-1] < 0.01
    assert [record.planned for record in records] == spy.rates
    cuts = [message for event, message in ground.events() if event == "plateau"]
    assert cuts[:2] == [f"the loss no longer improves: the rate is cut to {rate}" for rate in ("0.005", "0.0025")]


@both_kinds
def test_a_resumed_plateau_goes_on_as_if_there_had_been_no_break(ground, kind):
    ground.install()
    ground.train(kind, PLATEAU, 7)
    with OptimizerSpy() as spy:
        ground.train(kind, PLATEAU, 14)
    assert spy.rates == pytest.approx(cut_rates(PLATEAU, [record.loss for record in ground.records()])[7:], rel=1e-12)


def test_a_plateau_looks_at_the_same_losses_where_the_norm_comes_late(ground, monkeypatch):
    """On a GPU the norm of an update is read after the next one; the loss is there at once, and the cut must not wait."""
    ground.install()
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda self, device=None: True)
    with OptimizerSpy() as spy:
        ground.train("embedding", PLATEAU, 12)
    records = ground.records()
    assert [record.step for record in records] == list(range(12))
    assert [record.actual for record in records] == spy.rates
    assert spy.rates == pytest.approx(cut_rates(PLATEAU, [record.loss for record in records]), rel=1e-12)


# Damage -----------------------------------------------------------------------------------


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the hooks would print on the console."""
    lines: list[str] = []
    monkeypatch.setattr(reporter.Reporter, "say", lambda self, message: lines.append(message))
    return lines


@both_kinds
@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"version": 1}', b"\xff\xfe\x00", b'{"version": "one"}'])
def test_a_damaged_state_without_saved_states_is_set_aside_and_training_goes_on(ground, kind, damage):
    ground.install(autosave_every=0, autosave_minutes=0.0)
    ground.train(kind, "0.01", 3)
    folder = ground.state_dir / "runs" / ground.run().id
    (folder / "run.json").write_bytes(damage)
    for steps in (5, 7, 9):
        ground.train(kind, "0.01", steps)
    assert (folder / "run.json.damaged-1").read_bytes() == damage
    assert not (folder / "run.json").exists()
    assert (ground.run().step, ground.run().initial_step) == (9, 7)
    assert [record.step for record in ground.records()] == list(range(3, 9))


@pytest.mark.parametrize("damage", [b"", b'{"version": "one"}'])
def test_a_damaged_state_is_said_once(ground, damage, said):
    ground.install(autosave_every=0, autosave_minutes=0.0)
    ground.train("embedding", "0.01", 3)
    folder = ground.state_dir / "runs" / ground.run().id
    (folder / "run.json").write_bytes(damage)
    for steps in (5, 7, 9):
        ground.train("embedding", "0.01", steps)
    about = [line for line in said if "set aside" in line]
    assert len(about) == 1, about
    assert about[0].startswith(f"LR Schedule: {folder / 'run.json'}: ")
    assert about[0].endswith("; it is set aside as run.json.damaged-1")


@pytest.mark.parametrize("damage", [b"\xff\xfe\n", b"nonsense\n", b'{"lrsched_history": 1}\n', b"[1]\n"])
@pytest.mark.parametrize("place", ["instead", "behind"])
def test_a_damaged_history_is_set_aside_said_once_and_training_goes_on(ground, damage, place, said):
    ground.install()
    ground.train("embedding", "0.01", 3)
    run_id = ground.run().id
    path = ground.runtime.store.history_path(run_id)
    whole = damage if place == "instead" else path.read_bytes() + damage
    path.write_bytes(whole)
    for steps in (5, 7):
        ground.train("embedding", "0.01", steps)
    assert path.with_name("history.jsonl.damaged-1").read_bytes() == whole
    about = [line for line in said if "set aside" in line]
    assert len(about) == 1
    assert about[0].startswith(f"LR Schedule: {path}: line ")
    lost = ": the earlier history is lost; the trained weights are not"
    assert about[0].endswith(f"{lost}. The file is set aside as history.jsonl.damaged-1")
    assert (ground.run().id, ground.run().step) == (run_id, 7)
    assert [record.step for record in ground.records()] == list(range(3, 7))


def test_a_history_that_is_gone_is_said_once_and_training_goes_on(ground, said):
    ground.install()
    ground.train("embedding", "0.01", 3)
    path = ground.runtime.store.history_path(ground.run().id)
    path.unlink()
    for steps in (5, 7):
        ground.train("embedding", "0.01", steps)
    gone = f"LR Schedule: {path} is missing or empty: the earlier history is lost; the trained weights are not"
    assert said.count(gone) == 1
    assert [record.step for record in ground.records()] == list(range(3, 7))


def test_a_plateau_with_a_damaged_history_trains_all_the_same(ground, said):
    ground.install(autosave_every=0, autosave_minutes=0.0)
    ground.train("embedding", PLATEAU, 5)
    path = ground.runtime.store.history_path(ground.run().id)
    path.write_bytes(path.read_bytes() + b"nonsense\n")
    with OptimizerSpy() as spy:
        ground.train("embedding", PLATEAU, 9)
    assert spy.rates[0] == 0.01  # nothing is known of the losses before
    assert (ground.run().state, ground.run().step, len(ground.records())) == ("finished", 9, 4)


def test_a_plateau_with_a_damaged_history_has_its_state_from_the_snapshot(ground, said):
    ground.install()
    ground.train("embedding", PLATEAU, 9, name="whole")
    (whole,) = (run for run in ground.runs() if run.name == "whole")
    ground.train("embedding", PLATEAU, 5)
    path = ground.runtime.store.history_path(ground.runs()[0].id)
    path.write_bytes(path.read_bytes() + b"nonsense\n")
    with OptimizerSpy() as spy:
        ground.train("embedding", PLATEAU, 9)
    assert spy.rates == [record.actual for record in ground.records(whole)][5:]
    assert spy.rates[0] < 0.01


def test_a_history_whose_last_line_was_cut_off_goes_on_on_a_line_of_its_own(ground, said):
    ground.install()
    ground.train("embedding", "0.01", 3)
    path = ground.runtime.store.history_path(ground.run().id)
    path.write_bytes(path.read_bytes() + b"[3, 0.01, 0.0")
    ground.train("embedding", "0.01", 6)
    assert [record.step for record in ground.records()] == list(range(6))
    assert ("note", "the last line of the history was incomplete; it is left out") in ground.events()
    assert not [line for line in said if "set aside" in line]


def test_a_state_of_another_version_is_left_where_it_is(ground, said):
    ground.install()
    ground.train("embedding", "0.01", 3)
    path = ground.state_dir / "runs" / ground.run().id / "run.json"
    rewrite(path, version=99)
    newer = path.read_bytes()
    for steps in (5, 7):
        ground.train("embedding", "0.01", steps)
    assert path.read_bytes() == newer
    assert len([line for line in said if "update the extension to read it" in line]) == 1


@both_kinds
def test_without_snapshots_the_resumed_weights_are_those_of_a_run_whose_state_was_lost(ground, kind):
    """The rest of what is on disk about a run decides about the record, never about the training."""
    results = []
    for lose in (False, True):
        ground.install(autosave_every=0, autosave_minutes=0.0)
        ground.create(kind, "same", overwrite=True)
        ground.train(kind, CURVED, 4, name="same")
        if lose:
            shutil.rmtree(ground.state_dir)
        results.append(weights(ground.train(kind, CURVED, 8, name="same")))
    assert same_bits(*results)
