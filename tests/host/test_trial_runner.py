"""Trials in a thread of ours: they wait their turn, can be ended, draw, are kept, and leave all else as it was."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import training_steps

torch = pytest.importorskip("torch")

from practice_rig import NAME, SIDE, both_kinds, random_states, same_bits, small_model, weights  # noqa: E402  # torch is optional

from lib_lrsched.errors import ConflictError, RequestError, ScheduleError  # noqa: E402
from lib_lrsched.host import hooks, trial_request  # noqa: E402
from lib_lrsched.host.trial_request import TrialInputs  # noqa: E402
from lib_lrsched.practice import previews, sd_hijack, shared, trainer  # noqa: E402
from lib_lrsched.storage import locks  # noqa: E402
from lib_lrsched.training.trial import Spec  # noqa: E402

TEXT = "warmup(0.01):10, cosine(0.01, 1e-4)"
SPEC = Spec(grid=(0.1, 1.0, 1e9), updates=9)
WAIT_S = 60


def asked(ground: Any, kind: str, spec: Spec = SPEC, *, name: str = NAME, sample: Any = None, **inputs: Any) -> TrialInputs:
    given = {"learn_rate": TEXT, "steps": 100, "data_root": str(ground.data), "training_width": SIDE, "training_height": SIDE}
    return TrialInputs(kind, name, {**given, **inputs}, spec, sample)


def run(ground: Any, kind: str, spec: Spec = SPEC, **more: Any) -> dict[str, Any]:
    """The answer of a trial that has ended."""
    runner = ground.runtime.trial_runner
    trial_id = runner.start(asked(ground, kind, spec, **more))
    ended(trial_id)
    return dict(runner.get(trial_id))


def ended(trial_id: str) -> None:
    """Wait for the trial's thread."""
    for thread in threading.enumerate():
        if thread.name.endswith(trial_id):
            thread.join(WAIT_S)
            assert not thread.is_alive()


def outside_trials(ground: Any) -> dict[str, bytes]:
    return {path: data for path, data in ground.listing().items() if "trials" not in path}


def at_pass(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], Any]) -> None:
    """Do something in a trial's thread before its micro-batch of that number."""

    def look(n: int, loss: Any) -> Any:
        if n == number:
            act()
        return loss

    training_steps.losses_that(monkeypatch, look)


@pytest.fixture
def hooked(ground: Any) -> Any:
    ground.install(autosave_every=0, autosave_minutes=0.0)
    return ground


# It leaves nothing behind ---------------------------------------------------------------------------------------


@both_kinds
def test_training_20_a_trial_and_training_to_40_is_training_to_40(ground, kind, monkeypatch):
    ground.install()
    choices = {"batch": 2, "accumulate": 2, "shuffle_tags": True, "tag_drop_out": 0.3, "latent_sampling": "random"}
    inputs = {"batch_size": 2, "gradient_step": 2, "shuffle_tags": True, "tag_drop_out": 0.3, "latent_sampling_method": "random"}
    ground.create(kind, "whole")
    expected = weights(ground.train(kind, TEXT, 40, name="whole", **choices))
    with monkeypatch.context() as patch:
        seam = ground.runtime.installation.host.ti.write_loss
        stop = shared.state.interrupt
        patch.setattr(ground.runtime.installation.host.ti, "write_loss", lambda *args: (seam(*args), args[2] == 20 and stop())[0])
        ground.train(kind, TEXT, 40, **choices)
    answer = run(ground, kind, sample={"seed": 5}, steps=40, **inputs)
    assert (answer["state"], answer["message"]) == ("finished", "")
    assert [one["image"] for one in answer["candidates"]] == [True, True, False]
    assert same_bits(weights(ground.train(kind, TEXT, 40, **choices)), expected)


@both_kinds
def test_a_trial_changes_no_file_no_generator_and_no_object_of_the_host(hooked, kind):
    shared.opts.save_training_settings_to_txt = shared.opts.save_optimizer_state = True
    trained = hooked.train(kind, TEXT, 20)
    database = sd_hijack.model_hijack.embedding_db
    applied, embeddings = shared.loaded_hypernetworks, dict(database.word_embeddings)
    before, files, generators = weights(trained), outside_trials(hooked), random_states()
    answer = run(hooked, kind, create_image_every=1, save_embedding_every=1, save_hypernetwork_every=1, sample={})
    assert answer["state"] == "finished"
    assert outside_trials(hooked) == files
    assert random_states() == generators
    assert same_bits(weights(trained), before)
    assert shared.loaded_hypernetworks is applied
    assert all(database.word_embeddings[name] is one for name, one in embeddings.items())
    assert (shared.state.job, shared.state.interrupted) == ("", False)


# What it says ----------------------------------------------------------------------------------------------------


def test_an_answer_has_the_candidates_as_they_are_tried(hooked, monkeypatch):
    hooked.create("embedding")
    seen: list[Any] = []
    runner = hooked.runtime.trial_runner
    at_pass(monkeypatch, 23, lambda: seen.append(runner.get(runner.all()[0]["id"])))
    answer = run(hooked, "embedding")
    (now,) = seen
    assert (now["state"], now["made"], now["expected"], now["ended_s"]) == ("running", 22, 36, None)
    first, second = now["candidates"]
    assert (first["running"], len(first["curve"]), first["low"] < first["progress"] < first["high"]) == (False, 9, True)
    assert (second["running"], len(second["curve"]), second["progress"]) == (True, 4, None)
    assert now["seconds_left"] > 0
    assert [one["rate"] for one in answer["candidates"]] == [0.1 * 0.01, 0.01, 1e9 * 0.01]
    first, _, last = answer["candidates"]
    assert first["curve"][0] == [1, 0.0]
    assert last["stopped_at"] == len(last["curve"]) < 9
    assert answer["made"] == answer["expected"] == 27 + last["stopped_at"]
    assert (answer["what"], answer["steps"], answer["updates"], answer["seconds_left"]) == ("rates", 100, 9, None)
    (line,) = runner.all()
    assert (line["id"], line["candidates"], line["suggested"], line["why"]) == (answer["id"], 3, answer["suggested"], answer["why"])


def test_the_same_trial_again_has_the_same_numbers_and_images_change_none(hooked):
    hooked.create("hypernetwork", dropout=True, layer_structure="1, 2, 2, 1")
    one, two, drawn = run(hooked, "hypernetwork"), run(hooked, "hypernetwork"), run(hooked, "hypernetwork", sample={})
    assert [row["curve"] for row in one["candidates"]] == [row["curve"] for row in two["candidates"]]
    assert [row["curve"] for row in one["candidates"]] == [row["curve"] for row in drawn["candidates"]]


# Images ----------------------------------------------------------------------------------------------------------


@both_kinds
def test_each_candidate_draws_with_its_own_weights_the_same_prompt_and_seed(hooked, kind, monkeypatch):
    hooked.create(kind)
    wanted: list[previews.Prompt] = []
    draw = previews.draw
    monkeypatch.setattr(previews, "draw", lambda prompt: (wanted.append(prompt), draw(prompt))[1])
    answer = run(hooked, kind, Spec(grid=(0.1, 10.0), updates=9), sample={"seed": 7, "steps": 3, "negative_prompt": "blue"})
    prompt = {"embedding": NAME, "hypernetwork": "a photo"}[kind]
    assert wanted == [previews.Prompt(prompt, "blue", steps=3, seed=7, width=SIDE, height=SIDE)] * 2
    runner = hooked.runtime.trial_runner
    first, second = (runner.image(answer["id"], number) for number in range(2))
    assert first.startswith(b"\x89PNG")
    assert first != second
    assert runner.image(answer["id"], 2) is None


def test_an_image_that_fails_is_a_message_and_the_trial_continues(hooked, monkeypatch):
    hooked.create("hypernetwork")

    def draw(prompt: Any) -> Any:
        raise RuntimeError("no memory left")

    monkeypatch.setattr(previews, "draw", draw)
    answer = run(hooked, "hypernetwork", sample={})
    assert answer["state"] == "finished"
    assert answer["messages"] == ["the image of a candidate could not be made, the trial continues: RuntimeError: no memory left"]
    assert not any(one["image"] for one in answer["candidates"])


# Waiting and ending ----------------------------------------------------------------------------------------------


def test_a_trial_waits_for_the_hosts_queue_and_one_that_is_ended_meanwhile_never_runs(hooked):
    hooked.create("embedding")
    runner, before = hooked.runtime.trial_runner, random_states()
    with trainer.queue_lock:
        trial_id = runner.start(asked(hooked, "embedding"))
        waiting = runner.get(trial_id)
        assert (waiting["state"], waiting["message"]) == ("waiting", "waits until the job before it has ended")
        assert runner.end(trial_id, "waiting")
        assert runner.get(trial_id)["state"] == "stopped"
    ended(trial_id)
    assert (runner.get(trial_id)["state"], runner.get(trial_id)["made"]) == ("stopped", 0)
    assert (shared.state.interrupted, random_states()) == (False, before)


def test_a_trial_waits_for_a_training_that_needs_no_queue_and_does_not_interrupt_it(hooked, monkeypatch):
    for name in (NAME, "other"):
        hooked.create("embedding", name)
    runner, is_there, may_go = hooked.runtime.trial_runner, threading.Event(), threading.Event()
    at_pass(monkeypatch, 3, lambda: (is_there.set(), may_go.wait(WAIT_S)))
    trained: list[Any] = []
    training = threading.Thread(target=lambda: trained.append(hooked.call("embedding", "0.005", 6, name="other")))
    training.start()
    assert is_there.wait(WAIT_S)
    kept, dropped = (runner.start(asked(hooked, "embedding")) for _ in range(2))
    assert runner.get(kept)["message"] == "waits until the training of 'other' has ended"
    runner.end(dropped)
    may_go.set()
    training.join(WAIT_S)
    assert trained[0][0].step == 6
    ended(kept)
    assert [runner.get(one)["state"] for one in (kept, dropped)] == ["finished", "stopped"]


def test_a_trial_waits_for_another_process_that_trains_the_same(hooked, monkeypatch):
    hooked.create("embedding")
    runner, there = hooked.runtime.trial_runner, [locks.Holder(1, "", 0.0)]
    monkeypatch.setattr(locks, "holder", lambda *_: there[0])
    trial_id = runner.start(asked(hooked, "embedding"))
    assert runner.get(trial_id)["message"] == f"waits until the training of {NAME!r} in another process, 1, has ended"
    there[0] = None
    ended(trial_id)
    assert runner.get(trial_id)["state"] == "finished"


@both_kinds
def test_a_running_trial_that_is_ended_leaves_all_as_it_was(hooked, kind, monkeypatch):
    trained = hooked.train(kind, TEXT, 20)
    before, files, generators = weights(trained), outside_trials(hooked), random_states()
    runner, refused = hooked.runtime.trial_runner, []

    def end() -> None:
        trial_id = runner.all()[0]["id"]
        with pytest.raises(ConflictError, match="is running by now, not finished"):
            runner.end(trial_id, "finished")
        refused.append(runner.end(trial_id, "running"))

    at_pass(monkeypatch, 14, end)
    answer = run(hooked, kind)
    assert refused == [True]
    assert (answer["state"], answer["made"], answer["suggested"]) == ("stopped", 14, None)
    assert [(one["progress"], one["running"]) for one in answer["candidates"]] == [(None, False)]
    assert (outside_trials(hooked), random_states()) == (files, generators)
    assert same_bits(weights(trained), before)
    assert shared.state.interrupted is False
    assert runner.end(answer["id"])
    assert runner.all() == []
    assert not runner.end(answer["id"])


@pytest.mark.parametrize("is_last", [False, True])
def test_one_that_is_ended_while_its_data_set_is_read_does_not_read_on(hooked, is_last, monkeypatch):
    hooked.create("embedding")
    runner, read = hooked.runtime.trial_runner, []
    at = len([*hooked.data.glob("*.png")]) if is_last else 1
    encode = type(small_model()).encode_first_stage

    def encode_first_stage(self: Any, *args: Any) -> Any:
        read.append(1)
        if len(read) == at:
            runner.end(runner.all()[0]["id"])
        return encode(self, *args)

    monkeypatch.setattr(type(small_model()), "encode_first_stage", encode_first_stage)
    answer = run(hooked, "embedding")
    assert (answer["state"], answer["made"], len(read)) == ("stopped", 0, at)


def test_a_trial_that_fails_says_why(hooked, monkeypatch):
    hooked.create("embedding")

    def fail() -> None:
        raise RuntimeError("no memory left")

    at_pass(monkeypatch, 14, fail)
    answer = run(hooked, "embedding")
    assert (answer["state"], answer["message"]) == ("failed", "RuntimeError: no memory left")


def test_where_the_hooks_are_taken_off_a_waiting_trial_ends_and_is_kept(hooked):
    hooked.create("embedding")
    runner = hooked.runtime.trial_runner
    with trainer.queue_lock:
        trial_id = runner.start(asked(hooked, "embedding"))
        hooks.uninstall()
    ended(trial_id)
    hooked.install()
    assert hooked.runtime.trial_runner is not runner
    answer = hooked.runtime.trial_runner.get(trial_id)
    assert (answer["state"], answer["message"]) == ("stopped", "the page was reloaded before it had ended")


def test_hooks_that_are_taken_off_while_a_trial_runs_are_gone_behind_it(hooked, monkeypatch):
    hooked.create("embedding")
    at_pass(monkeypatch, 14, hooks.uninstall)
    answer = run(hooked, "embedding")
    assert answer["state"] == "stopped"
    assert not hooked.runtime.installation.hooked


# Refused before it starts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "inputs", "error", "words"),
    [
        (Spec(texts=("0.01", "plateau(0.01)")), {}, ScheduleError, r"plateau cannot be compared .* \(in plateau"),
        (Spec(texts=("0.01", "range_test(1e-5, 0.1)")), {}, ScheduleError, "range_test cannot be compared"),
        (Spec(texts=("0.01", "cosine(")), {}, ScheduleError, r"the end of the text \(in cosine"),
        (Spec(texts=("0.01", "0.01")), {}, RequestError, "two different schedules"),
        (SPEC, {"learn_rate": "0"}, RequestError, "nothing to scale"),
        (SPEC, {"learn_rate": ""}, RequestError, "the learning rate is missing"),
        (SPEC, {"learn_rate": 0.1}, RequestError, "put it in quotes"),
        (SPEC, {"learn_rate": "0.01:20"}, ScheduleError, "nothing is left to train"),
        (SPEC, {"steps": None}, RequestError, "max steps is missing"),
        (SPEC, {"steps": 20}, RequestError, "20 updates already"),
        (SPEC, {"batch_size": 0}, RequestError, "batch size: expected a whole number from 1"),
        (SPEC, {"data_root": "/nowhere"}, RequestError, "'/nowhere'"),
        (SPEC, {"template_filename": "none.txt"}, RequestError, "no prompt template 'none.txt'"),
        (SPEC, {"training_width": "wide"}, RequestError, "training_width: expected a whole number, got 'wide'"),
        (SPEC, {"varsize": 1}, RequestError, "varsize: expected true or false"),
        (SPEC, {"name": "nobody"}, RequestError, "there is no embedding 'nobody'"),
    ],
)
def test_error_what_cannot_be_tried_is_said_before_the_start(hooked, spec, inputs, error, words):
    hooked.train("embedding", "0.005", 20)
    name = inputs.pop("name", NAME) if "name" in inputs else NAME
    runner = hooked.runtime.trial_runner
    for ask in (runner.start, runner.estimate):
        with pytest.raises(error, match=words):
            ask(asked(hooked, "embedding", spec, name=name, **inputs))
    assert runner.all() == []


def test_error_an_inpainting_model_and_hooks_that_are_switched_off(hooked, monkeypatch):
    hooked.create("embedding")
    runner = hooked.runtime.trial_runner
    with monkeypatch.context() as patch:
        patch.setattr(shared.sd_model.model, "conditioning_key", "hybrid", raising=False)
        with pytest.raises(RequestError, match="inpainting"):
            runner.start(asked(hooked, "embedding"))
    hooked.install(enabled=False)
    with pytest.raises(ConflictError, match="switched off in the settings"):
        runner.start(asked(hooked, "embedding"))


# How long it takes -----------------------------------------------------------------------------------------------


def test_the_estimate_is_from_the_last_run_or_trial_of_the_same_kind_and_size(hooked, monkeypatch):
    hooked.create("hypernetwork")
    hooked.create("embedding")
    runner = hooked.runtime.trial_runner
    unknown = runner.estimate(asked(hooked, "embedding", Spec()))
    assert unknown == (9, 480, None, "nothing with this batch and image size was trained here yet")
    hooked.train("embedding", TEXT, 20)
    monkeypatch.setattr(trial_request, "newest_pace", lambda path: 0.25)
    assert runner.estimate(asked(hooked, "embedding", Spec())) == (9, 480, 120.0, f"as fast as the last run of {NAME!r}")
    assert runner.estimate(asked(hooked, "embedding", batch_size=2)).seconds is None
    assert runner.estimate(asked(hooked, "hypernetwork")).seconds is None
    run(hooked, "embedding", sample={})
    found = runner.estimate(asked(hooked, "embedding", sample={}))
    assert (found.candidates, found.updates, found.why) == (3, 36, f"as fast as the last trial of {NAME!r}")
    assert found.seconds > runner.estimate(asked(hooked, "embedding")).seconds > 0


def test_the_pace_of_a_history_is_the_median_of_its_newest_updates(tmp_path):
    from lib_lrsched.storage.history import History, HistoryRow
    from lib_lrsched.storage.history_lines import newest_pace

    assert newest_pace(tmp_path / "none") is None
    history = History(tmp_path / "history.jsonl")
    for step in range(100):
        history.record(HistoryRow(step, 0.1, 0.1, 0.1, None, step * (9.0 if step < 40 else 0.5) + 100 * (step > 70)))
    history.close()
    assert newest_pace(tmp_path / "history.jsonl") == 0.5
