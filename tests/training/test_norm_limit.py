"""The limit of the norm: what it holds where, and that a run with it is as exact as one without."""

from __future__ import annotations

import json
import os
from math import inf, nan, sqrt
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from halves import half  # noqa: E402
from practice_rig import NAME, both_kinds, same_bits, weights  # noqa: E402  # torch is optional
from torch.optim import optimizer as torch_optimizer  # noqa: E402
from training_steps import EXACTLY, TEXT, UPDATES, events, history, losses_that, rescues, train_and_die, whole  # noqa: E402

from lib_lrsched.cli.main import main  # noqa: E402
from lib_lrsched.host import hooks, options  # noqa: E402
from lib_lrsched.practice import shared  # noqa: E402
from lib_lrsched.training.callbacks import norm_limit  # noqa: E402
from lib_lrsched.training.callbacks.norm_limit import hold, references  # noqa: E402
from lib_lrsched.training.settings import Settings  # noqa: E402

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
FAST = "0.05"
MUCH = 1.05
"""So tight that a few updates at FAST reach it."""


def limits(ground: Any, times: float, name: str = NAME) -> Any:
    """Worked out here, in float64."""
    vec = ground.host().embedding(name).vec.detach().double()
    return times * vec.norm(dim=1).clamp(min=0.05 * sqrt(vec.shape[1]))


# What it does ------------------------------------------------------------------------------------


def test_a_vector_that_is_too_long_is_scaled_and_the_others_keep_their_bits():
    vectors = torch.tensor([[3.0, 4.0], [0.3, 0.1], [0.0, 0.0]])
    before = vectors.clone()
    hold(vectors, torch.tensor([1.0, 1.0, 1.0]))
    assert vectors[0].tolist() == pytest.approx([0.6, 0.8], rel=2e-6)
    assert torch.equal(vectors[1:], before[1:])


def test_what_is_held_is_within_its_limit_and_a_second_call_changes_nothing():
    generator = torch.Generator().manual_seed(2)
    for width in (1, 64, 768):
        vectors = torch.randn(200, width, generator=generator) * torch.logspace(-6, 6, 200).unsqueeze(1)
        bounds = torch.rand(200, generator=generator) + 1e-3
        hold(vectors, bounds)
        once = vectors.clone()
        assert bool((vectors.double().norm(dim=1) <= bounds.double()).all())
        hold(vectors, bounds)
        assert torch.equal(vectors, once)


def test_what_is_not_finite_is_left_to_the_guard():
    vectors = torch.tensor([[nan, 1.0], [inf, 1.0], [1e30, 1e30], [3.0, 4.0]])
    before = vectors.clone()
    hold(vectors, torch.ones(4))
    assert torch.equal(vectors[:3].nan_to_num(7.0), before[:3].nan_to_num(7.0))
    assert float(vectors[3].norm()) == pytest.approx(1.0, rel=1e-5)


def test_the_reference_is_the_norm_at_the_start_or_that_of_a_fresh_embedding():
    start = torch.zeros(3, 768)
    start[1, 0], start[2, 0] = 5.0, 0.4
    assert references(start).tolist() == pytest.approx([0.05 * sqrt(768), 5.0, 0.05 * sqrt(768)])


@pytest.mark.parametrize("choices", [{}, {"batch": 2, "accumulate": 2}], ids=["plain", "batch and accumulation"])
def test_after_every_update_each_vector_is_within_its_limit(ground, choices, monkeypatch):
    ground.install(max_norm=MUCH)
    ground.create("embedding", vectors=3, init_text="red thing")
    bounds, seen = limits(ground, MUCH), []

    def spy(vectors: Any, its_limits: Any) -> None:
        before = vectors.detach().clone()
        hold(vectors, its_limits)
        seen.append((before, vectors.detach().clone()))

    monkeypatch.setattr(norm_limit, "hold", spy)
    ground.train("embedding", FAST, 12, **choices)
    assert len(seen) == 12
    for before, after in seen:
        scale = (bounds / before.double().norm(dim=1)).clamp(max=1.0)
        assert bool((after.double().norm(dim=1) <= bounds * (1 + 1e-7)).all())
        torch.testing.assert_close(after.double(), before.double() * scale.unsqueeze(1), rtol=2e-6, atol=1e-9)
    assert any(not torch.equal(before, after) for before, after in seen)
    assert max(record.vector_norm for record in ground.records()) <= float(bounds.max()) * (1 + 1e-5)


def test_what_the_host_saves_is_within_the_limit_copies_too(ground):
    ground.install(max_norm=MUCH)
    ground.create("embedding", vectors=2, init_text="red")
    bounds = limits(ground, MUCH)
    ground.train("embedding", FAST, 9, copies_every=3)
    files = [*ground.log.rglob("*.pt"), *ground.root.rglob(f"embeddings/{NAME}.pt")]
    assert len(files) >= 3
    for file in files:
        saved = torch.load(file, weights_only=False)["string_to_param"]["*"]
        assert bool((saved.detach().double().norm(dim=1) <= bounds * (1 + 1e-7)).all()), file


def test_it_is_off_by_default_and_one_that_is_never_reached_changes_no_bit(ground):
    assert Settings().run.max_norm == 0.0
    ground.install()
    expected = whole(ground, "embedding")
    ground.install(max_norm=1e6)
    ground.create("embedding", NAME, overwrite=True)
    assert same_bits(weights(ground.train("embedding", TEXT, UPDATES)), expected)
    run = next(run for run in ground.runs() if run.name == NAME)
    assert run.settings["max_norm"] == 1e6
    assert "max_norm" not in next(run for run in ground.runs() if run.name == "whole").settings


def test_for_a_hypernetwork_it_is_off_and_that_is_said(ground):
    ground.install()
    expected = whole(ground, "hypernetwork")
    ground.install(max_norm=1.0)
    ground.create("hypernetwork", NAME, overwrite=True)
    assert same_bits(weights(ground.train("hypernetwork", TEXT, UPDATES)), expected)
    assert "the norm limit is off: a hypernetwork has no vectors" in events(ground)
    assert "max_norm" not in next(run for run in ground.runs() if run.name == NAME).settings


def test_a_setting_that_is_no_limit_is_the_default():
    assert options.checked({"run": {"max_norm": 2}}, Settings()).run.max_norm == 2.0
    for wrong in (-1, nan, inf, "2", None, True):
        assert options.checked({"run": {"max_norm": wrong}}, Settings()).run.max_norm == 0.0


# Over a break ------------------------------------------------------------------------------------


@needs_fork
@half(scaled=[False, True], killed=[3, 7, 12])
def test_a_killed_run_taken_up_again_ends_with_the_same_bits(ground, scaled, killed):
    choices = {3: {}, 7: {"batch": 2, "accumulate": 2}, 12: {"previews_every": 3}}[killed]
    shared.opts.practice_grad_scaler = scaled
    ground.install(autosave_every=2, max_norm=MUCH)
    expected = whole(ground, "embedding", FAST, **choices)
    assert not same_bits(expected, unlimited(ground, **choices))
    ground.install(max_norm=MUCH)
    ground.create("embedding", NAME, overwrite=True)
    train_and_die(ground, "embedding", killed, text=FAST, **choices)
    trained = ground.train("embedding", FAST, UPDATES, **{**choices, "seed": 99})
    assert EXACTLY in events(ground), "; ".join(events(ground))
    assert same_bits(weights(trained), expected)
    assert history(ground, NAME) == history(ground, "whole")


def unlimited(ground: Any, **choices: Any) -> list[Any]:
    ground.install(max_norm=0.0)
    ground.create("embedding", "free", overwrite=True)
    return weights(ground.train("embedding", FAST, UPDATES, name="free", **choices))


@needs_fork
@pytest.mark.parametrize(("before", "after", "said"), [
    (2.0, 3.0, "max norm is 3, was 2"), (0.0, 2.0, "max norm is 2, was off"), (2.0, 0.0, "max norm is off, was 2"),
])
def test_another_limit_is_said_and_nothing_claims_to_be_exact(ground, before, after, said):
    ground.install(autosave_every=2, max_norm=before)
    ground.create("embedding")
    train_and_die(ground, "embedding", 7)
    ground.choose("embedding", max_norm=after)
    ground.train("embedding", TEXT, UPDATES)
    assert said in events(ground)
    assert EXACTLY not in events(ground)
    ground.create("embedding", NAME, overwrite=True)


@pytest.mark.parametrize("autosave", [2, 0], ids=["from a snapshot", "from the file"])
def test_it_is_measured_from_the_start_of_the_run_and_not_from_where_it_resumes(ground, autosave):
    ground.install(autosave_every=autosave, autosave_minutes=0.0)
    ground.create("embedding", vectors=2, init_text="red")
    bound = float(limits(ground, MUCH).max())
    ground.train("embedding", "0.5", 10)
    assert float(limits(ground, 1.0).max()) > 1.2 * bound
    ground.choose("embedding", max_norm=MUCH)
    trained = ground.train("embedding", FAST, 12)
    assert float(trained.vec.detach().norm(dim=1).max()) <= bound * (1 + 1e-6)


def test_where_the_start_is_not_known_it_is_measured_from_now_and_that_is_said(ground):
    ground.install()
    ground.train("embedding", FAST, 6)
    ground.runtime.store.baseline_path(ground.run().id).unlink()
    ground.choose("embedding", max_norm=MUCH)
    bound = float(limits(ground, MUCH).max())
    trained = ground.train("embedding", FAST, 12)
    assert float(trained.vec.detach().norm(dim=1).max()) <= bound * (1 + 1e-6)
    why = "what the run started from is not known: the norm is limited to that of the vectors as they are now"
    assert why in events(ground)
    ground.train("embedding", FAST, 30)  # it is kept, and does not move with each resume
    assert float(trained.vec.detach().norm(dim=1).max()) <= bound * (1 + 1e-6)
    assert events(ground).count(why) == 1


def test_a_run_that_is_rescued_stays_within_its_limit(ground, monkeypatch):
    ground.install(max_norm=MUCH)
    ground.create("embedding")
    bound = float(limits(ground, MUCH).max())
    losses_that(monkeypatch, lambda n, loss: loss * nan if n == 9 else loss)
    trained = ground.train("embedding", FAST, 16)
    assert len(rescues(ground)) == 1
    assert trained.step == 16
    assert float(trained.vec.detach().norm(dim=1).max()) <= bound * (1 + 1e-6)
    assert max(record.vector_norm for record in ground.records()) <= bound * (1 + 1e-5)


# Broken off --------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_done", [False, True])
def test_ctrl_c_within_the_limit_undoes_the_update_and_the_run_resumes_exactly(ground, monkeypatch, is_done):
    ground.install(autosave_every=2, max_norm=MUCH)
    expected = whole(ground, "embedding", FAST)
    ground.create("embedding", NAME, overwrite=True)
    calls = []

    def breaking(vectors: Any, its_limits: Any) -> None:
        calls.append(1)
        if is_done or len(calls) != 7:
            hold(vectors, its_limits)
        if len(calls) == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(norm_limit, "hold", breaking)
        with pytest.raises(KeyboardInterrupt):
            ground.train("embedding", FAST, UPDATES)
    assert any("the optimizer was stopped in the middle of an update" in text for text in events(ground))
    trained = ground.train("embedding", FAST, UPDATES, seed=99)
    assert EXACTLY in events(ground), "; ".join(events(ground))
    assert same_bits(weights(trained), expected)


def test_ctrl_c_between_the_step_and_its_report_leaves_limited_weights_and_no_claim(ground):
    ground.install(autosave_every=2, max_norm=MUCH)
    ground.create("embedding")
    bound, calls = float(limits(ground, MUCH).max()), []

    def breaking(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt

    hook = torch_optimizer.register_optimizer_step_post_hook(breaking)
    try:
        with pytest.raises(KeyboardInterrupt):
            ground.train("embedding", FAST, UPDATES)
    finally:
        hook.remove()
    vec = ground.host().embedding(NAME).vec.detach()
    assert float(vec.norm(dim=1).max()) <= bound * (1 + 1e-6)
    ground.train("embedding", FAST, UPDATES)
    assert EXACTLY not in events(ground)
    assert any("before its loss was reported" in text for text in events(ground))


def test_where_it_fails_the_run_ends_as_failed_with_a_save(ground, monkeypatch):
    ground.install(max_norm=MUCH)
    calls = []

    def failing(vectors: Any, its_limits: Any) -> None:
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError("no memory")
        hold(vectors, its_limits)

    monkeypatch.setattr(norm_limit, "hold", failing)
    trained = ground.train("embedding", FAST, 9)
    run = ground.run()
    assert trained.step == 4
    assert run.state == "failed"
    assert run.message.startswith("NormLimit failed, and training cannot continue as requested")
    assert run.known[-1].step == 4
    monkeypatch.undo()
    ground.train("embedding", FAST, 9)
    assert EXACTLY not in events(ground)


# On the command line -----------------------------------------------------------------------------


@both_kinds
def test_the_command_line_takes_it_and_says_it(tmp_path, capsys, kind):
    arguments = ["train", "--kind", kind, "--name", "mine", "--lr", "0.01", "--steps", "2", "--max-norm", "1.5", "--json"]
    try:
        assert main([*arguments, "--out", str(tmp_path)]) == 0
    finally:
        hooks.uninstall()
    messages = json.loads(capsys.readouterr().out)["messages"]
    said = {"embedding": "each vector's norm is limited to 1.5 times its norm at the start: ",
            "hypernetwork": "the norm limit is off: a hypernetwork has no vectors"}
    assert any(message.startswith(said[kind]) for message in messages)


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "much"])
def test_error_a_limit_that_is_no_number_from_0(tmp_path, capsys, text):
    arguments = ["train", "--kind", "embedding", "--name", "mine", "--lr", "1", "--steps", "2", "--out", str(tmp_path)]
    with pytest.raises(SystemExit):
        main([*arguments, f"--max-norm={text}"])
    assert f"expected a number from 0, got '{text}'" in capsys.readouterr().err
