"""Progress under the same noise: what it measures, that it changes nothing, and what happens where it cannot be measured."""

from __future__ import annotations

import copy
import csv
import json
import threading
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from halves import half  # noqa: E402
from practice_rig import NAME, both_kinds, random_states, same_bits, small_model, weights  # noqa: E402  # torch is optional
from training_steps import EXACTLY, NAN, TEXT, UPDATES, events, history, train_and_die, whole  # noqa: E402

from lib_lrsched.practice import sd_hijack, service, shared, textual_inversion  # noqa: E402
from lib_lrsched.preview.run_view import learning_of  # noqa: E402
from lib_lrsched.snapshot import baseline  # noqa: E402
from lib_lrsched.storage.history import History  # noqa: E402
from lib_lrsched.training import loss_seam  # noqa: E402
from lib_lrsched.training.callbacks.progress import Measured, share  # noqa: E402

CHOICES: dict[str, dict[str, Any]] = {
    "plain": {},
    "batch and accumulation": {"batch": 2, "accumulate": 2},
    "weights": {"use_weight": True},
    "tags": {"shuffle_tags": True, "tag_drop_out": 0.3, "latent_sampling": "random"},
    "previews": {"previews_every": 3, "preview_steps": 2},
}


def rows(ground: Any) -> list[dict[str, Any]]:
    path = ground.runtime.store.history_path(ground.run().id)
    (header, *lines) = path.read_text().splitlines()
    columns = json.loads(header)["columns"]
    return [dict(zip(columns, row, strict=True)) for row in map(json.loads, lines) if isinstance(row, list)]


def in_words(ground: Any, run_id: str) -> str:
    """What the tab says of a run."""
    history_ = History.open(ground.runtime.store.history_path(run_id), append=False)
    return learning_of(history_, history_.events(), is_over=True).said


# What it is -----------------------------------------------------------------------------------------------------


@half(choices=CHOICES, kind=service.KINDS)
def test_weights_and_generators_are_the_same_bits_with_and_without(ground, kind, choices):
    ground.install()
    found = {}
    for every in (0, 1):
        ground.install(progress_every=every)
        ground.create(kind, NAME, overwrite=True)
        trained = ground.train(kind, TEXT, UPDATES, **choices)
        found[every] = [tensor.clone() for tensor in weights(trained)], random_states()
    assert same_bits(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


@pytest.mark.long
@both_kinds
def test_weights_after_200_updates_are_the_same_bits_with_and_without(ground, kind):
    found = []
    for every in (0, 1, 8):
        ground.install(progress_every=every)
        ground.create(kind, NAME, overwrite=True)
        found.append([tensor.clone() for tensor in weights(ground.train(kind, "cosine(0.01, 1e-4)", 200))])
    assert same_bits(found[0], found[1])
    assert same_bits(found[0], found[2])


def test_the_baseline_of_an_embedding_is_the_loss_with_its_first_vectors(ground, monkeypatch):
    """Computed here by hand: the same latents, timesteps and noise, with a copy of the first vectors in the embedding's place."""
    ground.install(progress_every=1)
    ground.create("embedding")
    first = sd_hijack.model_hijack.embedding_db.word_embeddings[NAME].vec.detach().clone()
    passes, p_losses = [], type(shared.sd_model).p_losses

    def spy(self: Any, x: Any, cond: Any, t: Any, noise: Any = None) -> Any:
        answer = p_losses(self, x, cond, t, noise)
        passes.append((x, t, noise, float(answer[0].detach()), torch.is_grad_enabled()))
        return answer

    monkeypatch.setattr(type(shared.sd_model), "p_losses", spy)
    ground.train("embedding", "0.05", 6)
    trained = [one for one in passes if one[4]]
    compared = [one for one in passes if not one[4]]
    assert len(trained) == len(compared) == 6
    embedding = sd_hijack.model_hijack.embedding_db.word_embeddings[NAME]
    last, embedding.vec = embedding.vec, first
    try:
        for row, (x, t, noise, loss, _), (_, again_t, again_noise, before, _) in zip(rows(ground), trained, compared, strict=True):
            assert torch.equal(t, again_t)
            assert torch.equal(noise, again_noise)
            assert row["loss"] == pytest.approx(loss, abs=1e-6)
            assert row["baseline_loss"] == pytest.approx(before, rel=1e-6)
    finally:
        embedding.vec = last
    assert not same_bits([first], [last])


def test_progress_starts_at_0_and_that_of_a_hypernetwork_is_against_the_model_without_it(ground):
    ground.install(progress_every=1)
    ground.train("embedding", "0.01", 3)
    assert rows(ground)[0]["progress"] == pytest.approx(0, abs=1e-6)
    run = ground.run()
    ground.runtime.stored_runs.delete(run.id)
    ground.train("hypernetwork", "1e-9", 3)
    first = rows(ground)[0]
    assert first["progress"] == pytest.approx(1 - first["loss"] / first["baseline_loss"], abs=1e-5)


@both_kinds
def test_it_is_measured_every_n_updates_and_shown_for_each(ground, kind):
    ground.install(progress_every=4)
    ground.train(kind, "0.001", 11)
    found = rows(ground)
    assert [row["step"] for row in found if row["baseline_loss"] is not None] == [0, 4, 8]
    assert all(row["progress"] is not None for row in found)
    ends = [Measured(row["step"], row["loss"], row["baseline_loss"]) for row in found if row["baseline_loss"] is not None]
    assert found[-1]["progress"] == pytest.approx(share(ends), abs=1e-5)


def test_the_window_is_the_last_50_updates(ground):
    ground.install(progress_every=8)
    ground.train("embedding", "0.01", 80)
    found = rows(ground)
    inside = [Measured(row["step"], row["loss"], row["baseline_loss"]) for row in found[-50:] if row["baseline_loss"] is not None]
    assert found[-1]["progress"] == pytest.approx(share(inside), abs=1e-5)


def test_an_inpainting_models_image_stays_beside_the_other_prompt(ground, monkeypatch):
    monkeypatch.setattr(shared.sd_model.model, "conditioning_key", "hybrid", raising=False)
    seen, apply_model = [], type(shared.sd_model).apply_model

    def spy(self: Any, x: Any, t: Any, cond: Any) -> Any:
        seen.append(cond)
        return apply_model(self, x, t, cond)

    monkeypatch.setattr(type(shared.sd_model), "apply_model", spy)
    ground.install(progress_every=1)
    ground.train("embedding", "0.05", 3)
    trained, compared = seen[-2:]
    assert trained["c_concat"] is compared["c_concat"]
    assert not torch.equal(trained["c_crossattn"][0], compared["c_crossattn"][0])
    assert rows(ground)[-1]["baseline_loss"] is not None


@both_kinds
def test_it_works_under_grad_scaler(ground, kind):
    shared.opts.practice_grad_scaler = True
    ground.install(progress_every=1)
    ground.train(kind, "0.001", 5)
    assert all(row["baseline_loss"] is not None for row in rows(ground))


def test_an_embedding_that_learns_gains(ground):
    ground.install(progress_every=1)
    ground.train("embedding", "0.05", 60)
    assert rows(ground)[-1]["progress"] > 0.0


# Where it goes --------------------------------------------------------------------------------------------------


def test_the_hosts_csv_has_a_column_that_is_empty_where_nothing_was_measured(ground):
    shared.opts.training_write_csv_every = 1
    ground.install(progress_every=2)
    ground.train("embedding", "0.01", 3)
    (path,) = ground.log.rglob("textual_inversion_loss.csv")
    with path.open() as file:
        found = list(csv.DictReader(file))
    assert [*found[0]] == ["step", "epoch", "epoch_step", "loss", "learn_rate", "progress"]
    assert [row["progress"] == "" for row in found] == [False, True, False]
    assert float(found[2]["progress"]) == pytest.approx(rows(ground)[2]["progress"], abs=1e-6)


def test_a_csv_with_another_header_keeps_its_columns(ground):
    shared.opts.training_write_csv_every = 1
    ground.install(progress_every=1)
    ground.create("embedding")
    folder = Path(textual_inversion.loop.dated_folder(str(ground.log), NAME))
    folder.mkdir(parents=True)
    path = folder / "textual_inversion_loss.csv"
    path.write_text("step,epoch,epoch_step,loss,learn_rate\n")
    ground.train("embedding", "0.01", 3)
    assert {line.count(",") for line in path.read_text().splitlines()} == {4}


# Over a break ---------------------------------------------------------------------------------------------------


@both_kinds
def test_a_killed_run_has_the_same_progress_as_one_without_a_break(ground, kind):
    ground.install(autosave_every=2, progress_every=2)
    expected = whole(ground, kind)
    ground.create(kind, NAME, overwrite=True)
    train_and_die(ground, kind, 7)
    trained = ground.train(kind, TEXT, UPDATES)
    assert EXACTLY in events(ground)
    assert same_bits(weights(trained), expected)
    assert history(ground, NAME) == history(ground, "whole")


def test_a_run_without_what_it_started_from_says_so(ground):
    ground.install(progress_every=1)
    ground.train("embedding", "0.01", 3)
    ground.runtime.store.baseline_path(ground.run().id).unlink()
    ground.train("embedding", "0.01", 6)
    assert [row["baseline_loss"] is None for row in rows(ground)] == [False] * 3 + [True] * 3
    (said,) = [text for text in events(ground) if "progress" in text]
    assert said == ("progress and the distance from the start are not measured: this run began without them, and what it started "
                    "from is not known")


def test_a_run_that_began_without_progress_says_so_in_words(ground):
    ground.install(progress_every=0)
    ground.train("embedding", "0.01", 3)
    ground.runtime.store.baseline_path(ground.run().id).unlink(missing_ok=True)
    ground.choose("embedding", progress_every=1)
    ground.train("embedding", "0.01", 6)
    assert in_words(ground, ground.run().id) == ("not measured: this run began without them, and what it started from is not known")


def test_a_damaged_baseline_is_named_and_training_continues(ground):
    ground.install(progress_every=1)
    ground.train("embedding", "0.01", 3)
    path = ground.runtime.store.baseline_path(ground.run().id)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    ground.train("embedding", "0.01", 6)
    assert ground.run().state == "finished"
    assert any(text.startswith("progress and the distance") and "digest" in text for text in events(ground)), events(ground)


@pytest.mark.parametrize("change", [lambda kept: kept * NAN, lambda kept: kept.long()], ids=["NaN", "whole numbers"])
def test_a_baseline_that_holds_no_numbers_is_named_and_training_continues(ground, change):
    ground.install(progress_every=1, max_norm=1.5)
    ground.train("embedding", "0.01", 3)
    path = ground.runtime.store.baseline_path(ground.run().id)
    baseline.write(path, [change(one) for one in baseline.read(path) or []])
    ground.train("embedding", "0.01", 6)
    assert ground.run().state == "finished"
    assert any(text.startswith("progress and the distance") and "expected finite numbers" in text for text in events(ground))
    assert [row["baseline_loss"] is None for row in rows(ground)] == [False] * 3 + [True] * 3


def test_a_new_run_from_the_file_has_a_baseline_of_its_own(ground):
    ground.install(progress_every=1)
    ground.train("embedding", "0.05", 3)
    (old,) = ground.runs()
    now = [tensor.clone() for tensor in weights(sd_hijack.model_hijack.embedding_db.word_embeddings[NAME])]
    ground.runtime.choices.choose("embedding", NAME, "file")
    ground.train("embedding", "0.05", 6)
    new = next(run for run in ground.runs() if run.id != old.id)
    kept = baseline.read(ground.runtime.store.baseline_path(new.id))
    assert kept is not None
    assert same_bits(kept, now)


# Where it cannot be measured ------------------------------------------------------------------------------------


@both_kinds
def test_without_memory_for_it_progress_is_off_and_the_run_exact(ground, kind, monkeypatch):
    ground.install(progress_every=1)
    expected = whole(ground, kind)
    ground.create(kind, NAME, overwrite=True)

    def refuse(self: Any, context: Any = None) -> Any:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loss_seam.Batch, "loss_with", refuse)
    trained = ground.train(kind, TEXT, UPDATES)
    run = next(run for run in ground.runs() if run.name == NAME)
    assert same_bits(weights(trained), expected)
    said = [line["message"] for line in ground.lines(run) if isinstance(line, dict) and "progress" in line["message"]]
    assert said == ["progress is no longer measured: the GPU has no memory left for it. Training continues"]
    assert run.state == "finished"
    assert in_words(ground, run.id) == "not measured: the GPU has no memory left for it"


def test_two_trainings_in_two_threads_see_their_own_batches(ground):
    ground.install(progress_every=1)
    alone = {}
    for name in ("one", "two"):
        alone[name] = [tensor.clone() for tensor in weights(ground.train("embedding", "0.05", 8, name=name))]
    for name in alone:
        ground.create("embedding", name, overwrite=True)
    threads = [threading.Thread(target=ground.train, args=("embedding", "0.05", 8), kwargs={"name": name}) for name in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in alone:
        run = max((run for run in ground.runs() if run.name == name), key=lambda run: run.created_s)
        assert run.state == "finished"
        found = [line for line in ground.lines(run) if isinstance(line, list)]
        assert len(found) == 8
        assert all(line[6] is not None for line in found)
    assert "p_losses" not in vars(small_model())


@both_kinds
def test_the_model_is_as_it_was_after_the_run(ground, kind):
    ground.install()
    ground.train(kind, "0.001", 3)
    model = small_model()
    assert "p_losses" not in vars(model)
    assert "get_loss" not in vars(model)
    assert not model.cond_stage_model._forward_pre_hooks
    trained = ground.train(kind, "0.001", 4)
    assert kind == "embedding" or type(trained.layers) is dict


def test_a_wrapper_of_another_extension_around_ours_is_left_alone():
    model = copy.deepcopy(small_model())
    seam = loss_seam.LossSeam(model, lambda batch: None, lambda batch: None)
    inner = model.p_losses
    model.p_losses = outer = lambda *args, **kwargs: inner(*args, **kwargs)
    seam.undo()
    assert model.p_losses is outer
    x = torch.zeros(1, 12, 4, 4)
    t = torch.zeros(1, dtype=torch.long)
    context = torch.zeros(1, 3, model.cond_stage_model.context_width)
    assert torch.equal(model.p_losses(x, context, t, x)[0], type(model).p_losses(model, x, context, t, x)[0])


def test_sample_losses_are_those_of_each_image(ground):
    model, found = small_model(), []

    def before(batch: Any) -> None:
        batch.keeps_noise = batch.keeps_sample_losses = True

    seam = loss_seam.LossSeam(model, before, found.append)
    try:
        x = torch.randn(3, 12, 4, 4)
        context = torch.randn(3, 3, model.cond_stage_model.context_width)
        torch.manual_seed(4)
        loss, _ = model(x, context)
        weighted, _ = model.weighted_forward(x, context, torch.full_like(x, 0.5))
    finally:
        seam.undo()
    plain, half = found
    for k in range(3):
        alone = model.loss_at(x[k : k + 1], context[k : k + 1], plain.timesteps[k : k + 1], plain.noise[k : k + 1])
        assert float(plain.sample_losses[k]) == pytest.approx(alone.item(), rel=1e-5)
    assert float(plain.sample_losses.mean()) == pytest.approx(loss.item(), rel=1e-6)
    assert float(half.sample_losses.mean()) == pytest.approx(weighted.item(), rel=1e-6)
    assert "get_loss" not in vars(model) or model.get_loss == type(model).get_loss.__get__(model)
