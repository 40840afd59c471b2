"""The tab's markup: the template tab.html and what is filled into it. The scripts in javascript/ bring it to life."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from lib_lrsched.formats.examples import EXAMPLES
from lib_lrsched.schedule.shapes import ENTRIES

DEFAULT_TEXT = "warmup(0.005):5%, cosine(0.005, 1e-5)"
DEFAULT_STEPS = 2000


class Snippet(NamedTuple):
    """A shape to put at the cursor: what the button shows, what it inserts, what it does."""

    label: str
    text: str
    title: str


SNIPPETS = tuple(Snippet(shape.name, shape.button, shape.summary) for shape in ENTRIES)

EXPORTS = (
    ("a1111", "plain WebUI text"), ("pytorch", "PyTorch"), ("diffusers", "diffusers"),
    ("deepspeed", "DeepSpeed"), ("kohya", "kohya sd-scripts"),
)  # fmt: skip
IMPORTS = (
    ("a1111", "plain WebUI text"), ("diffusers", "diffusers"), ("deepspeed", "DeepSpeed"), ("kohya", "kohya sd-scripts"),
    ("onetrainer", "OneTrainer"),
)  # fmt: skip
"""What the menus offer: the server's name of the format, and ours."""


TEMPLATE = "tab.html"


def page() -> str:
    """The whole tab: editor and chart side by side, the runs below."""
    return render(
        default_text=DEFAULT_TEXT, default_steps=DEFAULT_STEPS, snippets=SNIPPETS, exports=EXPORTS, imports=IMPORTS,
        examples=EXAMPLES,
    )  # fmt: skip


def render(template: str = TEMPLATE, /, **values: Any) -> str:
    """A template with these values, which are escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent, encoding="utf-8")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template(template).render(values)
