"""The practice host's training loops: the seams in their order, and what a run does."""
from __future__ import annotations

import inspect
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from host_steps import csv_rows, dated, made, train
from PIL import Image
from practice_rig import SIDE, both_kinds, weights

from lib_lrsched.practice import (
    dataset,
    files,
    hypernetwork,
    previews,
    sd_hijack,
    sd_hijack_checkpoint,
    service,
    shared,
    textual_inversion,
    unet,
)
from lib_lrsched.practice.learn_schedule import LearnRateScheduler

WIDTH = 64  # of a token vector and of the context


# The order of the seams


class Spies:
    """Wraps the seams and writes down their calls, shortly."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
        self.calls: list[str] = []
        self._monkeypatch = monkeypatch
        self._scheduler(module)
        self._wrap(textual_inversion, "validate_train_inputs")
        self._wrap(dataset, "PersonalizedBase")
        self._wrap(dataset, "PersonalizedDataLoader")
        self._wrap(torch.amp, "GradScaler")
        self._wrap(sd_hijack_checkpoint, "add")
        self._wrap(sd_hijack_checkpoint, "remove")
        self._wrap(torch.nn.utils, "clip_grad_value_")
        self._wrap(textual_inversion, "write_loss", lambda *a: f"write_loss {a[2]}")
        self._optimizer(module)
        if module is textual_inversion:
            self._wrap(textual_inversion, "save_settings_to_file")
            self._wrap(textual_inversion, "save_embedding", lambda *a: f"save_embedding {Path(a[4]).name}")
        else:
            self._wrap(hypernetwork.saving_settings, "save_settings_to_file")
            self._wrap(hypernetwork, "save_hypernetwork", lambda *a: f"save_hypernetwork {Path(a[3]).name}")

    def _wrap(self, owner: Any, name: str, describe: Any = None) -> None:
        original = getattr(owner, name)

        def spy(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name if describe is None else describe(*args))
            return original(*args, **kwargs)

        self._monkeypatch.setattr(owner, name, spy)

    def _scheduler(self, module: Any) -> None:
        calls = self.calls

        class SpyScheduler(module.LearnRateScheduler):
            def __init__(self, learn_rate, max_steps, cur_step=0, verbose=True):
                calls.append(f"scheduler {learn_rate} {max_steps} {cur_step} {verbose}")
                super().__init__(learn_rate, max_steps, cur_step, verbose)

            def apply(self, optimizer, step_number):
                super().apply(optimizer, step_number)
                calls.append(f"apply {step_number}{' finished' if self.finished else ''}")

            def step(self, step_number):
                if inspect.stack()[1].function != "apply":
                    calls.append(f"step {step_number}")
                return super().step(step_number)

        self._monkeypatch.setattr(module, "LearnRateScheduler", SpyScheduler)

    def _optimizer(self, module: Any) -> None:
        calls = self.calls

        class SpyAdamW(torch.optim.AdamW):
            def __init__(self, params, **kwargs):
                calls.append(f"AdamW {kwargs['lr']}")
                super().__init__(params, **kwargs)

            def step(self, *args, **kwargs):
                calls.append("update")
                return super().step(*args, **kwargs)

        if module is textual_inversion:
            self._monkeypatch.setattr(torch.optim, "AdamW", SpyAdamW)
        else:
            self._monkeypatch.setitem(hypernetwork.optimizer_dict, "AdamW", SpyAdamW)


BEGINNING = [
    "validate_train_inputs", "scheduler 0.01 2 0 True", "scheduler 0.1 2 0 False", "PersonalizedBase",
    "save_settings_to_file", "PersonalizedDataLoader", "AdamW 0.01", "GradScaler", "add",
]


def test_an_embedding_run_calls_the_seams_in_the_hosts_order(host, monkeypatch):
    service.create("embedding", "mine")
    spies = Spies(monkeypatch, textual_inversion)
    train("embedding", 2, clip_mode="value", copies_every=2)
    assert spies.calls == [
        *BEGINNING,
        "apply 0", "step 0", "clip_grad_value_", "update", "save_embedding mine-2.pt", "write_loss 1",
        "apply 1", "step 1", "clip_grad_value_", "update", "write_loss 2",
        "apply 2 finished", "save_embedding mine.pt", "remove",
    ]  # fmt: skip


def test_a_hypernetwork_run_calls_the_seams_in_the_hosts_order_and_saves_after_remove(host, monkeypatch):
    service.create("hypernetwork", "mine")
    spies = Spies(monkeypatch, hypernetwork)
    train("hypernetwork", 2, clip_mode="value", copies_every=2)
    assert spies.calls == [
        *BEGINNING,
        "apply 0", "step 0", "clip_grad_value_", "update", "save_hypernetwork mine-2.pt", "write_loss 1",
        "apply 1", "step 1", "clip_grad_value_", "update", "write_loss 2",
        "apply 2 finished", "remove", "save_hypernetwork mine.pt",
    ]  # fmt: skip


def test_every_micro_batch_applies_the_same_step_again(host, monkeypatch):
    service.create("embedding", "mine")
    spies = Spies(monkeypatch, textual_inversion)
    train("embedding", 2, accumulate=2)
    applied = [call for call in spies.calls if call.startswith(("apply", "update"))]
    assert applied == ["apply 0", "apply 0", "update", "apply 1", "apply 1", "update", "apply 2 finished"]


@both_kinds
def test_a_run_that_is_past_max_steps_constructs_no_scheduler(host, monkeypatch, kind):
    train(kind, 2)
    module = textual_inversion if kind == "embedding" else hypernetwork
    spies = Spies(monkeypatch, module)
    assert train(kind, 2).step == 2
    assert spies.calls == ["validate_train_inputs"]
    assert shared.state.textinfo == "Nothing to do: it has been trained for 2 steps, and max steps is 2"


@both_kinds
def test_the_train_functions_show_their_inputs_to_the_constructors_frame(host, monkeypatch, kind):
    seen = {}

    class Looking(LearnRateScheduler):
        def __init__(self, *args, **kwargs):
            seen.update(inspect.stack()[1].frame.f_locals)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(textual_inversion if kind == "embedding" else hypernetwork, "LearnRateScheduler", Looking)
    train(kind, 1, clip_mode="norm")
    assert (seen["clip_grad_mode"], seen["steps"], seen["data_root"].endswith("data")) == ("norm", 1, True)
    assert seen["log_directory"] == str(dated(host))


# What a run does


@both_kinds
def test_training_changes_what_is_trained_and_counts_the_updates(host, kind):
    before = weights(made(kind))
    trained = train(kind, 3)
    assert trained.step == 3
    assert any(not torch.equal(old, new) for old, new in zip(before, weights(trained), strict=True))


@both_kinds
def test_the_same_seed_gives_the_same_weights(host, kind):
    service.create(kind, "mine")
    start = (host.root / ("embeddings" if kind == "embedding" else "hypernetworks") / "mine.pt").read_bytes()
    runs = []
    for _ in range(2):
        (host.root / ("embeddings" if kind == "embedding" else "hypernetworks") / "mine.pt").write_bytes(start)
        sd_hijack.model_hijack.embedding_db.load_textual_inversion_embeddings(force_reload=True)
        runs.append(weights(train(kind, 3, seed=7, latent_sampling="random")))
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


@both_kinds
def test_a_second_run_goes_on_from_the_step_of_the_first(host, kind):
    train(kind, 2)
    service.embeddings()
    assert train(kind, 5).step == 5
    assert [row["step"] for row in csv_rows(host)] == ["1", "2", "3", "4", "5"]


@both_kinds
def test_an_interrupted_run_stops_and_saves(host, monkeypatch, kind):
    write_loss = textual_inversion.write_loss

    def interrupting(*args):
        shared.state.interrupt()
        write_loss(*args)

    monkeypatch.setattr(textual_inversion, "write_loss", interrupting)
    assert train(kind, 50).step == 1
    path = host.root / ("embeddings" if kind == "embedding" else "hypernetworks") / "mine.pt"
    assert files.load_pt(path)["step"] == 1


def test_state_tells_how_far_the_run_is(host, monkeypatch):
    seen = []
    write_loss = textual_inversion.write_loss

    def looking(*args):
        seen.append((shared.state.job, shared.state.job_count, shared.state.job_no))
        write_loss(*args)

    monkeypatch.setattr(textual_inversion, "write_loss", looking)
    train("embedding", 2)
    assert seen == [("train-embedding", 2, 0), ("train-embedding", 2, 1)]
    assert "Step: 3" in shared.state.textinfo


def test_the_csv_file_has_loss_and_rate_every_so_many_updates(host):
    shared.opts.training_write_csv_every = 2
    train("embedding", 6, lr="0.01:3, 0.002", batch=2)
    rows = csv_rows(host)
    assert [(row["step"], row["epoch"], row["epoch_step"], row["learn_rate"]) for row in rows] == [
        ("2", "0", "1", "0.01"), ("4", "1", "1", "0.002"), ("6", "2", "1", "0.002"),
    ]  # fmt: skip
    assert all(len(row["loss"].split(".")[1]) == 7 for row in rows)


def test_no_csv_file_with_the_interval_at_zero(host):
    shared.opts.training_write_csv_every = 0
    train("embedding", 2)
    assert list(dated(host).glob("*.csv")) == []


def test_the_settings_file_describes_the_run(host):
    train("embedding", 1, lr="0.01", batch=2)
    (path,) = dated(host).glob("settings-*.json")
    settings = json.loads(path.read_text())
    assert settings["embedding_name"] == "mine"
    assert settings["num_of_dataset_images"] == 5
    assert settings["learn_rate"] == "0.01"
    assert settings["model_name"] == "practice"
    assert "preview_prompt" not in settings


def test_a_hypernetwork_takes_part_in_the_models_forward_pass(host):
    trained = train("hypernetwork", 1)
    assert next(layer.hypernetworks for layer in host.model.modules() if isinstance(layer, unet.CrossAttention)) == [trained]


def test_checkpointing_is_on_during_the_run_and_gone_afterwards(host, monkeypatch):
    seen = []
    write_loss = textual_inversion.write_loss
    monkeypatch.setattr(textual_inversion, "write_loss", lambda *a: (seen.append(sd_hijack_checkpoint.is_active()), write_loss(*a)))
    forward = unet.ResBlock.forward
    train("embedding", 1)
    assert seen == [True]
    assert not sd_hijack_checkpoint.is_active()
    assert unet.ResBlock.forward is forward


def test_checkpointing_gives_the_gradients_of_the_plain_network(host):
    vec = torch.randn(1, 20, WIDTH, requires_grad=True)

    def gradient():
        torch.manual_seed(5)
        host.model.forward(torch.ones(1, 12, 4, 4), vec)[0].backward()
        found, vec.grad = vec.grad, None
        return found

    plain = gradient()
    sd_hijack_checkpoint.add()
    sd_hijack_checkpoint.add()
    try:
        recomputed = gradient()
    finally:
        sd_hijack_checkpoint.remove()
    torch.testing.assert_close(recomputed, plain)


# Random numbers and previews


@both_kinds
def test_a_preview_with_a_fixed_seed_restarts_the_noise_of_embedding_runs_only(host, kind):
    states = {}
    for every in (0, 2):
        service.create(kind, "mine", overwrite=True)
        train(kind, 2, previews_every=every, preview_prompt="red circle", preview_seed=5, preview_steps=1, seed=9)
        states[every] = torch.get_rng_state()
    assert torch.equal(states[0], states[2]) == (kind == "hypernetwork")


def test_preview_draws_a_seed_and_a_sub_seed(host):
    random.seed(11)
    expected = random.Random(11)
    seed = expected.randrange(previews.NEW_SEED_BELOW)
    expected.randrange(previews.NEW_SEED_BELOW)
    drawn = previews.draw(previews.Prompt("red circle", steps=1, width=SIDE, height=SIDE))
    assert random.getstate() == expected.getstate()
    assert torch.initial_seed() == seed
    assert drawn.infotext == f"red circle\nSteps: 1, Sampler: DDIM, CFG scale: 3.0, Seed: {seed}, Size: 8x8"


def test_images_are_saved_with_their_prompt_and_with_the_embedding(host):
    train("embedding", 2, previews_every=2, preview_steps=1, copies_every=2, image_with_embedding=True, preview_prompt="a b")
    with Image.open(dated(host) / "images" / "mine-2.png") as image:
        assert image.text["parameters"].startswith("a b\nSteps: 1, Sampler: DDIM")
    with Image.open(dated(host) / "image_embeddings" / "mine-2.png") as image:
        assert "sd-ti-embedding" in image.text
    assert shared.state.current_image is not None


def test_error_unknown_sampler(host):
    with pytest.raises(KeyError) as caught:
        previews.draw(previews.Prompt("red", sampler="Euler a"))
    assert caught.value.args == ("no sampler 'Euler a'; the practice model has ['DDIM']",)
