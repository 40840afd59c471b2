"""A run that learns nothing says so, and why that may be: in its log, in the message of its end, and ahead where it can."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

import practice_rig  # noqa: E402  # torch is optional, see importorskip
from practice_rig import NAME, both_kinds, same_bits, weights  # noqa: E402
from training_steps import losses_that  # noqa: E402

from lib_lrsched.cli.main import main  # noqa: E402
from lib_lrsched.host import hooks, preflight  # noqa: E402
from lib_lrsched.practice.text import find_embedding, words_of  # noqa: E402
from lib_lrsched.training.no_gradient import SEVERAL, ZeroGradients, same_words_as, why_not  # noqa: E402

CLIPPED = ("the gradient clip value is 0 at every step, which cuts every gradient to 0, so nothing will be learned: give a value "
           "above 0, or switch gradient clipping off")


def said(ground: Any) -> list[str]:
    return [message for _, message in ground.events(ground.runs()[0])]


def still(monkeypatch: pytest.MonkeyPatch, until: int = 10**9) -> None:
    """No gradient in the first updates: the loss does not depend on what is trained."""
    model = type(practice_rig.small_model())
    forward, calls = model.forward, []

    def constant(self: Any, *given: Any) -> Any:
        calls.append(self)
        loss, named = forward(self, *given)
        return (loss * 0 + 0.1 if len(calls) <= until else loss), named

    monkeypatch.setattr(model, "forward", constant)


def test_it_is_said_once_after_several_updates_from_the_start_without_a_gradient():
    zero_gradients = ZeroGradients()
    assert SEVERAL == 5
    assert [zero_gradients.look(0.0) for _ in range(30)] == [n == SEVERAL for n in range(1, 31)]
    assert zero_gradients.warning("Why.") == "nothing has been learned so far: no update had a gradient. Why."
    assert zero_gradients.message("Why.") == "nothing was learned: none of 30 updates had a gradient. Why."


@pytest.mark.parametrize("norm", [1e-30, float("nan"), float("inf")])
def test_one_gradient_is_enough(norm):
    zero_gradients = ZeroGradients()
    zero_gradients.look(0.0)
    assert not any(zero_gradients.look(one) for one in [norm, 0.0, 0.0, 0.0, 0.0, norm, 0.0])
    assert zero_gradients.message("Why.") == ""


def test_in_the_middle_of_a_run_it_is_said_once_of_each_stretch_and_the_next_has_to_be_twice_as_long():
    zero_gradients = ZeroGradients()
    norms = [1.0, *[0.0] * 7, 1.0, *[0.0] * 9, 1.0, *[0.0] * 30, 1.0, *[0.0] * 19]
    found = [zero_gradients.look(norm) for norm in norms]
    assert [n for n, one in enumerate(found) if one] == [5, 28]
    zero_gradients.look(0.0)
    assert zero_gradients.warning("Why.") == "nothing is learned any more: the last 20 updates had no gradient. Why."


def test_no_update_says_nothing():
    assert ZeroGradients().message("Why.") == ""


def test_names_that_differ_in_capitals_only_are_the_reason():
    assert same_words_as("Mine", ["mine", "Mine", "mine2", "MINE"]) == ["MINE", "mine"]
    assert why_not("embedding", "Mine", ["mine", "Mine"]).startswith("Besides 'Mine' there is also 'mine': prompts ignore capitals")
    assert why_not("embedding", "Mine", ["Mine"]).startswith("Either no prompt names it")
    assert why_not("hypernetwork", "Mine", []).startswith("Either the attention in use")


@both_kinds
@pytest.mark.parametrize("steps", [4, 15])
def test_a_run_without_any_gradient_says_so(ground, kind, steps, monkeypatch):
    ground.install(freeze=False)
    still(monkeypatch)
    ground.train(kind, "0.01", steps)
    run, why = ground.run(), why_not(kind, NAME, [NAME])
    assert (run.state, run.message) == ("finished", f"nothing was learned: none of {steps} updates had a gradient. {why}")
    during = [message for message in said(ground) if message.startswith("nothing has been learned so far")]
    assert during == ([f"nothing has been learned so far: no update had a gradient. {why}"] if steps > SEVERAL else [])


@both_kinds
def test_gradients_that_stop_in_the_middle_of_a_run_are_told_once(ground, kind, monkeypatch):
    ground.install(freeze=False)
    losses_that(monkeypatch, lambda n, loss: loss * 0 + 0.1 if n > 4 else loss)
    ground.train(kind, "0.001", 20)
    assert [record.grad_norm == 0 for record in ground.records()] == [False] * 4 + [True] * 16
    stopped = f"nothing is learned any more: the last 5 updates had no gradient. {why_not(kind, NAME, [NAME])}"
    assert [message for message in said(ground) if "no gradient" in message] == [stopped]
    assert ground.run().message == ""


@both_kinds
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(("clip", "shown"), [("0.1:3, 0", "0"), ("0.1:3, 1e-12", "1e-12")])
def test_a_clip_threshold_that_leaves_nothing_is_the_first_reason(ground, kind, exact, clip, shown):
    ground.install(exact_clip=exact)
    ground.train(kind, "0.001", 10, clip=clip, clip_mode="norm")
    (found,) = [message for message in said(ground) if message.startswith("nothing is learned any more")]
    why = f"The gradient clip threshold is {shown}, which leaves nothing: raise it, or switch gradient clipping off."
    assert found.startswith(f"nothing is learned any more: the last 5 updates had no gradient. {why}")
    assert found.endswith(why) == (exact or shown != "0"), "gradients of 0 before the clipping have another reason too"


def test_a_run_whose_clip_threshold_leaves_nothing_says_so_at_its_end(ground):
    ground.install()
    ground.train("embedding", "0.001", 7, clip="1e-12", clip_mode="value")
    assert ground.run().message == ("nothing was learned: none of 7 updates had a gradient. The gradient clip threshold is 1e-12, "
                                    "which leaves nothing: raise it, or switch gradient clipping off.")


@both_kinds
def test_a_run_that_learns_late_says_nothing_at_its_end(ground, kind, monkeypatch):
    ground.install()
    still(monkeypatch, until=3)
    ground.train(kind, "0.01", 8)
    assert (ground.run().state, ground.run().message) == ("finished", "")


@both_kinds
@pytest.mark.parametrize("mode", ["norm", "value"])
def test_a_clip_value_of_0_is_said_at_the_start_and_at_the_end(ground, kind, mode):
    ground.install()
    ground.create(kind)
    before = ground.host().embedding(NAME)
    before = None if before is None else before.vec.detach().clone()
    trained = weights(ground.train(kind, "0.01", 3, clip="0", clip_mode=mode))
    if kind == "embedding":  # a hypernetwork's optimizer has weight decay
        assert same_bits(trained, [before])
    assert CLIPPED in said(ground)
    assert ground.run().message == "nothing was learned: the gradient clip value is 0 at every step"


def test_a_clip_value_of_0_is_said_before_the_start(ground):
    inputs = {"steps": 10, "learn_rate": "0.01", "clip_grad_mode": "value", "clip_grad_value": "0"}
    ground.create("embedding")

    def found(**change: Any) -> list[dict[str, str]]:
        look = preflight.findings(ground.host(), "embedding", NAME, {**inputs, **change})
        return [one for one in look if one["subject"] == "clip_grad_value"]

    assert found() == [{"severity": "warning", "subject": "clip_grad_value", "message": CLIPPED}]
    assert found(clip_grad_mode="norm") != []
    assert found(clip_grad_mode="disabled") == []
    assert found(clip_grad_value="linear(0.1, 0)") == []


@both_kinds
def test_a_rate_of_0_is_said_at_the_end_too(ground, kind):
    ground.install()
    ground.train(kind, "0", 3)
    assert ground.run().message == "nothing was learned: the learning rate is 0 at every step"


@pytest.mark.parametrize("freeze", [True, False])
def test_an_embedding_that_another_stands_in_for_is_named(ground, freeze):
    ground.install(freeze=freeze)
    ground.train("embedding", "0.01", 3)
    ground.create("embedding", "MINE")
    names = ["MINE", NAME]
    loser = next(name for name in names if find_embedding(name, ground.host().embedding_db().word_embeddings).name != name)
    before = ground.host().embedding(loser).vec.detach().clone()
    (warned,) = [one for one in preflight.findings(ground.host(), "embedding", loser, {}) if one["subject"] == "embedding"]
    ground.train("embedding", "0.01", 20, name=loser)
    assert torch.equal(ground.host().embedding(loser).vec.detach(), before)
    run = next(run for run in ground.runs() if run.name == loser)
    (twin,) = set(names) - {loser}
    assert f"Besides {loser!r} there is also {twin!r}: prompts ignore capitals" in run.message
    assert warned["severity"] == "warning"
    assert warned["message"] in run.message


@pytest.mark.parametrize("name", ["my thing", "größe", "猫", "my thing 2"])
def test_the_practice_host_finds_every_name_in_a_prompt(ground, name):
    """As the WebUI does, which compares tokens."""
    ground.install()
    ground.train("embedding", "0.01", 5, name=name)
    assert ground.run().message == ""
    assert all(record.grad_norm > 0 for record in ground.records())


def test_a_name_of_several_words_is_found_whole_and_the_longest_first():
    names = ["my thing", "my thing too", "mine", "größe"]
    assert words_of("a photo of my thing, My Thing too, mine; my things", names) == [
        "a", "photo", "of", "my thing", "My Thing too", "mine", "my", "things"]
    assert words_of("Größe größer", names) == ["Größe", "gr", "er"]


def test_the_command_line_says_it(tmp_path, capsys):
    arguments = ["train", "--kind", "embedding", "--name", "mine", "--lr", "0", "--steps", "2", "--out", str(tmp_path)]
    try:
        assert main(arguments) == 0
    finally:
        hooks.uninstall()
    assert "nothing was learned: the learning rate is 0 at every step" in capsys.readouterr().err
