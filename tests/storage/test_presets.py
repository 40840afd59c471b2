"""The builtin presets are schedules that can be used as they stand."""

from __future__ import annotations

import pytest

from lib_lrsched import plan
from lib_lrsched.storage._presets import BUILTIN, Preset

# What the note of a preset says about the length of its runs; the others fit any.
STEPS = {"Embedding: seven steps down": 5_000}


@pytest.mark.parametrize("preset", BUILTIN, ids=lambda preset: preset.name)
def test_a_builtin_preset_plans_without_any_lint(preset: Preset):
    made = plan(preset.text, total_steps=STEPS.get(preset.name, 2_000))
    assert made.warnings == ()
    assert made.stop == made.total_steps


@pytest.mark.parametrize("preset", BUILTIN, ids=lambda preset: preset.name)
def test_a_builtin_preset_says_when_to_use_it_in_one_line(preset: Preset):
    assert preset.builtin
    assert preset.note.endswith(".")
    assert "\n" not in preset.note
    assert len(preset.name) <= 80
    assert preset.name.isprintable()


@pytest.mark.parametrize("preset", BUILTIN, ids=lambda preset: preset.name)
def test_hypernetwork_presets_stay_near_the_rate_that_hypernetworks_bear(preset: Preset):
    if preset.name.startswith("Hypernetwork: "):
        made = plan(preset.text, total_steps=2_000)
        assert max(made.values(range(2_000))) <= 5e-5
    else:
        assert preset.name.startswith("Embedding: ")


def test_names_are_different():
    assert len({preset.name for preset in BUILTIN}) == len(BUILTIN)


def test_the_schedules_of_the_community_are_there():
    texts = {preset.text for preset in BUILTIN}
    assert "0.005:100, 1e-3:1000, 1e-5" in texts
    assert "0.05:10, 0.02:20, 0.01:60, 0.005:200, 0.002:500, 0.001:3000, 0.0005" in texts
