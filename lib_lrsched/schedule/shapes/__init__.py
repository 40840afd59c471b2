"""The registry of shapes. A shape is one entry, which holds everything that the program knows about it.

To add a shape:

1. Write its entry in the file of its family: the curve, the same formula in plain Python, and a ``Shape`` with every field.
   ``entry.py`` says what the fields mean.
2. Add it to ``ENTRIES`` below. The buttons of the tab follow this order.
3. Write its section on the page that the entry names, with an image from ``docs/make_plots.py``; ``docs/make_tables.py``
   fills in the table of parameters. Add it to the tables of shapes in ``docs/README.md`` and where the language is described.

The planner, error texts, forms, buttons, chart handles, exports and tables read the entries.
``tests/schedule/test_shape_entries.py`` names whatever an entry lacks; docs/contributing.md has the whole list, with the tests.
"""

from __future__ import annotations

from .cosine import COSINE, ONECYCLE, RESTARTS, REX, WSD
from .cyclic import CYCLIC, RANGE_TEST
from .entry import REQUIRED, Built, Param, Shape, ShapeError, Torch
from .feedback import PLATEAU
from .piecewise import CONSTANT, DECAY, EXP, LINEAR, POLY, STEP
from .repeat import REPEAT
from .warmup import INVERSE_SQRT, WARMUP

__all__ = ["ENTRIES", "REPEAT", "REQUIRED", "SHAPES", "WARMUP", "Built", "Param", "Shape", "ShapeError", "Torch"]

ENTRIES: tuple[Shape, ...] = (
    CONSTANT, LINEAR, COSINE, EXP, POLY, WARMUP, STEP, DECAY, INVERSE_SQRT, REX, CYCLIC, RESTARTS, ONECYCLE, WSD, REPEAT, PLATEAU,
    RANGE_TEST,
)  # fmt: skip
"""Every shape, in the order in which they are shown."""

SHAPES: dict[str, Shape] = {shape.name: shape for shape in ENTRIES if shape is not REPEAT}
"""Every shape that takes values. ``repeat`` takes items, and the planner lays them out."""
