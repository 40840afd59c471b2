"""Validation: what is measured on what, that nothing trained depends on it, what is kept of the best, and when it ends a run."""

from __future__ import annotations

import json
import os
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from practice_rig import NAME, both_kinds, draw_images, random_states, same_bits, weights  # noqa: E402  # torch is optional
from training_steps import EXACTLY, TEXT, UPDATES, events, history, train_and_die, whole  # noqa: E402

from lib_lrsched.cli.main import main  # noqa: E402
from lib_lrsched.errors import ScheduleError  # noqa: E402
from lib_lrsched.host import hooks  # noqa: E402
from lib_lrsched.practice import sd_hijack, shared  # noqa: E402
from lib_lrsched.practice.hypernetwork_layers import HypernetworkModule  # noqa: E402
from lib_lrsched.preview.run_view import validation_of  # noqa: E402
from lib_lrsched.snapshot import baseline, snapshot, validation_set  # noqa: E402
from lib_lrsched.storage.history import History, HistoryRow  # noqa: E402
from lib_lrsched.training import loss_seam  # noqa: E402
from lib_lrsched.training.callback import Callback  # noqa: E402
from lib_lrsched.training.callbacks.validation import Best, judged  # noqa: E402
from lib_lrsched.training.callbacks.weight_average import WeightAverage  # noqa: E402
from lib_lrsched.training.host import InputError  # noqa: E402

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

CHOICES: dict[str, dict[str, Any]] = {
    "plain": {},
    "batch and accumulation": {"batch": 2, "accumulate": 2, "use_weight": True},
    "all drawn": {"shuffle_tags": True, "tag_drop_out": 0.3, "latent_sampling": "random", "previews_every": 3, "preview_steps": 2},
}


def columns(ground: Any, run: Any = None) -> list[dict[str, Any]]:
    path = ground.runtime.store.history_path((run or ground.run()).id)
    header, *lines = path.read_text().splitlines()
    names = json.loads(header)["columns"]
    return [dict(zip(names, row, strict=True)) for row in map(json.loads, lines) if isinstance(row, list)]


def looks(ground: Any, run: Any = None) -> dict[int, float]:
    """Shares by the updates that were made."""
    return {row["step"] + 1: row["validation"] for row in columns(ground, run) if row["validation"] is not None}


def kept_set(ground: Any) -> validation_set.ValidationSet:
    found = validation_set.read(ground.runtime.store.validation_path(ground.run().id))
    assert found is not None
    return found


def by_hand(made: validation_set.ValidationSet, name: str = NAME) -> list[float]:
    """The loss of each sample with the weights as they are now, one at a time."""
    model, found = shared.sd_model, []
    with torch.no_grad():
        for one, noise in zip(made.samples, made.noise(), strict=True):
            context = model.cond_stage_model([one.prompt.replace("[name]", name)])
            latent = made.latents[one.image].unsqueeze(0)
            found.append(float(model.loss_at(latent, context, torch.tensor([one.timestep]), noise.unsqueeze(0))))
    return found


# What is measured, and on what ------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "choices"), [
    ("embedding", CHOICES["plain"]), ("hypernetwork", CHOICES["all drawn"]),
    pytest.param("embedding", CHOICES["all drawn"], marks=pytest.mark.long),
    pytest.param("hypernetwork", CHOICES["batch and accumulation"], marks=pytest.mark.long),
])
def test_weights_and_generators_are_the_same_bits_with_and_without(ground, kind, choices):
    draw_images(ground.data, 7)
    design = {} if kind == "embedding" else {"layer_structure": "1, 2, 2, 1", "dropout": True}
    found = {}
    for every in (0, 2):
        ground.install(validate_every=every)
        ground.create(kind, NAME, overwrite=True, **design)
        trained = ground.train(kind, TEXT, 9, **choices)
        found[every] = weights(trained), random_states()
    assert same_bits(found[0][0], found[2][0])
    assert found[0][1] == found[2][1]
    newest = max(ground.runs(), key=lambda run: run.started_s)
    assert [*looks(ground, newest)] == [2, 4, 6, 8]


def test_a_look_is_the_loss_of_the_set_against_that_of_the_start_in_total_and_by_band(ground):
    ground.install(validate_every=3)
    ground.train("embedding", "0.05", 6, batch=2)
    made = kept_set(ground)
    after = by_hand(made)
    embedding = sd_hijack.model_hijack.embedding_db.word_embeddings[NAME]
    (embedding.vec,), last = baseline.read(ground.runtime.store.baseline_path(ground.run().id)), embedding.vec
    before = by_hand(made)
    embedding.vec = last
    assert made.baseline.tolist() == pytest.approx(before, rel=1e-5)
    row = columns(ground)[-1]
    assert row["validation"] == pytest.approx(1 - sum(after) / sum(before), abs=2e-6)
    for band in range(4):
        inside = [k for k, one in enumerate(made.samples) if one.timestep // 250 == band]
        share = 1 - sum(after[k] for k in inside) / sum(before[k] for k in inside)
        assert row[f"validation_band_{band}"] == pytest.approx(share, abs=5e-6)
    assert abs(row["validation"]) > 1e-3


def test_the_set_has_evenly_spread_timesteps_means_of_the_encoder_and_fixed_prompts(ground):
    ground.install(validate_every=2)
    ground.train("embedding", "0.001", 2, shuffle_tags=True, tag_drop_out=0.5)
    made = kept_set(ground)
    steps = [one.timestep for one in made.samples]
    assert len(steps) == 32
    assert {b - a for a, b in pairwise(steps)} == {31, 32}
    assert (steps[0], steps[-1]) == (15, 984)
    assert made.source == "training"
    assert [*made.images] == sorted(path.name for path in ground.data.glob("*.png"))
    assert {one.image for one in made.samples} == {0, 1, 2, 3, 4}
    colour = torch.tensor([0, 90, 200]).view(3, 1, 1) / 127.5 - 1.0
    assert torch.allclose(made.latents[0].view(3, 4, 4, 4).mean((1, 2, 3)), colour.flatten(), atol=1e-6), "no noise in it"
    assert all("a red thing" in one.prompt or "[filewords]" not in one.prompt for one in made.samples)
    again = validation_set.samples(5, [["x"]] * 5, 1000)
    assert [one.timestep for one in again] == steps


def test_the_folder_validation_is_used_where_it_is_there_and_the_run_says_on_what(ground):
    draw_images(ground.data / "validation", 3, prefix="held ", captions=False)
    ground.install(validate_every=2)
    ground.train("embedding", "0.001", 2)
    made = kept_set(ground)
    assert (made.source, len(made.images)) == ("validation", 3)
    assert "validation every 2 updates, on 3 images of the folder validation" in events(ground)
    assert ground.run().pictures == 5, "the host trains on none of them"


def test_it_is_off_by_default_also_where_there_is_a_folder(ground):
    draw_images(ground.data / "validation", 3)
    ground.install()
    ground.train("embedding", "0.001", 4)
    assert looks(ground) == {}
    assert not ground.runtime.store.validation_path(ground.run().id).exists()
    inputs = {"data_root": str(ground.data), "learn_rate": "0.001", "steps": 9}
    found = ground.runtime.preflight.findings("embedding", NAME, inputs)
    found = [one["message"] for one in found if one["subject"] == "validation"]
    said = ('the data set has a folder validation with 3 images, and validation is off: with "Validate every N updates" the run '
            "would be measured on them")
    assert found == [said]
    ground.choose("embedding", validate_every=2)
    assert not [one for one in ground.runtime.preflight.findings("embedding", NAME, inputs) if one["subject"] == "validation"]


def test_a_hypernetwork_is_measured_without_dropout_at_full_strength_and_trains_on_as_before(ground, monkeypatch):
    seen, forward = [], HypernetworkModule.forward

    def spy(self: Any, x: Any) -> Any:
        seen.append((torch.is_grad_enabled(), self.training, self.multiplier))
        return forward(self, x)

    ground.install(validate_every=2, progress_every=0, guard=False)
    ground.create("hypernetwork", layer_structure="1, 2, 2, 1", dropout=True)
    monkeypatch.setattr(HypernetworkModule, "forward", spy)
    monkeypatch.setattr(HypernetworkModule, "multiplier", 0.25, raising=False)
    trained = ground.train("hypernetwork", "0.001", 4)
    assert {one for one in seen if not one[0]} == {(False, False, 1.0)}
    assert {one[1] for one in seen if one[0]} == {True}
    assert not trained.weights()[0].requires_grad, "the host has ended it"


def test_other_weights_are_measured_beside_them_in_a_column_of_their_own(ground, monkeypatch):
    """Whichever callback keeps them enters them at the session."""
    from lib_lrsched.training import session as sessions

    class KeepsTheStart(Callback):
        def on_start(self, session: Any) -> None:
            session.other_weights["ema"] = lambda: session.trainee.at_start(session.start)

    monkeypatch.setattr(sessions, "that_change_updates", lambda *_: [KeepsTheStart()])
    ground.install(validate_every=2)
    trained = ground.train("embedding", "0.05", 4)
    assert [row["validation_ema"] for row in columns(ground)] == [None, 0.0, None, 0.0]
    assert looks(ground)[4] != 0.0
    assert trained.vec.abs().sum() > 0


def test_an_average_that_fails_at_the_start_leaves_validation_alone(ground, monkeypatch, capsys):
    def broken(_self: Any, _session: Any) -> None:
        raise MemoryError("no room for the average")

    monkeypatch.setattr(WeightAverage, "_begin", broken)
    ground.install(validate_every=2, ema=0.9)
    ground.train("embedding", "0.05", 4)
    assert sorted(looks(ground)) == [2, 4]
    assert {row["validation_ema"] for row in columns(ground)} == {None}


# What is kept of the best ------------------------------------------------------------------------


def test_the_first_of_equals_is_the_best_and_nan_never_is():
    best = Best()
    for step, share in ((10, float("nan")), (20, -0.5), (30, 0.25), (40, 0.25), (50, float("inf"))):
        best = judged(best, share, step)
    assert best == Best(0.25, 30, 2)


@both_kinds
def test_the_best_is_a_copy_and_a_snapshot_that_rotation_leaves_alone(ground, kind, monkeypatch):
    """With a rate that ruins it after a while the best lies far behind the newest snapshots."""
    ground.install(validate_every=2, autosave_every=2, guard=False)
    text = "0.05:4, 3" if kind == "embedding" else "0.003:4, 0.5"
    ground.train(kind, text, 20)
    run, shares = ground.run(), looks(ground)
    best_step = max(shares, key=lambda step: shares[step])
    assert best_step < 14, shares
    best = snapshot.read(ground.runtime.store.best_path(run.id))
    assert (best.facts.step, best.parts["validation"]["step"]) == (best_step, best_step)
    assert best.parts["validation"]["share"] == shares[best_step]
    (copy,) = ground.log.rglob(f"{NAME}-best.pt")
    data = torch.load(copy, weights_only=False)
    saved = [data["string_to_param"]["*"]] if kind == "embedding" else [t for p in data.values() if isinstance(p, tuple)
                                                                       for one in p for t in one.values()]
    assert (data["step"], data["name"]) == (best_step, f"{NAME}-best")
    assert same_bits([one.detach() for one in saved], best.trained)
    numbers = [number for number, _ in snapshot.Folder(ground.runtime.store.snapshots_path(run.id), run.id).numbered()]
    assert len(numbers) == 3
    assert ground.host().embedding(NAME) is None or ground.host().embedding(NAME).name == NAME


def test_without_snapshots_the_copy_is_kept_and_a_resumed_run_knows_its_best_from_the_history(ground):
    ground.install(validate_every=2, autosave_every=0, autosave_minutes=0.0)
    ground.train("embedding", "0.05", 4)
    shares = looks(ground)
    (copy,) = ground.log.rglob(f"{NAME}-best.pt")
    before = copy.stat().st_mtime_ns, copy.read_bytes()
    ground.train("embedding", "3", 6)
    assert looks(ground)[6] < max(shares.values())
    assert (copy.stat().st_mtime_ns, copy.read_bytes()) == before
    assert not ground.runtime.store.best_path(ground.run().id).exists()


def test_a_run_that_was_not_validated_for_a_while_knows_its_best(ground):
    ground.install(validate_every=2)
    ground.train("embedding", "0.05", 4)
    (copy,) = ground.log.rglob(f"{NAME}-best.pt")
    before = copy.read_bytes()
    ground.choose("embedding", validate_every=0)
    ground.train("embedding", "200", 6)
    ground.choose("embedding", validate_every=2)
    ground.train("embedding", "200", 8)
    assert [*looks(ground)] == [2, 4, 8]
    assert looks(ground)[8] < looks(ground)[4]
    assert copy.read_bytes() == before


def test_a_copy_that_cannot_be_written_is_said_once_and_training_continues(ground, monkeypatch):
    from lib_lrsched.host._training_checks import TrainingChecks

    def full(*_: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TrainingChecks, "save_copy", full)
    ground.install(validate_every=1)
    ground.train("embedding", "0.02", 6)
    assert ground.run().state == "finished"
    assert len([text for text in events(ground) if "the copy mine-best cannot be saved, training continues" in text]) == 1


# When it ends a run ------------------------------------------------------------------------------


@both_kinds
def test_a_run_that_no_longer_improves_ends_as_finished_with_a_save_and_resumes_for_more(ground, kind):
    ground.install(validate_every=2, stop_after=2, guard=False)
    text = "0.05:4, 3" if kind == "embedding" else "0.003:4, 0.5"
    trained = ground.train(kind, text, 40)
    run, shares = ground.run(), looks(ground)
    best = max(shares, key=lambda step: shares[step])
    assert (run.state, run.step, trained.step) == ("finished", best + 4, best + 4)
    assert run.message == (f"stopped after update {best + 4}: validation has not improved for 2 looks. It was best after update "
                           f"{best}, with {100 * shares[best]:.3g} % of the loss gone; it is kept as mine-best in the log folder")
    assert torch.load(Path(ground.host().folder_of(kind)) / f"{NAME}.pt", weights_only=False)["step"] == best + 4
    assert ground.train(kind, text, 40).step == best + 8, "it was asked for more, and gets two more looks"


@both_kinds
def test_out_of_memory_it_is_switched_off_once_and_the_run_is_the_same(ground, kind, monkeypatch):
    ground.install()
    expected = whole(ground, kind)

    def refuse(self: Any, *args: Any) -> Any:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loss_seam.LossSeam, "losses", refuse)
    ground.install(validate_every=2)
    ground.create(kind, NAME, overwrite=True)
    trained = ground.train(kind, TEXT, UPDATES)
    assert same_bits(weights(trained), expected)
    said = [text for text in events(ground) if "not validated" in text]
    assert said == ["the run is not validated: the GPU has no memory left for it. Training continues"]
    assert next(run for run in ground.runs() if run.name == NAME).state == "finished"


def test_a_look_that_fails_otherwise_is_said_once_and_training_continues(ground, monkeypatch):
    calls = []

    def refuse(self: Any, *args: Any) -> Any:
        calls.append(1)
        raise ValueError("a model of another kind")

    monkeypatch.setattr(loss_seam.LossSeam, "losses", refuse)
    ground.install(validate_every=2)
    trained = ground.train("embedding", "0.01", 6)
    assert len(calls) == 1
    assert trained.step == 6
    assert len([text for text in events(ground) if "a model of another kind" in text]) == 1


# Bad input ---------------------------------------------------------------------------------------


def test_error_a_folder_validation_without_an_image(ground, tmp_path, capsys):
    folder = ground.data / "validation"
    folder.mkdir()
    (folder / "notes.png").write_text("no image")
    said = (f"no file in {str(folder)!r} can be read as an image, and the run would be validated on them: put images there, delete "
            "the folder, or switch validation off")
    ground.install(validate_every=2)
    before = ground.listing()
    ground.create("embedding")
    inputs = {"data_root": str(ground.data), "learn_rate": "0.001", "steps": 9}
    found = ground.runtime.preflight.findings("embedding", NAME, inputs)
    assert said in [one["message"] for one in found if one["severity"] == "error"]
    with pytest.raises(InputError) as refused:
        ground.train("embedding", "0.01", 2)
    assert str(refused.value) == said
    assert not ground.runs()
    assert before.keys() <= ground.listing().keys()
    hooks.uninstall()
    arguments = ["train", "--kind", "embedding", "--name", "mine", "--lr", "0.01", "--steps", "2", "--data", str(ground.data)]
    assert main([*arguments, "--validate-every", "2", "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("what", ["validation", "progress"])
def test_error_a_plateau_that_watches_what_is_switched_off(ground, what):
    ground.install(progress_every=0)
    with pytest.raises(ScheduleError) as refused:
        ground.train("embedding", f"1e-3:2, plateau(0.01, watch={what})", 9)
    assert refused.value.message == (f"this plateau watches {what}, which is switched off: switch it on, or leave out watch={what}")
    assert refused.value.span == (8, 8 + len(f"plateau(0.01, watch={what})"))


# Over a break ------------------------------------------------------------------------------------


@needs_fork
@pytest.mark.parametrize(("kind", "killed", "what"), [
    ("hypernetwork", 3, "validation"), ("embedding", 7, "validation"), ("hypernetwork", 11, "progress"),
    pytest.param("embedding", 3, "loss", marks=pytest.mark.long), pytest.param("embedding", 11, "progress", marks=pytest.mark.long),
])
def test_a_killed_run_taken_up_again_has_the_same_bits_looks_and_best(ground, kind, killed, what):
    text = f"0.02:3, plateau(0.02, factor=0.5, patience=0, watch={what}, threshold=0.2)"
    choices = {"batch": 2, "shuffle_tags": True, "latent_sampling": "random", "previews_every": 5, "preview_steps": 2}
    draw_images(ground.data, 7)
    draw_images(ground.data / "validation", 2, prefix="held ")
    ground.install(autosave_every=3, progress_every=2, validate_every=2, stop_after=9)
    expected = whole(ground, kind, text, **choices)
    cuts = [message for message in events(ground, "whole") if "no longer improves" in message]
    assert cuts or what == "loss", "nothing to compare"
    ground.create(kind, NAME, overwrite=True)
    train_and_die(ground, kind, killed, text=text, **choices)
    for path in (ground.data / "validation").iterdir():
        path.unlink()
    draw_images(ground.data / "validation", 1, prefix="another ")  # the set is the run's own
    trained = ground.train(kind, text, UPDATES, **{**choices, "seed": 99})
    assert EXACTLY in events(ground), "; ".join(events(ground))
    assert same_bits(weights(trained), expected)
    assert history(ground, NAME) == history(ground, "whole")
    assert max(looks(ground, next(run for run in ground.runs() if run.name == NAME))) == UPDATES
    one, other = (snapshot.read(ground.runtime.store.best_path(run.id)) for run in ground.runs())
    assert one.facts.step == other.facts.step
    assert same_bits(one.trained, other.trained)


@needs_fork
def test_a_kill_between_the_best_snapshot_and_its_second_name_is_mended(ground):
    ground.install(autosave_every=50, validate_every=2)
    ground.create("embedding")
    train_and_die(ground, "embedding", 2, text="0.02")
    best = ground.runtime.store.best_path(ground.run().id)
    best.unlink()
    ground.train("embedding", "0.02", 3)
    assert snapshot.peek(best).facts.step == 2


def test_a_damaged_set_is_said_and_made_anew(ground):
    ground.install(validate_every=2)
    ground.train("embedding", "0.02", 2)
    path = ground.runtime.store.validation_path(ground.run().id)
    before = kept_set(ground)
    path.write_bytes(path.read_bytes()[:-3])
    ground.train("embedding", "0.02", 4)
    assert any(text.startswith("the validation set is rebuilt: ") for text in events(ground))
    assert [*looks(ground)] == [2, 4]
    assert torch.equal(kept_set(ground).baseline, before.baseline)


def test_a_run_that_began_without_it_is_measured_against_its_start(ground):
    ground.install()
    ground.train("embedding", "0.05", 6)
    ground.choose("embedding", validate_every=2)
    ground.train("embedding", "1e-9", 8)
    assert abs(looks(ground)[8]) > 1e-3


@pytest.mark.parametrize(("change", "said"), [
    ({"order": [5]}, "expected image, timestep and prompt"), ({"timesteps": []}, "expected image, timestep and prompt"),
    ({"prompts": "x"}, "prompts: expected a list of texts"), ({"images": ["a", "b", "c"]}, "expected a latent of finite numbers"),
    ({"lrsched_validation": 2}, "version 2 of a validation set"),
])
def test_error_a_set_that_is_not_as_it_should_be(tmp_path, change, said):
    made = validation_set.ValidationSet("training", ("a",), (torch.zeros(12, 4, 4),), (validation_set.Sample(0, 3, "x"),))
    path = tmp_path / "validation.safetensors"
    validation_set.write(path, made)
    read = validation_set.read(path)
    assert read is not None
    assert (read.samples, read.images, read.seed, read.baseline) == (made.samples, made.images, made.seed, None)
    data, tensors = snapshot.read_tensors(path)
    snapshot.write_tensors(path, {**data, **change}, tensors)
    with pytest.raises(validation_set.RunStateError, match=said):
        validation_set.read(path)


# In the history and what shows it -----------------------------------------------------------------


def row(step: int, share: float | None) -> HistoryRow:
    return HistoryRow(step, 0.1, 0.1, 0.5 + random.Random(step).random(), 1.0, 1e9 + step, validation=share)


@pytest.mark.parametrize("steps", [300, 30_000], ids=["short", "longer than what is held exactly"])
def test_looks_are_found_in_memory_and_in_the_file_and_one_that_went_back_counts_once(tmp_path, steps):
    path = tmp_path / "history.jsonl"
    made = History(path, recent=1_000)
    for step in range(steps):
        made.record(row(step, None if (step + 1) % 50 else step / steps))
    made.record(row(120, None))
    for step in range(121, 200):
        made.record(row(step, 0.5 if step == 149 else None))
    made.close()
    expected = [(50, 49 / steps), (100, 99 / steps), (150, 0.5)]
    assert made.validated() == expected
    read = History.open(path, append=False, recent=1_000)
    assert read.validated() == expected
    assert validation_of(read) == {"validation": [[50, 49 / steps], [100, 99 / steps], [150, 0.5]], "validation_ema": [],
                                   "best_step": 150}
    assert validation_of(History(None)) == {"validation": [], "validation_ema": [], "best_step": None}


def test_of_many_looks_some_are_shown_with_the_best_and_the_last():
    made = History(None)
    for step in range(4_000):
        made.record(row(step, 0.9 if step == 1_234 else 0.1))
    shown = validation_of(made)
    assert len(shown["validation"]) <= 1_002
    assert [1235, 0.9] in shown["validation"]
    assert shown["validation"][-1] == [4000, 0.1]
    assert shown["best_step"] == 1235


def test_the_command_line_reports_it(tmp_path, capsys):
    arguments = ["train", "--kind", "embedding", "--name", "mine", "--lr", "0.01", "--steps", "5", "--out", str(tmp_path), "--json"]
    try:
        assert main([*arguments, "--validate-every", "2", "--progress-every", "0"]) == 0
    finally:
        hooks.uninstall()
    report = json.loads(capsys.readouterr().out)
    assert [step for step, _ in report["validation"]] == [2, 4]
    assert report["best_step"] == max(report["validation"], key=lambda look: look[1])[0]
