"""Combinations of which half are quick, and the others long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import pytest


def half(*, other: bool = False, **axes: Iterable[Any] | Mapping[str, Any]) -> pytest.MarkDecorator:
    """Parametrizes by all combinations of the axes' values; every other one is long, as the fields of a chessboard are black.

    Each value is in a quick one, and with three axes each pair of values; so no axis may have a single value. ``other`` exchanges
    the halves, for a second test of the same axes. The names of a mapping are for the tests' names.
    """
    axes = {name: axis if isinstance(axis, Mapping) else list(axis) for name, axis in axes.items()}
    assert len(axes) > 1, "with a single axis every second value would be long only"
    assert all(len(axis) > 1 for axis in axes.values())
    values = [[(str(name), value) for name, value in _named(axis)] for axis in axes.values()]
    found = []
    for places in product(*(range(len(axis)) for axis in values)):
        chosen = [axis[place] for axis, place in zip(values, places)]
        marks = [pytest.mark.long] if (sum(places) + other) % 2 else []
        found.append(pytest.param(*(value for _, value in chosen), id="-".join(name for name, _ in chosen), marks=marks))
    return pytest.mark.parametrize(list(axes), found)


def _named(axis: Iterable[Any] | Mapping[str, Any]) -> Iterable[tuple[Any, Any]]:
    return axis.items() if isinstance(axis, Mapping) else ((getattr(value, "__name__", value), value) for value in axis)
