"""Resuming where it is easy to be wrong: refused starts, kills in the last moment, other models, files touched by others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from practice_rig import NAME, OptimizerSpy, both_kinds, draw_images, same_bits, weights  # noqa: E402
from training_steps import (  # noqa: E402
    EXACTLY,
    NAN,
    TEXT,
    UPDATES,
    events,
    in_child,
    losses_that,
    main_file,
    rescues,
    train_and_die,
    whole,
)

from lib_lrsched import plan  # noqa: E402
from lib_lrsched.practice import files as pt_files  # noqa: E402
from lib_lrsched.practice import hypernetwork, sd_hijack, shared  # noqa: E402
from lib_lrsched.snapshot import generators  # noqa: E402
from lib_lrsched.storage import model_files  # noqa: E402


def reload() -> None:
    sd_hijack.model_hijack.embedding_db.load_textual_inversion_embeddings(force_reload=True)
    shared.reload_hypernetworks()


def test_a_save_that_writes_elsewhere_takes_nothing_away(tmp_path):
    """As another extension does that saves .safetensors."""
    target = tmp_path / "a.pt"
    target.write_bytes(b"good")
    (tmp_path / "a.pt.optim").write_bytes(b"good too")
    model_files.save_whole(str(target), lambda _: None, backup=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.pt": b"good", "a.pt.optim": b"good too"}


def test_two_that_save_the_same_file_leave_one_of_the_two(tmp_path):
    import threading

    target = tmp_path / "a.pt"
    starts = threading.Barrier(2)

    def save(content: bytes) -> None:
        starts.wait()
        for _ in range(50):
            model_files.save_whole(str(target), lambda name: Path(name).write_bytes(content), backup=True)
            assert target.read_bytes() in (b"one", b"two")

    threads = [threading.Thread(target=save, args=(content,)) for content in (b"one", b"two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pt", "a.pt.bak"]


def test_a_refused_start_does_not_reach_other_hypernetworks(ground):
    """The snapshot waits for its hypernetwork to be loaded for training; images load others in the same thread."""
    ground.install(autosave_every=2)
    ground.train("hypernetwork", "0.01", 3, name="other")
    ground.create("hypernetwork", NAME)
    train_and_die(ground, "hypernetwork", 9)
    before = pt_files.load_pt(str(main_file("hypernetwork").with_name("other.pt")))["step"]
    ground.train("hypernetwork", TEXT, 4)  # fewer than were made: the host refuses
    hypernetwork.load_hypernetworks(["other", NAME])
    assert [one.step for one in shared.loaded_hypernetworks] == [before, 8]  # mine was delivered, see below


@both_kinds
def test_a_run_killed_in_its_final_save_is_delivered(ground, kind):
    """The last snapshot is there, the host's file is not: starting again with the same max steps writes it."""
    ground.install(autosave_every=2)
    expected = whole(ground, kind)
    ground.create(kind, NAME, overwrite=True)

    def run() -> None:
        replace = model_files.replace
        model_files.replace = lambda source, target: os._exit(9) if target.name == f"{NAME}.pt" else replace(source, target)
        ground.train(kind, TEXT, UPDATES)

    assert in_child(run) == 9
    reload()
    assert pt_files.load_pt(str(main_file(kind)))["step"] == 0
    ground.train(kind, TEXT, UPDATES)
    reload()
    assert pt_files.load_pt(str(main_file(kind)))["step"] == UPDATES
    loaded: Any = sd_hijack.model_hijack.embedding_db.word_embeddings.get(NAME)
    if kind == "hypernetwork":
        loaded = hypernetwork.Hypernetwork()
        loaded.load(str(main_file(kind)))
    assert same_bits(weights(loaded), expected)
    (run_,) = (one for one in ground.runs() if one.name == NAME)
    assert (run_.state, run_.step) == ("finished", UPDATES)


def test_a_hypernetwork_whose_file_time_changed_is_known_by_its_weights(ground):
    ground.install(autosave_every=2)
    expected = whole(ground, "hypernetwork")
    ground.create("hypernetwork", NAME, overwrite=True)
    ground.train("hypernetwork", TEXT, 4)
    # To go on with the longer plan, as the whole run had it, from the snapshot of the fourth update.
    os.utime(main_file("hypernetwork"), (1, 1))
    with OptimizerSpy() as spy:
        ground.train("hypernetwork", TEXT, UPDATES)
    assert len(spy.rates) == UPDATES - 4
    (run,) = (one for one in ground.runs() if one.name == NAME)
    assert [leg.start_step for leg in run.legs] == [0, 4]
    assert len(expected) == len(weights_of(NAME))


def test_an_inpainting_model_makes_no_claim_of_exactness(ground, monkeypatch):
    """Its training encodes an empty image once, at its first batch: draws that a run that goes on makes again."""
    ground.install(autosave_every=2)
    ground.create("embedding", NAME)
    train_and_die(ground, "embedding", 9)
    reload()
    monkeypatch.setattr(shared.sd_model.model, "conditioning_key", "hybrid", raising=False)
    ground.train("embedding", TEXT, UPDATES)
    said = [message for run in ground.runs() for _, message in ground.events(run)]
    assert "the inpainting image is encoded again with different random numbers" in said
    assert not [message for message in said if message.startswith("exactly as if")]


def weights_of(name: str) -> list[torch.Tensor]:
    loaded = hypernetwork.Hypernetwork()
    loaded.load(shared.hypernetworks[name])
    return weights(loaded)


def test_an_embedding_file_touched_since_the_crash_is_not_silently_started_anew(ground):
    ground.install(autosave_every=2)
    ground.create("embedding", NAME)
    train_and_die(ground, "embedding", 9)
    os.utime(main_file("embedding"), (1, 1))
    reload()
    ground.train("embedding", TEXT, 3)
    said = [message for run in ground.runs() for _, message in ground.events(run)]
    assert "a run of mine ended at step 8, but its file was written since: a new run starts" in said


@both_kinds
def test_a_state_counts_as_good_only_after_the_next_update(ground, kind, monkeypatch):
    """The loss of an update is that of the weights before it: what update 7 did shows in update 8."""
    ground.install(autosave_every=4)
    losses_that(monkeypatch, lambda n, loss: loss * NAN if n == 9 else loss)
    ground.train(kind, TEXT, 14)
    assert "Restored the state after update 4;" in rescues(ground)[0]


@both_kinds
def test_another_model_is_not_called_exact(ground, kind, monkeypatch):
    ground.install(autosave_every=2)
    ground.create(kind, NAME)
    train_and_die(ground, kind, 7)
    monkeypatch.setattr(shared.sd_model, "sd_model_hash", "another", raising=False)
    ground.train(kind, TEXT, UPDATES)
    assert EXACTLY not in events(ground)
    assert any(message.startswith("checkpoint is another, was ") for message in events(ground))


@both_kinds
def test_a_change_is_still_known_after_a_kill_before_the_next_snapshot(ground, kind):
    ground.install(autosave_every=4)
    ground.create(kind, NAME)
    train_and_die(ground, kind, 6)
    draw_images(ground.data, 6)
    train_and_die(ground, kind, 5)
    ground.train(kind, TEXT, UPDATES)
    said = [message for message in events(ground) if message == "1 image added: 005 red thing.png"]
    assert len(said) == 2
    assert EXACTLY not in events(ground)


@both_kinds
def test_a_rescue_is_not_undone_by_a_kill(ground, kind, monkeypatch):
    ground.install(autosave_every=4)
    ground.create(kind, NAME)
    with monkeypatch.context() as patch:
        losses_that(patch, lambda n, loss: loss * NAN if n == 7 else loss)
        train_and_die(ground, kind, 7)
    with OptimizerSpy() as spy:
        ground.train(kind, TEXT, UPDATES)
    expected = plan(TEXT, total_steps=UPDATES).values(range(7, UPDATES)).tolist()
    assert spy.rates == [rate * 0.5 for rate in expected]


@both_kinds
def test_another_schedule_starts_with_its_whole_rate(ground, kind, monkeypatch):
    ground.install(autosave_every=4)
    with monkeypatch.context() as patch:
        losses_that(patch, lambda n, loss: loss * NAN if n == 7 else loss)
        ground.train(kind, TEXT, 10)
    with OptimizerSpy() as spy:
        ground.train(kind, "0.004", 14)
    assert spy.rates == [0.004] * 4
    assert ground.run().multiplier == 1.0


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("numpy", (torch.zeros(624, dtype=torch.int64), 10**9, 0, 0.0)),
        ("numpy", (torch.full((624,), -1, dtype=torch.int64), 1, 0, 0.0)),
        ("python", (3, torch.full((625,), -1, dtype=torch.int64), None)),
        ("python", (3, torch.zeros(625, dtype=torch.int64), "gauss")),
        ("python", (2, torch.zeros(625, dtype=torch.int64), None)),
        ("cpu", torch.zeros(3, dtype=torch.uint8)),
        ("cuda", [torch.zeros(3)]),
    ],
)
def test_error_a_generators_state_from_outside_is_looked_at(part, value):
    parts = {**generators.state_dict(generators.take()), part: value}
    with pytest.raises((ValueError, TypeError)):
        generators.load_state_dict(parts)


def test_the_generators_go_on_where_they_stood():
    import random

    parts = generators.state_dict(generators.take())
    expected = (random.random(), random.gauss(0, 1), torch.rand(3).tolist())
    generators.put(generators.load_state_dict(parts))
    assert (random.random(), random.gauss(0, 1), torch.rand(3).tolist()) == expected


def test_the_optimizer_keeps_its_own_hyperparameters(ground):
    """Those in a snapshot from outside could train on quietly with maximize or a weight decay."""
    from lib_lrsched.optimizer import step_hook

    parameter = torch.nn.Parameter(torch.ones(3))
    saved = torch.optim.AdamW([parameter], lr=1.0, weight_decay=50.0, maximize=True)
    parameter.grad = torch.ones(3)
    saved.step()
    fresh = torch.optim.AdamW([parameter], lr=0.1, weight_decay=0.0)
    step_hook.load_state(fresh, saved.state_dict())
    (group,) = fresh.param_groups
    assert (group["weight_decay"], group["maximize"], group["lr"]) == (0.0, False, 0.1)
    assert fresh.state[parameter]["step"] == 1
    others: list[Any] = [{0: {"exp_avg": torch.zeros(3, 3)}}, {7: {}}, {0: {"exp_avg": "x"}}, [], {0: []}]
    for bad in others:
        with pytest.raises(ValueError, match=r"the state of 1 parameters|of floats of shape|expected names and values"):
            step_hook.load_state(fresh, {"state": bad})
