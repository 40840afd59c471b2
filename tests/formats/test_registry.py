"""The entries of the registry of formats: whole, true of their functions, and cheap to read."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lib_lrsched.formats import registry
from lib_lrsched.formats.export_phases import DEFAULT_ERROR
from lib_lrsched.formats.exports import export
from lib_lrsched.formats.imports import import_text
from lib_lrsched.formats.registry import EXPORTERS, FORMATS, IMPORTERS, SETTINGS_FILES, Exporter, Importer, load

ROOT = Path(__file__).resolve().parents[2]


def options_of(function: Callable[..., Any]) -> set[str]:
    """All parameters but the first, the plan or text, and the second, the format."""
    return set(list(inspect.signature(function).parameters)[2:])


def is_true_of_its_function(one: Exporter | Importer) -> bool:
    """What the entry does not name would not reach the function, and what the function does not know would be a TypeError."""
    return list(inspect.signature(load(one)).parameters)[1:] == list(one.takes)


def test_each_name_and_each_label_is_there_once_and_does_something():
    assert len({one.name for one in FORMATS}) == len({one.label for one in FORMATS}) == len(FORMATS)
    assert [one.name for one in FORMATS if one.exporter is None and one.importer is None] == []


@pytest.mark.parametrize("name", EXPORTERS)
def test_an_exporter_takes_or_refuses_every_option(name: str):
    one = EXPORTERS[name]
    assert is_true_of_its_function(one)
    assert sorted([*one.takes, *one.refuses]) == sorted(options_of(export))
    assert all(why.startswith(f"{name} takes no {option}") for option, why in one.refuses.items())


@pytest.mark.parametrize("name", IMPORTERS)
def test_an_importer_takes_refuses_or_ignores_every_option(name: str):
    one = IMPORTERS[name]
    assert is_true_of_its_function(one)
    assert {*one.takes, *one.refuses} <= options_of(import_text)
    assert not set(one.takes) & set(one.refuses)
    assert all(why.endswith(f": leave out the {option} rate") for option, why in one.refuses.items())


def test_the_field_for_the_error_shows_the_part_that_is_used_without_one():
    assert float(EXPORTERS["a1111"].takes["error"]) / 100 == DEFAULT_ERROR


def test_settings_are_told_apart_of_formats_that_are_imported():
    assert set(SETTINGS_FILES) == {"deepspeed", "kohya", "onetrainer"} <= set(IMPORTERS)
    keys = [key for one in SETTINGS_FILES.values() for key in one.keys]
    assert len({*keys}) == len(keys)


def test_no_exporter_and_no_importer_is_loaded_before_somebody_asks():
    """The page and every command read the registry when they start."""
    work = "import lib_lrsched.cli.main, lib_lrsched.web._page, lib_lrsched.formats.exports, lib_lrsched.formats.imports"
    modules = "print(json.dumps(sorted(name for name in sys.modules if name.startswith('lib_lrsched.formats.'))))"
    command = [sys.executable, "-c", f"import json, sys\n{work}\n{modules}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    names = ["export_result", "exports", "import_result", "imports", "registry"]
    assert json.loads(done.stdout) == [f"{registry.__package__}.{name}" for name in names]
