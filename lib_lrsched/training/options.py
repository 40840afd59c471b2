"""The options of a run: what is chosen for one training, beside the inputs of the host's own form.

Each is described once, in the field of Options. The flags of `train`, the rows of the settings page, the endpoint and the page are
made of that.

What is in force for a training:

    the settings page    for a new run
    the run's own        where one is resumed: they are kept in its run.json
    what was chosen      for this training, on the page, by the endpoint or by a flag; it comes before both

To add one: a field here. Its setting is ``lrsched_NAME``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from math import inf
from typing import Any, NamedTuple

from lib_lrsched.errors import RequestError
from lib_lrsched.schedule import by_timestep
from lib_lrsched.storage.run_state import KINDS

Value = int | float | bool | str

MOST_UPDATES = 10**9
GOT_CHARS = 60
"""So much of a wrong value stands in a message."""


@dataclass(frozen=True)
class Option:
    """What there is to say of one option.

    Attributes:
        label: for forms.
        meaning: what it does, and what is usual.
        default: where the settings page says nothing. 0, false and the empty text are off.
        high: the highest number; with ``open_high`` all numbers are below it.
        takes_0: whether its flag takes a 0; the others say "off", so that a slip is no silent off.
        changes_training: whether the weights are others with another value.
        kinds: that it is for.
        usual: what a form offers where it is off; None where it offers nothing.
        needs: the option without which it does nothing.
        timesteps: of how many timesteps its text is a schedule; 0 where it is none.
        trouble: what is wrong with a value of the right type; empty where nothing is.
    """

    name: str
    label: str
    meaning: str
    default: Value
    high: float = inf
    open_high: bool = False
    takes_0: bool = False
    changes_training: bool = False
    kinds: tuple[str, ...] = KINDS
    usual: Value | None = None
    needs: str = ""
    timesteps: int = 0
    trouble: Callable[[Any], str] = lambda _: ""

    @property
    def type(self) -> str:
        """One of switch, whole, number and text."""
        return {bool: "switch", int: "whole", float: "number", str: "text"}[type(self.default)]

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def expected(self) -> str:
        """What a value has to be, in words."""
        if self.type in ("switch", "text"):
            return {"switch": "true or false", "text": "a text"}[self.type]
        return self._number_from(0)

    @property
    def expected_of_flag(self) -> str:
        """The same, of what is written after its flag."""
        if self.takes_0:
            return self.expected
        return self.expected if self.type in ("switch", "text") else f"{self._number_from(1)}, or off"

    def _number_from(self, low: int) -> str:
        most = "" if self.high == inf else f"{' and below' if self.open_high else ' to'} {int(self.high)}"
        if self.type == "whole":
            return f"a whole number from {low}{most}"
        return f"a number {'above 0' if low else 'from 0'}{most}"

    def value(self, given: Any) -> Value:
        """A value as it is kept.

        Raises:
            RequestError: it is of another type, or out of range.
        """
        if not self._holds(given):
            raise RequestError(f"{self.name}: expected {self.expected}, got {_shown(given)}")
        value: Value = given.strip() if isinstance(given, str) else type(self.default)(given)
        trouble = self.trouble(value)
        if trouble:
            raise RequestError(f"{self.name}: {trouble}")
        return value

    def _holds(self, given: Any) -> bool:
        if self.type in ("switch", "text"):
            return isinstance(given, type(self.default))
        is_number = isinstance(given, int if self.type == "whole" else (int, float)) and not isinstance(given, bool)
        return is_number and 0 <= given < inf and (given < self.high if self.open_high else given <= self.high)

    def described(self) -> dict[str, Any]:
        """For JSON."""
        plain = ("name", "label", "meaning", "type", "default", "flag", "open_high", "usual", "needs", "timesteps")
        named = {name: getattr(self, name) for name in plain}
        return {**named, "low": 0, "high": None if self.high == inf else self.high, "kinds": list(self.kinds)}


def _option(default: Value, label: str, meaning: str, **more: Any) -> Any:
    return field(default=default, metadata={"label": label, "meaning": meaning, **more})


@dataclass(frozen=True)
class Options:
    """The options of one run; see the module."""

    progress_every: int = _option(
        8, "Measure progress every N updates",
        ("how much of the loss is gone, on the same noise: one more pass through the model each time; 1, 2, 4, 8 or 16 are usual; "
         "0: never"), high=MOST_UPDATES, takes_0=True)
    max_norm: float = _option(
        0.0, "Limit the norm of an embedding's vectors",
        ("each norm is limited to this many times its value at the start of the run, or this many times 0.05 * sqrt(width) if "
         "that is larger; 2 to 4 are usual; 0: no limit; hypernetworks have none"),
        takes_0=True, changes_training=True, kinds=("embedding",))
    validate_every: int = _option(
        0, "Validate every N updates",
        ("the loss on a fixed set of images, timesteps and noise, against that at the start; the images are those of the folder "
         "validation in the data set, else the ones trained on; 0: never"), high=MOST_UPDATES, usual=100)
    stop_after: int = _option(
        0, "Stop when validation has not improved N times in a row", "it ends with a save, and the best state is kept; 0: never",
        high=MOST_UPDATES, needs="validate_every")
    ema: float = _option(
        0.0, "Average of the weights: decay",
        "an average of the weights is kept beside them and saved as NAME-ema; 0.98 to 0.999 are usual; 0: none", high=1.0,
        open_high=True)
    spread_timesteps: bool = _option(
        False, "Evenly spread timesteps", "timesteps cover the noise scale evenly instead of being drawn", changes_training=True)
    rate_by_timestep: str = _option(
        "", "Rate by timestep", "a schedule over the timesteps 0 to 999, a factor of each update's rate; empty: none",
        changes_training=True, timesteps=by_timestep.TIMESTEPS, trouble=by_timestep.trouble)
    loss_by_timestep: str = _option(
        "", "Loss by timestep", "a schedule over the timesteps 0 to 999, a weight of each image's loss; empty: none",
        changes_training=True, timesteps=by_timestep.TIMESTEPS, trouble=by_timestep.trouble)


OPTIONS: Mapping[str, Option] = {
    one.name: Option(one.name, default=getattr(Options, one.name), **one.metadata) for one in fields(Options)
}
"""What there is to say of each, by name."""


class ActiveOptions(NamedTuple):
    """The options in force for a training, and where they come from.

    Attributes:
        defaults: of the settings page.
        chosen: for this training.
        run: the id of the run that is resumed; None for a new one.
    """

    options: Options
    defaults: Options
    chosen: Mapping[str, Any]
    run: str | None


def values(options: Options) -> dict[str, Value]:
    """As they are kept in run.json, and for JSON."""
    return asdict(options)


def with_chosen(base: Options, given: Mapping[str, Any]) -> Options:
    """Options with some of their values replaced.

    Raises:
        RequestError: a name or a value that is wrong, or one that would do nothing.
    """
    unknown = next((name for name in given if name not in OPTIONS), None)
    if unknown is not None:
        raise RequestError(f"options: expected some of {', '.join(OPTIONS)}, got {_shown(unknown)}")
    chosen: dict[str, Any] = {name: OPTIONS[name].value(value) for name, value in given.items()}
    found = replace(base, **chosen)
    idle = next((one for name, one in OPTIONS.items() if given.get(name) and one.needs and not getattr(found, one.needs)), None)
    if idle is not None:
        raise RequestError(f"{idle.name}: it does nothing without {idle.needs}: give {idle.needs} too")
    return found


def with_stored(base: Options, stored: Mapping[str, Any]) -> Options:
    """Options with those that a run has kept. What cannot be, as in a file of another version, is passed over."""
    found: dict[str, Any] = {}
    for name, value in stored.items():
        try:
            if name in OPTIONS:
                found[name] = OPTIONS[name].value(value)
        except RequestError:  # noqa: PERF203 each for itself
            continue
    return replace(base, **found)


def changing_training(options: Options, kind: str) -> dict[str, str]:
    """Those that change what is trained, in words, empty where they are off: what a run that resumes is compared by."""
    changing = {name: getattr(options, name) if kind in one.kinds else "" for name, one in OPTIONS.items() if one.changes_training}
    return {name: _in_words(value) if value else "" for name, value in changing.items()}


def _in_words(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else "on" if value is True else str(value)


def _shown(value: Any) -> str:
    said = json.dumps(value, default=repr)
    return said if len(said) <= GOT_CHARS else f"{said[:GOT_CHARS]}..."
