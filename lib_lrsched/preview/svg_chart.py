"""Curves as one SVG element, for a page that has to stand by itself: no script, no font, no address in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from math import ceil, floor, isfinite, log10
from typing import NamedTuple

WIDTH, HEIGHT = 960, 380
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 14, 44
TICKS = 6

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#8c8c8c")
"""Okabe and Ito's, but for yellow and black, which one of the two themes hides; in the order of the tab's own, and as many."""

DASHES = ("", "7 4", "2 4", "10 4 2 4")
"""Of the curves that come after all colours were used."""


class Series(NamedTuple):
    """A curve or, with `dots`, single points; `style` numbers its colour and dash, so that two may share them."""

    name: str
    points: Sequence[Sequence[float]]
    style: int = 0
    dots: bool = False


def colour(style: int) -> str:
    return COLOURS[style % len(COLOURS)]


def stroke(style: int) -> str:
    """The look of a curve as attributes of an SVG element."""
    dash = DASHES[style // len(COLOURS) % len(DASHES)]
    return f'stroke="{colour(style)}" stroke-width="1.8"' + (f' stroke-dasharray="{dash}"' if dash else "")


def swatch(style: int) -> str:
    """A short piece of a curve, for a legend."""
    return f'<svg class="key" viewBox="0 0 24 8" aria-hidden="true"><path d="M0 4H24" fill="none" {stroke(style)}/></svg>'


def line_chart(series: Sequence[Series], title: str, x_label: str, y_words: Callable[[float], str],
               x_words: Callable[[float], str]) -> str:
    """The curves on common axes; an empty text where there is nothing to draw.

    Args:
        title: for who does not see it.
        y_words, x_words: a number at an axis as it is read.
    """
    points = [(x, y) for one in series for x, y in one.points if isfinite(x) and isfinite(y)]
    if not points:
        return ""
    x_axis, y_axis = (_Axis.around(values) for values in zip(*points, strict=True))

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + x_axis.share(x) * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y_axis.share(y) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" font-size="12">']
    for tick in y_axis.ticks:
        _, y = at(x_axis.low, tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="currentColor" stroke-opacity=".18"/>'
                     f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="currentColor">{escape(y_words(tick))}</text>')
    for tick in x_axis.ticks:
        x, _ = at(tick, y_axis.low)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" fill="currentColor">'
                     f"{escape(x_words(tick))}</text>")
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle" fill="currentColor">'
                 f"{escape(x_label)}</text>")
    parts += [_drawn(one, at) for one in series]
    return "".join([*parts, "</svg>"])


def _drawn(one: Series, at: Callable[[float, float], tuple[float, float]]) -> str:
    places = [at(x, y) for x, y in one.points if isfinite(x) and isfinite(y)]
    title = f"<title>{escape(one.name)}</title>"
    if one.dots or len(places) == 1:
        dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places)
        return f'<g fill="{colour(one.style)}">{title}{dots}</g>'
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polyline fill="none" {stroke(one.style)} points="{line}">{title}</polyline>'


class _Axis(NamedTuple):
    """A range with round ticks in it."""

    low: float
    high: float
    ticks: list[float]

    @classmethod
    def around(cls, values: Sequence[float]) -> _Axis:
        low, high = min(values), max(values)
        if low == high:
            low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
        step = _round_step((high - low) / TICKS)
        ticks = [number * step for number in range(ceil(low / step), floor(high / step) + 1)]
        return cls(low, high, ticks)

    def share(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)


def _round_step(step: float) -> float:
    """The next of 1, 2, 5 times a power of ten.

    >>> _round_step(0.13), _round_step(300.0)
    (0.2, 500.0)
    """
    power = 10.0 ** floor(log10(step))
    return next(float(f"{factor * power:.12g}") for factor in (1, 2, 5, 10) if factor * power >= step)
