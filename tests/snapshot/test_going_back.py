"""A run goes back to a kept snapshot: exactly, also where it is killed before the host has saved again, or it says why not."""

from __future__ import annotations

import os
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from practice_rig import NAME, both_kinds, same_bits, weights  # noqa: E402
from training_steps import EXACTLY, TEXT, UPDATES, events, history, main_file, train_and_die  # noqa: E402

from lib_lrsched.errors import ConflictError, RequestError  # noqa: E402
from lib_lrsched.snapshot.snapshot import peek  # noqa: E402
from lib_lrsched.storage.atomic_files import second_name  # noqa: E402
from lib_lrsched.training.host import InputError  # noqa: E402

BACK = 12


def trained_to_its_end(ground: Any, kind: str) -> tuple[str, list[Any]]:
    """A run with snapshots after 8, 12 and 16 updates; its id, and what was trained."""
    ground.install(autosave_every=4)
    trained = weights(ground.train(kind, TEXT, UPDATES))
    return ground.run().id, trained


@both_kinds
def test_a_run_that_goes_back_makes_the_same_updates_again(ground, kind):
    run_id, expected = trained_to_its_end(ground, kind)
    before = history(ground, NAME)
    ground.runtime.next_training.choose_kept(run_id, BACK, "continue")
    resumed = ground.runtime.next_training.resumption_of(kind, NAME)[1]
    assert (resumed.step, resumed.state.id) == (BACK, run_id)
    trained = ground.train(kind, TEXT, UPDATES)
    assert trained.step == UPDATES
    assert same_bits(weights(trained), expected)
    assert EXACTLY in events(ground), "; ".join(events(ground))
    assert ground.run().id == run_id
    assert ("resume", f"resumes at step {BACK} of {UPDATES} with `{TEXT}`") in ground.events()
    assert history(ground, NAME) == before
    assert ground.runtime.choices.of(kind, NAME).kept is None, "it holds for one training"
    bundles = ground.runtime.stored_runs.snapshots(run_id)["bundles"]
    assert [one["step"] for one in bundles if one["good"]] == [UPDATES, BACK]
    assert ground.runtime.next_training.resumption_of(kind, NAME)[1].step == UPDATES


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize(("kind", "killed"), [("embedding", 13), ("hypernetwork", 15)])
def test_a_kill_before_the_host_saves_again_does_not_bring_the_newer_file_back(ground, kind, killed):
    run_id, expected = trained_to_its_end(ground, kind)
    ground.install(autosave_every=2)
    file = main_file(kind).read_bytes()
    ground.runtime.next_training.choose_kept(run_id, BACK, "continue")
    train_and_die(ground, kind, killed)
    assert main_file(kind).read_bytes() == file, "the newer file is there"
    ground.runtime.choices.forget(kind, NAME, ground.runtime.choices.of(kind, NAME))  # the process that chose is gone
    resumed = ground.runtime.next_training.resumption_of(kind, NAME)[1]
    assert (resumed.step, resumed.messages) == (killed // 2 * 2, ())
    trained = ground.train(kind, TEXT, UPDATES)
    assert same_bits(weights(trained), expected)
    assert ground.run().given_up == ""


def test_another_text_from_the_kept_state_on(ground):
    run_id, _ = trained_to_its_end(ground, "embedding")
    ground.runtime.next_training.choose_kept(run_id, 8, "new")
    ground.train("embedding", "0.002", UPDATES)
    assert [(leg.start_step, leg.mode, leg.rate_text) for leg in ground.run().legs] == [(0, "start", TEXT), (8, "new", "0.002")]
    assert [record.planned for record in ground.records()][-UPDATES + 8 :] == [0.002] * 8


def test_the_newest_state_is_no_going_back(ground):
    run_id, _ = trained_to_its_end(ground, "embedding")
    ground.runtime.next_training.choose_kept(run_id, UPDATES, "continue")
    assert ground.runtime.next_training.resumption_of("embedding", NAME)[1].back is None


def test_the_best_state_can_be_gone_back_to_when_its_snapshot_is_gone(ground):
    run_id, expected = trained_to_its_end(ground, "embedding")
    store = ground.runtime.store
    kept = {peek(path).facts.step: path for path in store.snapshots_path(run_id).iterdir()}
    freed = kept[8].stat().st_size
    second_name(kept[BACK], store.best_path(run_id))
    assert ground.runtime.stored_runs.keep_last(run_id)["freed_bytes"] == freed, "the best state's bytes are still in use"
    ground.runtime.next_training.choose_kept(run_id, BACK, "continue")
    assert same_bits(weights(ground.train("embedding", TEXT, UPDATES)), expected)


def test_error_what_cannot_be_gone_back_to_is_refused_in_words(ground):
    run_id, _ = trained_to_its_end(ground, "embedding")
    with pytest.raises(RequestError, match="the run has no snapshot after 5 updates; kept are: 8, 12, 16"):
        ground.runtime.next_training.choose_kept(run_id, 5, "continue")
    ground.runtime.next_training.choose_kept(run_id, BACK, "continue")
    ground.runtime.choices.choose("embedding", NAME, "file")
    ground.train("embedding", TEXT, UPDATES + 4)
    with pytest.raises(RequestError, match=f"at step {UPDATES + 4}, does not belong to the run {run_id}"):
        ground.runtime.next_training.choose_kept(run_id, BACK, "continue")


def test_what_was_chosen_and_is_gone_refuses_the_training(ground):
    run_id, _ = trained_to_its_end(ground, "embedding")
    ground.runtime.next_training.choose_kept(run_id, BACK, "continue")
    for path in ground.runtime.store.snapshots_path(run_id).iterdir():
        if peek(path).facts.step != UPDATES:
            path.unlink()
    assert ground.runtime.next_training.resumption_of("embedding", NAME)[1].messages == (
        f"the run has no snapshot after {BACK} updates; kept are: {UPDATES}",)
    with pytest.raises(RequestError, match="kept are: 16"):
        ground.train("embedding", TEXT, UPDATES + 4)
    ground.runtime.choices.choose("embedding", NAME, "continue")
    assert ground.train("embedding", TEXT, UPDATES + 4).step == UPDATES + 4


def test_what_was_chosen_and_is_deleted_gives_way_to_the_kept_one(ground):
    run_id, _ = trained_to_its_end(ground, "embedding")
    ground.runtime.next_training.choose_kept(run_id, BACK, "restart")
    ground.runtime.stored_runs.keep_last(run_id)
    chosen = ground.runtime.choices.of("embedding", NAME)
    assert (chosen.choice, chosen.kept) == ("restart", None)
    assert ground.train("embedding", TEXT, UPDATES + 4).step == UPDATES + 4


def test_error_a_range_test_does_not_go_back(ground):
    run_id, expected = trained_to_its_end(ground, "embedding")
    ground.runtime.next_training.choose_kept(run_id, BACK, "continue")
    with pytest.raises(InputError, match="a range test puts back what it trains and cannot go back in a run"):
        ground.train("embedding", "range_test(1e-4, 1)", UPDATES + 4)
    assert ground.runtime.choices.of("embedding", NAME).kept is not None
    assert same_bits(weights(ground.train("embedding", TEXT, UPDATES)), expected)


@both_kinds
def test_only_the_last_snapshot_is_kept_and_resumes_exactly(ground, kind):
    run_id, _ = trained_to_its_end(ground, kind)
    folder = ground.runtime.store.snapshots_path(run_id)
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    freed = ground.runtime.stored_runs.keep_last(run_id)
    (left,) = folder.iterdir()
    assert freed == {"freed_bytes": sum(sizes.values()) - sizes[left.name], "deleted": 2, "step": UPDATES}
    ground.train(kind, TEXT, UPDATES + 4)
    assert any("weights, optimizer, random numbers" in message for message in events(ground))


def test_error_a_run_without_a_good_snapshot_keeps_all(ground):
    run_id, _ = trained_to_its_end(ground, "embedding")
    for path in ground.runtime.store.snapshots_path(run_id).iterdir():
        path.write_bytes(b"damaged")
    with pytest.raises(ConflictError, match="has no good snapshot that could be kept, so none is deleted"):
        ground.runtime.stored_runs.keep_last(run_id)
    assert len(ground.runtime.stored_runs.snapshots(run_id)["bundles"]) == 3


def test_a_check_reads_large_snapshots_whole(ground, monkeypatch):
    run_id, _ = trained_to_its_end(ground, "embedding")
    monkeypatch.setattr("lib_lrsched.host.stored_runs.LARGE_BYTES", 0)
    path = sorted(ground.runtime.store.snapshots_path(run_id).iterdir())[-1]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    shown = ground.runtime.stored_runs.snapshots(run_id)["bundles"]
    assert [(one["good"], one["checked"]) for one in shown] == [(True, False)] * 3
    found = ground.runtime.stored_runs.check(run_id)
    assert [(one["good"], one["checked"]) for one in found["bundles"]] == [(False, True), (True, True), (True, True)]
    assert "its digest does not fit" in found["bundles"][0]["message"]
    assert [(one["file"], one["good"]) for one in found["files"]] == [("data.safetensors", True), ("baseline.safetensors", True)]
