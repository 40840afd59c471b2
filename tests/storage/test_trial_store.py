"""Results of trials on disk: what comes back, what is kept, and what damage and a full disk do."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from lib_lrsched.storage import trial_store
from lib_lrsched.storage.store import Store
from lib_lrsched.storage.trial_store import KEPT, TrialRecord

CANDIDATE = {
    "text": "0.01", "factor": 1.0, "rate": 0.01, "progress": 0.25, "low": 0.2, "high": 0.3, "stopped_at": None,
    "curve": [[1, 0.0], [2, None]], "image": True, "running": False,
}  # fmt: skip


def record(trial_id: str = "20260102-030405-embedding-mine", **changes: Any) -> TrialRecord:
    made = TrialRecord(
        id=trial_id, kind="embedding", name="mine", text="0.01", steps=100, state="finished", message="", messages=["said"],
        started_s=5.0, ended_s=9.0, updates=9, seed=0, made=27, what="rates", candidates=[CANDIDATE], suggested="0.02",
        why="it is best", inputs={"batch_size": 1, "data_root": "images"}, s_per_update=0.1, s_per_image=None,
    )  # fmt: skip
    return replace(made, **changes)


def numbered(count: int) -> list[TrialRecord]:
    return [record(f"20260102-0304{n:02}-a", started_s=float(n)) for n in range(count)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def again(store: Store) -> Store:
    return Store(store.root)


def test_what_was_saved_comes_back_newest_first(store: Store):
    for one in numbered(3):
        store.trials.save(one, {0: b"first", 2: one.id.encode()})
    found = again(store).trials.all()
    assert found == numbered(3)[::-1]
    assert again(store).trials.get(found[0].id) == found[0]
    assert [again(store).trials.image(found[0].id, number) for number in range(3)] == [b"first", None, found[0].id.encode()]


def test_the_newest_are_kept_and_the_others_go_with_their_images(store: Store):
    for one in numbered(KEPT + 2):
        store.trials.save(one, {0: b"image"})
    assert [one.id for one in again(store).trials.all()] == [one.id for one in numbered(KEPT + 2)[:1:-1]]
    assert len(list((store.root / "trials").glob("*.png"))) == KEPT


def test_one_is_deleted_with_its_images_and_no_other(store: Store):
    first, second = record("a"), record("a-2")
    for one in (first, second):
        store.trials.save(one, {0: b"image", 12: b"image"})
    assert store.trials.delete("a")
    assert not store.trials.delete("a")
    assert sorted(path.name for path in (store.root / "trials").iterdir()) == ["a-2.0.png", "a-2.12.png", "a-2.json"]


@pytest.mark.parametrize("word", ["", "..", "../presets", "a/b", "A", "\0", "a.b", "x" * 200])
def test_what_can_be_no_id_is_nothing(store: Store, word: str):
    store.presets.save("mine", "0.1", "")
    assert store.trials.get(word) is None
    assert store.trials.image(word, 0) is None
    assert not store.trials.delete(word)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: b"{", "expected JSON"),
        (lambda data: json.dumps([data]).encode(), "expected an object"),
        (lambda data: json.dumps({**data, "state": "lost"}).encode(), "state: expected one of"),
        (lambda data: json.dumps({**data, "candidates": [{**CANDIDATE, "curve": [[1]]}]}).encode(), r"candidates\[0\].curve: exp"),
        (lambda data: json.dumps({**data, "id": "b"}).encode(), "id: expected the file's name"),
    ],
)
def test_a_damaged_one_is_set_aside_and_said_and_hides_no_other(store: Store, change: Any, words: str):
    for one in numbered(2):
        store.trials.save(one, {})
    path = store.root / "trials" / f"{numbered(1)[0].id}.json"
    path.write_bytes(change(json.loads(path.read_bytes())))
    reader = again(store)
    assert reader.trials.all() == numbered(2)[1:]
    (said,) = reader.messages
    assert re.search(words, said)
    assert path.with_name(f"{path.name}.damaged-1").exists()
    assert reader.trials.get(numbered(1)[0].id) is None


def test_one_of_a_later_version_is_said_and_stays(store: Store):
    store.trials.save(record(), {})
    (path,) = (store.root / "trials").glob("*.json")
    path.write_text(json.dumps({**asdict(record()), "lrsched_trial": 2}))
    reader = again(store)
    assert reader.trials.all() == []
    assert "version 2 of a trial; update the extension" in reader.messages[0]
    assert path.exists()


def test_where_the_disk_is_full_the_result_can_be_read_says_so_and_is_written_later(store: Store, monkeypatch):
    with monkeypatch.context() as patch:
        write = trial_store.write_whole

        def full(path: Path, data: bytes) -> None:
            if path.suffix == ".json":
                raise OSError(28, os.strerror(28))
            write(path, data)

        patch.setattr(trial_store, "write_whole", full)
        store.trials.save(record(), {0: b"image"})
    (found,) = store.trials.all()
    assert found.messages[-1].startswith("the result could not be saved and is lost when the WebUI exits: No space left on device")
    assert (store.trials.get(found.id), store.trials.image(found.id, 0)) == (found, b"image")
    assert again(store).trials.all() == []
    assert list((store.root / "trials").iterdir()) == [], "not half of it"
    store.trials.save(record("b"), {})
    assert {one.id: one.messages for one in again(store).trials.all()} == {record().id: ["said"], "b": ["said"]}
    assert store.trials.get(record().id) == record()
    assert again(store).trials.image(record().id, 0) == b"image"


def test_an_image_without_a_record_goes_after_an_hour(store: Store):
    store.trials.save(record("a"), {0: b"image"})
    old, new = (store.root / "trials" / name for name in ("b.0.png", "c.0.png"))
    for path in (old, new):
        path.write_bytes(b"image")
    os.utime(old, (0, 0))
    store.trials.save(record("d"), {})
    assert sorted(path.name for path in (store.root / "trials").glob("*.png")) == ["a.0.png", "c.0.png"]


def test_an_id_is_free(store: Store):
    first = store.trials.new_id("embedding", "My Cat/é", 0.0, set())
    assert first == "19700101-000000-embedding-my-cat-e"
    store.trials.save(record(first), {})
    assert store.trials.new_id("embedding", "My Cat/é", 0.0, {f"{first}-2"}) == f"{first}-3"
