"""The tab's markup: the template tab.html and what is filled into it. The scripts in javascript/ bring it to life."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from lib_lrsched.formats.registry import EXPORTERS, FORMATS, IMPORTERS
from lib_lrsched.schedule.shapes import ENTRIES

DEFAULT_TEXT = "warmup(0.005):5%, cosine(0.005, 1e-5)"
DEFAULT_STEPS = 2000


class Snippet(NamedTuple):
    """A shape to put at the cursor: what the button shows, what it inserts, what it does."""

    label: str
    text: str
    title: str


SNIPPETS = tuple(Snippet(shape.name, shape.button, shape.summary) for shape in ENTRIES)

EXPORTS = tuple((one.name, one.label) for one in FORMATS if one.exporter is not None)
IMPORTS = tuple((one.name, one.label) for one in FORMATS if one.importer is not None)
"""What the menus offer: the server's name of the format, and ours."""

EXPORT_DATA = {name: {"takes": json.dumps(one.takes)} for name, one in EXPORTERS.items()}
IMPORT_DATA = {name: {"takes": json.dumps(one.takes), "example": one.example} for name, one in IMPORTERS.items()}
"""What the scripts read of an entry: the options, each with what its empty field shows, and an example for the empty box."""


TEMPLATE = "tab.html"


def page() -> str:
    """The whole tab: editor and chart side by side, the runs below."""
    return render(
        default_text=DEFAULT_TEXT, default_steps=DEFAULT_STEPS, snippets=SNIPPETS, exports=EXPORTS, imports=IMPORTS,
        export_data=EXPORT_DATA, import_data=IMPORT_DATA,
    )  # fmt: skip


def render(template: str = TEMPLATE, /, **values: Any) -> str:
    """A template with these values, which are escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent, encoding="utf-8")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template(template).render(values)
