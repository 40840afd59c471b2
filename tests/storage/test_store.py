"""Store: what is saved is read back, a kill leaves the old or the new, and damage in one file stays in that file."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_runs import rewrite

from lib_lrsched.errors import RunStateError
from lib_lrsched.storage import atomic_files, process
from lib_lrsched.storage._presets import BUILTIN, Preset
from lib_lrsched.storage.checked_fields import OtherVersionError, rules_of
from lib_lrsched.storage.run_state import STATES, from_json, to_json
from lib_lrsched.storage.store import Known, Leg, PresetError, RunState, Store, UnknownRunError

LEG = Leg(0, 1_000.0, 2_000, "0.005:100, 1e-3", 12, 1, 1)


def state(run_id: str = "a", **changes: Any) -> RunState:
    made = RunState(
        id=run_id,
        kind="embedding",
        name="my cat",
        state="finished",
        step=120,
        total_steps=2_000,
        created_s=1_000.0,
        updated_s=1_100.0,
        rate_text="0.005:100, 1e-3",
        pictures=12,
        steps_per_epoch=12,
        settings={"rate_text": "0.005:100, 1e-3", "steps": 2_000, "shuffle": False, "clip": None, "size": 0.5},
        legs=(LEG,),
        known=(Known(120, "abcd", 17),),
    )
    return dataclasses.replace(made, **changes)


def started(run_id: str, started_s: float, **changes: Any) -> RunState:
    return state(run_id, legs=(dataclasses.replace(LEG, started_s=started_s),), **changes)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state")


def stamped(made: RunState) -> RunState:
    pid, mark = process.own()
    return dataclasses.replace(made, pid=pid, process=mark)


def test_nothing_is_created_before_the_first_id_or_save(store: Store):
    assert store.runs() == []
    assert store.presets.all() == BUILTIN
    store.history_path("a")
    assert not store.root.exists()


def test_a_saved_run_is_read_back(store: Store):
    store.save(state())
    assert store.load("a") == stamped(state())
    assert Store(store.root).load("a") == stamped(state())
    assert Store(store.root).runs() == [stamped(state())]


def test_saving_again_replaces(store: Store):
    store.save(state(step=1))
    store.runs()
    store.save(state(step=2))
    assert store.load("a").step == 2
    assert [one.step for one in store.runs()] == [2]


def test_the_newest_forms_are_the_ones_remembered(store: Store):
    store.save(state(known=tuple(Known(step, "d", step) for step in range(100))))
    assert [known.step for known in store.load("a").known] == list(range(36, 100))


def test_runs_come_with_the_newest_leg_first(store: Store):
    store.save(started("old", 10.0))
    store.save(started("resumed", 30.0, created_s=1.0))
    store.save(started("between", 20.0))
    store.save(state("never-begun", legs=(), created_s=25.0))
    assert [one.id for one in store.runs()] == ["resumed", "never-begun", "between", "old"]


def test_another_store_sees_what_this_one_saves(store: Store):
    other = Store(store.root)
    for step in range(20):
        store.save(state(step=step))
        assert other.load("a").step == step


def test_a_removed_run_is_gone(store: Store):
    store.save(state("a"))
    store.save(state("b"))
    store.runs()
    (store.root / "runs/a/run.json").unlink()
    assert [one.id for one in store.runs()] == ["b"]


@pytest.mark.parametrize(
    "run_id", ["../../x", "..", ".", "", ".hidden", "a/b", "a\\b", "A", "a b", "é", "a\n", "x" * 81, "a\0", "-rf"]
)
def test_error_ids_that_are_none(store: Store, run_id: str):
    message = f"a run's id has 1 to 80 of a-z, 0-9, _, . and -, and no . or - in front; got {run_id!r}"
    for use in (store.load, store.history_path, lambda bad: store.save(state(bad))):
        with pytest.raises(UnknownRunError) as caught:
            use(run_id)
        assert str(caught.value) == message
    assert not store.root.exists()


def test_error_unknown_run(store: Store):
    with pytest.raises(UnknownRunError) as caught:
        store.load("nothing")
    assert str(caught.value) == "no run nothing"


def test_new_ids_are_readable_safe_and_free(store: Store):
    assert store.new_id("embedding", "My Cat", 0.0) == "19700101-000000-embedding-my-cat"
    assert store.new_id("embedding", "My Cat", 0.0) == "19700101-000000-embedding-my-cat-2"
    store.save(state("19700101-000001-hypernetwork-x"))
    assert store.new_id("hypernetwork", "x", 1.0) == "19700101-000001-hypernetwork-x-2"


@settings(max_examples=100, deadline=None)
@given(name=st.text(max_size=200), now_s=st.floats(0, 4e9))
def test_every_name_gets_an_id_that_can_be_used(name: str, now_s: float):
    store = Store(Path(__file__) / "no folder can be made here")
    assert store.history_path(store.new_id("embedding", name, now_s)).name == "history.jsonl"


@pytest.mark.parametrize("name", ["../../x", "Käsekuchen", "猫 と 犬", "a/b\\c", "  ", "x" * 500, "con"])
def test_a_run_of_any_name_is_saved_found_and_stays_below_the_root(store: Store, name: str):
    run_id = store.new_id("embedding", name, 1e9)
    store.save(state(run_id, name=name))
    assert store.load(run_id).name == name
    assert store.find("embedding", name, step=120, digest="abcd", mtime_ns=0).id == run_id
    assert [folder.name for folder in (store.root / "runs").iterdir()] == [run_id]


def test_find_wants_kind_name_step_and_digest(store: Store):
    store.save(state())
    wanted = {"step": 120, "digest": "abcd", "mtime_ns": 999}
    assert store.find("embedding", "my cat", **wanted).id == "a"
    assert store.find("hypernetwork", "my cat", **wanted) is None
    assert store.find("embedding", "my dog", **wanted) is None
    assert store.find("embedding", "my cat", **wanted | {"step": 121}) is None
    assert store.find("embedding", "my cat", **wanted | {"digest": "abce"}) is None


def test_find_at_step_0_wants_the_file_time_too(store: Store):
    store.save(state(known=(Known(0, "same", 17),)))
    assert store.find("embedding", "my cat", step=0, digest="same", mtime_ns=17).id == "a"
    assert store.find("embedding", "my cat", step=0, digest="same", mtime_ns=18) is None


def test_find_gives_the_newest_run(store: Store):
    store.save(started("first", 10.0))
    store.save(started("second", 20.0))
    store.save(started("third", 30.0, known=()))
    assert store.find("embedding", "my cat", step=120, digest="abcd", mtime_ns=0).id == "second"


def damage(store: Store, **changes: Any) -> Path:
    """A saved run whose file has these fields instead; ... leaves a field out."""
    store.save(state())
    path = store.root / "runs/a/run.json"
    rewrite(path, **changes)
    return path


class Training:
    """Stands for a training of this process."""

    is_live = True


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": -1}, "step: expected a whole number from 0, got -1"),
        ({"step": True}, "step: expected a whole number from 0, got True"),
        ({"step": 2**63}, f"step: expected a whole number from 0, got {2**63}"),
        ({"total_steps": 1.5}, "total_steps: expected a whole number from 0, got 1.5"),
        ({"name": None}, "name: expected a text, got None"),
        ({"kind": "lora"}, "kind: expected one of embedding, hypernetwork, got 'lora'"),
        (
            {"state": []},
            "state: expected one of pending, running, finished, interrupted, failed, crashed, got []",
        ),
        ({"clip_mode": "both"}, "clip_mode: expected one of disabled, value, norm, got 'both'"),
        ({"clip_exact": 1}, "clip_exact: expected true or false, got 1"),
        ({"batch": 0}, "batch: expected a whole number from 1, got 0"),
        ({"pictures": "12"}, "pictures: expected a whole number from 0, or null, got '12'"),
        ({"steps_per_epoch": 0}, "steps_per_epoch: expected a whole number from 1, or null, got 0"),
        ({"created_s": float("nan")}, "created_s: expected a time in seconds from 0, got nan"),
        ({"updated_s": float("inf")}, "updated_s: expected a time in seconds from 0, got inf"),
        ({"updated_s": 10**400}, f"updated_s: expected a time in seconds from 0, got {'1' + '0' * 59}..."),
        ({"settings": {"x": []}}, "settings: expected an object of texts, numbers, booleans and nulls, got {'x': []}"),
        (
            {"settings": {"x": float("nan")}},
            "settings: expected an object of texts, numbers, booleans and nulls, got {'x': nan}",
        ),
        ({"legs": {}}, "legs: expected a list, got {}"),
        ({"legs": [3]}, "legs[0]: expected an object, got 3"),
        ({"known": [{"step": 1, "digest": "x"}]}, "known[0].mtime_ns: expected a whole number from 0, but the field is missing"),
        ({"rate_text": ...}, "rate_text: expected a text, but the field is missing"),
        ({"version": ...}, "version: expected a whole number from 0, but the field is missing"),
        ({"id": "b"}, "id: expected the folder's name 'a', got 'b'"),
    ],
)
def test_error_damaged_field(store: Store, changes: dict[str, Any], message: str):
    path = damage(store, **changes)
    with pytest.raises(RunStateError) as caught:
        store.load("a")
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize("data", [b"", b"{", b"\0\0", b"[]", b"[" * 100_000, b"\xff", b"1" * 9_999])
def test_error_file_that_is_no_state(store: Store, data: bytes):
    path = damage(store)
    path.write_bytes(data)
    with pytest.raises(RunStateError) as caught:
        store.load("a")
    assert str(caught.value).startswith(f"{path}: ")
    assert ": expected " in str(caught.value)


def test_no_single_bit_can_be_flipped_unnoticed():
    """Either nothing is another, as with a blank for a blank, or it is seen; and never for a file of another version."""
    made = state(message="ünd", floor=3, multiplier=0.5, main_digest="abcd", known=(Known(100, "ab", 9), Known(120, "abcd", 17)))
    data, path = to_json(made), Path("run.json")
    unnoticed = []
    for place in range(8 * len(data)):
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        try:
            seen = from_json(bytes(changed), path)
        except OtherVersionError:
            seen = None
        except RunStateError:
            continue
        if seen != made:
            unnoticed.append(place)
    assert unnoticed == []


def test_two_values_that_change_places_are_noticed(store: Store):
    store.save(state(step=7, total_steps=9))
    path = store.root / "runs/a/run.json"
    path.write_text(path.read_text().replace('"step": 7', '"step": 9').replace('"total_steps": 9', '"total_steps": 7', 1))
    with pytest.raises(RunStateError) as caught:
        store.load("a")
    assert str(caught.value) == f"{path}: its digest does not fit: the file was damaged or changed since it was written"


def test_a_file_without_a_digest_is_read_as_0_1_0_wrote_it(store: Store):
    path = damage(store)
    assert "digest" not in json.loads(path.read_text())
    assert store.load("a") == stamped(state())


@pytest.mark.parametrize(("missing", "meaning"), [
    ("main_digest", ""), ("next_digest", ""), ("optim", ""), ("multiplier", 1.0), ("floor", 0),
])
def test_a_field_that_older_files_lack_has_its_default(store: Store, missing: str, meaning: object):
    damage(store, **{missing: ...})
    assert getattr(store.load("a"), missing) == meaning


@pytest.mark.parametrize("name", [one.name for one in dataclasses.fields(RunState) if not one.metadata["added"]])
def test_error_every_other_field_must_be_there_whatever_its_default(store: Store, name: str):
    path = damage(store, **{name: ...})
    with pytest.raises(RunStateError) as caught:
        store.load("a")
    assert str(caught.value) == f"{path}: {name}: expected {rules_of(RunState)[name].expected}, but the field is missing"


def test_a_leg_of_an_older_file_is_a_run_s_first(store: Store):
    path = damage(store)
    data = json.loads(path.read_bytes())
    rewrite(path, legs=[{name: value for name, value in data["legs"][0].items() if name not in ("origin", "mode")}])
    assert store.load("a").legs == (LEG,)


def test_error_a_state_that_could_not_be_read_back_is_not_saved(store: Store):
    store.save(state(step=1))
    with pytest.raises(RunStateError) as caught:
        store.save(state(updated_s=float("nan")))
    assert str(caught.value) == "updated_s: expected a time in seconds from 0, got nan"
    assert store.load("a").step == 1


SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=60, deadline=None)
@given(
    name=st.text(max_size=30),
    entries=st.dictionaries(st.text(max_size=10), SCALARS | st.text(max_size=10), max_size=5),
    legs=st.lists(
        st.builds(Leg, st.integers(0, 99), st.floats(0, 1e9), st.integers(0, 99), st.text(), st.none(), st.just(1), st.just(1)),
        max_size=3,
    ),
)
def test_any_state_survives_the_journey_through_json(name: str, entries: dict[str, Any], legs: list[Leg]):
    made = state(name=name, settings=entries, legs=tuple(legs))
    assert from_json(to_json(made), Path("run.json")) == made


def test_one_damaged_run_is_set_aside_and_said_once(store: Store):
    path = damage(store, step=-1)
    store.save(state("good"))
    assert [one.id for one in store.runs()] == ["good"]
    assert [one.id for one in store.runs()] == ["good"]
    message = f"{path}: step: expected a whole number from 0, got -1; it is set aside as run.json.damaged-1"
    assert store.messages == [message]
    assert not path.exists()
    assert path.with_name("run.json.damaged-1").exists()


def test_a_second_damaged_file_gets_the_next_number(store: Store):
    for _ in range(2):
        damage(store, step=-1)
        store.runs()
    assert sorted(path.name for path in (store.root / "runs/a").iterdir()) == ["run.json.damaged-1", "run.json.damaged-2"]


def test_a_damaged_file_that_cannot_be_renamed_is_said_once(store: Store, monkeypatch: pytest.MonkeyPatch):
    path = damage(store, step=-1)

    def refuse(source: object, target: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    assert store.runs() == store.runs() == []
    message = f"{path}: step: expected a whole number from 0, got -1; it cannot be renamed: Permission denied"
    assert store.messages == [message]


def test_a_file_of_another_version_stays_where_it_is(store: Store):
    path = damage(store, version=2)
    assert store.runs() == store.runs() == []
    assert store.messages == [f"{path}: version: expected 1, got 2; update the extension to read it"]
    assert path.exists()


def test_other_things_in_the_folder_are_passed_over(store: Store):
    store.save(state())
    (store.root / "runs" / "a file").write_text("")
    (store.root / "runs" / "file").write_text("")
    (store.root / "runs" / "empty").mkdir()
    assert [one.id for one in store.runs()] == ["a"]
    assert store.messages == []


def test_a_runs_folder_that_is_a_file_is_said(store: Store):
    store.root.mkdir()
    (store.root / "runs").write_text("")
    assert store.runs() == []
    assert store.messages == [f"{store.root / 'runs'}: cannot be read: Not a directory"]


class Killed(BaseException):
    """Stands for the kill of the process."""


def kill(*_: object, **__: object) -> None:
    raise Killed


def test_a_kill_before_the_rename_leaves_the_old_state(store: Store, monkeypatch: pytest.MonkeyPatch):
    store.save(state(step=1))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", kill)
        patch.setattr(Path, "unlink", kill)  # a killed process cleans nothing up
        with pytest.raises(Killed):
            store.save(state(step=2))
    assert any(path.name.endswith(".tmp") for path in (store.root / "runs/a").iterdir())
    assert Store(store.root).load("a").step == 1
    assert [one.step for one in Store(store.root).runs()] == [1]
    store.save(state(step=3))
    assert [path.name for path in (store.root / "runs/a").iterdir()] == ["run.json"]


def test_a_kill_before_the_first_rename_leaves_no_run(store: Store, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", kill)
        with pytest.raises(Killed):
            store.save(state())
    assert Store(store.root).runs() == []


def test_what_killed_writers_left_is_swept_after_an_hour(store: Store):
    store.save(state())
    folder = store.root / "runs/a"
    for name, age_s in ((".run.json.1-1.tmp", 7_200), (".run.json.1-2.tmp", 60), (".other.1-1.tmp", 7_200)):
        (folder / name).write_text("")
        os.utime(folder / name, (time.time() - age_s,) * 2)
    store.save(state())
    assert sorted(path.name for path in folder.iterdir()) == [".other.1-1.tmp", ".run.json.1-2.tmp", "run.json"]


@pytest.mark.parametrize(("owner", "call"), [(atomic_files.os, "fsync"), (Path, "replace")])
def test_error_a_full_disk_leaves_the_old_state(store: Store, monkeypatch: pytest.MonkeyPatch, owner: object, call: str):
    store.save(state(step=1))

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(owner, call, refuse)
        with pytest.raises(OSError, match="No space left on device"):
            store.save(state(step=2))
    assert Store(store.root).load("a").step == 1
    assert [path.name for path in (store.root / "runs/a").iterdir()] == ["run.json"]


def test_windows_is_asked_again_while_a_reader_has_the_file(store: Store, monkeypatch: pytest.MonkeyPatch):
    refusals = [PermissionError(errno.EACCES, "in use")] * 3
    source, target, replace = store.root / "new", store.root / "target", Path.replace

    def refuse_thrice(self: Path, to: Path) -> Path:
        if refusals:
            raise refusals.pop()
        return replace(self, to)

    store.root.mkdir()
    source.write_text("x")
    monkeypatch.setattr(atomic_files, "REPLACE_PAUSE_S", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(atomic_files.os, "name", "nt")
        patch.setattr(Path, "replace", refuse_thrice)
        atomic_files.replace(source, target)
    assert target.read_text() == "x"


def saved_by_another_process(store: Store, run_id: str, end: str) -> None:
    """Another process saves a running state, and then does what `end` says."""
    code = (
        "import sys, pathlib, test_store\n"
        "from lib_lrsched.storage.store import Store\n"
        f"Store(pathlib.Path(sys.argv[1])).save(test_store.state({run_id!r}, state='running'))\n{end}"
    )
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (here, here.parent, here.parents[1])))}
    subprocess.run([sys.executable, "-c", code, str(store.root)], check=False, env=environment, timeout=60)


def test_a_run_is_active_until_it_has_ended():
    assert [name for name in STATES if state(state=name).is_active] == ["pending", "running"]


def test_a_run_whose_process_went_away_is_crashed(store: Store):
    saved_by_another_process(store, "a", "import os; os.kill(os.getpid(), 9)")
    (seen,) = store.runs()
    assert (seen.state, seen.message) == ("crashed", "the WebUI ended during the run")
    assert store.load("a").state == "crashed"
    assert json.loads((store.root / "runs/a/run.json").read_bytes())["state"] == "running"


def test_a_run_of_this_process_is_running_while_it_is_trained(store: Store):
    training = Training()
    store.save(state(state="running"))
    store.trained_by("a", training)
    assert store.load("a").state == store.runs()[0].state == "running"
    assert Store(store.root).load("a").state == "running"
    training.is_live = False
    assert (store.load("a").state, store.load("a").message) == (
        "crashed", "the training ended, but this could not be saved",
    )  # fmt: skip


def test_a_run_of_this_process_that_nobody_trains_any_more_is_not_running(store: Store):
    store.save(state(state="running"))
    store.trained_by("a", Training())  # which is gone at once
    assert store.load("a").state == store.runs()[0].state == "crashed"


def test_a_run_of_another_living_process_is_running(store: Store):
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        damage(store, state="running", pid=other.pid, process=process.mark(other.pid))
        assert store.load("a").state == "running"
    finally:
        other.communicate(b"\n", timeout=60)
    assert store.load("a").state == "crashed"


@pytest.mark.parametrize("pid", [0, 2**62, None])
def test_a_run_of_a_process_with_a_number_used_again_is_crashed(store: Store, pid: int | None):
    damage(store, state="running", pid=os.getpid() if pid is None else pid, process="another-boot/123")
    assert store.load("a").state == "crashed"


def test_the_process_that_saves_a_resumed_run_owns_it(store: Store):
    saved_by_another_process(store, "a", "")
    training = Training()
    store.trained_by("a", training)
    store.save(dataclasses.replace(store.load("a"), state="running"))
    assert store.load("a").state == "running"


def test_readers_never_see_half_a_state(store: Store):
    store.save(state(step=0, message="x" * 5_000))
    done = threading.Event()
    trouble: list[BaseException] = []

    def read() -> None:
        fresh = Store(store.root)
        try:
            while not done.is_set():
                one = fresh.load("a")
                assert one.message == "x" * 5_000
                assert [run.id for run in fresh.runs()] == ["a"]
        except BaseException as error:  # what a thread raises is lost otherwise
            trouble.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for step in range(100):
        store.save(state(step=step, message="x" * 5_000))
    done.set()
    for reader in readers:
        reader.join()
    assert trouble == []
    assert store.messages == []


def test_presets_are_added_replaced_and_deleted(store: Store):
    store.presets.save("mine", "0.005", "slow")
    store.presets.save(" Käse / 猫 ", "1e-3")
    store.presets.save("mine", "0.004", "slower")
    cheese = Preset("Käse / 猫", "1e-3", "")
    assert Store(store.root).presets.all() == (*BUILTIN, cheese, Preset("mine", "0.004", "slower"))
    store.presets.delete("mine")
    assert store.presets.all() == (*BUILTIN, cheese)


BUILTIN_REFUSED = (
    f"the preset {BUILTIN[0].name!r} comes with the extension and cannot be changed; save under another name"
)


@pytest.mark.parametrize(
    ("name", "text", "why", "message"),
    [
        (BUILTIN[0].name, "1", "conflict", BUILTIN_REFUSED),
        (f" {BUILTIN[0].name} ", "1", "conflict", BUILTIN_REFUSED),
        ("", "1", "wrong", "a preset needs a name of printable characters"),
        (" ", "1", "wrong", "a preset needs a name of printable characters"),
        ("a\nb", "1", "wrong", "a preset needs a name of printable characters"),
        ("x" * 81, "1", "wrong", "a preset's name is a text of at most 80 characters"),
        (3, "1", "wrong", "a preset's name is a text of at most 80 characters"),
        ("x", "1" * 20_001, "wrong", "a preset's text is a text of at most 20000 characters"),
    ],
)
def test_error_preset_that_cannot_be_saved(store: Store, name: Any, text: str, why: str, message: str):
    with pytest.raises(PresetError) as caught:
        store.presets.save(name, text)
    assert (str(caught.value), caught.value.why) == (message, why)
    assert not store.root.exists()


def test_error_preset_that_cannot_be_deleted(store: Store):
    with pytest.raises(PresetError) as caught:
        store.presets.delete(BUILTIN[0].name)
    assert (str(caught.value), caught.value.why) == (BUILTIN_REFUSED, "conflict")
    with pytest.raises(PresetError) as caught:
        store.presets.delete("mine")
    assert (str(caught.value), caught.value.why) == ("there is no preset 'mine'", "missing")


def test_error_too_many_presets(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lib_lrsched.storage._preset_store.MAX_PRESETS", 2)
    for name in "ab":
        store.presets.save(name, "1")
    store.presets.save("a", "2")
    with pytest.raises(PresetError) as caught:
        store.presets.save("c", "1")
    assert str(caught.value) == "there are 2 presets already; delete one first"


@pytest.mark.parametrize("data", ["{", '{"lrsched_presets": 1}', '{"lrsched_presets": 1, "presets": [{"name": "x"}]}'])
def test_damaged_presets_are_set_aside_and_the_builtin_ones_stay(store: Store, data: str):
    store.root.mkdir()
    path = store.root / "presets.json"
    path.write_text(data)
    assert store.presets.all() == BUILTIN
    assert len(store.messages) == 1
    assert store.messages[0].startswith(f"{path}: ")
    assert store.messages[0].endswith("set aside as presets.json.damaged-1")
    store.presets.save("mine", "1")
    assert store.presets.all() == (*BUILTIN, Preset("mine", "1", ""))


def test_error_presets_of_another_version_are_not_overwritten(store: Store):
    store.root.mkdir()
    path = store.root / "presets.json"
    path.write_text('{"lrsched_presets": 2, "presets": []}')
    message = f"{path}: version 2 of the presets; update the extension to read them"
    assert store.presets.all() == BUILTIN
    assert store.messages == [message]
    with pytest.raises(RunStateError) as caught:
        store.presets.save("mine", "1")
    assert str(caught.value) == message
    assert json.loads(path.read_text())["lrsched_presets"] == 2


# A disk that was full -----------------------------------------------------------------------


def test_what_could_not_be_written_is_known_and_written_as_soon_as_there_is_room(store: Store, monkeypatch: pytest.MonkeyPatch):
    """Else a run that ended while the disk was full would seem to be running for as long as this process lives."""
    store.save(state(state="running"))
    full = OSError(errno.ENOSPC, "No space left on device")

    def refuse(*_: Any) -> None:
        raise full

    with monkeypatch.context() as patch:
        patch.setattr("lib_lrsched.storage.store.write_whole", refuse)
        with pytest.raises(OSError, match="No space left"):
            store.save(state(state="failed", step=130))
        assert [(one.state, one.step) for one in store.runs()] == [("failed", 130)]
        assert json.loads((store.root / "runs/a/run.json").read_bytes())["state"] == "running", "on the disk it still is"
    assert store.load("a").state == "failed"
    assert Store(store.root).load("a") == stamped(state(state="failed", step=130))
    store.save(state(step=140))
    assert store.load("a").step == 140


def test_a_deleted_run_does_not_come_back_from_memory(store: Store, monkeypatch: pytest.MonkeyPatch):
    store.save(state())

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("lib_lrsched.storage.store.write_whole", refuse)
        with pytest.raises(OSError, match="No space left"):
            store.save(state(step=130))
    store.delete("a")
    assert store.runs() == []
    with pytest.raises(UnknownRunError):
        store.load("a")
