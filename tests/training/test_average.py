"""The average of the weights: its formula over skipped and undone updates, its files, and that nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from practice_rig import NAME, OptimizerSpy, both_kinds, same_bits, weights  # noqa: E402  # torch is optional, see importorskip
from torch.optim.optimizer import register_optimizer_step_post_hook  # noqa: E402
from training_steps import EXACTLY, INF, NAN, events, folder_of, losses_that, main_file, train_and_die, whole  # noqa: E402

from lib_lrsched.errors import ConflictError, RequestError  # noqa: E402
from lib_lrsched.practice import files as pt_files  # noqa: E402
from lib_lrsched.practice import hypernetwork, sd_hijack, service, shared  # noqa: E402
from lib_lrsched.practice.hypernetwork_layers import Hypernetwork  # noqa: E402
from lib_lrsched.preview.run_view import validation_of  # noqa: E402
from lib_lrsched.snapshot import baseline, snapshot  # noqa: E402
from lib_lrsched.storage.history import History  # noqa: E402
from lib_lrsched.training.callbacks.weight_average import decay_at  # noqa: E402

DECAY = 0.6
TEXT = "0.01"


@pytest.fixture
def after_steps() -> Iterator[list[list[Any]]]:
    """The weights after each step of an optimizer."""
    found: list[list[Any]] = []

    def look(optimizer: Any, _args: Any, _kwargs: Any) -> None:
        found.append([p.detach().clone() for group in optimizer.param_groups for p in group["params"]])

    hook = register_optimizer_step_post_hook(look)
    yield found
    hook.remove()


def average_of(start: list[Any], updates: list[list[Any]]) -> list[Any]:
    """By the formula, one tensor after the other."""
    shadow = [tensor.clone() for tensor in start]
    for k, new in enumerate(updates):
        d = min(DECAY, (1 + k) / (10 + k))
        for tensor, weight in zip(shadow, new, strict=True):
            tensor.copy_(d * tensor.double() + (1.0 - d) * weight.double())
    return shadow


def close(left: list[Any], right: list[Any]) -> bool:
    return len(left) == len(right) and all(torch.allclose(a, b, rtol=1e-5, atol=1e-7) for a, b in zip(left, right, strict=True))


def start_of(ground: Any, kind: str) -> list[Any]:
    ground.create(kind, NAME, overwrite=True)
    return saved(kind, main_file(kind))


def saved(kind: str, path: Path) -> list[Any]:
    """The weights in a file, as the host reads them."""
    if kind == "hypernetwork":
        host_object = hypernetwork.Hypernetwork()
        host_object.load(str(path))
        return weights(host_object)
    return [pt_files.load_pt(str(path))["string_to_param"]["*"].detach()]


def test_the_decay_grows_to_what_was_asked_for():
    assert [round(decay_at(k, 0.5), 4) for k in (0, 1, 8, 9, 10**6)] == [0.1, 0.1818, 0.5, 0.5, 0.5]


@both_kinds
def test_the_average_is_that_of_the_formula_and_is_saved_beside_the_file_and_the_copies(ground, kind, after_steps):
    ground.install(ema=DECAY)
    start = start_of(ground, kind)
    ground.train(kind, TEXT, 9, copies_every=4)
    found = folder_of(kind) / f"{NAME}-ema.pt"
    assert close(saved(kind, found), average_of(start, after_steps))
    assert not same_bits(saved(kind, found), saved(kind, main_file(kind)))
    data = pt_files.load_pt(str(found))
    assert (data["step"], data["name"]) == (9, f"{NAME}-ema")
    (folder,) = ground.log.glob(f"*/{NAME}/{kind}s")
    assert sorted(path.name for path in folder.glob("*.pt")) == ["mine-4-ema.pt", "mine-4.pt", "mine-8-ema.pt", "mine-8.pt"]
    for count in (4, 8):
        assert close(saved(kind, folder / f"{NAME}-{count}-ema.pt"), average_of(start, after_steps[:count]))


@both_kinds
def test_what_is_trained_and_saved_is_the_same_without_it(ground, kind):
    shared.opts.save_optimizer_state = True
    ground.install()
    expected = whole(ground, kind)
    ground.install(ema=DECAY)
    assert same_bits(expected, whole(ground, kind))
    path = folder_of(kind) / "whole.pt"
    assert same_bits(expected, saved(kind, path))
    assert pt_files.load_pt(str(path))["name"] == "whole"
    assert pt_files.load_pt(f"{path}.optim")["optimizer_state_dict"]["state"]
    assert [path.name for path in folder_of(kind).glob("*-ema*")] == ["whole-ema.pt"]


def test_the_host_loads_it_as_an_embedding_of_that_name(ground):
    ground.install(ema=DECAY)
    ground.train("embedding", TEXT, 3)
    assert service.embeddings() == [NAME, f"{NAME}-ema"]


@both_kinds
def test_an_update_that_grad_scaler_skipped_is_not_in_it(ground, kind, after_steps, monkeypatch):
    shared.opts.practice_grad_scaler = True
    ground.install(ema=DECAY)
    start = start_of(ground, kind)
    losses_that(monkeypatch, lambda n, loss: loss * 1e38 if n == 3 else loss)
    ground.train(kind, TEXT, 7)
    assert len(after_steps) == 6
    assert close(saved(kind, folder_of(kind) / f"{NAME}-ema.pt"), average_of(start, after_steps))


@both_kinds
def test_a_rescue_takes_it_back_with_the_weights(ground, kind, after_steps, monkeypatch):
    ground.install(ema=DECAY)
    start = start_of(ground, kind)
    losses_that(monkeypatch, lambda n, loss: loss * NAN if n == 4 else loss)
    ground.train(kind, TEXT, 9)
    assert "Restored the state after update 0" in "".join(events(ground))
    assert close(saved(kind, folder_of(kind) / f"{NAME}-ema.pt"), average_of(start, after_steps[4:]))


@both_kinds
def test_where_the_result_is_ruined_the_average_of_the_last_good_state_is_saved_with_it(ground, kind, after_steps, monkeypatch):
    ground.install(ema=DECAY, guard=False)
    start = start_of(ground, kind)
    losses_that(monkeypatch, lambda n, loss: loss * INF if n == 6 else loss)
    ground.train(kind, TEXT, 6)
    assert same_bits(saved(kind, main_file(kind)), start)
    assert same_bits(saved(kind, folder_of(kind) / f"{NAME}-ema.pt"), start)


@both_kinds
def test_a_file_of_that_name_that_is_not_the_run_s_is_kept_and_its_own_is_not(ground, kind):
    ground.install(ema=DECAY)
    path = folder_of(kind) / f"{NAME}-ema.pt"
    ground.create(kind, f"{NAME}-ema")
    theirs = path.read_bytes()
    ground.train(kind, TEXT, 3)
    backup = path.with_name(f"{path.name}.bak")
    assert backup.read_bytes() == theirs != path.read_bytes()
    ground.train(kind, TEXT, 6)
    assert backup.read_bytes() == theirs
    assert pt_files.load_pt(str(path))["step"] == 6


def test_the_file_is_there_before_the_host_s_own_takes_its_place(ground, monkeypatch):
    """So a kill between the two leaves no old average beside new weights."""
    from lib_lrsched.storage import model_files

    placed: list[str] = []
    replace = model_files.replace
    monkeypatch.setattr(model_files, "replace", lambda a, b: (placed.append(b.name), replace(a, b)))
    ground.install(ema=DECAY)
    ground.train("embedding", TEXT, 3)
    assert [name for name in placed if name.endswith(".pt")] == [f"{NAME}-ema.pt", f"{NAME}.pt"]


def test_switched_on_late_it_starts_there_and_says_so(ground, after_steps):
    ground.install()
    ground.train("embedding", TEXT, 4)
    ground.runtime.next_training.choose_options("embedding", NAME, {"ema": DECAY})
    ground.train("embedding", TEXT, 9)
    assert "the average of the weights starts at step 4: there was none before" in events(ground)
    assert close(saved("embedding", folder_of("embedding") / f"{NAME}-ema.pt"), average_of(after_steps[3], after_steps[4:]))


def test_a_full_disk_for_the_average_does_not_cost_the_weights(ground, monkeypatch):
    from lib_lrsched.training.callbacks import weight_average

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weight_average, "save_whole", full)
    ground.install(ema=DECAY)
    ground.train("embedding", TEXT, 3)
    assert pt_files.load_pt(str(main_file("embedding")))["step"] == 3
    assert any(message.startswith(f"the average {NAME}-ema.pt cannot be saved: ") for message in events(ground))
    assert ground.run().state == "finished"


# In the place of the weights ----------------------------------------------------------------


@both_kinds
def test_used_it_takes_the_file_s_place_and_the_next_training_is_a_new_run_from_it(ground, kind):
    shared.opts.save_optimizer_state = True
    runtime = ground.install(ema=DECAY, progress_every=1)
    ground.train(kind, TEXT, 6)
    path, old = main_file(kind), ground.run()
    average, before = saved(kind, folder_of(kind) / f"{NAME}-ema.pt"), path.read_bytes()
    assert runtime.transfer.usable(old) == ["average"]
    used = runtime.transfer.use(old.id, "average")
    assert (used["file"], used["step"]) == (path.name, 6)
    assert same_bits(saved(kind, path), average)
    assert path.with_name(f"{path.name}.bak").read_bytes() == before
    assert not path.with_name(f"{path.name}.optim").exists()
    fields = ("name", "step", "sd_checkpoint", "sd_checkpoint_name")
    backup = pt_files.load_pt(str(path.with_name(f"{path.name}.bak")))
    assert [pt_files.load_pt(str(path))[name] for name in fields] == [backup[name] for name in fields]

    if kind == "embedding":  # a hypernetwork's file is too large to be read for this answer
        assert "a new run starts from it" in "".join(runtime.next_training.resumption_of(kind, NAME)[1].messages)
    with OptimizerSpy() as spy:
        assert ground.train(kind, TEXT, 9).step == 9
    assert [seen.had_state for seen in spy.seen] == [False, True, True]
    new = ground.runs()[0]
    assert (new.id != old.id, new.initial_step, new.legs[0].mode) == (True, 6, "start")
    said = [message for _, message in ground.events(new)]
    assert f"{NAME} is the average of run {old.id}, at step 6: a new run starts from it, with a new optimizer" in said
    baselines = [runtime.store.baseline_path(run.id) for run in (old, new)]
    assert [path.exists() for path in baselines] == [kind == "embedding"] * 2
    if kind == "embedding":
        assert same_bits(*(baseline.read(path) or [] for path in baselines))


@both_kinds
def test_a_run_that_started_from_it_is_resumed_as_any_other(ground, kind):
    runtime = ground.install(ema=DECAY, autosave_every=2)
    ground.train(kind, TEXT, 6)
    runtime.transfer.use(ground.run().id, "average")
    train_and_die(ground, kind, 9, 12, TEXT)
    ground.train(kind, TEXT, 12)
    assert [run.state for run in ground.runs()] == ["finished", "finished"]
    assert EXACTLY in [message for _, message in ground.events(ground.runs()[0])]


def test_error_nothing_is_put_there_while_something_is_trained(ground, monkeypatch):
    runtime = ground.install(ema=DECAY)
    ground.train("embedding", TEXT, 3)
    run, refused = ground.run().id, []

    def look(k: int, loss: Any) -> Any:
        with pytest.raises(ConflictError, match="a training is running or being prepared") as caught:
            runtime.transfer.use(run, "average")
        refused.append(caught.value)
        return loss

    losses_that(monkeypatch, look)
    ground.train("embedding", TEXT, 2, name="other")
    assert len(refused) == 2


def test_error_a_run_without_an_average_has_none_to_use(ground):
    runtime = ground.install()
    ground.train("embedding", TEXT, 3)
    before = ground.listing()
    assert runtime.transfer.usable(ground.run()) == []
    with pytest.raises(RequestError, match="has no average of the weights"):
        runtime.transfer.use(ground.run().id, "average")
    assert ground.listing() == before


@both_kinds
def test_the_best_state_takes_its_place_likewise_and_a_run_that_knows_it_is_not_resumed(ground, kind):
    runtime = ground.install(validate_every=4)
    ground.train(kind, "0.01:4, 1e-30", 12)
    old = ground.run()
    best = snapshot.read(runtime.store.best_path(old.id))
    assert best.facts.step == 4
    assert runtime.transfer.usable(old) == ["best"]
    used = runtime.transfer.use(old.id, "best")
    assert used["step"] == best.facts.step
    assert same_bits(saved(kind, main_file(kind)), best.trained)
    ground.train(kind, "0.01", 12)
    new = ground.runs()[0]
    assert (new.id != old.id, new.initial_step) == (True, best.facts.step)
    assert [message for _, message in ground.events(new) if message.startswith(f"{NAME} is the best state of run {old.id}")]


@both_kinds
def test_validation_measures_it_beside_the_weights_as_if_it_were_trained(ground, kind):
    """A second run whose weights are the average itself has the same share at that step."""
    runtime = ground.install(ema=DECAY, validate_every=4)
    ground.train(kind, TEXT, 4)
    old = ground.run()
    measured = look(ground, old)
    assert measured[0] != measured[1]
    runtime.transfer.use(old.id, "average")
    runtime.next_training.choose_options(kind, NAME, {"validate_every": 1})
    ground.train(kind, "1e-30", 5)  # an update that changes nothing
    assert look(ground, ground.runs()[0])[0] == pytest.approx(measured[1], abs=1e-6)


def look(ground: Any, run: Any) -> tuple[Any, Any]:
    """The newest look at the weights and at their average."""
    shown = validation_of(History.open(ground.runtime.store.history_path(run.id), append=False))
    (step, share), (same_step, of_average) = shown["validation"][-1], shown["validation_ema"][-1]
    assert step == same_step == run.step
    return share, of_average


@both_kinds
def test_a_result_that_could_not_be_saved_is_written_with_its_average_when_training_is_started_again(ground, kind, monkeypatch):
    ground.install(ema=DECAY)
    ground.create(kind, NAME)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr({"embedding": sd_hijack.Embedding, "hypernetwork": Hypernetwork}[kind], "save", full)
        try:
            ground.train(kind, TEXT, 4)
        except OSError:
            assert kind == "hypernetwork", "the host swallows it for an embedding"
    path = folder_of(kind) / f"{NAME}-ema.pt"
    assert (ground.run().state, path.exists()) == ("failed", False)
    ground.train(kind, TEXT, 4)
    run = ground.run().id
    _, kept, _ = snapshot.Folder(ground.runtime.store.snapshots_path(run), run).newest()
    assert kept is not None
    parts = kept.parts
    assert same_bits(saved(kind, path), parts["average"]["shadow"])
    assert same_bits(saved(kind, main_file(kind)), parts["trained"])
