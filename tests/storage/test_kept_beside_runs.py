"""Labels, profiles and times beside the runs: whole files, and damage in one stays there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lib_lrsched.errors import RequestError
from lib_lrsched.storage import labels
from lib_lrsched.storage.profiles import MAX_PROFILES, Profile, ProfileError
from lib_lrsched.storage.store import Store
from lib_lrsched.storage.trained_time import trained_s


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_a_label_is_read_back_and_a_run_without_one_has_an_empty_one(store: Store):
    made = labels.label("  best so far ", " line\nsecond line ")
    store.labels.save("a", made)
    assert Store(store.root).labels.of("a") == store.labels.of("a") == labels.Label("best so far", "line\nsecond line")
    assert store.labels.of("b") == labels.Label()
    store.labels.save("a", labels.Label("again"))
    assert store.labels.of("a") == labels.Label("again"), "not what was read before"


@pytest.mark.parametrize(
    ("title", "note", "said"),
    [
        ("x" * 101, "", "title: expected one line of at most 100 characters"),
        ("two\nlines", "", "title: expected one line of at most 100 characters"),
        ("", "x" * 2_001, "note: expected a text of at most 2000 characters"),
        ("", "\ud800", "note: expected a text of at most 2000 characters"),
    ],
)
def test_error_a_label_that_is_none(title: str, note: str, said: str):
    with pytest.raises(RequestError, match=f"^{said}$"):
        labels.label(title, note)


def test_a_damaged_label_is_set_aside_and_said(store: Store):
    path = store.label_path("a")
    store.labels.save("a", labels.Label("x"))
    path.write_text('{"lrsched_label": 1, "title": 5, "note": ""}')
    assert store.labels.of("a") == labels.Label()
    (said,) = store.messages
    assert said == f"{path}: title: expected one line of at most 100 characters, got 5; it is set aside as label.json.damaged-1"
    path.write_text('{"lrsched_label": 2}')
    assert store.labels.of("a") == labels.Label()
    assert path.exists(), "another version's is left alone"


def profile(name: str = "cats, slowly", **changes: Any) -> Profile:
    made = {"kind": None, "inputs": {"data_root": "/x", "steps": 5}, "options": {"ema": 0.9}, "saved_s": 7.0, **changes}
    return Profile(name=name, **made)


def test_profiles_are_listed_by_name_and_replaced_only_where_that_is_asked_for(store: Store):
    store.profiles.save(profile("b"), replace=False)
    store.profiles.save(profile("A"), replace=False)
    with pytest.raises(ProfileError, match="there is a profile 'b' already") as refused:
        store.profiles.save(profile("b", inputs={"steps": 6}), replace=False)
    assert refused.value.why == "conflict"
    assert store.profiles.get("b").inputs["steps"] == 5
    store.profiles.save(profile("b", inputs={"steps": 6}), replace=True)
    assert [(one.name, one.inputs["steps"]) for one in Store(store.root).profiles.all()] == [("A", 5), ("b", 6)]
    store.profiles.delete("b")
    assert [one.name for one in store.profiles.all()] == ["A"]
    for gone in (store.profiles.get, store.profiles.delete):
        with pytest.raises(ProfileError, match="there is no profile 'b'"):
            gone("b")


@pytest.mark.parametrize("name", ["..", "../../x", "con", "a/b", "ä", "Ä", ".hidden", "x" * 80])
def test_a_profile_of_whatever_name_has_a_file_of_its_own_in_its_folder(store: Store, name: str):
    store.profiles.save(profile(name), replace=False)
    store.profiles.save(profile(f"{name[:79]}."), replace=True)
    files = sorted((store.root / "profiles").iterdir())
    assert len(files) == 2
    assert sorted(one.name for one in store.profiles.all()) == sorted([name, f"{name[:79]}."])


def test_a_damaged_profile_hides_no_other_and_is_said(store: Store):
    for name in ("a", "b", "c"):
        store.profiles.save(profile(name), replace=False)
    damaged, other, _ = sorted((store.root / "profiles").iterdir())
    damaged.write_text("{")
    other.write_text(json.dumps({"lrsched_profile": 2}))
    assert [one.name for one in store.profiles.all()] == ["c"]
    assert store.messages == [f"{damaged}: expected JSON; it is set aside as {damaged.name}.damaged-1",
                              f"{other}: version 2 of a profile; update the extension to read it"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": ""}, "name: expected 1 to 80 printable characters, got ''"),
        ({"name": "a\n"}, r"name: expected 1 to 80 printable characters, got 'a\\n'"),
        ({"inputs": {"a": [1]}}, "inputs: expected an object of texts, numbers, booleans and nulls"),
        ({"inputs": {"a": float("nan")}}, "inputs: expected an object of texts, numbers, booleans and nulls"),
        ({"options": {str(n): n for n in range(201)}}, "options: expected at most 200 names of at most 80 characters"),
        ({"inputs": {"a": "x" * 20_001}}, r"inputs\.a: expected at most 20000 characters, got 20001"),
    ],
)
def test_error_a_profile_that_is_none(store: Store, changes: dict[str, Any], said: str):
    with pytest.raises(ProfileError, match=f"^{said}$") as refused:
        store.profiles.save(profile(**changes), replace=False)
    assert refused.value.why == "wrong"
    assert not (store.root / "profiles").exists()


def test_error_too_many_profiles(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lib_lrsched.storage.profiles.MAX_PROFILES", 1)
    store.profiles.save(profile("a"), replace=False)
    with pytest.raises(ProfileError, match="there are 1 profiles already; delete one first"):
        store.profiles.save(profile("b"), replace=False)
    store.profiles.save(profile("a"), replace=True)
    assert MAX_PROFILES == 500


HEADER = '{"lrsched_history": 1, "columns": ["step", "loss", "time_s"]}'


def lines(path: Path, *entries: tuple[str, float]) -> Path:
    """A history of rows and events with these times."""
    values = [[5, 0.1, time_s] if word == "row" else {"step": 5, "time_s": time_s, "event": word, "message": ""}
              for word, time_s in entries]
    texts = map(json.dumps, values)
    path.write_text("\n".join([HEADER, *texts, ""]))
    return path


@pytest.mark.parametrize(
    ("entries", "seconds"),
    [
        ((), 0.0),
        ((("leg", 10.0),), 0.0),
        ((("leg", 10.0), ("row", 11.0), ("row", 14.0)), 4.0),
        ((("leg", 10.0), ("row", 14.0), ("finished", 15.0), ("note", 80.0), ("resume", 81.0), ("note", 82.0), ("row", 83.5)), 7.5),
        ((("leg", 10.0), ("row", 9.0)), 0.0),
        ((("row", 3.0), ("resume", 10.0), ("row", 12.0)), 2.0),
    ],
    ids=["empty", "begun", "one leg", "between two legs", "clock set back", "lost beginning"],
)
def test_the_time_trained_is_that_of_the_legs(tmp_path: Path, entries: tuple[tuple[str, float], ...], seconds: float):
    assert trained_s(lines(tmp_path / "history.jsonl", *entries)) == pytest.approx(seconds)
    assert trained_s(tmp_path / "none") == 0.0


def test_the_time_trained_is_read_over_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rows = (("row", float(k)) for k in range(1, 50))
    path = lines(tmp_path / "history.jsonl", ("leg", 0.0), *rows, ("resume", 100.0), ("row", 101.0))
    monkeypatch.setattr("lib_lrsched.storage.history_blocks.BLOCK_BYTES", 64)
    assert trained_s(path) == pytest.approx(50.0)
