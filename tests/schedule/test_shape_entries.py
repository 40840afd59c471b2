"""The registry of shapes: an entry lacks nothing, and nothing else in the library lists shapes by hand."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib_lrsched import ScheduleError, plan
from lib_lrsched.preview.forms import describe_shapes
from lib_lrsched.schedule import shapes
from lib_lrsched.schedule.plan import Plan
from lib_lrsched.schedule.shapes import ENTRIES, REPEAT, SHAPES, Param, Shape
from lib_lrsched.web import _page as page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
KINDS = ("rate", "number", "whole", "time", "word", "flag", "items")
STEPS = 1000


# What an entry has to have --------------------------------------------------------------------


def gaps(shape: Shape) -> list[str]:
    """What an entry lacks or says wrongly, in words."""
    rules = (_texts, _parameters, _schedules, _formula, _torch, _handles, _docs)
    return [gap for rule in rules for gap in rule(shape)]


def _texts(shape: Shape) -> Iterator[str]:
    if not re.fullmatch(r"[a-z][a-z_]*", shape.name):
        yield "name: lower-case letters"
    if not shape.summary or shape.summary.endswith("."):
        yield "summary: one line for the button, without a full stop"
    if not shape.reference:
        yield "reference: the implementation that it agrees with"
    if any(name != re.sub("[_-]", "", name.lower()) for name in shape.other_names):
        yield "other_names: lower case, without _ and -"


def _parameters(shape: Shape) -> Iterator[str]:
    if not shape.params:
        yield "params: at least one"
    for p in shape.params:
        if not p.meaning or p.kind not in KINDS or (p.kind == "word") != bool(p.choices):
            yield f"params: {p.name} has a kind, a meaning, and choices where it is a word"
    if shape.joins and [p.name for p in shape.params[:2]] != ["a", "b"]:
        yield "joins: a and b are the first parameters"


def _schedules(shape: Shape) -> Iterator[str]:
    for field, text in (("example", shape.example), ("button", shape.button)):
        made = _planned(text)
        if made is None or shape.name not in (segment.shape for segment in made.segments):
            yield f"{field}: a text of this shape that can be planned"
    if not shape.example.startswith(f"{shape.name}("):
        yield "example: a call"


@cache
def _planned(text: str) -> Plan | None:
    try:
        return plan(text, total_steps=STEPS)
    except ScheduleError:
        return None


def _formula(shape: Shape) -> Iterator[str]:
    if shape.is_feedback or shape is REPEAT:
        return
    if shape.formula is None or shape.formula.__name__ != shape.name:
        yield "formula: a function of the shape's name"
        return
    names = [name for name in inspect.signature(shape.formula).parameters if name != "j"]
    segment = _segment(shape)
    if not {*names} <= {"n", *(p.name for p in shape.params)}:
        yield "formula: its arguments are j, n and parameters"
    elif segment is not None:
        given = {"n": segment.length, **segment.values}
        steps = (0, 1, 7, 499, 998, 999)
        found = [shape.formula(j, **{name: given[name] for name in names}) for j in steps]
        if not np.allclose(found, plan(shape.example, total_steps=STEPS).values(steps), rtol=1e-9, atol=1e-17):
            yield "formula: it gives what the curve gives"


def _segment(shape: Shape) -> Any:
    """The segment that the example is."""
    made = _planned(shape.example)
    return made.segments[0] if made is not None and made.segments[0].shape == shape.name else None


def _torch(shape: Shape) -> Iterator[str]:
    segment = _segment(shape)
    if shape.torch is None or segment is None:
        return
    schedulers = pytest.importorskip("torch").optim.lr_scheduler
    found = shape.torch(segment.values, segment.length)
    if found is not None and not set(found.arguments) <= {*inspect.signature(getattr(schedulers, found.scheduler)).parameters}:
        yield "torch: arguments that the class takes"


def _handles(shape: Shape) -> Iterator[str]:
    segment, rates = _segment(shape), {p.name for p in shape.params if p.kind == "rate"}
    if segment is None or not rates:
        return
    found = list(shape.handles(segment.values, segment.length, STEPS))
    if not found or not {name for name, _ in found} <= rates:
        yield "handles: points at which a rate is a parameter"
    made = plan(shape.example, total_steps=STEPS)
    near = 1e-3 * made.values(range(STEPS)).max()
    for name, j in found:
        there = [segment.exit if j == segment.length else made.value(j), made.value(max(j - 1, 0))]  # or reached from the left
        if name in rates and not any(abs(rate - segment.values[name]) < near for rate in there):
            yield f"handles: {name} is the rate at step {j}"


def _docs(shape: Shape) -> Iterator[str]:
    path = DOCS / shape.page
    if not path.is_file() or f"\n## {shape.name}\n" not in path.read_text(encoding="utf-8"):
        yield "page: a page in docs with a section of the shape's name"
    if f"[{shape.name}]({shape.page}#{shape.name})" not in (DOCS / "README.md").read_text(encoding="utf-8"):
        yield "page: the index in docs/README.md links to it"
    if (f"`{shape.name}(" if "(" in shape.button else f"`{shape.button}`") not in _language():
        yield "page: the table of the language has a row with it"


@cache
def _language() -> str:
    """The rows of tables where the language is described."""
    paths = (path for path in (ROOT / "README.md", DOCS / "language.md") if path.is_file())
    return "\n".join(line for path in paths for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| `"))


@pytest.mark.parametrize("shape", ENTRIES, ids=lambda shape: shape.name)
def test_an_entry_lacks_nothing(shape: Shape) -> None:
    assert gaps(shape) == []


COSINE = SHAPES["cosine"]
D_IS_INCOMPLETE = "params: d has a kind, a meaning, and choices where it is a word"


@pytest.mark.parametrize(
    ("field", "value", "gap"),
    [
        ("name", "Cosine", "name: lower-case letters"),
        ("summary", "", "summary: one line for the button, without a full stop"),
        ("params", (), "params: at least one"),
        ("params", (*COSINE.params, Param("d", "number", 1.0, "")), D_IS_INCOMPLETE),
        ("params", (*COSINE.params, Param("d", "word", "x", "x")), D_IS_INCOMPLETE),
        ("params", COSINE.params[::-1], "joins: a and b are the first parameters"),
        ("formula", None, "formula: a function of the shape's name"),
        ("formula", SHAPES["linear"].formula, "formula: a function of the shape's name"),
        ("torch", lambda p, n: COSINE.torch(p, n)._replace(arguments={"t": 1}), "torch: arguments that the class takes"),
        ("handles", lambda *_: (), "handles: points at which a rate is a parameter"),
        ("handles", lambda *_: (("b", 0),), "handles: b is the rate at step 0"),
        ("example", "cosin(1, 0)", "example: a text of this shape that can be planned"),
        ("example", "1:5, cosine(1, 0)", "example: a call"),
        ("button", "linear(1, 0)", "button: a text of this shape that can be planned"),
        ("button", "", "button: a text of this shape that can be planned"),
        ("reference", "", "reference: the implementation that it agrees with"),
        ("page", "shapes-warmup.md", "page: a page in docs with a section of the shape's name"),
        ("page", "", "page: a page in docs with a section of the shape's name"),
        ("other_names", ("Cos_Annealing",), "other_names: lower case, without _ and -"),
    ],
)
def test_a_gap_in_an_entry_is_noticed(field: str, value: Any, gap: str) -> None:
    assert gap in gaps(COSINE._replace(**{field: value}))


def test_error_entry_without_a_field() -> None:
    fields = COSINE._asdict()
    for field in ("summary", "params", "build", "formula", "torch", "handles", "example", "button", "reference", "page"):
        with pytest.raises(TypeError, match=f"'{field}'"):
            Shape(**{name: value for name, value in fields.items() if name != field})


def written() -> list[Shape]:
    """Every entry that a module of the package makes."""
    modules = [importlib.import_module(f"{shapes.__name__}.{found.name}") for found in pkgutil.iter_modules(shapes.__path__)]
    return [value for module in modules for value in vars(module).values() if isinstance(value, Shape)]


def test_every_entry_that_is_written_is_in_the_registry() -> None:
    assert {shape.name for shape in written()} == {shape.name for shape in ENTRIES}
    assert len({shape.name for shape in ENTRIES}) == len(ENTRIES) == len(SHAPES) + 1


def test_no_two_shapes_have_the_same_other_name() -> None:
    names = [name for shape in ENTRIES for name in shape.other_names]
    assert len(set(names)) == len(names)


def test_forms_and_buttons_are_those_of_the_registry() -> None:
    assert [form["name"] for form in describe_shapes()] == [*SHAPES, "repeat"]
    assert [tuple(snippet) for snippet in page.SNIPPETS] == [(shape.name, shape.button, shape.summary) for shape in ENTRIES]


# That nothing else lists them -----------------------------------------------------------------

FOREIGN = {"import_kohya.py": "sd-scripts names some of its schedules as this language does"}
"""Files whose literals have names of another program."""

NAMES = frozenset(shape.name for shape in ENTRIES)
MOST = 2
"""So many shapes may be named together: a rule of one format, or of two shapes, is not a list of shapes."""


def lists(source: str) -> list[str]:
    """Literals, comparisons and texts that name more than MOST shapes."""
    tree = ast.parse(source)
    found = [(node.lineno, _named(node)) for node in ast.walk(tree) if isinstance(node, (ast.Dict, ast.List, ast.Tuple, ast.Set))]
    found += [(node.lineno, _compared(node)) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    found += [(node.lineno, _words(node.value)) for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [f"{line}: {', '.join(sorted(names))}" for line, names in found if len(names) > MOST]


def _named(node: ast.AST) -> set[str]:
    """The shapes among a literal's elements, a dict's keys and values, and the first elements of tuples in it."""
    elements = [*node.keys, *node.values] if isinstance(node, ast.Dict) else node.elts  # type: ignore[attr-defined]
    heads = [one.elts[0] for one in elements if isinstance(one, (ast.Tuple, ast.List)) and one.elts]
    heads += [one.args[0] for one in elements if isinstance(one, ast.Call) and one.args]
    return {one.value for one in (*elements, *heads) if isinstance(one, ast.Constant) and one.value in NAMES}


def _compared(function: ast.FunctionDef) -> set[str]:
    """The shapes that a function compares something with."""
    sides = [side for node in ast.walk(function) if isinstance(node, ast.Compare) for side in (node.left, *node.comparators)]
    sides += [node.value for node in ast.walk(function) if isinstance(node, ast.MatchValue)]
    sides += [one for side in sides if isinstance(side, (ast.Tuple, ast.Set, ast.List)) for one in side.elts]
    return {side.value for side in sides if isinstance(side, ast.Constant) and side.value in NAMES}


def _words(text: Any) -> set[str]:
    words = set(re.split(r"[\s,]+", text.strip())) if isinstance(text, str) else set()
    return words if words <= NAMES else set()


SOURCES = sorted(path for path in (ROOT / "lib_lrsched").rglob("*.py") if path.parent.name != "shapes")


def test_nothing_else_in_the_library_lists_shapes() -> None:
    assert len(SOURCES) > 80
    found = {path.name: lists(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert {name: lines for name, lines in found.items() if lines and name not in FOREIGN} == {}
    assert all(found[name] for name in FOREIGN), "an exception that is needed no more"


@pytest.mark.parametrize(
    "source",
    [
        "PLACES = {'warmup': f, 'cyclic': g, 'wsd': h}",
        "x = ('linear', 'cosine', 'exp')",
        "x = dict.fromkeys(['linear', 'cosine', 'exp'], f)",
        "x = {'a': 'linear', 'b': 'cosine', 'c': 'exp'}",
        "x = frozenset('linear cosine exp'.split())",
        "x = (Snippet('linear', 1), Snippet('cosine', 2), Snippet('exp', 3))",
        "x = (('linear', 1), ('cosine', 2), ('exp', 3))",
        "def f(s):\n    if s == 'linear':\n        return 1\n    return 2 if s in ('cosine', 'exp') else 3",
        "def f(s):\n    match s:\n        case 'linear' | 'cosine' | 'exp':\n            return 1",
    ],
)
def test_a_list_of_shapes_is_seen(source: str) -> None:
    assert lists(source)


@pytest.mark.parametrize(
    "source",
    ["x = ('linear', 'cosine')", "def f(s):\n    return s == 'repeat' or s == 'constant'", "x = 'Warm-up, step, cosine and exp'",
     "x = ('cosine(1, 0)', 'linear(1, 0)', 'exp(1, 0)')"],
)
def test_two_shapes_or_texts_of_the_language_are_no_list(source: str) -> None:
    assert lists(source) == []


KNOWN_NAMES = [
    ("cosine(from=0.005, to=1e-5)", "cosine(a=0.005, b=1e-5)"), ("0.005:9, linear(to=1e-5)", "0.005:9, linear(b=1e-5)"),
    ("warmup(to=0.005, from=1e-5)", "warmup(v=0.005, start=1e-5)"), ("onecycle(peak=0.005)", "onecycle(max_lr=0.005)"),
    ("restarts(0.005, first_cycle=20, growth=2)", "restarts(0.005, t_0=20, t_mult=2)"),
    ("constant(value=0.005)", "constant(v=0.005)"), ("inverse_sqrt(from=1, timescale=9)", "inverse_sqrt(v=1, timescale=9)"),
    ("step(from=1, every=9, factor=0.5)", "step(v=1, every=9, gamma=0.5)"), ("decay(1, factor=0.9)", "decay(1, gamma=0.9)"),
    ("cyclic(0, 1, rise=5, fall=9, mode=exp_range, factor=0.9)",
     "cyclic(0, 1, step_size=5, step_size_down=9, mode=exp_range, gamma=0.9)"),
    ("rex(1, 0, bend=0.5)", "rex(1, 0, d=0.5)"), ("range_test(from=1e-5, to=1)", "range_test(low=1e-5, high=1)"),
]


@pytest.mark.parametrize(("known", "old"), KNOWN_NAMES, ids=[row[0] for row in KNOWN_NAMES])
def test_a_parameter_can_be_given_by_the_name_that_people_know_and_by_its_old_one(known: str, old: str) -> None:
    made = [plan(text, total_steps=60).values(range(60)).tolist() for text in (known, old)]
    assert made[0] == made[1]


def test_error_what_is_wrong_with_a_value_is_said_with_the_name_that_it_was_given_by() -> None:
    for name in ("factor", "gamma"):
        with pytest.raises(ScheduleError, match=f"`{name}` is 0 or more, got -1"):
            plan(f"decay(1, {name}=-1)", total_steps=9)
    for text, message in (
        ("cyclic(0, 1, 2, mode=exp_range, {gamma}=1.5, cycle_momentum=yes)", "a `{gamma}` of 1.5 lets momentum leave"),
        ("range_test({low}=0, {high}=1)", "needs rates above 0; `{low}` is 0"),
        ("range_test({low}=1, {high}=0)", "needs rates above 0; `{high}` is 0"),
        ("restarts(1, {t_0}=5, warmup=5)", "`warmup` is 5 steps, `{t_0}` is 5"),
        ("restarts(1, {t_0}=5, cycles=4)", "restarts takes `{t_0}` or `cycles`, not both"),
    ):
        old = {name: name for name in ("gamma", "low", "high", "t_0")}
        for names in (old, {"gamma": "factor", "low": "from", "high": "to", "t_0": "first_cycle"}):
            with pytest.raises(ScheduleError, match=re.escape(message.format(**names))):
                plan(text.format(**names), total_steps=40)
    with pytest.raises(ScheduleError, match="decay has no `gama`; did you mean `factor`"):
        plan("decay(1, gama=0.9)", total_steps=9)


def test_no_two_parameters_of_a_shape_share_a_name() -> None:
    for shape in ENTRIES:
        labels = [p.label for p in shape.params]
        assert len(labels) == len(set(labels)), shape.name
        assert not [label for label in labels if "_" in label or label in ("v", "d", "gamma")], shape.name
        words = [word for p in shape.params for word in p.words]
        assert len(words) == len(set(words)), shape.name
    with pytest.raises(ScheduleError, match="`to` and `b` are two names of one parameter: give one of them") as caught:
        plan("cosine(to=1, b=2)", total_steps=9)
    assert caught.value.span == (13, 16)
    with pytest.raises(ScheduleError, match="`factor` is given twice"):
        plan("step(0.005, every=5, factor=.5, factor=.5)", total_steps=9)
