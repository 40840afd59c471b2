"""Trials: candidates that leave nothing behind, what they find, and what is refused before they start."""

from __future__ import annotations

import random
from typing import Any

import pytest
import training_steps
from halves import half

torch = pytest.importorskip("torch")

from practice_rig import NAME, both_kinds, random_states, same_bits, weights  # noqa: E402  # torch is optional

from lib_lrsched.errors import ScheduleError  # noqa: E402
from lib_lrsched.practice import sd_hijack, service, shared  # noqa: E402
from lib_lrsched.schedule.plan import plan  # noqa: E402
from lib_lrsched.training.host import InputError  # noqa: E402
from lib_lrsched.training.trial import Spec, Trial, compressed  # noqa: E402

TEXT = "warmup(0.01):10, cosine(0.01, 1e-4)"

CHOICES: dict[str, dict[str, Any]] = {
    "plain": {},
    "full batches": {"batch": 5},
    "accumulation": {"batch": 2, "accumulate": 2},
    "tags": {"shuffle_tags": True, "tag_drop_out": 0.3},
    "random latents": {"latent_sampling": "random"},
    "weights and clip": {"use_weight": True, "clip_mode": "norm", "clip": "0.1"},
}

SMALL = Spec(grid=(0.1, 1.0, 100.0), updates=9)


def try_out(ground: Any, kind: str, spec: Spec = SMALL, text: str = TEXT, steps: int = 100, **choices: Any) -> Trial:
    trial = Trial(spec)
    with ground.runtime.trial_calls.trying(trial):
        ground.train(kind, text, steps, **choices)
    if trial.error is not None:
        raise trial.error
    return trial


def train_half(ground: Any, kind: str, monkeypatch: pytest.MonkeyPatch, **choices: Any) -> None:
    """Train until somebody presses "Interrupt" after 50 updates."""
    seam = ground.runtime.installation.host.ti.write_loss

    def write_loss(*args: Any, **kwargs: Any) -> Any:
        answer = seam(*args, **kwargs)
        if args[2] == 50:
            shared.state.interrupt()
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(ground.runtime.installation.host.ti, "write_loss", write_loss)
        ground.train(kind, TEXT, 100, **choices)


# It leaves nothing behind ---------------------------------------------------------------------------------------


@half(choices=CHOICES, kind=service.KINDS)
def test_training_50_a_trial_and_training_to_100_is_training_to_100(ground, kind, choices, monkeypatch):
    ground.install()
    ground.create(kind, "whole")
    expected = weights(ground.train(kind, TEXT, 100, name="whole", **choices))
    train_half(ground, kind, monkeypatch, **choices)
    trial = try_out(ground, kind, **choices)
    assert trial.answer is not None
    assert [row.factor for row in trial.rows] == [0.1, 1.0, 100.0]
    assert same_bits(weights(ground.train(kind, TEXT, 100, **choices)), expected)


@half(choices=CHOICES, kind=service.KINDS, other=True)
def test_a_trial_changes_no_file_no_generator_and_no_weight(ground, kind, choices):
    ground.install(autosave_every=0, autosave_minutes=0.0)
    shared.opts.save_training_settings_to_txt = shared.opts.save_optimizer_state = True
    trained = ground.train(kind, TEXT, 20, **choices)
    before, files = weights(trained), ground.listing()
    random.seed(8)
    torch.manual_seed(8)
    generators = random_states()
    trial = try_out(ground, kind, seed=None, **choices)
    assert trial.answer is not None
    assert random_states() == generators
    assert ground.listing() == files
    assert same_bits(weights(trained), before)
    assert trained.step == 20
    again = ground.train(kind, TEXT, 100, seed=None, **choices)
    assert again.step == 100


def test_it_begins_where_a_killed_run_would_resume_and_puts_back_what_is_in_memory(ground):
    """The newest snapshot is ahead of the file: the candidates begin with its weights."""
    ground.install(autosave_every=5)
    expected = training_steps.whole(ground, "embedding")
    ground.create("embedding")
    training_steps.train_and_die(ground, "embedding", 12)
    embedding = sd_hijack.model_hijack.embedding_db.word_embeddings[NAME]
    before, files = weights(embedding), but_locks(ground)
    seen: list[Any] = []

    def told(made: int) -> None:
        if made == 1:
            seen.extend((embedding.step, weights(embedding)))

    trial = Trial(SMALL, told)
    with ground.runtime.trial_calls.trying(trial):
        ground.train("embedding", training_steps.TEXT, 100)
    assert trial.error is None
    assert seen[0] == 10
    assert not same_bits(seen[1], before)
    assert (embedding.step, but_locks(ground)) == (0, files)
    assert same_bits(weights(embedding), before)
    assert same_bits(weights(ground.train("embedding", training_steps.TEXT, training_steps.UPDATES)), expected)


def but_locks(ground: Any) -> dict[str, bytes]:
    """A lock that a killed process has left is taken away with the next claim."""
    return {path: data for path, data in ground.listing().items() if "locks" not in path}


@both_kinds
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_an_interrupt_in_the_middle_leaves_everything_as_it_was(ground, kind, error):
    ground.install()
    trained = ground.train(kind, TEXT, 20)
    before, files = weights(trained), ground.listing()
    random.seed(8)
    torch.manual_seed(8)
    generators, network = random_states(), shared.sd_model
    asked = [parameter.requires_grad for parameter in network.parameters()]

    def told(made: int) -> None:
        if made == 14:
            raise error

    trial = Trial(SMALL, told)
    with pytest.raises(type(error)), ground.runtime.trial_calls.trying(trial):
        ground.train(kind, TEXT, 100, seed=None)
    assert trial.answer is None
    assert random_states() == generators
    assert ground.listing() == files
    assert same_bits(weights(trained), before)
    assert "p_losses" not in vars(network)
    assert [parameter.requires_grad for parameter in network.parameters()] == asked
    assert ground.runtime.trainings.threads() == set()
    assert ground.train(kind, TEXT, 30).step == 30


@both_kinds
def test_interrupt_of_the_page_ends_it_between_two_passes(ground, kind):
    ground.install()
    ground.create(kind)
    files = ground.listing()

    def told(made: int) -> None:
        if made == 12:
            shared.state.interrupt()

    trial = Trial(SMALL, told)
    with ground.runtime.trial_calls.trying(trial):
        ground.train(kind, TEXT, 100)
    assert (trial.was_interrupted, trial.answer, trial.error) == (True, None, None)
    assert ground.listing() == files


def test_a_failure_in_the_middle_is_kept_and_everything_is_as_it_was(ground):
    ground.install()
    trained = ground.train("embedding", TEXT, 20)
    before, files = weights(trained), ground.listing()

    def told(made: int) -> None:
        if made == 12:
            raise RuntimeError("the GPU has no memory left")

    trial = Trial(SMALL, told)
    with ground.runtime.trial_calls.trying(trial):
        ground.train("embedding", TEXT, 100)
    assert str(trial.error) == "the GPU has no memory left"
    assert ground.listing() == files
    assert same_bits(weights(trained), before)


def test_gradscaler_is_put_back_for_every_candidate(ground):
    ground.install()
    shared.opts.practice_grad_scaler = True
    if not hasattr(torch.amp, "GradScaler"):
        pytest.skip("this torch has none for the CPU")
    twice = [try_out(ground, "embedding", Spec(grid=(0.1, 1.0), updates=10)).rows for _ in range(2)]
    assert twice[0] == twice[1]


# The candidates --------------------------------------------------------------------------------------------------


@both_kinds
def test_a_candidate_does_not_depend_on_those_before_it(ground, kind):
    """The same start, batches, timesteps and noise, whatever ran before; of a hypernetwork with dropout too."""
    ground.install()
    ground.create(kind, **({"dropout": True, "layer_structure": "1, 2, 2, 1"} if kind == "hypernetwork" else {}))
    alone = try_out(ground, kind, Spec(grid=(1.0, 5.0), updates=10), tag_drop_out=0.3)
    beside = try_out(ground, kind, Spec(grid=(0.01, 1.0, 1000.0, 1e6), updates=10), tag_drop_out=0.3)
    assert alone.rows[0] == beside.rows[1]


@both_kinds
def test_another_seed_sees_other_noise(ground, kind):
    ground.install()
    rows = [try_out(ground, kind, Spec(grid=(1.0, 5.0), updates=10, seed=seed)).rows for seed in (0, 0, 1)]
    assert rows[0] == rows[1] != rows[2]


@both_kinds
def test_candidates_that_diverge_end_early_and_have_no_numbers(ground, kind):
    ground.install()
    trial = try_out(ground, kind, Spec(grid=(0.1, 1e9), updates=20), text="0.01")
    first, last = trial.rows
    assert first.stopped_at is None
    assert first.progress is not None
    assert last.stopped_at is not None
    assert (last.progress, last.low, last.high) == (None, None, None)
    assert last.stopped_at < 20


def test_where_every_rate_diverges_nothing_is_suggested(ground):
    ground.install()
    answer = try_out(ground, "embedding", Spec(grid=(1e9, 1e10), updates=20)).answer
    assert answer is not None
    assert answer.suggested is None
    assert "every rate diverged" in answer.why


def test_one_update_tells_nothing(ground):
    ground.install()
    answer = try_out(ground, "embedding", Spec(updates=1)).answer
    assert answer is not None
    assert answer.suggested is None
    assert answer.why == "1 update is too few: at least 8 are needed, 48 are usual"


def test_where_nothing_learns_nothing_is_suggested(ground):
    ground.install()
    answer = try_out(ground, "embedding", Spec(grid=(1e-9, 1e-8), updates=10), text="1e-12").answer
    assert answer is not None
    assert answer.suggested is None


# A comparison ----------------------------------------------------------------------------------------------------


def test_texts_are_compared_and_two_that_are_the_same_cannot_be_told_apart(ground):
    ground.install()
    trial = try_out(ground, "embedding", Spec(texts=("0.01", "0.01:100", "1e-7"), updates=20))
    assert trial.rows[0][1:] == trial.rows[1][1:]
    assert trial.answer is not None
    assert trial.answer.suggested is None
    assert "each schedule was compressed from 100 to 20 updates" in trial.answer.why


def test_a_text_is_compressed_ends_and_epochs_too():
    made = plan("1.0:100, 0.5:20ep, 0.1", total_steps=300, steps_per_epoch=10)
    rates = [compressed(made, 30).rates(k) for k in range(30)]
    assert rates == [1.0] * 10 + [0.5] * 10 + [0.1] * 10


def test_a_schedule_that_ends_early_makes_no_update_from_there():
    made = plan("1.0:100", total_steps=200)
    assert [compressed(made, 4).rates(k) for k in range(4)] == [1.0, 1.0, None, None]


# Refused before it starts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "text", "error", "words"),
    [
        (Spec(texts=("0.01", "plateau(0.01)")), TEXT, ScheduleError, "plateau cannot be compared"),
        (Spec(texts=("0.01", "range_test(1e-5, 0.1)")), TEXT, ScheduleError, "range_test cannot be compared"),
        (Spec(texts=("0.01", "cosine(")), TEXT, ScheduleError, "cosine"),
        (Spec(texts=("0.01",)), TEXT, InputError, "two different schedules"),
        (Spec(texts=("0.01", "0.01")), TEXT, InputError, "two different schedules"),
        (Spec(grid=(1.0,)), TEXT, InputError, "two rates or more"),
        (Spec(), "range_test(1e-5, 0.1)", InputError, "search for the rate itself"),
        (Spec(), "0", InputError, "nothing to scale"),
    ],
)
def test_error_what_cannot_be_tried_is_said_before_the_start(ground, spec, text, error, words):
    ground.install()
    ground.create("embedding")
    files = ground.listing()
    trial = Trial(spec)
    with pytest.raises(error, match=words), ground.runtime.trial_calls.trying(trial):
        ground.train("embedding", text, 100)
    assert trial.rows == ()
    assert ground.listing() == files


def test_error_a_trial_where_the_hooks_are_switched_off_does_not_train(ground):
    ground.install(enabled=False)
    ground.create("embedding")
    with pytest.raises(InputError, match="cannot run a trial: "), ground.runtime.trial_calls.trying(Trial(SMALL)):
        ground.train("embedding", TEXT, 100)


def test_error_an_inpainting_model(ground, monkeypatch):
    ground.install()
    monkeypatch.setattr(shared.sd_model.model, "conditioning_key", "hybrid", raising=False)
    with pytest.raises(InputError, match="inpainting"):
        try_out(ground, "embedding")


def test_a_training_behind_a_trial_is_a_training(ground):
    ground.install()
    try_out(ground, "embedding")
    assert ground.train("embedding", TEXT, 12).step == 12
    assert ground.run().step == 12
