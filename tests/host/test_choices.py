"""What is chosen for the next training of a name."""

from __future__ import annotations

import pytest

from lib_lrsched.host.choices import Choices, Chosen
from lib_lrsched.storage.resume import KeptState

KEPT = KeptState("a", 4)


def test_where_nobody_chose_the_plan_continues_from_the_newest_snapshot():
    assert Choices().of("embedding", "mine") == Chosen("continue", None, {})


def test_what_is_chosen_is_of_one_kind_and_name():
    choices = Choices()
    choices.choose("embedding", "mine", "new", KEPT)
    assert choices.of("embedding", "mine") == Chosen("new", KEPT)
    assert choices.of("hypernetwork", "mine") == choices.of("embedding", "other") == Chosen()


def test_another_resume_mode_takes_the_snapshot_back_and_leaves_the_options():
    choices = Choices()
    choices.choose_options("embedding", "mine", {"ema": 0.9})
    choices.choose("embedding", "mine", "new", KEPT)
    choices.choose("embedding", "mine", "restart")
    assert choices.of("embedding", "mine") == Chosen("restart", None, {"ema": 0.9})


def test_options_take_the_place_of_those_before_and_all_is_forgotten_at_once():
    choices, given = Choices(), {"ema": 0.9}
    choices.choose("embedding", "mine", "new", KEPT)
    choices.choose_options("embedding", "mine", given)
    given["ema"] = 0.5
    assert choices.of("embedding", "mine") == Chosen("new", KEPT, {"ema": 0.9})
    choices.choose_options("embedding", "mine", {"progress_every": 2})
    assert choices.of("embedding", "mine").options == {"progress_every": 2}
    choices.forget("embedding", "mine", choices.of("embedding", "mine"))
    assert choices.of("embedding", "mine") == Chosen()


def test_what_is_chosen_while_a_training_is_prepared_is_for_the_next_one():
    choices = Choices()
    choices.choose("embedding", "mine", "new", KEPT)
    choices.choose_options("embedding", "mine", {"ema": 0.9})
    used = choices.of("embedding", "mine")
    choices.choose_options("embedding", "mine", {"ema": 0.5})
    choices.forget("embedding", "mine", used)
    assert choices.of("embedding", "mine") == Chosen("continue", None, {"ema": 0.5})
    used = choices.of("embedding", "mine")
    choices.choose("embedding", "mine", "restart")
    choices.forget("embedding", "mine", used)
    assert choices.of("embedding", "mine") == Chosen("restart", None, {})


def test_error_a_choice_that_there_is_not_changes_nothing():
    choices = Choices()
    choices.choose("embedding", "mine", "new", KEPT)
    with pytest.raises(ValueError, match="expected one of continue, new, restart, file, file-restart, got 'again'"):
        choices.choose("embedding", "mine", "again")
    assert choices.of("embedding", "mine") == Chosen("new", KEPT)
