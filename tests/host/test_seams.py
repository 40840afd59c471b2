"""Replacing globals and putting them back: exactly what was there, and nobody else's work undone."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import pytest

from lib_lrsched.host.seams import ORIGINAL, Patches, Seam, unwrapped


def greet(name: str) -> str:
    return f"hello {name}"


@pytest.fixture
def module() -> Any:
    made = ModuleType("somebody")
    made.greet = greet  # type: ignore[attr-defined]
    made.number = len  # type: ignore[attr-defined]
    return made


def louder(original: Any) -> Any:
    @functools.wraps(original, updated=())
    def shout(*args: Any) -> Any:
        return str(original(*args)).upper()

    return shout


def stranger(original: Any, *, wraps: bool) -> Any:
    def over(*args: Any) -> Any:
        return f"<{original(*args)}>"

    return functools.wraps(original)(over) if wraps else over


def test_put_replaces_and_undo_restores_the_very_object(module):
    patches = Patches()
    patches.put([Seam(module, "greet", louder), Seam(module, "number", louder)])
    assert module.greet("you") == "HELLO YOU"
    assert module.number("ab") == "2"
    assert patches.undo() == []
    assert module.greet is greet
    assert module.number is len


def test_undo_twice_is_as_once(module):
    patches = Patches()
    patches.put([Seam(module, "greet", louder)])
    patches.undo()
    module.greet = "somebody's"
    assert patches.undo() == []
    assert module.greet == "somebody's"


def test_a_replacement_knows_what_it_replaced(module):
    Patches().put([Seam(module, "greet", louder)])
    assert hasattr(module.greet, ORIGINAL)
    assert unwrapped(module.greet) is greet
    assert unwrapped(greet) is greet


def test_putting_over_a_replacement_of_an_earlier_import_takes_its_place(module):
    """Its record is lost with the earlier import; what stands behind it is what undo restores."""
    Patches().put([Seam(module, "greet", louder)])
    second = Patches()
    second.put([Seam(module, "greet", louder)])
    assert unwrapped(module.greet) is greet
    assert second.undo() == []
    assert module.greet is greet


@pytest.mark.parametrize("wraps", [False, True])
def test_undo_leaves_what_somebody_put_over_ours_and_names_it(module, wraps):
    patches = Patches()
    patches.put([Seam(module, "greet", louder), Seam(module, "number", louder)])
    module.greet = theirs = stranger(module.greet, wraps=wraps)
    assert patches.undo() == ["somebody.greet"]
    assert module.greet is theirs
    assert module.number is len


@pytest.mark.parametrize("wraps", [False, True])
def test_what_somebody_put_over_ours_is_wrapped_again_not_dropped(module, wraps):
    """functools.wraps copies the attributes of what it wraps, our mark among them: it is not ours for that."""
    first = Patches()
    first.put([Seam(module, "greet", louder)])
    module.greet = theirs = stranger(module.greet, wraps=wraps)
    first.undo()
    second = Patches()
    second.put([Seam(module, "greet", louder)])
    assert module.greet("you") == "<HELLO YOU>".upper()
    assert unwrapped(module.greet) is theirs
    assert second.undo() == []
    assert module.greet is theirs


def test_what_somebody_put_there_before_is_wrapped_and_comes_back(module):
    module.greet = theirs = stranger(greet, wraps=True)
    patches = Patches()
    patches.put([Seam(module, "greet", louder)])
    assert module.greet("you") == "<HELLO YOU>"
    patches.undo()
    assert module.greet is theirs


def test_error_a_global_that_is_not_there_leaves_all_as_it_was(module):
    patches = Patches()
    with pytest.raises(AttributeError, match="module 'somebody' has no attribute 'missing'"):
        patches.put([Seam(module, "greet", louder), Seam(module, "missing", louder)])
    assert module.greet is greet
    assert patches.undo() == []


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_error_a_wrapper_that_cannot_be_made_leaves_all_as_it_was(module, error):
    def failing(original: Any) -> Any:
        raise error

    patches = Patches()
    with pytest.raises(type(error)):
        patches.put([Seam(module, "greet", louder), Seam(module, "number", failing)])
    assert module.greet is greet
    assert module.number is len


def test_one_global_twice_in_a_list_is_wrapped_once_and_restored(module):
    patches = Patches()
    patches.put([Seam(module, "greet", louder), Seam(module, "greet", louder)])
    assert unwrapped(module.greet) is greet
    patches.undo()
    assert module.greet is greet


def test_undo_does_not_bring_back_what_was_deleted(module):
    patches = Patches()
    patches.put([Seam(module, "greet", louder)])
    del module.greet
    assert patches.undo() == ["somebody.greet"]
    assert not hasattr(module, "greet")
