"""A disk that refuses: the training goes on, the guard works in memory, and what went wrong is said, with advice that fits."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import practice_rig  # noqa: E402  # torch is optional, see importorskip
from locked import locked  # noqa: E402
from practice_rig import NAME, both_kinds, same_bits, weights  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from lib_lrsched.practice import files as pt_files  # noqa: E402
from lib_lrsched.practice import shared  # noqa: E402
from lib_lrsched.snapshot import snapshot  # noqa: E402
from lib_lrsched.storage import disk_errors  # noqa: E402
from lib_lrsched.storage.atomic_files import LineFile, write_whole  # noqa: E402
from lib_lrsched.storage.history import History  # noqa: E402
from lib_lrsched.storage.store import Store  # noqa: E402
from lib_lrsched.training import reporter  # noqa: E402

RIGHT = "give the user who runs this read and write access there"


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said on the console."""
    lines: list[str] = []
    monkeypatch.setattr(reporter.Reporter, "say", lambda _, message: lines.append(message.removeprefix("LR Schedule: ")))
    return lines


def at_micro_batch(monkeypatch: pytest.MonkeyPatch, number: int, change: Callable[[Any], Any]) -> None:
    """The loss of that micro-batch (from 1) passes through ``change``."""
    model = type(practice_rig.small_model())
    forward, calls = model.forward, []

    def changed(self: Any, *given: Any) -> Any:
        calls.append(self)
        loss, named = forward(self, *given)
        return (change(loss) if len(calls) == number else loss), named

    monkeypatch.setattr(model, "forward", changed)


def result_folder(kind: str) -> Path:
    return Path(shared.cmd_opts.embeddings_dir if kind == "embedding" else shared.cmd_opts.hypernetwork_dir)


# A state folder that cannot be used ---------------------------------------------------------


def assert_rescued(ground: Any, kind: str, monkeypatch: pytest.MonkeyPatch, spoken: list[str], good: int = 7) -> None:
    """A state that could not be written after update 4 is tried again after 5 and 7, and kept in memory each time."""
    with monkeypatch.context() as patch:
        at_micro_batch(patch, 11, lambda loss: loss * float("nan"))
        trained = ground.train(kind, "0.01", 20)
    assert trained.step == 20
    assert all(torch.isfinite(weight).all() for weight in weights(trained))
    assert pt_files.load_pt(str(result_folder(kind) / f"{NAME}.pt"))["step"] == 20
    half = "from here on the rate is the planned one times 0.5"
    assert [line for line in spoken if "Restored" in line] == [
        f"update 10: the loss is nan. Restored the state after update {good}; {half}"
    ]
    assert not [line for line in spoken if "hook failed" in line]


@both_kinds
@pytest.mark.parametrize("where", [".", "runs"])
def test_the_guard_works_in_memory_where_the_state_folder_may_not_be_looked_into(ground, kind, where, monkeypatch, spoken):
    ground.install(autosave_every=4)
    (ground.state_dir / "runs").mkdir(parents=True)
    with locked(ground.state_dir / where):
        assert_rescued(ground, kind, monkeypatch, spoken)
    about = [line for line in spoken if "cannot be saved" in line or "cannot be written" in line]
    expected = f"the run cannot be saved in {ground.state_dir}: Permission denied. Training continues, with the guard in "
    assert about == [f"{expected}memory only; to make it resumable, {RIGHT}"]


@both_kinds
def test_the_guard_works_in_memory_where_a_file_stands_for_the_state_folder(ground, kind, monkeypatch, spoken):
    ground.install(autosave_every=4)
    ground.state_dir.write_text("no folder")
    assert_rescued(ground, kind, monkeypatch, spoken)
    (about,) = [line for line in spoken if "cannot be saved" in line]
    assert about.endswith("to make it resumable, move the file that is where a folder is expected")


@both_kinds
def test_without_a_right_to_write_there_the_weights_are_the_same_to_the_bit(ground, kind):
    ground.install(autosave_every=4)
    (ground.state_dir / "runs").mkdir(parents=True)
    expected = weights(ground.train(kind, "0.01", 12))
    shutil.rmtree(ground.state_dir / "runs")
    (ground.state_dir / "runs").mkdir()
    ground.create(kind, NAME, overwrite=True)
    ground.install()
    with locked(ground.state_dir / "runs", 0o555):
        assert same_bits(weights(ground.train(kind, "0.01", 12)), expected)


@both_kinds
def test_saved_states_that_cannot_be_read_do_not_refuse_the_training(ground, kind, monkeypatch, spoken):
    ground.install(autosave_every=4)
    ground.train(kind, "0.01", 6)
    (snapshots,) = ground.state_dir.glob("runs/*/bundles")
    spoken.clear()
    with locked(snapshots), monkeypatch.context() as patch:
        at_micro_batch(patch, 11, lambda loss: loss * float("nan"))
        trained = ground.train(kind, "0.01", 20)
    assert (trained.step, ground.run().state) == (20, "finished")
    assert [line for line in spoken if "cannot" in line] == [
        f"the snapshots in {snapshots} cannot be read: Permission denied; {RIGHT}",
        "the snapshot cannot be saved; training continues: Permission denied",
    ]
    assert any("Restored the state after update 13" in line for line in spoken)
    assert ground.train(kind, "0.01", 24).step == 24, "and afterwards it is resumed"


def test_snapshots_after_a_deleted_folder_have_higher_numbers_than_those_before(tmp_path, monkeypatch):
    """The run's floor says up to which number they belong to a future that was given up."""
    monkeypatch.setattr(snapshot, "write", lambda path, *_: write_whole(path, b""))
    folder, anything = snapshot.Folder(tmp_path / "bundles", "run", floor=7), snapshot.Snapshot(None, {})  # type: ignore[arg-type]
    assert folder.add(anything).name == "00000008.safetensors"
    shutil.rmtree(folder.path)
    assert folder.add(anything).name == "00000009.safetensors"


# Folders that vanish in the middle -----------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("what", ["data", "log", "result", "state"])
def test_a_folder_that_vanished_is_said_and_the_result_is_saved(ground, kind, what, monkeypatch, spoken):
    ground.install(autosave_every=4)
    folder = {"data": ground.data, "log": ground.log, "result": result_folder(kind), "state": ground.state_dir}[what]

    def vanish(loss: Any) -> Any:
        shutil.rmtree(folder)
        return loss

    at_micro_batch(monkeypatch, 8, vanish)
    assert ground.train(kind, "0.01", 12).step == 12
    said = {"data": f"the data set directory {str(folder)!r} is gone", "log": "the log directory ",
            "result": f"the folder {str(folder)!r} was missing and was created again for the result",
            "state": "was deleted during the run"}
    assert [line for line in spoken if said[what] in line]
    assert pt_files.load_pt(str(result_folder(kind) / f"{NAME}.pt"))["step"] == 12
    assert ground.run().state == "finished"


@both_kinds
def test_a_state_folder_that_vanished_is_made_again_and_the_run_resumed_exactly(ground, kind, monkeypatch):
    ground.install(autosave_every=4)
    expected = weights(ground.train(kind, "0.01", 16, name="whole"))
    with monkeypatch.context() as patch:
        at_micro_batch(patch, 6, lambda loss: shutil.rmtree(ground.state_dir) or loss)
        ground.train(kind, "0.01", 10)
    assert same_bits(weights(ground.train(kind, "0.01", 16)), expected)
    assert any(message.startswith("resumed exactly") for _, message in ground.events(ground.runs()[0]))


def test_lines_after_a_deleted_file_begin_a_new_one(tmp_path):
    file = LineFile(tmp_path / "a", b"header\n")
    file.append(b"1\n")
    (tmp_path / "a").unlink()
    file.append(b"2\n")
    file.close()
    assert file.was_deleted
    assert (tmp_path / "a").read_bytes() == b"header\n2\n"


def test_a_history_that_was_deleted_is_said(tmp_path):
    history = History(tmp_path / "h.jsonl")
    history.event(0, "note", "one")
    (tmp_path / "h.jsonl").unlink()
    history.event(1, "note", "two")
    history.close()
    said = "was deleted during the run: recording starts again, and the earlier history is lost"
    assert history.trouble == f"{tmp_path / 'h.jsonl'} {said}"
    assert [event["message"] for event in History.open(tmp_path / "h.jsonl").events()] == ["two"]


# Advice --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "make room"), (errno.EDQUOT, "make room"), (errno.ENAMETOOLONG, "choose a shorter name"),
     (errno.EACCES, RIGHT),
     (errno.EROFS, "make the disk writable, or choose another folder"),
     (errno.ENOENT, "create the folder again"), (errno.EBADF, "fix the cause")],
)  # fmt: skip
def test_the_advice_follows_the_number_of_the_error(number, advice):
    assert disk_errors.mend(OSError(number, os.strerror(number))) == advice


@pytest.mark.parametrize(
    ("path", "number"),
    [("none/x.pt", errno.ENOENT), (f"{'a' * 300}.pt", errno.ENAMETOOLONG), ("folder", errno.EISDIR)],
)
def test_the_number_is_read_from_the_words_of_torch_and_of_safetensors(path, number, tmp_path):
    (tmp_path / "folder").mkdir()
    for save in (torch.save, save_file):
        with pytest.raises(Exception) as caught:
            save({"a": torch.zeros(1)}, str(tmp_path / path))
        assert (disk_errors.number_of(caught.value), disk_errors.why(caught.value)) == (number, os.strerror(number))


@pytest.mark.parametrize("words", [
    "[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534",
    "[enforce fail at inline_container.cc:424] . PytorchStreamWriter failed writing file data/0: file write failed",
])  # fmt: skip
def test_what_torch_says_of_a_full_disk(words):
    assert disk_errors.mend(RuntimeError(words)) == "make room"


@both_kinds
@pytest.mark.parametrize(
    ("number", "advice"), [(errno.ENAMETOOLONG, "Choose a shorter name"), (errno.EROFS, "Make the disk writable")]
)
def test_the_advice_for_a_final_save_that_failed_follows_its_error(ground, kind, number, advice, monkeypatch):
    def refused(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    ground.install()
    ground.create(kind, NAME)
    monkeypatch.setattr(pt_files, "save_pt", refused)
    try:
        ground.train(kind, "0.01", 3)
    except OSError:
        assert kind == "hypernetwork", "the host does not catch what its last save raises there"
    message = ground.run().message
    assert message.startswith(f"{NAME}.pt cannot be saved: {os.strerror(number)}. {advice}")
    assert "room" not in message


def test_a_run_has_an_id_whatever_the_disk_does(tmp_path):
    (tmp_path / "runs").mkdir()
    with locked(tmp_path / "runs"):
        assert Store(tmp_path).new_id("embedding", NAME, 0.0) == "19700101-000000-embedding-mine"
