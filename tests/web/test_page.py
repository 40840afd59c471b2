"""The tab's markup and what the scripts expect of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from graphlib import TopologicalSorter
from html.parser import HTMLParser
from itertools import accumulate
from pathlib import Path

import pytest

from lib_lrsched import plan
from lib_lrsched.formats.registry import EXPORTERS, FORMATS, IMPORTERS, Exporter, Importer
from lib_lrsched.web import _page as page

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((REPOSITORY / "javascript" / "lrsched").rglob("*.js"))
VOID = {"input", "br"}


class Outline(HTMLParser):
    """Collects ids, classes and references; checks that tags close in order."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.classes: set[str] = set()
        self.references: set[str] = set()
        self.open: list[str] = []
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.ids.append(given["id"] or "")
        self.classes.update((given.get("class") or "").split())
        for name in ("aria-labelledby", "aria-describedby"):
            self.references.update((given.get(name) or "").split())
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_tags_close_and_ids_are_ours_and_stand_once() -> None:
    outline = Outline(page.page())
    assert outline.open == []
    assert len(set(outline.ids)) == len(outline.ids)
    assert all(name.startswith("lrsched_") for name in outline.ids)
    assert all(name == "lrsched" or name.startswith("lrsched-") for name in outline.classes)
    assert outline.references <= set(outline.ids)


def test_every_id_that_a_script_asks_for_is_in_the_markup() -> None:
    ids = set(Outline(page.page()).ids)
    asked = {name for script in SCRIPTS for name in re.findall(r'byId\("(\w+)"\)', script.read_text())}
    assert len(asked) > 20
    assert {f"lrsched_{name}" for name in asked} <= ids


class Menu(HTMLParser):
    """The entries of a menu: the data of each, with its label."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.entries: list[dict[str, str]] = []
        self.feed(page.page().partition(f'id="lrsched_{name}_menu"')[2].partition("</span>")[0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.entries.append({key.removeprefix("data-"): value or "" for key, value in attrs if key.startswith("data-")})

    def handle_data(self, data: str) -> None:
        if self.entries:
            self.entries[-1]["label"] = data


EXCHANGE = (REPOSITORY / "javascript" / "lrsched" / "planner" / "exchange.js").read_text()


@pytest.mark.parametrize(("menu", "formats"), [("copy_as", EXPORTERS), ("paste_from", IMPORTERS)])
def test_a_menu_offers_every_format_in_its_order_with_what_the_scripts_need(
    menu: str, formats: Mapping[str, Exporter | Importer]
) -> None:
    labels = {one.name: one.label for one in FORMATS}
    entries = Menu(menu).entries
    assert [(entry["format"], entry["label"]) for entry in entries] == [(name, labels[name]) for name in formats]
    assert [json.loads(entry["takes"]) for entry in entries] == [one.takes for one in formats.values()]
    assert [entry.get("example") for entry in entries] == [getattr(one, "example", None) for one in formats.values()]


@pytest.mark.parametrize(("part", "formats"), [("export", EXPORTERS), ("import", IMPORTERS)])
def test_every_option_that_a_format_takes_has_its_field(part: str, formats: Mapping[str, Exporter | Importer]) -> None:
    fields = dict(re.findall(r'(\w+): "(\w+)"', re.findall(rf"\n    {part}: {{(.*)}},\n", EXCHANGE)[0]))
    assert set(fields) == {option for one in formats.values() for option in one.takes}
    ids = set(Outline(page.page()).ids)
    assert {f"lrsched_{name}{end}" for name in fields.values() for end in ("", "_field")} <= ids


def test_the_scripts_name_no_format() -> None:
    quoted = re.compile(rf"""["'`]({'|'.join(one.name for one in FORMATS)})["'`]""")
    assert [(name_of(script), name) for script in SCRIPTS for name in quoted.findall(script.read_text())] == []


def test_a_label_from_outside_is_escaped() -> None:
    evil = '"><script>'
    values = {"default_text": evil, "default_steps": evil, "exports": [(evil, evil)], "export_data": {evil: {"takes": evil}}}
    values |= {"imports": [], "import_data": {}}
    assert "<script>" not in page.render(snippets=[page.Snippet(evil, evil, evil)], **values)


@pytest.mark.parametrize("snippet", page.SNIPPETS, ids=lambda snippet: snippet.label)
def test_a_snippet_is_a_schedule_that_needs_no_warning_but_one_about_its_end(snippet: page.Snippet) -> None:
    warnings = plan(snippet.text, total_steps=page.DEFAULT_STEPS).warnings
    assert all("stops the run" in warning.message for warning in warnings)  # a shape that wants another one after it


def test_the_first_text_needs_no_warning() -> None:
    assert plan(page.DEFAULT_TEXT, total_steps=page.DEFAULT_STEPS).warnings == ()


def name_of(script: Path) -> str:
    return script.relative_to(REPOSITORY / "javascript" / "lrsched").as_posix()


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_a_script_makes_no_markup_from_data(script: Path) -> None:
    text = script.read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)


def test_one_script_leaves_one_global_name() -> None:
    found = [(name_of(script), name) for script in SCRIPTS for name in re.findall(r"globalThis\.(\w+) = ", script.read_text())]
    assert found == [("main.js", "lrsched")]


PARTS = ("base", "chart", "editor", "train", "options", "trials", "planner", "compare", "runs", "main.js")
"""The folders of the scripts; each imports only from itself and from those before it."""


def imported(script: Path, source: str) -> list[Path]:
    return [(script.parent / path).resolve() for path in re.findall(r'^import .* from "(\..*)";$', source, re.MULTILINE)]


def upward(script: Path, source: str) -> list[str]:
    level = PARTS.index(name_of(script).split("/")[0])
    return [name_of(other) for other in imported(script, source) if PARTS.index(name_of(other).split("/")[0]) > level]


def test_scripts_import_only_downward() -> None:
    assert [(name_of(script), found) for script in SCRIPTS if (found := upward(script, script.read_text()))] == []
    assert upward(SCRIPTS[0].parent / "dom.js", 'import {Chart} from "../chart/chart.js";\n') == ["chart/chart.js"]


def test_no_two_scripts_import_each_other() -> None:
    graph = {script: imported(script, script.read_text()) for script in SCRIPTS}
    assert all(other in graph for found in graph.values() for other in found), "an import of a file that is not there"
    list(TopologicalSorter(graph).static_order())  # raises where there is a circle


def test_style_rules_reach_nothing_of_the_host_but_its_error_box() -> None:
    selectors = selectors_of((REPOSITORY / "style.css").read_text())
    assert len(selectors) > 100
    assert beyond_ours(selectors) == [".dark .lrsched", "#ti_error .error"]


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("button { color: red; }", ["button"]),
        (".lrsched, body { p { margin: 0; } }", ["body p"]),
        (".lrsched { color: red; .gradio & { color: red; } }", [".gradio .lrsched"]),
        ("main { .lrsched-card { color: red; } }", ["main .lrsched-card"]),
        (":is(.lrsched, .block) { p { margin: 0; } }", [":is(.lrsched, .block) p"]),
        ("button:not(.lrsched-button) { margin: 0; }", ["button:not(.lrsched-button)"]),
        ("body:has(.lrsched) { margin: 0; }", ["body:has(.lrsched)"]),
        (".lrsched { & ~ button, + p { margin: 0; } }", [".lrsched ~ button", ".lrsched + p"]),
        ("@media print { @container (width > 1px) { p { margin: 0; } } }", ["p"]),
        (".lrsched { @media print { body & { margin: 0; } } }", ["body .lrsched"]),
        ('.lrsched { p::before { content: "}"; } } /* } */ p { margin: 0; }', ["p"]),
    ],
)
def test_a_style_rule_that_reaches_the_host_is_found(rule: str, found: list[str]) -> None:
    assert beyond_ours(selectors_of(rule)) == found


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (".a { color: red; .b { p, &:hover { color: red } } }", [".a", ".a .b p", ".a .b:hover"]),
        (".a, .b { > p { color: red; } }", [".a > p", ".b > p"]),
        (".a { b& { color: red; } }", ["b.a"]),
        (".a { :is(p, :not(i, b)) { color: red; } }", [".a :is(p, :not(i, b))"]),
        (".a { @media print { color: red; .b { color: red; } } }", [".a", ".a .b"]),
        ("@container a (width > 1px) { .a:is(.b, .c) { color: red; } }", [".a:is(.b, .c)"]),
    ],
)
def test_nested_selectors_are_put_together_as_a_browser_does(rule: str, expected: list[str]) -> None:
    assert selectors_of(rule) == expected


def selectors_of(sheet: str) -> list[str]:
    """The selectors of a style sheet that declare something, with those of the rules around them put in."""
    bare = re.sub(r'/\*.*?\*/|(")[^"]*"', r"\1\1", sheet, flags=re.DOTALL)  # what comments and strings hold is not syntax
    found: dict[str, None] = {}
    around: list[list[str]] = [[]]
    for text, mark in re.findall(r"([^{};]*)([{};])", bare):
        if mark == "{":
            is_nested = not text.strip().startswith("@")
            around.append(nested(around[-1], text) if is_nested else around[-1])
        elif text.strip():
            found.update(dict.fromkeys(around[-1]))
        if mark == "}":
            around.pop()
    assert around == [[]], "braces that do not match"
    return list(found)


def nested(outer: list[str], text: str) -> list[str]:
    """What a rule inside others selects: & is the outer selector, which otherwise stands before the inner one."""
    whole = [one if "&" in one or not outer else f"& {one}" for one in split_commas(text)]
    return [one.replace("&", out) for out in outer or [""] for one in whole]


def split_commas(selector: str) -> list[str]:
    """The selectors of a list, not cut inside :is(...)."""
    line = " ".join(selector.split())
    depths = accumulate((char == "(") - (char == ")") for char in line)
    cut = "".join("\n" if char == "," and depth == 0 else char for char, depth in zip(line, depths, strict=True))
    return [one.strip() for one in cut.split("\n")]


def beyond_ours(selectors: list[str]) -> list[str]:
    """Those that do not begin at an element of ours, or that go from it to what stands beside it."""
    return [one for one in selectors if not is_ours(one)]


def is_ours(selector: str) -> bool:
    """What stands in :is(...), :not(...) or :has(...) does not make an element ours."""
    while "(" in selector:
        selector = re.sub(r"\([^()]*\)", "", selector)
    return re.match(r"[^\s>+~]*[.#]lrsched(?![a-z])[^\s>+~]*(?!\s*[+~])(?=[\s>]|$)", selector) is not None
