"""What a list shows of runs: numbers of their histories, read once; files, titles; damage that stays where it is."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
from stored_runs import stored

from lib_lrsched.preview import run_list
from lib_lrsched.preview.run_list import RunList, how_it_ended
from lib_lrsched.storage import summary_file
from lib_lrsched.storage.history import History, HistoryRow
from lib_lrsched.storage.labels import Label
from lib_lrsched.storage.store import Leg, RunState, Store


def state(run_id: str = "a", **changes: Any) -> RunState:
    made = RunState(
        id=run_id, kind="embedding", name="cat", state="finished", step=200, total_steps=200, created_s=1_000.0, updated_s=1_100.0,
        rate_text="0.005", legs=(Leg(0, 1_000.0, 200, "0.005", 12, 1, 1),),
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def saved(store: Store, run_id: str = "a", peak: int = 200, **changes: Any) -> RunState:
    """A run of 200 updates whose progress rises to 40 % at the peak and falls again by as much; a look at each 50th."""
    made = state(run_id, **changes)
    store.save(made)
    history = History(store.history_path(run_id), clock=lambda: 1_000.0)
    history.event(0, "leg")
    for step in range(200):
        progress = 0.4 - 0.4 * abs(step + 1 - peak) / peak
        loss = 0.1 * (1.0 - progress) + 1e-5 * (-1) ** (step // 8)
        look = progress / 2 if (step + 1) % 50 == 0 else None
        history.record(HistoryRow(step, 0.005, 0.005, loss, 0.1, 1_000.5 + step / 2, 0.1 if step % 8 == 0 else None, progress,
                                  validation=look))
    history.close()
    return made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a list would be left unfinished; the limit has a test of its own, with a clock of its own."""
    monkeypatch.setattr(run_list, "WITHIN_S", 60.0)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs whose histories were read, in order."""
    found: list[str] = []
    original = run_list._read
    monkeypatch.setattr(run_list, "_read", lambda path: (found.append(path.parent.name), original(path))[1])
    return found


def test_a_run_is_listed_with_what_came_out(store: Store):
    made = saved(store, peak=150)
    store.labels.save("a", Label("best", "a note"))
    (entry,) = RunList(store).entries([(made, None)]).runs
    assert (entry["progress_best"], entry["progress_best_step"]) == (pytest.approx(0.4), 150)
    assert entry["progress_end"] == pytest.approx(0.4 - 0.4 * 50 / 150)
    assert (entry["validation_best"], entry["best_step"]) == (pytest.approx(0.2), 150)
    assert entry["validation_end"] == pytest.approx(entry["progress_end"] / 2)
    assert entry["seconds"] == pytest.approx(100.0)
    assert (entry["title"], entry["note"], entry["ended_s"], entry["trouble"]) == ("best", "a note", 1_100.0, "")
    folder = store.root / "runs/a"
    assert entry["size_bytes"] == sum(path.stat().st_size for path in folder.iterdir())


def test_a_history_is_read_once_also_by_the_next_process(store: Store, read: list[str]):
    runs = [(saved(store, run_id), None) for run_id in ("a", "b")]
    first = RunList(store)
    entries = first.entries(runs)
    assert first.entries(runs) == entries
    assert RunList(Store(store.root)).entries(runs).runs == entries.runs
    assert read == ["a", "b"]
    with store.history_path("b").open("a") as file:
        file.write('{"step": 200, "time_s": 1200.0, "event": "note", "message": ""}\n')
    first.entries(runs)
    assert read == ["a", "b", "b"]
    first.entries(runs[:1])
    saved(store, "a", peak=100)
    first.entries(runs[:1])
    assert set(summary_file.read(store.root / summary_file.NAME)) == {"a"}, "a run that is gone is not kept"


def test_what_there_was_no_time_for_comes_with_the_next_answers(store: Store, read: list[str], monkeypatch: pytest.MonkeyPatch):
    runs = [(saved(store, run_id), None) for run_id in ("new", "old", "older")]
    now = iter(range(10_000))
    monkeypatch.setattr(run_list.time, "monotonic", lambda: float(next(now)))
    monkeypatch.setattr(run_list, "WITHIN_S", 2.5)  # of a clock that is a second later with each look at it
    listed, unread = RunList(store), []
    while not unread or unread[-1]:
        found = listed.entries(runs)
        unread.append(found.unread)
        assert [one["id"] for one in found.runs] == ["new", "old", "older"]
        assert all((one["seconds"] is None) == (one["progress_end"] is None) for one in found.runs)
    assert read == ["new", "old", "older"]
    assert unread == sorted(unread, reverse=True)
    assert unread[0] > 0


def test_a_damaged_history_or_summary_hides_no_other_run(store: Store, read: list[str]):
    runs = [(saved(store, run_id), None) for run_id in ("a", "b")]
    with store.history_path("a").open("a") as file:
        file.write("[1, 2]\n")
    damaged, whole = RunList(store).entries(runs).runs
    assert damaged["trouble"] == "history.jsonl: line 203: expected 28 values in a row, got 2"
    assert damaged["progress_end"] is None
    assert (whole["trouble"], whole["progress_end"]) == ("", pytest.approx(0.4, abs=0.02))
    for text in ("{", '{"lrsched_summaries": 1, "runs": {"a": {"stamp": 5}, "b": {"stamp": [1, "x"], "seconds": "y"}}}', "[]"):
        (store.root / summary_file.NAME).write_text(text)
        assert RunList(store).entries(runs).runs == [damaged, whole]
    assert len(read) == 8


def test_a_running_run_has_the_numbers_in_memory(store: Store, monkeypatch: pytest.MonkeyPatch):
    made = saved(store)
    live = History(None)
    running = dataclasses.replace(made, state="running", legs=(*made.legs, Leg(200, 2_000.0, 400, "0.005", 12, 1, 1)))
    monkeypatch.setattr(run_list.time, "time", lambda: 2_030.0)
    (entry,) = RunList(store).entries([(running, live)]).runs
    assert (entry["seconds"], entry["ended_s"], entry["progress_end"]) == (pytest.approx(100.0 - 30.0 + 30.0), None, None)


@pytest.mark.skipif(not hasattr(os, "link"), reason="needs hard links")
def test_what_has_two_names_counts_once(store: Store):
    made = saved(store)
    listed = RunList(store)
    before = listed.entries([(made, None)]).size_bytes
    bundles = store.snapshots_path("a")
    bundles.mkdir()
    (bundles / "00000001.safetensors").write_bytes(b"x" * 1_000)
    os.link(bundles / "00000001.safetensors", store.best_path("a"))
    assert listed.entries([(made, None)]).size_bytes == before + 1_000


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "finished: 200 updates"),
        ({"message": "validation has not improved 3 times in a row", "step": 90},
         "finished: 90 of 200 updates; validation has not improved 3 times in a row"),
        ({"state": "interrupted", "step": 1_100, "total_steps": 2_000}, "interrupted after 1,100 of 2,000 updates"),
        ({"state": "crashed", "step": 5, "message": "the WebUI ended during the run"},
         "broke off after 5 of 200 updates; the WebUI ended during the run"),
    ],
)  # fmt: skip
def test_how_a_run_ended_in_words(changes: dict[str, Any], said: str):
    assert how_it_ended(state(**changes)) == said


def test_a_run_of_version_0_1_0_is_listed(tmp_path: Path):
    root, folder = stored("embedding", tmp_path)
    old = Store(root / "lrsched")
    (entry,) = RunList(old).entries([(old.load(folder.name), None)]).runs
    assert (entry["seconds"], entry["trouble"], entry["progress_end"]) == (pytest.approx(0.43, abs=0.01), "", None)
    assert entry["outcome"] == "broke off after 10 of 24 updates; the WebUI ended during the run"
