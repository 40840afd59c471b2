"""The options of a run: where they come from, that they stay with it, and how a wrong one is refused."""

from __future__ import annotations

import json
from dataclasses import fields
from math import inf, nan
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from practice_rig import NAME, both_kinds, draw_images  # noqa: E402  # torch is optional

from lib_lrsched.cli.main import main  # noqa: E402
from lib_lrsched.errors import RequestError  # noqa: E402
from lib_lrsched.host import hooks  # noqa: E402
from lib_lrsched.host import options as settings_page  # noqa: E402
from lib_lrsched.storage import run_state  # noqa: E402
from lib_lrsched.training.options import OPTIONS, Options, changing_training, values, with_chosen, with_stored  # noqa: E402
from lib_lrsched.training.settings import Settings  # noqa: E402

# What they are --------------------------------------------------------------------------------


def test_each_is_described_and_its_default_fits():
    assert [*OPTIONS] == [one.name for one in fields(Options)]
    for name, one in OPTIONS.items():
        assert one.label
        assert one.meaning
        assert one.value(one.default) == getattr(Options(), name)
        json.dumps(one.described(), allow_nan=False)


def test_what_a_run_that_resumes_is_compared_by_is_what_changes_the_weights():
    off = {"max_norm": "", "spread_timesteps": "", "rate_by_timestep": "", "loss_by_timestep": ""}
    on = Options(max_norm=2.5, spread_timesteps=True, ema=0.9)
    assert changing_training(on, "embedding") == off | {"max_norm": "2.5", "spread_timesteps": "on"}
    assert changing_training(on, "hypernetwork") == off | {"spread_timesteps": "on"}
    assert changing_training(Options(), "embedding") == off


@pytest.mark.parametrize(("name", "wrong", "expected"), [
    ("ema", 1.0, "ema: expected a number from 0 and below 1, got 1.0"),
    ("ema", "0.9", 'ema: expected a number from 0 and below 1, got "0.9"'),
    ("max_norm", nan, "max_norm: expected a number from 0, got NaN"),
    ("max_norm", inf, "max_norm: expected a number from 0, got Infinity"),
    ("validate_every", -1, "validate_every: expected a whole number from 0 to 1000000000, got -1"),
    ("validate_every", 1.0, "validate_every: expected a whole number from 0 to 1000000000, got 1.0"),
    ("validate_every", True, "validate_every: expected a whole number from 0 to 1000000000, got true"),
    ("spread_timesteps", 1, "spread_timesteps: expected true or false, got 1"),
    ("rate_by_timestep", None, "rate_by_timestep: expected a text, got null"),
    ("stop_after", 3, "stop_after: it does nothing without validate_every: give validate_every too"),
])
def test_error_a_value_that_is_wrong(name, wrong, expected):
    with pytest.raises(RequestError) as refused:
        with_chosen(Options(), {name: wrong})
    assert str(refused.value) == expected


def test_error_an_option_that_there_is_not():
    with pytest.raises(RequestError, match=r'expected some of progress_every, .*, got "emma"'):
        with_chosen(Options(), {"emma": 0.9})


def test_what_is_stored_and_cannot_be_is_passed_over():
    assert with_stored(Options(ema=0.5), {"ema": 2.0, "max_norm": 3, "of_another_version": 1}) == Options(ema=0.5, max_norm=3.0)


def test_a_number_is_kept_as_the_type_of_its_option():
    assert type(with_chosen(Options(), {"max_norm": 2}).max_norm) is float


# Where they come from -------------------------------------------------------------------------


@both_kinds
def test_a_run_keeps_its_options_when_it_resumes_and_another_choice_holds_for_one_training(ground, kind):
    ground.install(progress_every=2)
    ground.train(kind, "0.001", 4)
    ground.install(progress_every=0)
    assert ground.runtime.next_training.options(kind, NAME).options.progress_every == 2
    ground.train(kind, "0.001", 6)
    measured = [record.step for record in ground.records() if record.baseline_loss is not None]
    assert measured == [0, 2, 4]
    ground.choose(kind, progress_every=1)
    ground.train(kind, "0.001", 8)
    assert ground.run().options["progress_every"] == 1
    assert ground.runtime.next_training.options(kind, NAME).chosen == {}
    assert ground.runtime.next_training.options(kind, "another").options.progress_every == 0
    ground.runtime.choices.choose(kind, NAME, "file")
    assert ground.runtime.next_training.options(kind, NAME).options.progress_every == 0, "a new run from the file"


def test_a_hypernetwork_whose_run_is_only_found_when_it_is_loaded_has_its_options_too(ground):
    ground.install(progress_every=1)
    ground.train("hypernetwork", "0.001", 4)
    file = ground.root / "hypernetworks" / f"{NAME}.pt"
    file.write_bytes(file.read_bytes())  # another time: nothing but its weights says whose it is
    ground.install(progress_every=0)
    ground.train("hypernetwork", "0.001", 6)
    assert [record.step for record in ground.records() if record.baseline_loss is not None] == [0, 1, 2, 3, 4, 5]


def test_a_choice_that_is_refused_leaves_the_one_before(ground):
    ground.install()
    ground.choose("embedding", progress_every=3)
    with pytest.raises(RequestError):
        ground.choose("embedding", progress_every=-3)
    assert ground.runtime.next_training.options("embedding", NAME).options.progress_every == 3


def test_a_run_of_a_version_without_options_has_those_of_the_settings(ground):
    ground.install(progress_every=1)
    ground.train("embedding", "0.001", 2)
    path = ground.state_dir / "runs" / ground.run().id / "run.json"
    old = {name: value for name, value in json.loads(path.read_bytes()).items() if name not in ("options", run_state.DIGEST)}
    path.write_text(json.dumps(old))
    ground.install(progress_every=3)
    assert ground.runtime.next_training.options("embedding", NAME).options.progress_every == 3
    assert ground.runtime.next_training.options("embedding", NAME).run == ground.run().id


def test_error_what_was_chosen_no_longer_fits_the_settings(ground):
    ground.install(validate_every=5)
    ground.choose("embedding", stop_after=2)
    ground.install(validate_every=0)
    with pytest.raises(RequestError, match="stop_after"):
        ground.train("embedding", "0.001", 2)


def test_a_form_is_told_of_the_images_that_are_there_for_validation(ground, tmp_path):
    runtime = ground.install()
    assert runtime.data_folders.validation_of(str(ground.data), 5.0) is None
    folder = tmp_path / "data" / "validation"
    folder.mkdir(parents=True)
    assert runtime.data_folders.validation_of(str(folder.parent), 5.0) == {"images": 0}
    draw_images(folder, 2)
    assert runtime.data_folders.validation_of(str(folder.parent), 5.0) == {"images": 2}


# The settings page and the command line -------------------------------------------------------


def fake_host(monkeypatch: pytest.MonkeyPatch, *, categories: bool) -> tuple[Any, dict[str, Any]]:
    rows: dict[str, Any] = {}

    class OptionInfo:
        def __init__(self, default: Any, label: str, component: Any, arguments: Any, section: Any, category_id: Any = None) -> None:
            self.default, self.label, self.section, self.category_id = default, label, section, category_id
            self.components = component, arguments

        def info(self, text: str) -> Any:
            self.text = text
            return self

    class OldInfo(OptionInfo):
        def __init__(self, default: Any, label: str, component: Any, arguments: Any, section: Any) -> None:
            super().__init__(default, label, component, arguments, section)

    opts = SimpleNamespace(add_option=rows.__setitem__)
    shared = SimpleNamespace(opts=opts, OptionInfo=OptionInfo if categories else OldInfo)
    modules = SimpleNamespace(shared=shared)
    gradio = SimpleNamespace(Radio="radio", Number="number")
    for name, module in (("modules", modules), ("modules.shared", shared), ("gradio", gradio)):
        monkeypatch.setitem(__import__("sys").modules, name, module)
    return opts, rows


@pytest.mark.parametrize("categories", [True, False])
def test_the_settings_page_has_a_row_for_each_in_the_hosts_category_training(monkeypatch, categories):
    opts, rows = fake_host(monkeypatch, categories=categories)
    settings_page.register()
    for name, one in OPTIONS.items():
        row = rows[f"lrsched_{name}"]
        assert (row.default, row.label) == (one.default, one.label)
        assert one.meaning in row.text
    assert {row.category_id for row in rows.values()} == {"training" if categories else None}
    assert settings_page.read() == Settings()
    opts.lrsched_ema, opts.lrsched_progress_every, opts.lrsched_validate_every = 0.9, 4.0, -3
    assert settings_page.read().run == Options(ema=0.9, progress_every=4)


def trained(tmp_path: Any, *more: str) -> int:
    arguments = ["train", "--kind", "embedding", "--name", "mine", "--lr", "0.01", "--steps", "2", "--out", str(tmp_path)]
    try:
        return main([*arguments, *more])
    finally:
        hooks.uninstall()


@pytest.mark.parametrize(("flag", "said"), [
    ("--ema=1", "expected a number above 0 and below 1, or off, got '1'"),
    ("--ema=0", "expected a number above 0 and below 1, or off, got '0'"),
    ("--validate-every=0", "expected a whole number from 1 to 1000000000, or off, got '0'"),
    ("--stop-after=x", "expected a whole number from 1 to 1000000000, or off, got 'x'"),
    ("--progress-every=-1", "expected a whole number from 0 to 1000000000, got '-1'"),
])
def test_error_a_flag_with_a_wrong_value(tmp_path, capsys, flag, said):
    with pytest.raises(SystemExit):
        trained(tmp_path, flag)
    assert said in capsys.readouterr().err


def test_error_stop_after_without_validation(tmp_path, capsys):
    assert trained(tmp_path, "--stop-after=3") == 2
    assert "it does nothing without validate_every" in capsys.readouterr().err
    assert not [*tmp_path.rglob("*.pt")]


def test_flags_are_kept_with_the_run(tmp_path):
    assert trained(tmp_path, "--progress-every=0", "--ema=off", "--no-spread-timesteps") == 0
    (path,) = tmp_path.rglob("run.json")
    assert json.loads(path.read_bytes())["options"] == values(Options(progress_every=0))
