"""Writes the parameter tables of the shapes and the table of formats into the pages: `python docs/make_tables.py`.

A table stands between the comments `<!-- parameters: NAME -->`, or `<!-- formats -->`, and `<!-- end -->`. It is made from the
registry of shapes that the planner reads, or from that of formats.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib_lrsched.formats.registry import FORMATS, Exporter, Format, Importer
from lib_lrsched.preview.forms import describe_shapes

FOLDER = Path(__file__).resolve().parent
KINDS = {"rate": "rate", "number": "number", "whole": "whole number", "time": "steps, %, ep, img", "flag": "yes, no",
         "items": "segments"}  # fmt: skip
HEAD = "| parameter | takes | default | meaning |\n|---|---|---|---|\n"
PLACE = re.compile(r"(<!-- parameters: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
FORMATS_HEAD = "| format | in the tab | export | import |\n|---|---|---|---|\n"
FORMATS_PLACE = re.compile(r"(<!-- formats -->\n).*?(<!-- end -->)", re.DOTALL)


def with_tables(page: str) -> str:
    """The page with its tables made again."""
    page = FORMATS_PLACE.sub(lambda match: match[1] + FORMATS_HEAD + "".join(map(_format_row, FORMATS)) + match[2], page)
    shapes = {shape["name"]: shape["params"] for shape in describe_shapes()}
    return PLACE.sub(lambda match: match[1] + HEAD + "".join(map(_row, shapes[match[2]])) + match[3], page)


def _row(p: dict[str, Any]) -> str:
    names = " or ".join(f"`{word}`" for word in p["words"])
    return f"| {names} | {_takes(p)} | {_default(p)} | {p['meaning']} |\n"


def _takes(p: dict[str, Any]) -> str:
    if p["choices"]:
        return ", ".join(f"`{choice}`" for choice in p["choices"])
    return ", ".join(filter(None, (KINDS[p["kind"]], _limits(p))))


def _limits(p: dict[str, Any]) -> str:
    if p["kind"] in ("flag", "items"):
        return ""
    low = "" if not p["low"] and not p["open_low"] else f"{'above' if p['open_low'] else 'from'} {p['low']:g}"
    high = "" if p["high"] is None else f"{'below' if p['open_high'] else 'to'} {p['high']:g}"
    return f"{low} {high}".strip()


def _default(p: dict[str, Any]) -> str:
    if p["required"]:
        return "has to be given"
    if p["default"] is None:
        return "see meaning"
    return f"`{p['default']:g}`" if p["kind"] in ("rate", "number", "whole") else f"`{_word(p['default'])}`"


def _word(default: Any) -> str:
    return {True: "yes", False: "no"}[default] if isinstance(default, bool) else str(default)


def _format_row(one: Format) -> str:
    return f"| [`{one.name}`](#{one.name}) | {one.label} | {_direction(one.exporter)} | {_direction(one.importer)} |\n"


def _direction(one: Exporter | Importer | None) -> str:
    """Whether there is one, with the options that it takes."""
    if one is None:
        return "no"
    return ", ".join(["yes", *(f"`--{name.replace('_', '-')}`" for name in one.takes)])


def main() -> None:
    """Rewrites every page that has a table."""
    for path in sorted(FOLDER.glob("*.md")):
        page = path.read_text(encoding="utf-8")
        if page != with_tables(page):
            path.write_text(with_tables(page), encoding="utf-8")
            print(path.name)


if __name__ == "__main__":
    main()
