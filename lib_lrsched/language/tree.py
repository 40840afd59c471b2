"""The syntax tree of a schedule text: what was written, not what it means.

Every node knows its span, so that an error found later can still point at its place.
Nodes are named tuples because a text may have thousands of them. This file must not know
which shapes exist.
"""

from __future__ import annotations

from typing import NamedTuple

Span = tuple[int, int]


class Quantity(NamedTuple):
    """A number as it was written, with an optional unit: ``1e-3``, ``20%``, ``+3ep``."""

    text: str
    unit: str  # "", "%", "ep" or "img"
    relative: bool  # a leading "+" in a place where that means "after this segment's start"
    span: Span


class Word(NamedTuple):
    """A bare word: the name of a mode or a curve, ``yes`` or ``no``."""

    text: str
    span: Span


class Call(NamedTuple):
    """A shape with its arguments: ``cosine(1e-3, 0)``."""

    name: str
    args: tuple[Arg, ...]
    span: Span
    name_span: Span


class Arg(NamedTuple):
    """One argument; ``name`` is None where it was given by position."""

    name: str | None
    value: Quantity | Word | Call | Item
    span: Span


class Item(NamedTuple):
    """A value and how long it holds; ``end`` is None for an item without one."""

    value: Quantity | Call
    end: Quantity | None
    span: Span


class Schedule(NamedTuple):
    """The whole text."""

    items: tuple[Item, ...]
    source: str
    empty: tuple[Span, ...]  # commas that nothing stands before


def names(value: Quantity | Word | Call | Item) -> frozenset[str]:
    """The shapes in a value, those within a repeat as well."""
    if isinstance(value, Item):
        return names(value.value)
    if not isinstance(value, Call):
        return frozenset()
    return frozenset({value.name}).union(*(names(arg.value) for arg in value.args))


def unparse(node: Schedule | Item | Arg | Call | Quantity | Word) -> str:
    """The node as text again, without comments and extra blank space.

    >>> from lib_lrsched.language.parser import parse
    >>> unparse(parse("warmup( 0.005 , curve = log ):+50 , 1e-4  # then slow"))
    'warmup(0.005, curve=log):+50, 1e-4'
    """
    if isinstance(node, Schedule):
        return ", ".join(unparse(item) for item in node.items)
    if isinstance(node, Item):
        return unparse(node.value) + ("" if node.end is None else f":{unparse(node.end)}")
    if isinstance(node, Arg):
        return (f"{node.name}=" if node.name else "") + unparse(node.value)
    if isinstance(node, Call):
        return f"{node.name}({', '.join(unparse(arg) for arg in node.args)})"
    if isinstance(node, Quantity):
        return f"{'+' if node.relative else ''}{node.text}{node.unit}"
    return node.text
