"""Names that other programs have for shapes and parameters: hints for error texts, never words of the language.

What they call a shape stands in its entry.
"""

from __future__ import annotations

from collections.abc import Iterable

from lib_lrsched.language.parser import parse
from lib_lrsched.language.suggest import LONGEST_NAME
from lib_lrsched.language.tree import Schedule

from .shapes import SHAPES

_ITEMS = {
    "warmup(v):N, v": ("constantwithwarmup",),
    "warmup(v):N, linear(0)": ("linearwithwarmup", "warmupdecay", "warmuplinear"),
    "warmup(v):N, cosine(0)": ("cosinewithwarmup", "warmupcosine"),
    "warmup(v):N, poly(0)": ("polynomialwithwarmup",),
    "v:N, w:M, ...": ("multistep", "piecewise", "piecewiseconstant"),
}
"""What other programs have one name for and this language several items."""

_BY_NAME = {theirs: ours for ours, names in _ITEMS.items() for theirs in names}
_BY_NAME |= {theirs: shape.name for shape in SHAPES.values() for theirs in shape.other_names}

_PARAMETERS = {
    ("b", "floor", "min", "low"): ("etamin", "minlr", "lrmin", "lrend", "endlr", "finallr", "lrfinal", "end", "minrate"),
    ("v", "a", "peak", "max_lr", "high"): ("lr", "learningrate", "rate", "value", "initiallr", "initlr", "maxlr", "lrmax", "peaklr",
                                           "etamax", "peak"),
    ("low", "v", "a", "peak", "max_lr"): ("baselr",),
    ("start", "a", "low"): ("startlr", "warmupstartlr", "warmupinitlr"),
    ("t_0", "step_size", "every"): ("t0", "tinitial", "period", "cyclelength", "cyclesteps", "firstcyclesteps"),
    ("t_mult",): ("tmult", "cyclemult", "cyclemul"),
    ("cycles",): ("cycles", "numcycles", "ncycles", "cyclelimit", "lrschedulernumcycles"),
    ("peak_decay",): ("cycledecay", "gamma"),
    ("warmup",): ("warmup", "warmupsteps", "numwarmupsteps", "warmupt", "lrwarmupsteps", "warmupiters"),
    ("every", "step_size"): ("stepsize", "decaysteps"),
    ("step_size",): ("stepsizeup",),
    ("gamma", "factor"): ("decayrate", "decay", "multiplier", "factor"),
    ("decay",): ("numdecaysteps", "decaysteps"),
    ("power",): ("exponent", "lrschedulerpower"),
    ("anneal",): ("annealstrategy",),
}
_LENGTHS = frozenset({"tmax", "totalsteps", "totaliters", "numtrainingsteps", "maxsteps", "maxiters", "steps", "nsteps", "iters",
                      "decaysteps", "duration", "length", "epochs", "n"})  # fmt: skip


def read(text: str) -> Schedule:
    """The tree of a text. Its errors know what another program's name of a shape means.

    Raises:
        ScheduleError: the text has no form.
    """
    return parse(text, familiar_shape)


def familiar_shape(word: str) -> str | None:
    """What another program's schedule is called here: a shape, or items where it takes two; None for a name that is unknown.

    >>> familiar_shape("polynomial"), familiar_shape("CosineAnnealingWarmRestarts"), familiar_shape("constant_with_warmup")
    ('poly', 'restarts', 'warmup(v):N, v')
    """
    plain = _plain(word)
    meant = _BY_NAME.get(plain) or _BY_NAME.get(plain.removesuffix("scheduler").removesuffix("lr"))
    return None if meant == word else meant


def familiar_parameter(word: str, names: Iterable[str]) -> str | None:
    """Which of a shape's parameters another program's name means.

    >>> familiar_parameter("eta_min", ["a", "b"]), familiar_parameter("T_0", ["peak", "t_0"])
    ('b', 't_0')
    """
    there, plain = list(names), _plain(word)
    candidates = (ours for row, theirs in _PARAMETERS.items() if plain in theirs for ours in row)
    return next((ours for ours in candidates if ours in there), None)


def is_a_length(word: str) -> bool:
    """Whether other programs call the number of steps so, which here is an item's end."""
    return _plain(word) in _LENGTHS


def is_a_warmup(word: str) -> bool:
    return _plain(word) in _PARAMETERS["warmup",]


def _plain(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "") if len(word) <= LONGEST_NAME else ""
