"""A training that is still preparing its images counts as running; one that died there does not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from practice_rig import NAME, both_kinds, same_bits, weights  # noqa: E402

from lib_lrsched.errors import ConflictError  # noqa: E402
from lib_lrsched.host import hooks  # noqa: E402
from lib_lrsched.practice import dataset, sd_hijack, shared  # noqa: E402
from lib_lrsched.storage import locks  # noqa: E402

TEXT = "linear(0.01, 0.001)"


@contextmanager
def while_preparing(action: Callable[[], Any]) -> Iterator[list[Any]]:
    """Another thread does something as the next training makes its data set; its answer, or what it raised, in a list."""
    original, answers = dataset.PersonalizedBase, []
    first = threading.current_thread()

    def act() -> None:
        try:
            answers.append(action())
        except Exception as error:
            answers.append(error)

    def preparing(*args: Any, **settings: Any) -> Any:
        if threading.current_thread() is first:
            worker = threading.Thread(target=act)
            worker.start()
            worker.join(timeout=60)
        return original(*args, **settings)

    dataset.PersonalizedBase = preparing
    yield answers
    dataset.PersonalizedBase = original


@contextmanager
def none_found() -> Iterator[None]:
    """The images are gone when the data set is made, after the input check."""
    original = dataset.PersonalizedBase

    def failing(*_: Any, **__: Any) -> Any:
        raise AssertionError("No images have been found in the dataset.")

    dataset.PersonalizedBase = failing
    with pytest.raises(AssertionError, match="No images have been found"):
        yield
    dataset.PersonalizedBase = original


def exported(ground: Any, tmp_path: Path, name: str) -> Path:
    ground.train("embedding", TEXT, 3, name=name)
    (run,) = (run for run in ground.runs() if run.name == name)
    path = tmp_path / "out.zip"
    with path.open("wb") as target:
        ground.runtime.transfer.export_run(run.id, target)
    return path


def alone(ground: Any, kind: str, **choices: Any) -> list[Any]:
    """What the training comes to where nobody disturbs it."""
    ground.create(kind, "alone", overwrite=True)
    return weights(ground.train(kind, TEXT, 6, name="alone", **choices))


def test_error_no_run_is_taken_in_while_images_are_prepared(ground, tmp_path):
    """It would load all embeddings anew, and the training would die at its first update."""
    ground.install()
    file = exported(ground, tmp_path, "other")
    expected = alone(ground, "embedding")
    with while_preparing(lambda: ground.runtime.transfer.import_run(file, "new")) as answers:
        trained = ground.train("embedding", TEXT, 6)
    (refused,) = answers
    assert isinstance(refused, ConflictError)
    assert "a training is running or being prepared" in str(refused)
    assert same_bits(weights(trained), expected)
    assert sd_hijack.model_hijack.embedding_db.word_embeddings[NAME] is trained
    assert ground.runtime.transfer.import_run(file, "new")


def test_a_training_from_the_file_does_not_reload_what_another_prepares(ground):
    ground.install()
    ground.create("embedding", "other")
    ground.runtime.choices.choose("embedding", "other", "file")
    ground.create("embedding", NAME)
    mine = sd_hijack.model_hijack.embedding_db.word_embeddings[NAME]
    before = weights(mine)
    with while_preparing(lambda: ground.call("embedding", TEXT, 3, name="other")) as answers:
        trained = ground.train("embedding", TEXT, 6)
    assert answers[0][0].step == 3
    assert trained is mine is sd_hijack.model_hijack.embedding_db.word_embeddings[NAME]
    assert not same_bits(weights(trained), before)
    runs = {run.name: run for run in ground.runs()}
    assert (runs[NAME].state, runs["other"].state) == ("finished", "finished")
    said = [message for _, message in ground.events(runs["other"])]
    assert "other is trained as it is in memory: its file is not reloaded while another training runs" in said


@both_kinds
def test_what_is_chosen_while_one_is_prepared_is_for_the_next(ground, kind):
    ground.install(progress_every=0)
    ground.choose(kind, progress_every=2)
    with while_preparing(lambda: ground.choose(kind, progress_every=3)):
        ground.train(kind, TEXT, 4)
    assert ground.run().options["progress_every"] == 2
    assert ground.runtime.next_training.options(kind, NAME).chosen == {"progress_every": 3}
    ground.train(kind, TEXT, 6)
    assert ground.run().options["progress_every"] == 3
    assert ground.runtime.next_training.options(kind, NAME).chosen == {}


@both_kinds
def test_one_that_died_while_it_prepared_blocks_nothing(ground, kind, tmp_path):
    ground.install()
    file = exported(ground, tmp_path, "other")
    ground.create(kind, NAME)
    with none_found():
        ground.call(kind, TEXT, 6)
    assert ground.runtime.trainings.threads() == set()
    assert locks.holder(ground.state_dir, kind, NAME) is None
    assert ground.runtime.transfer.import_run(file, "new")
    assert ground.train(kind, TEXT, 6).step == 6


def test_one_that_left_where_no_hook_sees_it_blocks_nothing(ground, monkeypatch):
    """Between the input check and the first constructor: its thread lives on and serves others, its function has returned."""
    ground.install()
    ground.create("embedding", NAME)
    with monkeypatch.context() as patch:
        patch.setattr(shared, "select_checkpoint", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ground.call("embedding", TEXT, 6)
    assert ground.runtime.trainings.threads() == set()
    assert locks.holder(ground.state_dir, "embedding", NAME) is None
    done: list[Any] = []
    other = threading.Thread(target=lambda: done.append(ground.call("embedding", TEXT, 6)))
    other.start()
    other.join(timeout=60)
    assert done[0][0].step == 6


def test_error_a_run_is_not_deleted_while_its_resumption_is_prepared(ground):
    ground.install(autosave_every=2)
    ground.train("embedding", TEXT, 4)
    run = ground.run()
    with while_preparing(lambda: ground.runtime.stored_runs.delete(run.id)) as answers:
        ground.train("embedding", TEXT, 6)
    assert isinstance(answers[0], ConflictError)
    assert (ground.run().id, ground.run().step) == (run.id, 6)


def test_the_hooks_stay_while_a_training_is_prepared(ground):
    """As "Reload UI" in its middle would have it: without them no update would be recorded, and nothing be saved."""
    ground.install()
    with while_preparing(hooks.uninstall) as answers:
        ground.train("embedding", TEXT, 6)
    assert answers == [[]]
    assert (ground.run().state, len(ground.records())) == ("finished", 6)
    assert not ground.runtime.installation.hooked, "they went when the training had ended"


def trained_elsewhere(ground: Any, name: str) -> None:
    """Memory as it is in a process that read the embedding at step 3, before another one trained it to step 6."""
    early = ground.train("embedding", "0.01", 3, name=name)
    vectors = early.vec.detach().clone()
    ground.train("embedding", "0.01", 6, name=name)
    ours = sd_hijack.model_hijack.embedding_db.word_embeddings[name]
    ours.vec.data, ours.step = vectors, 3


def test_an_embedding_that_another_process_has_trained_further_is_read_anew(ground):
    ground.install()
    expected = weights(ground.train("embedding", "0.01", 3, name="alone"))
    for steps in (6, 9):
        expected = weights(ground.train("embedding", "0.01", steps, name="alone"))
    trained_elsewhere(ground, NAME)
    trained = ground.train("embedding", "0.01", 9)
    (run,) = (run for run in ground.runs() if run.name == NAME)
    assert [leg.start_step for leg in run.legs] == [0, 3, 6]
    assert same_bits(weights(trained), expected)
    assert f"{NAME} was reloaded: another process has trained it to step 6" in [message for _, message in ground.events(run)]


def test_error_it_cannot_be_read_anew_while_others_train(ground):
    ground.install()
    ground.create("embedding", NAME)
    trained_elsewhere(ground, "other")
    with while_preparing(lambda: ground.call("embedding", "0.01", 9, name="other")) as answers:
        ground.train("embedding", TEXT, 6)
    assert "another process has trained other to step 6" in str(answers[0])
    assert sd_hijack.model_hijack.embedding_db.word_embeddings["other"].step == 3
