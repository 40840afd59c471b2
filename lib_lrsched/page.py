"""The tab's markup: the template tab.html and what is filled into it. The scripts in javascript/ bring it to life."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

DEFAULT_TEXT = "warmup(0.005):5%, cosine(0.005, 1e-5)"
DEFAULT_STEPS = 2000


class Snippet(NamedTuple):
    """A shape to put at the cursor: what the button shows, what it inserts, what it does."""

    label: str
    text: str
    title: str


SNIPPETS = (
    Snippet("constant", "0.005", "One rate"),
    Snippet("linear", "linear(0.005, 1e-5)", "A straight line from one rate to the other"),
    Snippet("cosine", "cosine(0.005, 1e-5)", "Half a cosine from one rate to the other"),
    Snippet("exp", "exp(0.005, 1e-5)", "The same factor at every step"),
    Snippet("poly", "poly(0.005, 1e-5, power=2)", "A power of the time that is left"),
    Snippet("warmup", "warmup(0.005):5%", "Rises to the rate, reached on its last step"),
    Snippet("step", "step(0.005, every=20%, gamma=0.5)", "Times gamma at every so many steps"),
    Snippet("decay", "decay(0.005, 0.999)", "Times gamma at every step"),
    Snippet("inverse_sqrt", "inverse_sqrt(0.005, timescale=100)", "Falls with the square root of time"),
    Snippet("rex", "rex(0.005, 1e-5)", "Stays high for long, then falls fast"),
    Snippet("cyclic", "cyclic(1e-4, 0.005, step_size=10%)", "Up and down in triangles"),
    Snippet("restarts", "restarts(0.005, 1e-5, t_0=25%)", "Cosine with warm restarts"),
    Snippet("onecycle", "onecycle(0.005)", "One rise, one fall to almost nothing"),
    Snippet("wsd", "wsd(0.005, 1e-5)", "Warm-up, hold, decay"),
    Snippet("repeat", "repeat(3, 0.005:100, 1e-3:+100)", "Its items again and again"),
    Snippet("plateau", "plateau(0.005, patience=50, every=10)", "Falls when the loss stops improving"),
    Snippet("range_test", "range_test(1e-6, 0.1)", "Looks for a rate: from low to high"),
)


EXPORTS = (
    ("a1111", "WebUI phases"), ("pytorch", "PyTorch"), ("diffusers", "diffusers"),
    ("deepspeed", "DeepSpeed"), ("kohya", "sd-scripts"),
)  # fmt: skip
IMPORTS = (("a1111", "WebUI phases"), ("diffusers", "diffusers"), ("deepspeed", "DeepSpeed"), ("kohya", "sd-scripts"))
"""What the menus offer: the server's name of the format, and ours."""


TEMPLATE = "tab.html"


def page() -> str:
    """The whole tab: editor and chart side by side, the runs below."""
    return render(
        default_text=DEFAULT_TEXT, default_steps=DEFAULT_STEPS, snippets=SNIPPETS, exports=EXPORTS, imports=IMPORTS,
    )  # fmt: skip


def render(**values: Any) -> str:
    """The template with these values, which are escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent, encoding="utf-8")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template(TEMPLATE).render(values)
