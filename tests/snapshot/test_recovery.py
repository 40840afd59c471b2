"""run.json changed by a bit, torn or gone: that is noticed and said, and the run is recovered from its newest whole snapshot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import practice_rig  # noqa: E402  # torch is optional, see importorskip
from halves import half  # noqa: E402
from practice_rig import NAME, both_kinds, same_bits, weights  # noqa: E402
from stored_runs import stored  # noqa: E402
from training_steps import EXACTLY, TEXT, UPDATES, events, train_and_die, whole  # noqa: E402

from lib_lrsched.host import installation  # noqa: E402
from lib_lrsched.practice import service  # noqa: E402
from lib_lrsched.snapshot import recovery, snapshot  # noqa: E402
from lib_lrsched.storage.run_state import from_json  # noqa: E402
from lib_lrsched.storage.store import Store, UnknownRunError  # noqa: E402
from lib_lrsched.training import reporter  # noqa: E402


def flipped(path: Path) -> None:
    """One bit: "floor" 0 becomes 1, which would hide the run's snapshot."""
    before = path.read_bytes()
    after = before.replace(b'"floor": 0', b'"floor": 1')
    assert (len(after), after == before) == (len(before), False)
    path.write_bytes(after)


LOSSES: dict[str, Callable[[Path], Any]] = {
    "a bit": flipped,
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": Path.unlink,
}


def state_file(ground: Any) -> Path:
    (run,) = (run for run in ground.runs() if run.name == NAME)
    return ground.state_dir / "runs" / run.id / "run.json"


def another_process(ground: Any) -> None:
    """Nothing is in memory any more, as in a WebUI that was just started."""
    installation._stores.clear()
    ground.runtime.store.messages.clear()


@half(lose=LOSSES, kind=service.KINDS)
def test_a_killed_run_whose_state_is_lost_is_recovered_and_resumed_to_the_same_bits(ground, kind, lose, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(reporter.Reporter, "say", lambda self, message: said.append(message))
    ground.install(autosave_every=2)
    expected = whole(ground, kind)
    ground.create(kind, NAME, overwrite=True)
    train_and_die(ground, kind, 7)
    path = state_file(ground)
    before = Store(ground.state_dir).load(path.parent.name)
    lose(path)
    another_process(ground)
    trained = ground.train(kind, TEXT, UPDATES, seed=99)
    assert same_bits(weights(trained), expected)
    assert EXACTLY in events(ground)
    assert [line for line in said if "the run is recovered from" in line and ", after update 6: run.json was " in line]
    (after,) = (run for run in ground.runs() if run.name == NAME)
    assert (after.id, after.state, after.created_s) == (before.id, "finished", before.created_s)
    assert [leg.start_step for leg in after.legs] == [0, 6]


def test_a_recovered_run_is_shown_as_what_it_is(ground):
    ground.install(autosave_every=2)
    ground.train("embedding", TEXT, 4)
    path = state_file(ground)
    flipped(path)
    another_process(ground)
    run = ground.run()
    message = f"recovered from {newest(path)}, after update 4: run.json was damaged"
    assert (run.state, run.step, run.message) == ("finished", 4, message)
    damaged, recovered = ground.runtime.store.messages
    assert damaged.endswith("written; it is set aside as run.json.damaged-1")
    assert recovered == f"{path.parent}: the run is {run.message}"
    another_process(ground)
    assert ground.run() == run, "it is whole on the disk again"
    assert ground.runtime.store.messages == []


def newest(path: Path) -> str:
    return max(file.name for file in (path.parent / "bundles").iterdir())


def test_a_run_asked_for_by_its_id_is_recovered_too(ground):
    ground.install(autosave_every=2)
    ground.train("embedding", TEXT, 4)
    path = state_file(ground)
    run_id = path.parent.name
    for lose in LOSSES.values():
        lose(path)
        another_process(ground)
        assert ground.runtime.store.load(run_id).step == 4


def test_a_run_that_is_trained_at_this_moment_stays_it(ground):
    ground.install(autosave_every=2)
    seen: list[Any] = []

    def lose(count: int) -> None:
        if count == 5:
            path = state_file(ground)
            path.unlink()
            another_process(ground)
            seen.extend((ground.run().state, path.exists()))

    with practice_rig.OptimizerSpy() as spy:
        spy.at_step = lose
        ground.train("embedding", TEXT, 8)
    assert seen == ["running", True]
    assert (ground.run().state, ground.run().message) == ("finished", "")


def test_a_damaged_snapshot_is_passed_over_for_the_one_before(ground):
    ground.install(autosave_every=2)
    ground.create("embedding", NAME)
    train_and_die(ground, "embedding", 7)
    path = state_file(ground)
    file = path.parent / "bundles" / newest(path)
    file.write_bytes(file.read_bytes()[:-1] + b"\xff")
    path.unlink()
    another_process(ground)
    (run,) = ground.runs()
    assert (run.state, run.message) == ("crashed", "recovered from 00000002.safetensors, after update 4: run.json was missing")


def test_where_nothing_is_whole_that_is_said_and_the_files_stay(ground):
    ground.install(autosave_every=2)
    ground.train("embedding", TEXT, 4)
    path = state_file(ground)
    for file in (path.parent / "bundles").iterdir():
        file.write_bytes(b"nonsense")
    path.unlink()
    another_process(ground)
    assert ground.runs() == ground.runs() == []
    with pytest.raises(UnknownRunError):
        ground.runtime.store.load(path.parent.name)
    (message,) = ground.runtime.store.messages
    what = "is missing, and no intact snapshot exists to recover it; what remains: bundles and history.jsonl"
    assert message == f"{path}: {what}"
    assert (path.parent / "history.jsonl").exists()


def test_snapshots_that_cannot_be_read_are_read_once(ground, monkeypatch):
    """A list is asked for every second, and a hypernetwork's are large."""
    ground.install(autosave_every=2)
    ground.train("embedding", TEXT, 4)
    path = state_file(ground)
    for file in (path.parent / "bundles").iterdir():
        file.write_bytes(b"nonsense")
    path.unlink()
    calls: list[Path] = []

    def counted(folder: Path, run_id: str) -> Any:
        calls.append(folder)
        return recovery.rebuilt(folder, run_id)

    store = Store(ground.state_dir, counted)
    for _ in range(5):
        assert store.runs() == []
    assert len(calls) == 1


@both_kinds
def test_a_run_of_0_1_0_is_recovered_from_what_its_saved_state_says_of_itself(kind, tmp_path):
    root, run = stored(kind, tmp_path)
    before = from_json((run / "run.json").read_bytes(), run / "run.json")
    (run / "run.json").unlink()
    store = Store(root / "lrsched", recovery.rebuilt)
    (state,) = store.runs()
    assert (state.id, state.kind, state.name, state.state, state.total_steps) == (before.id, kind, "mine", "crashed", 24)
    assert state.message == "recovered from 00000002.safetensors, after update 10: run.json was missing"
    facts = snapshot.read(run / "bundles" / "00000002.safetensors").facts
    assert state.knows(10, facts.digest, 0)
    assert state.rate_text == before.rate_text
    assert Store(root / "lrsched").load(before.id).rate_text == before.rate_text, "it is on the disk"


@both_kinds
def test_a_recovered_run_is_exported_and_taken_in_elsewhere(ground, kind, tmp_path):
    ground.install(autosave_every=2)
    ground.train(kind, TEXT, 4)
    path = state_file(ground)
    path.unlink()
    another_process(ground)
    ground.runs()
    file = tmp_path / "out.zip"
    with file.open("wb") as target:
        ground.runtime.transfer.export_run(path.parent.name, target)
    new = ground.runtime.transfer.import_run(file, "new")
    (ground.state_dir / "runs" / new / "run.json").unlink()
    another_process(ground)
    (run,) = (run for run in ground.runs() if run.name == "new")
    assert (run.id, run.step) == (new, 4)


def test_a_copied_folder_is_not_taken_for_another_run(ground):
    ground.install(autosave_every=2)
    ground.train("embedding", TEXT, 4)
    path = state_file(ground)
    shutil.copytree(path.parent, path.parent.with_name("copy"))
    another_process(ground)
    assert len(ground.runs()) == 1
    assert any("id: expected the folder's name 'copy'" in message for message in ground.runtime.store.messages)


def test_a_copy_of_the_state_in_a_snapshot_that_another_version_wrote_is_not_used(ground):
    ground.install(autosave_every=2)
    ground.train("embedding", TEXT, 4)
    path = state_file(ground)
    folder = snapshot.Folder(path.parent / "bundles", path.parent.name, lambda: {"version": 99, "name": "x"})
    _, found, _ = folder.newest()
    assert found is not None
    assert json.loads(json.dumps(found.state))["name"] == NAME
    folder.add(found)
    path.unlink()
    another_process(ground)
    assert (ground.run().name, ground.run().step) == (NAME, 4)
