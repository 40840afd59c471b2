"""The tab's markup and what the scripts expect of it."""

from __future__ import annotations

import re
from graphlib import TopologicalSorter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lib_lrsched import page, plan

REPOSITORY = Path(__file__).resolve().parents[1]
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


def test_a_label_from_outside_is_escaped() -> None:
    evil = '"><script>'
    values = {"default_text": evil, "default_steps": evil, "exports": [(evil, evil)], "imports": []}
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


PARTS = ("base", "chart", "editor", "train", "planner", "runs", "main.js")
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
    text = re.sub(r"/\*.*?\*/", "", (REPOSITORY / "style.css").read_text(), flags=re.DOTALL)
    text = re.sub(r"@(media|container)[^{]*\{((?:[^{}]*\{[^{}]*\})*)\s*\}", r"\2", text)
    selectors = [part.strip() for block in re.findall(r"([^{}]+)\{", text) for part in split_commas(block)]
    assert len(selectors) > 100
    assert [one for one in selectors if "lrsched" not in one.split()[0]] == ["#ti_error .error", ".dark .lrsched"]


def split_commas(selector: str) -> list[str]:
    """The selectors of a list, not cut inside :is(...)."""
    return re.split(r",(?![^()]*\))", selector)
