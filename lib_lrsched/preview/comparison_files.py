"""A comparison as what a spreadsheet reads, and its numbers in words for people. It has no paths in it, see comparison.py."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ._learning import percent
from .svg_chart import Series, line_chart

AXIS_WORDS = {"step": "updates made", "images": "images shown", "time": "time trained"}
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula. A title may come from somebody else, with an imported run."""

LOWEST_SHARE = -1.0
"""A run that is ruined would press all others together: what is worse than twice the loss of the start is drawn at the edge."""

MINUTE_S, HOUR_S = 60, 3600


def runs_csv(comparison: Mapping[str, Any]) -> str:
    """A line for each run: what came out and its settings."""
    runs, columns = comparison["runs"], [*comparison["outcomes"], *comparison["settings"]]
    columns = [column for column in columns if column["field"] not in ("kind", "name")]
    rows = [["id", "kind", "name", "title", "note", *(column["field"] for column in columns)]]
    for place, run in enumerate(runs):
        own = [run[name] for name in ("id", "kind", "name", "title", "note")]
        rows.append([*own, *(column["values"][place] for column in columns)])
    return _csv(rows)


def curves_csv(comparison: Mapping[str, Any]) -> str:
    """A line for each point of each curve."""
    rows: list[list[Any]] = [["id", "title", "curve", comparison["over"], "value"]]
    for run in comparison["runs"]:
        for name, field in (("progress", "curve"), ("validation", "validation"), ("smoothed loss", "loss")):
            rows += [[run["id"], run["title"], name, x, y] for x, y in run[field]]
    return _csv(rows)


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    target = io.StringIO()
    csv.writer(target).writerows([[_cell(value) for value in row] for row in rows])
    return target.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value


# For a page ---------------------------------------------------------------------------------------


def named(run: Mapping[str, Any]) -> str:
    """What a run is called: by its title, else by the name of what it trained and its beginning."""
    return run["title"] or f"{run['name']}, {run['id'][:15]}"


def charts(comparison: Mapping[str, Any]) -> list[dict[str, str]]:
    """The charts of a comparison as SVG, those that have something to show."""
    runs, over = comparison["runs"], comparison["over"]

    def drawn(title: str, field: str, words: Callable[[float], str], *, dots: bool = False) -> dict[str, str]:
        low = float("-inf") if field == "loss" else LOWEST_SHARE
        series = [Series(named(run), [(x, max(y, low)) for x, y in run[field]], style) for style, run in enumerate(runs)]
        if dots:
            series += [one._replace(dots=True) for one in series]
        return {"title": title, "svg": line_chart(series, title, AXIS_WORDS[over], words, lambda x: axis_words(over, x))}

    found = [drawn("Progress: the share of the loss that is gone, on the same noise", "curve", _whole_percent),
             drawn("Validation: the share that is gone on a fixed set of images", "validation", _whole_percent, dots=True)]
    if not found[0]["svg"]:
        found.append(drawn("Smoothed loss, each run on its own noise", "loss", lambda value: f"{value:.3g}"))
    return [one for one in found if one["svg"]]


def _whole_percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def axis_words(over: str, x: float) -> str:
    """A number of an axis as it is read."""
    return duration(x) if over == "time" else f"{x:,.0f}"


def words(kind: str, value: Any) -> str:
    """A value of a table as it is read; empty for one that is not known.

    >>> words("share", 0.38), words("seconds", 5400), words("bytes", 1536), words("text", None)
    ('38 %', '1 h 30 min', '1.5 kB', '')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    kinds: dict[str, Callable[[Any], str]] = {
        "share": percent, "seconds": duration, "bytes": size, "time": moment, "count": lambda count: f"{count:,}",
        "number": lambda number: f"{number:g}",
    }
    return kinds.get(kind, str)(value)


def duration(seconds: float) -> str:
    """
    >>> duration(59), duration(90), duration(7260)
    ('59 s', '1 min 30 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min" + (f" {whole % MINUTE_S} s" if whole % MINUTE_S else "")
    return f"{whole // HOUR_S} h" + (f" {whole % HOUR_S // MINUTE_S} min" if whole % HOUR_S >= MINUTE_S else "")


def size(size_bytes: float) -> str:
    """
    >>> size(12), size(30_500_000)
    ('12 B', '29.1 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1024 or unit == "GB":
            break
        size_bytes /= 1024
    return f"{size_bytes:.3g} {unit}"


def moment(time_s: float) -> str:
    """A moment by the clock of this machine; empty for one that no calendar has."""
    try:
        return datetime.fromtimestamp(time_s).astimezone().strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):
        return ""
