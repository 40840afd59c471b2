"""The hooks on the practice host: what the optimizer really gets, what stays as it was, and install/uninstall."""

from __future__ import annotations

import csv
import functools
import gc
import importlib
import random
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import practice_rig  # noqa: E402  # torch is optional, see importorskip
from practice_rig import (  # noqa: E402
    NAME,
    OptimizerSpy,
    both_kinds,
    draw_images,
    fail_at,
    interrupt_at,
    random_states,
    same_bits,
    there,
    weights,
)

from lib_lrsched import ScheduleError, plan  # noqa: E402
from lib_lrsched.host import hooks, seams  # noqa: E402
from lib_lrsched.host.webui import NoTraining  # noqa: E402
from lib_lrsched.optimizer import step_hook  # noqa: E402
from lib_lrsched.practice import files as pt_files  # noqa: E402
from lib_lrsched.practice import hypernetwork, loop, previews, shared, textual_inversion  # noqa: E402
from lib_lrsched.training import reporter, session  # noqa: E402

CURVED = "warmup(0.01):4, cosine(0.01, 0.001):9, 0.002"


def planned(text: str, steps: range, total: int, **counts: int) -> list[float]:
    return plan(text, total_steps=total, **counts).values(steps).tolist()


# The rate ---------------------------------------------------------------------------------


@both_kinds
def test_the_optimizer_gets_the_planned_rate_at_every_update(ground, kind):
    ground.install()
    with OptimizerSpy() as spy:
        trained = ground.train(kind, CURVED, 12)
    assert spy.rates == planned(CURVED, range(12), 12)
    assert trained.step == 12
    assert all(type(rate) is float for rate in spy.rates)


@both_kinds
def test_the_history_has_each_update_with_the_rate_that_the_optimizer_got(ground, kind):
    ground.install()
    with OptimizerSpy() as spy:
        ground.train(kind, CURVED, 12)
    records = ground.records()
    assert [record.step for record in records] == list(range(12))
    assert [record.actual for record in records] == spy.rates == [record.planned for record in records]
    assert all(record.loss > 0 for record in records)


@both_kinds
def test_the_csv_has_the_rate_that_the_optimizer_got(ground, kind):
    shared.opts.training_write_csv_every = 1
    ground.install()
    with OptimizerSpy() as spy:
        ground.train(kind, CURVED, 12)
    (path,) = ground.log.rglob("*.csv")
    rows = [line.split(",") for line in path.read_text().splitlines()]
    rates = rows[0].index("learn_rate")
    assert [float(row[rates]) for row in rows[1:]] == spy.rates
    assert [int(row[0]) for row in rows[1:]] == list(range(1, 13))


@both_kinds
def test_the_rate_is_written_although_an_optimizer_state_was_loaded(ground, kind):
    shared.opts.save_optimizer_state = True
    ground.install()
    ground.train(kind, "0.01", 4)
    if kind == "hypernetwork":  # the host leaves a hash beside the file that its own next load may refuse
        shared.reload_hypernetworks()
    with OptimizerSpy() as spy:
        ground.train(kind, "0.0004:6, 0.0002", 8)
    assert spy.seen[0].had_state
    assert spy.rates == [0.0004, 0.0004, 0.0002, 0.0002]
    assert [record.actual for record in ground.records()] == [0.01] * 4 + spy.rates


@both_kinds
def test_lr_scale_of_a_param_group_is_respected(ground, kind, monkeypatch):
    def two_groups(params: Any, **settings: Any) -> Any:
        idle = torch.nn.Parameter(torch.zeros(3))
        return real([{"params": list(params), "lr_scale": 0.1}, {"params": [idle], "lr_scale": 2.0}], **settings)

    real = torch.optim.AdamW
    monkeypatch.setattr(torch.optim, "AdamW", two_groups)
    monkeypatch.setitem(hypernetwork.optimizer_dict, "AdamW", two_groups)
    ground.install()
    with OptimizerSpy() as spy:
        ground.train(kind, CURVED, 6)
    rates = planned(CURVED, range(6), 6)
    assert [seen.rates for seen in spy.seen] == [[rate * 0.1, rate * 2.0] for rate in rates]
    assert [record.actual for record in ground.records()] == [rate * 0.1 for rate in rates]
    assert [record.planned for record in ground.records()] == rates


@both_kinds
def test_a_scheduled_momentum_reaches_the_optimizer(ground, kind):
    text = "onecycle(0.01, cycle_momentum=yes)"
    ground.install()
    with OptimizerSpy() as spy:
        ground.train(kind, text, 8)
    expected = plan(text, total_steps=8)
    assert [seen.betas[0] for seen in spy.seen] == [(expected.momentum(k), 0.999) for k in range(8)]


def test_momentum_stays_the_optimizers_own_where_nothing_schedules_it(ground):
    ground.install()
    with OptimizerSpy() as spy:
        ground.train("embedding", CURVED, 5)
    assert {seen.betas[0] for seen in spy.seen} == {(0.9, 0.999)}


# Steps ------------------------------------------------------------------------------------


@both_kinds
def test_micro_batches_of_an_accumulation_advance_nothing(ground, kind):
    ground.install()
    with OptimizerSpy() as spy:
        trained = ground.train(kind, CURVED, 9, accumulate=2)
    assert spy.rates == planned(CURVED, range(9), 9)
    assert [record.step for record in ground.records()] == list(range(9))
    assert trained.step == 9


@both_kinds
def test_a_phase_that_ends_at_max_steps_with_another_behind_it_makes_no_update_too_many(ground, kind):
    ground.install()
    with OptimizerSpy() as spy:
        trained = ground.train(kind, "0.01:6, 0.001:9", 6)
    assert spy.rates == [0.01] * 6
    assert trained.step == 6


@both_kinds
def test_a_schedule_that_ends_early_ends_the_run_there(ground, kind):
    ground.install()
    with OptimizerSpy() as spy:
        trained = ground.train(kind, "0.01:3, 0.001:5", 20)
    assert spy.rates == [0.01] * 3 + [0.001] * 2
    assert trained.step == 5
    assert (ground.run().state, ground.run().step, ground.run().total_steps) == ("finished", 5, 20)


@both_kinds
@pytest.mark.parametrize("initial", [0, 3])
def test_finished_comes_true_at_the_planned_end_and_no_earlier(ground, kind, initial, monkeypatch):
    said = []

    def watched(wrapped: Any) -> Any:
        def construct(*args: Any, **kwargs: Any) -> Any:
            scheduler = wrapped(*args, **kwargs)
            apply = scheduler.apply

            def applied(optimizer: Any, step: int) -> None:
                apply(optimizer, step)
                said.append((step, scheduler.finished))

            scheduler.apply = applied
            return scheduler

        return construct

    ground.install()
    module = textual_inversion if kind == "embedding" else hypernetwork
    if initial:
        ground.train(kind, "0.01", initial)
    monkeypatch.setattr(module, "LearnRateScheduler", watched(module.LearnRateScheduler))
    ground.train(kind, CURVED, 7)
    assert dict(said) == {**dict.fromkeys(range(initial, 7), False), 7: True}


@both_kinds
def test_epochs_come_from_the_data_sets_own_numbers(ground, kind):
    """Five images, batches of two: two updates make an epoch, whatever else lies in the folder."""
    (ground.data / "broken.png").write_bytes(b"no image")
    ground.install()
    with OptimizerSpy() as spy:
        ground.train(kind, "0.01:1ep, 0.001:2ep, 0.0001", 8, batch=2)
    assert spy.rates == [0.01] * 2 + [0.001] * 2 + [0.0001] * 4
    assert (ground.run().pictures, ground.run().steps_per_epoch) == (5, 2)


@both_kinds
def test_images_are_counted_with_the_capped_batch_and_accumulation(ground, kind):
    """Five images cap a batch of 8 at 5 and accumulation at 1: 20 images are 4 updates, where 8 x 4 would make 1."""
    ground.install()
    with OptimizerSpy() as spy:
        ground.train(kind, "0.01:20img, 0.001", 6, batch=8, accumulate=4)
    assert spy.rates == [0.01] * 4 + [0.001] * 2
    run = ground.run()
    assert (run.batch, run.accumulate, run.steps_per_epoch) == (5, 1, 1)


@both_kinds
@pytest.mark.parametrize(("images", "batch", "accumulate"), [(5, 1, 1), (5, 2, 2), (7, 3, 4), (7, 2, 3), (1, 4, 4)])
def test_an_epoch_is_as_long_as_the_data_set_says(ground, kind, images, batch, accumulate):
    data = ground.root / "other"
    draw_images(data, images)
    ground.install()
    with OptimizerSpy() as spy:
        ground.train(kind, "0.01:1ep, 0.001", 8, batch=batch, accumulate=accumulate, data=data)
    capped = min(batch, images)
    epoch = images // capped // min(accumulate, images // capped)
    assert spy.rates == [0.01] * epoch + [0.001] * (8 - epoch)


def test_numbers_that_the_data_set_has_otherwise_than_counted_are_planned_again(ground, monkeypatch):
    """An image that comes between the check and the data set is in the plan."""
    ground.install()
    original = textual_inversion.dataset.PersonalizedBase

    def later(**settings: Any) -> Any:
        draw_images(ground.data, 6)
        return original(**settings)

    monkeypatch.setattr(textual_inversion.dataset, "PersonalizedBase", later)
    with OptimizerSpy() as spy:
        ground.train("embedding", "0.01:1ep, 0.001", 8)
    assert spy.rates == [0.01] * 6 + [0.001] * 2
    assert ground.run().pictures == 6


# Two at once ------------------------------------------------------------------------------


def test_two_trainings_at_once_do_not_meet(ground):
    """Two embeddings: a hypernetwork in training is part of the one model, and the host itself cannot train beside it."""
    texts = ("linear(0.01, 0.001):10, 0.0005", "0.02:3, exp(0.02, 0.002)")
    steps, clips = (12, 15), ("value", "norm")
    names = ("first", "second")
    ground.install()
    for name in names:
        ground.create("embedding", name)
    barrier, failed = threading.Barrier(2, timeout=60), []
    seen: dict[str, list[float]] = {name: [] for name in names}

    def in_step(optimizer: Any, args: Any, kwargs: Any) -> None:
        rates = seen[threading.current_thread().name]
        if len(rates) < 10:  # each waits for the other: no update of one without one of the other between
            barrier.wait()
        rates.append(optimizer.param_groups[0]["lr"])

    def work(i: int) -> None:
        try:
            ground.call("embedding", texts[i], steps[i], name=names[i], clip_grad_mode=clips[i], clip_grad_value="0.5")
        except BaseException as error:
            failed.append(error)

    watch = practice_rig.torch_optimizer.register_optimizer_step_pre_hook(in_step)
    try:
        threads = [threading.Thread(target=work, args=(i,), name=names[i]) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
    finally:
        watch.remove()
    assert not failed
    runs = {run.name: run for run in ground.runs()}
    assert set(runs) == set(names)
    for i, name in enumerate(names):
        expected = planned(texts[i], range(steps[i]), steps[i])
        assert seen[name] == expected
        assert [record.actual for record in ground.records(runs[name])] == expected
        assert (runs[name].state, runs[name].step, runs[name].clip_mode) == ("finished", steps[i], clips[i])


def test_a_refused_training_leaves_one_in_another_thread_alone(ground):
    ground.install()
    ground.create("embedding", "other")

    def refuse(count: int) -> None:
        if count == 2:
            caught: list[Any] = []
            worker = threading.Thread(target=lambda: caught.append(_error_of(lambda: ground.call("embedding", "x", name="other"))))
            worker.start()
            worker.join(timeout=60)
            assert isinstance(caught[0], ScheduleError)

    with OptimizerSpy() as spy:
        spy.at_step = refuse
        ground.train("embedding", CURVED, 6)
    assert spy.rates == planned(CURVED, range(6), 6)
    assert len(ground.records()) == 6


def _error_of(action: Any) -> Any:
    try:
        action()
    except Exception as error:
        return error
    return None


# Plain host texts -------------------------------------------------------------------------

PLAIN = ("0.005", "1e-2:4, 1e-3", "0.01:3, 0.005:-1", "0.02:2,0.01:4 ,0.005:100", "0", "0.01:4")


def without_progress(path: Path) -> list[list[str]]:
    """The CSV's lines without the column that the hooks add."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    return [row[:5] for row in rows]


def _trained_twice(ground: Any, kind: str, text: str, **choices: Any) -> tuple[list[Any], list[Any]]:
    """(weights, csv, random states) of one run without the hooks and of the same one with them."""
    shared.opts.save_training_settings_to_txt = False  # without the hooks the host dies on its missing folder
    shared.opts.training_write_csv_every = 1
    results = []
    for name in ("without", "with"):
        if name == "with":
            ground.install()
        ground.create(kind, "same", overwrite=True)
        log = ground.root / name
        trained = ground.train(kind, text, 6, name="same", log=log, copies_every=3, **choices)
        logged = [without_progress(path) for path in log.rglob("*.csv")]
        copies = sorted(str(path.relative_to(log)) for path in log.rglob("*"))
        results.append([weights(trained), trained.step, logged, copies, random_states()])
    return results[0], results[1]


@both_kinds
@pytest.mark.parametrize("text", PLAIN)
def test_a_plain_host_text_trains_to_the_same_bits(ground, kind, text):
    without, with_hooks = _trained_twice(ground, kind, text)
    assert same_bits(without[0], with_hooks[0])
    assert without[1:4] == with_hooks[1:4]
    assert ground.run().step == without[1]


@both_kinds
@pytest.mark.parametrize(
    "choices",
    [
        {"batch": 2, "accumulate": 2},
        {"shuffle_tags": True, "tag_drop_out": 0.3, "latent_sampling": "random"},
        {"clip_mode": "value", "clip": "1e-3:2, 1e-2"},
        {"clip_mode": "norm", "clip": "1e-2:4, 1e-3"},
        {"clip_mode": "norm", "clip": "1e9"},
    ],
    ids=lambda choices: "-".join(map(str, choices.values())),
)
def test_nothing_that_the_hooks_do_changes_a_bit_or_draws_a_random_number(ground, kind, choices):
    without, with_hooks = _trained_twice(ground, kind, "0.01:4, 0.002", **choices)
    assert same_bits(without[0], with_hooks[0])
    assert without[1:] == with_hooks[1:]


@both_kinds
def test_the_hooks_only_mend_where_the_host_writes_no_folder(ground, kind):
    """With both intervals at 0 the host cannot save its settings; with the hooks the dated folder is there."""
    ground.install()
    ground.train(kind, "0.005", 3)
    (settings,) = ground.log.rglob("settings-*.json")
    assert settings.parent.name == NAME


# Switched off -----------------------------------------------------------------------------


@both_kinds
def test_switched_off_the_host_trains_by_its_own_schedule_and_nothing_is_kept(ground, kind):
    shared.opts.save_training_settings_to_txt = False
    runtime = ground.install(enabled=False)
    with OptimizerSpy() as spy:
        ground.train(kind, "0.01:6, 0.001:9", 6)
    assert len(spy.rates) == 7  # the host's own update too many
    assert ground.runs() == []
    assert not ground.state_dir.exists()
    why = "switched off in the settings: the WebUI's own schedules are in force"
    assert runtime.installation.info() == {"name": "practice", "hooked": False, "why": why}


def test_switched_off_after_a_run_the_next_one_is_the_hosts_own(ground):
    shared.opts.save_training_settings_to_txt = False
    ground.install()
    ground.train("embedding", "0.01", 3)
    ground.install(enabled=False)
    ground.train("embedding", "0.01", 6)
    assert (ground.run().step, len(ground.records())) == (3, 3)


def test_run_state_goes_to_the_folder_that_is_set(ground):
    ground.install(state_dir=str(ground.root / "elsewhere"))
    ground.train("embedding", "0.01", 3)
    assert (ground.root / "elsewhere" / "runs" / ground.run().id / "run.json").is_file()
    assert not ground.state_dir.exists()


def test_run_state_is_kept_outside_the_embeddings_folder(ground):
    ground.install()
    ground.train("embedding", "0.01", 3)
    names = sorted(path.name for path in Path(shared.cmd_opts.embeddings_dir).iterdir())
    assert names == [f"{NAME}.pt", f"{NAME}.pt.bak"]  # the file and what it was before, which no host takes for an embedding


# Ends of a run ----------------------------------------------------------------------------


@both_kinds
def test_an_interrupted_run_says_so(ground, kind, monkeypatch):
    interrupt_at(monkeypatch, 3)
    ground.install()
    trained = ground.train(kind, CURVED, 12)
    assert trained.step == 4
    assert (ground.run().state, ground.run().step) == ("interrupted", 4)
    assert ground.events()[-1] == ("interrupted", "interrupted after 4 updates")


@both_kinds
def test_an_exception_in_the_loop_ends_the_run_as_failed_and_the_next_one_starts(ground, kind, monkeypatch, capsys):
    fail_at(monkeypatch, 3, RuntimeError("no memory left"))
    ground.install()
    ground.train(kind, CURVED, 12)
    assert "no memory left" in capsys.readouterr().err
    run = ground.run()
    assert (run.state, run.step, len(ground.records())) == ("failed", 3, 3)
    assert run.message.startswith("the loop ended with an exception")
    assert ground.runtime.trainings.active() == {}
    with OptimizerSpy() as spy:
        ground.train(kind, CURVED, 12)
    assert spy.rates == planned(CURVED, range(3, 12), 12)
    assert (ground.run().state, ground.run().step) == ("finished", 12)


@both_kinds
def test_the_step_hook_goes_off_the_optimizer_at_the_end(ground, kind, monkeypatch):
    made = []
    original = step_hook.StepHook

    def remembered(optimizer: Any, *args: Any, **settings: Any) -> Any:
        made.append(optimizer)
        return original(optimizer, *args, **settings)

    monkeypatch.setattr(step_hook, "StepHook", remembered)
    ground.install()
    ground.train(kind, "0.01", 3)
    (optimizer,) = made
    assert not optimizer._optimizer_step_pre_hooks


@both_kinds
def test_an_ended_run_holds_no_optimizer(ground, kind):
    """Its state is twice the size of a hypernetwork, and a server has dozens of threads that may have trained once."""
    alive = []
    ground.install()

    def remember(optimizer: Any, args: Any, kwargs: Any) -> None:
        alive.append(weakref.ref(optimizer))

    watch = practice_rig.torch_optimizer.register_optimizer_step_pre_hook(remember)
    try:
        ground.train(kind, "0.01", 2)
    finally:
        watch.remove()
    gc.collect()
    assert [ref() for ref in alive] == [None, None]


def test_a_hook_that_fails_is_said_once_and_kept_in_the_runs_log_and_training_goes_on(ground, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(reporter.Reporter, "say", lambda self, message: said.append(message))
    ground.install()
    monkeypatch.setattr(session.Session, "updated", lambda self, steps_done, values: 1 / 0)
    trained = ground.train("embedding", "0.01", 4)
    assert trained.step == 4
    failures = [message for message in said if "ZeroDivisionError" in message]
    assert len(failures) == 1
    assert failures[0].startswith("LR Schedule: a hook failed, training continues: ZeroDivisionError: division by zero (")
    assert any("ZeroDivisionError" in message for _, message in ground.events())


@both_kinds
@pytest.mark.parametrize("part", ["total_norm", "clip"])
def test_a_clip_that_cannot_be_applied_ends_the_training_and_what_was_trained_is_saved(ground, kind, monkeypatch, part):
    original, calls = getattr(step_hook, part), []

    def failing(*args: Any) -> Any:
        calls.append(args)
        return 1 / 0 if len(calls) == 3 else original(*args)

    monkeypatch.setattr(step_hook, part, failing)
    ground.install()
    trained = ground.train(kind, "0.01", 4, clip_mode="norm", clip="0.1")
    assert (trained.step, ground.run().state) == (2, "failed")
    assert ground.run().message.startswith("the rate or the clip threshold could not be applied, so training was stopped")
    assert any("ZeroDivisionError" in message for _, message in ground.events())


@pytest.mark.parametrize("part", ["updated", "begin", "saved", "loop_ended"])
def test_no_failing_hook_stops_the_training(ground, monkeypatch, part):
    monkeypatch.setattr(session.Session, part, lambda *args: 1 / 0)
    ground.install()
    with OptimizerSpy() as spy:
        trained = ground.train("embedding", CURVED, 6)
    assert trained.step == 6
    assert spy.rates == planned(CURVED, range(6), 6)
    saved = torch.load(Path(shared.cmd_opts.embeddings_dir) / f"{NAME}.pt", weights_only=True)
    assert saved["step"] == 6
    assert ground.runtime.trainings.active() == {}


@pytest.mark.parametrize("kind_of_file", ["file in the way", "folder in the way"])
def test_a_state_folder_that_cannot_be_written_stops_no_training(ground, kind_of_file, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(reporter.Reporter, "say", lambda self, message: said.append(message))
    if kind_of_file == "file in the way":
        ground.state_dir.write_text("not a folder")
    else:
        (ground.state_dir / "runs").mkdir(parents=True)
        (ground.state_dir / "runs").rmdir()
        (ground.state_dir / "runs").write_text("not a folder")
    ground.install()
    trained = ground.train("embedding", "0.01", 4)
    assert trained.step == 4
    assert [message for message in said if str(ground.state_dir) in message]


# Install and uninstall --------------------------------------------------------------------


def test_install_replaces_exactly_the_seams_and_uninstall_restores_exactly_what_was_there(ground):
    before = there()
    ground.install()
    replaced = {place for place, value in there().items() if value is not before[place]}
    assert replaced == set(practice_rig.GLOBALS)
    assert hooks.uninstall(ground.host()) == []
    assert there() == before


def test_install_twice_is_as_once(ground):
    before = there()
    first = ground.install()
    once = there()
    assert ground.install() is first
    assert there() == once
    assert hooks.uninstall() == []
    assert there() == before


def test_uninstall_twice_is_as_once(ground):
    before = there()
    ground.install()
    assert hooks.uninstall(ground.host()) == []
    assert hooks.uninstall(ground.host()) == []
    assert hooks.uninstall() == []
    assert there() == before


def test_a_refused_training_does_not_break_the_restoring(ground):
    before = there()
    ground.install()
    with pytest.raises(ScheduleError):
        ground.train("embedding", "nonsense", 5)
    hooks.uninstall()
    assert there() == before


@both_kinds
def test_an_exception_in_the_loop_does_not_break_the_restoring(ground, kind, monkeypatch, capsys):
    before = there()
    fail_at(monkeypatch, 2, RuntimeError("no memory left"))
    ground.install()
    ground.train(kind, "0.01", 5)
    hooks.uninstall()
    assert there() == before


@both_kinds
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_in_the_loop_ends_the_run_as_interrupted_and_what_was_trained_is_saved(ground, kind, error, monkeypatch):
    """For a hypernetwork too, whose final save the host skips then; SystemExit is what a handler of SIGTERM raises."""
    before = there()
    fail_at(monkeypatch, 2, error())
    ground.install()
    with pytest.raises(error):
        ground.train(kind, "0.01", 5)
    assert (ground.run().state, ground.run().step, ground.run().message) == ("interrupted", 2, "")
    assert ground.events()[-1] == ("interrupted", "interrupted after 2 updates")
    folder = shared.cmd_opts.embeddings_dir if kind == "embedding" else shared.cmd_opts.hypernetwork_dir
    assert pt_files.load_pt(f"{folder}/{NAME}.pt")["step"] == 2
    hooks.uninstall()
    assert there() == before


def test_whoever_trains_while_they_handle_an_exception_gets_no_interrupted_run(ground):
    ground.install()
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        ground.train("hypernetwork", "0.01", 3)
    assert ground.run().state == "finished"


# The last update ----------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize(("images", "batch", "accumulate"), [(1, 1, 1), (3, 3, 1), (2, 9, 1), (4, 2, 2), (5, 3, 1)])
def test_a_run_whose_epoch_is_one_update_is_finished(ground, kind, images, batch, accumulate):
    """The host's passes over the data are used up with the last update: it does not ask the scheduler once more."""
    for path in ground.data.iterdir():
        path.unlink()
    practice_rig.draw_images(ground.data, images)
    ground.install(autosave_every=2)
    for steps in (3, 7):  # from the start, and resumed
        ground.train(kind, "0.01", steps, batch=batch, accumulate=accumulate)
        assert (ground.run().state, ground.run().step, ground.run().message) == ("finished", steps, "")


@both_kinds
@pytest.mark.parametrize("images", [1, 5])
def test_an_exception_after_the_last_update_is_still_a_failure(ground, kind, images, monkeypatch, capsys):
    for path in ground.data.iterdir():
        path.unlink()
    practice_rig.draw_images(ground.data, images)

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no image today")

    monkeypatch.setattr(previews, "draw", broken)
    ground.install()
    ground.train(kind, "0.01", 5, previews_every=6, preview_steps=1)
    assert (ground.run().state, ground.run().step) == ("failed", 5)
    assert ground.run().message.startswith("the loop ended with an exception")


@both_kinds
def test_reload_ui_trains_on_as_before(ground, kind):
    """"Reload UI" runs the script again while the library stays: uninstall and install, each time on a new Host."""
    before = there()
    for _ in range(3):
        ground.install()
        hooks.uninstall(ground.host())
        ground.install()
    with OptimizerSpy() as spy:
        ground.train(kind, CURVED, 6)
    assert spy.rates == planned(CURVED, range(6), 6)
    assert len(ground.records()) == 6
    hooks.uninstall()
    assert there() == before


def test_a_second_copy_of_the_library_takes_over(ground):
    """A library that was imported anew finds the first one's replacements, not its own record of them."""
    before = there()
    ground.install()
    again = _second_copy()
    ground.runtime = again.install(ground.host())
    with OptimizerSpy() as spy:
        ground.train("embedding", CURVED, 6)
    assert spy.rates == planned(CURVED, range(6), 6)
    assert len(ground.records()) == 6
    again.uninstall()
    assert there() == before


def _second_copy() -> Any:
    """The modules that hook a host, imported anew; the first ones stay where they were."""
    parts = ("installation", "trainings", "trial_calls", "choices", "next_training", "runtime")
    names = [f"lib_lrsched.host.{name}" for name in ("hooks", "_training_hooks", "_saving_hooks", *parts)]
    kept = {name: sys.modules.pop(name) for name in names}
    try:
        return importlib.import_module(names[0])
    finally:
        sys.modules.update(kept)
        for name, module in kept.items():  # an import also sets the name in its package, which the next one reads
            package, _, attribute = name.rpartition(".")
            setattr(sys.modules[package], attribute, module)


@both_kinds
def test_reload_ui_during_a_run_does_not_disturb_it(ground, kind):
    ground.install()
    with OptimizerSpy() as spy:
        spy.at_step = lambda count: ground.install() if count == 3 else None
        ground.train(kind, CURVED, 8)
    assert spy.rates == planned(CURVED, range(8), 8)
    assert [record.step for record in ground.records()] == list(range(8))
    assert (ground.run().state, ground.run().step) == ("finished", 8)


@both_kinds
def test_uninstall_and_install_during_a_run_do_not_lose_it(ground, kind):
    """"Reload UI" does both, and interrupts no thread: the run must be kept to its end, and be known the next time."""
    ground.install()

    def reload_ui(count: int) -> None:
        if count == 3:
            hooks.uninstall()
            ground.install()

    with OptimizerSpy() as spy:
        spy.at_step = reload_ui
        ground.train(kind, CURVED, 8)
    assert spy.rates == planned(CURVED, range(8), 8)
    assert (ground.run().state, ground.run().step) == ("finished", 8)
    assert [record.step for record in ground.records()] == list(range(8))
    ground.train(kind, CURVED, 12)
    assert (ground.run().step, len(ground.run().legs)) == (12, 2)


@both_kinds
def test_uninstall_during_a_run_leaves_none_that_seems_to_go_on(ground, kind):
    """The rate continues as planned; a run that stays "running" on the disk would never be resumed."""
    before = there()
    ground.install()
    store = ground.runtime.store
    with OptimizerSpy() as spy:
        spy.at_step = lambda count: hooks.uninstall() if count == 3 else None
        ground.train(kind, CURVED, 8)
    assert spy.rates == planned(CURVED, range(8), 8)
    assert [run.state for run in store.runs()] != ["running"]
    hooks.uninstall()
    assert there() == before


class Stranger:
    """Another extension that wraps a global around whatever it finds."""

    def __init__(self, module: Any, name: str, *, wraps: bool) -> None:
        self.calls = 0
        self.original = original = getattr(module, name)

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return original(*args, **kwargs)

        self.wrapper = functools.wraps(original)(wrapper) if wraps else wrapper
        setattr(module, name, self.wrapper)


SEAMS = (
    "validate_train_inputs",
    "LearnRateScheduler",
    "write_loss",
    "save_embedding",
)


@pytest.mark.parametrize("wraps", [False, True])
@pytest.mark.parametrize("name", SEAMS)
def test_what_another_extension_has_put_there_before_stays_in_the_chain(ground, name, wraps):
    stranger = Stranger(textual_inversion, name, wraps=wraps)
    before = there()
    ground.install()
    trained = ground.train("embedding", CURVED, 5, copies_every=2)
    assert trained.step == 5
    assert len(ground.records()) == 5
    if name != "LearnRateScheduler":  # there ours stands in for the host's, and does not make one
        assert stranger.calls > 0
    hooks.uninstall()
    assert there() == before


@pytest.mark.parametrize("wraps", [False, True])
@pytest.mark.parametrize("name", SEAMS)
def test_what_another_extension_puts_over_ours_stays_there_and_is_named(ground, name, wraps):
    shared.opts.save_training_settings_to_txt = False
    ground.install()
    stranger = Stranger(textual_inversion, name, wraps=wraps)
    assert hooks.uninstall() == [f"lib_lrsched.practice.textual_inversion.{name}"]
    assert getattr(textual_inversion, name) is stranger.wrapper
    trained = ground.train("embedding", "0.01", 3, copies_every=2)  # ours passes everything through
    assert trained.step == 3
    assert stranger.calls > 0
    assert ground.runs() == []


@pytest.mark.parametrize("wraps", [False, True])
@pytest.mark.parametrize("name", SEAMS)
def test_a_reinstall_keeps_what_another_extension_has_put_over_ours(ground, name, wraps):
    ground.install()
    stranger = Stranger(textual_inversion, name, wraps=wraps)
    hooks.uninstall()
    ground.install()
    with OptimizerSpy() as spy:
        ground.train("embedding", CURVED, 5, copies_every=2)
    assert spy.rates == planned(CURVED, range(5), 5)
    assert len(ground.records()) == 5
    if name != "LearnRateScheduler":
        assert stranger.calls > 0
    hooks.uninstall()
    assert getattr(textual_inversion, name) is stranger.wrapper


def test_a_host_without_training_is_served_and_nothing_is_replaced(ground):
    before = there()
    runtime = hooks.install(NoTraining("Forge", "this WebUI has no training to hook", ground.state_dir))
    assert there() == before
    assert runtime.installation.info() == {"name": "Forge", "hooked": False, "why": "this WebUI has no training to hook"}
    assert runtime.next_training.lookup("embedding", NAME) is None
    assert runtime.trainings.active() == {}
    assert runtime.data_folders.count_images(str(ground.data)) == 5
    assert hooks.uninstall() == []


def test_a_scheduler_that_somebody_else_constructs_is_the_hosts_own(ground):
    ground.install()
    made = textual_inversion.LearnRateScheduler("0.005:10, 0.001", 20, 0)
    assert type(made) is seams.unwrapped(textual_inversion.LearnRateScheduler)
    assert (made.learn_rate, made.end_step) == (0.005, 10)


def test_an_active_run_is_seen_from_another_thread(ground):
    ground.install()
    seen: list[Any] = []

    def look(count: int) -> None:
        if count == 4:
            worker = threading.Thread(target=lambda: seen.extend(ground.runtime.trainings.active().values()))
            worker.start()
            worker.join(timeout=60)
            seen.append(seen[0].state())

    with OptimizerSpy() as spy:
        spy.at_step = look
        ground.train("embedding", CURVED, 6)
    assert (seen[1].state, seen[1].step, seen[1].name) == ("running", 4, NAME)
    assert ground.runtime.trainings.active() == {}


def test_an_early_end_for_max_steps_leaves_no_run(ground):
    ground.install()
    ground.train("embedding", "0.01", 4)
    ground.train("embedding", "0.02", 4)
    assert ground.run().rate_text == "0.01"
    assert "Nothing to do" in shared.state.textinfo


def test_the_loops_progress_does_not_depend_on_the_hooks_console_lines(ground, capsys):
    shared.opts.practice_quiet = False
    ground.install()
    ground.train("embedding", CURVED, 5)
    out = capsys.readouterr().out
    assert f"Training with the schedule `{CURVED}`: from step 0 at 0.0025 to 5 at 0.01" in out


def test_random_numbers_of_python_and_torch_are_not_touched_by_the_check(ground):
    runtime = ground.install()
    ground.create("embedding")
    random.seed(1)
    torch.manual_seed(2)
    before = random_states()
    runtime.data_folders.count_images(str(ground.data))
    runtime.next_training.lookup("embedding", NAME)
    assert random_states() == before


def test_the_scaler_of_the_host_is_left_to_the_host(ground):
    """Loop and scaler are the host's: the hooks replace no global of torch, not even while a run goes on."""
    ground.install()
    before = {place: value for place, value in there().items() if place in practice_rig.UNTOUCHED}
    seen = []
    with OptimizerSpy() as spy:
        spy.at_step = lambda count: seen.append({place: there()[place] for place in before})
        ground.train("embedding", "0.01", 2, clip_mode="norm", clip="0.1")
    assert seen == [before, before]
    assert loop.grad_scaler().is_enabled() is False
