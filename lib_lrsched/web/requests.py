"""The requests of the endpoints: one pydantic model for each JSON body and for each set of parameters in an address.

FastAPI checks what comes against the model in an endpoint's signature. Only labels, profiles and options are checked elsewhere, by
rules that they share with the command line. Of each field the model says in words what it expects (its description), and
``refusal`` makes the message from that:
``total_steps: expected a whole number from 1 to 1000000000, got "5"``.

Only what pydantic 1.10 (the WebUI) and 2 (Forge) both have is used here. The types are strict: left to itself, pydantic 1 reads
5.7 as 5, true as 1, "nan" as a float and a list of pairs as an object. Fields that no model knows are ignored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from sys import float_info
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field, StrictBool, StrictInt, StrictStr, confloat, conint, constr, validator

from lib_lrsched.preview.comparison import AXES, Over
from lib_lrsched.preview.curve import MAX_POINTS, MAX_STEPS, MAX_TEXTS, CurveRequest
from lib_lrsched.schedule.counting import Counts, count_steps
from lib_lrsched.schedule.running_average import SMOOTHING
from lib_lrsched.storage.history import MAX_STEP
from lib_lrsched.storage.resume import CHOICES, Choice
from lib_lrsched.storage.run_state import Kind
from lib_lrsched.storage.trial_store import MOST_UPDATES, TrialState
from lib_lrsched.storage.trial_store import STATES as TRIAL_STATES

MAX_EXPORTED_STEPS = 1_000_000
"""The server exports runs of up to so many; the command line longer ones."""

MOST_COMPARED = 20
LEAST_WIDTH, MOST_WIDTH = 16, 1024
"""Of a thumbnail, in pixels."""

NO_OBJECT = "expected a JSON object, sent as application/json"
GOT_CHARS = 100
"""So much of a wrong value stands in a message."""

MOST = int(float_info.max)
"""The largest whole number that a float can hold."""

MOST_CANDIDATES, MOST_FACTOR = 50, 10**9
MOST_IMAGE_SEED, MOST_IMAGE_STEPS = 2**32 - 2, 150

if TYPE_CHECKING:
    TrialUpdates = int
    TrialSeed = int
    ImageSeed = int
    ImageSteps = int
    Factor = float
    Steps = int
    ExportedSteps = int
    StartStep = int
    StepNumber = int
    Smoothing = float
    Images = int
    Size = int
    Points = int
    Number = float
    RunName = str
    Flag = int
    ImageWidth = int
else:
    Steps = conint(strict=True, ge=1, le=MAX_STEPS)
    ExportedSteps = conint(strict=True, ge=1, le=MAX_EXPORTED_STEPS)
    StartStep = conint(strict=True, ge=0, le=MAX_STEPS)
    Images = conint(strict=True, ge=0, le=10**7)
    Size = conint(strict=True, ge=1, le=10**6)
    TrialUpdates = conint(strict=True, ge=1, le=MOST_UPDATES)
    TrialSeed = conint(strict=True, ge=0, le=MAX_STEP)
    ImageSeed = conint(strict=True, ge=0, le=MOST_IMAGE_SEED)
    ImageSteps = conint(strict=True, ge=1, le=MOST_IMAGE_STEPS)
    Factor = conint(strict=True, gt=0, le=MOST_FACTOR) | confloat(strict=True, gt=0, le=MOST_FACTOR, allow_inf_nan=False)
    Points = conint(strict=True, ge=16, le=MAX_POINTS)
    # A whole number stays one: pydantic 1's strict float takes none. Either fits a float.
    Number = conint(strict=True, ge=-MOST, le=MOST) | confloat(strict=True, allow_inf_nan=False)
    # In an address all is text.
    StepNumber = conint(ge=0, le=MAX_STEP)
    Smoothing = confloat(ge=0, lt=1, allow_inf_nan=False)
    RunName = constr(max_length=200)
    Flag = conint(ge=0, le=1)
    ImageWidth = conint(ge=LEAST_WIDTH, le=MOST_WIDTH)

ALL = ...
"""The default of a field that has to be there."""


def _text(default: Any = ALL, *, said: str = "a text") -> Any:
    return Field(default, description=said)


def _whole(low: int, high: int, default: Any = ALL) -> Any:
    return Field(default, description=f"a whole number from {low} to {high}{', or null' if default is None else ''}")


def _number() -> Any:
    return Field(None, description="a finite number, or null")


def _one_of(names: Sequence[str], default: Any = ALL) -> Any:
    return Field(default, description=f"one of {', '.join(names)}{', or null' if default is None else ''}")


def _kind() -> Any:
    return Field(ALL, description="embedding or hypernetwork")


def _steps() -> Any:
    return _whole(1, MAX_STEPS)


def _images() -> Any:
    return _whole(0, 10**7, None)


def _size() -> Any:
    return _whole(1, 10**6, None)


def _check(field: str, holds: Callable[[Any], bool], *, before: bool = False) -> Any:
    """A condition beyond a field's type, or ``before`` it. (The decorator is pydantic 1's, which 2 still knows.)"""

    def check(value: Any) -> Any:
        if not holds(value):
            raise ValueError("not as the field's description says")
        return value

    return validator(field, pre=before, allow_reuse=True)(check)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_folder(value: str | None) -> bool:
    """Whether a system can have a folder of this name: none takes a NUL or half a character in it."""
    try:
        return value is None or ("\0" not in value and os.fsencode(value) is not None)
    except UnicodeEncodeError:
        return False


# Schedules ------------------------------------------------------------------------------------


class PreviewRequest(BaseModel):
    """POST /preview."""

    id: Any = None
    texts: list[StrictStr] = Field(ALL, description=f"a list of 1 to {MAX_TEXTS} texts")
    kind: Literal["rate", "clip", "timestep"] = _one_of(("rate", "clip", "timestep"), "rate")
    total_steps: Steps = _steps()
    pictures: Images | None = _images()
    batch: Size | None = _size()
    accumulate: Size | None = _size()
    data_root: StrictStr | None = _text(None, said="the name of a folder, or null")
    initial_step: StartStep | None = _whole(0, MAX_STEPS, None)
    points: Points | None = _whole(16, MAX_POINTS, None)
    run: StrictStr | None = _text(None, said="the id of a run, or null")
    way: Choice | None = _one_of(CHOICES, None)
    rate_text: StrictStr | None = _text(None, said="a text, or null")
    optimizer: StrictStr | None = _text(None, said="a class name such as AdamW, or null")
    trainee: Kind | None = Field(None, description="embedding or hypernetwork, or null")

    _texts = _check("texts", lambda texts: 1 <= len(texts) <= MAX_TEXTS)
    _data_root = _check("data_root", _is_folder)

    def curves(self, pictures: int | None, optimizer: str | None, trainee: str | None = None) -> CurveRequest:
        """What is to be drawn, with what the endpoint has found out."""
        names = ("id", "texts", "kind", "total_steps", "batch", "accumulate", "initial_step", "points", "rate_text")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return CurveRequest(**given, choice=self.way or "continue", images=pictures or None, optimizer=optimizer,
                            trainee=trainee)


class ExportRequest(BaseModel):
    """POST /export."""

    text: StrictStr = _text()
    format: StrictStr = _text()
    total_steps: ExportedSteps = _whole(1, MAX_EXPORTED_STEPS)
    pictures: Images | None = _images()
    batch: Size | None = _size()
    accumulate: Size | None = _size()
    error: Number | None = _number()
    base: Number | None = _number()


class ImportRequest(BaseModel):
    """POST /import."""

    text: StrictStr = _text()
    format: StrictStr = _text()
    base: Number | None = _number()
    steps_per_epoch: Steps | None = _whole(1, MAX_STEPS, None)


class ItemsRequest(BaseModel):
    """POST /items."""

    text: StrictStr = _text()
    total_steps: Steps | None = _whole(1, MAX_STEPS, None)
    pictures: Images | None = _images()
    batch: Size | None = _size()
    accumulate: Size | None = _size()


# What is done to an item of a schedule; `do` says which it is -------------------------------------


def _item() -> Any:
    return Field(ALL, description="a list of whole numbers, such as [0]")


class SetParam(BaseModel):
    do: Literal["set"]
    item: list[StrictInt] = _item()
    param: StrictStr = _text()
    value: StrictStr = _text()

    _not_empty = _check("item", bool)


class UnsetParam(BaseModel):
    do: Literal["unset"]
    item: list[StrictInt] = _item()
    param: StrictStr = _text()

    _not_empty = _check("item", bool)


class SetEnd(BaseModel):
    """Without a value the end is taken away."""

    do: Literal["end"]
    item: list[StrictInt] = _item()
    value: StrictStr | None = _text(None, said="a text, or null")

    _not_empty = _check("item", bool)


class ChangeUnit(BaseModel):
    do: Literal["unit"]
    item: list[StrictInt] = _item()
    unit: StrictStr = _text()
    relative: StrictBool | None = Field(None, description="true, false, or null")

    _not_empty = _check("item", bool)


class ChangeShape(BaseModel):
    do: Literal["shape"]
    item: list[StrictInt] = _item()
    shape: StrictStr = _text()

    _not_empty = _check("item", bool)


class InsertItem(BaseModel):
    """Without a value, an item that holds the rate; else that one."""

    do: Literal["insert"]
    item: list[StrictInt] = _item()
    value: StrictStr | None = _text(None, said="a text, or null")
    before: StrictBool | None = Field(None, description="true, false, or null")

    _not_empty = _check("item", bool)


class DeleteItem(BaseModel):
    do: Literal["delete"]
    item: list[StrictInt] = _item()

    _not_empty = _check("item", bool)


class MoveBoundary(BaseModel):
    do: Literal["boundary"]
    item: list[StrictInt] = _item()
    step: Steps = _steps()

    _not_empty = _check("item", bool)


class SetRate(BaseModel):
    do: Literal["rate"]
    item: list[StrictInt] = _item()
    param: StrictStr = _text()
    value: Number = Field(ALL, description="a finite number")

    _not_empty = _check("item", bool)


Edit = SetParam | UnsetParam | SetEnd | ChangeUnit | ChangeShape | InsertItem | DeleteItem | MoveBoundary | SetRate
EDITS: dict[str, type[BaseModel]] = {
    "set": SetParam, "unset": UnsetParam, "end": SetEnd, "unit": ChangeUnit, "shape": ChangeShape, "insert": InsertItem,
    "delete": DeleteItem, "boundary": MoveBoundary, "rate": SetRate,
}  # fmt: skip


class EditRequest(BaseModel):
    """POST /edit."""

    text: StrictStr = _text()
    edit: Edit = Field(ALL, description=f"an object whose `do` is one of {', '.join(EDITS)}", discriminator="do")
    total_steps: Steps = _steps()
    pictures: Images | None = _images()
    batch: Size | None = _size()
    accumulate: Size | None = _size()

    _edit = _check("edit", lambda edit: isinstance(edit, dict) and isinstance(edit.get("do"), str), before=True)


def counts(request: ItemsRequest | EditRequest | ExportRequest) -> Counts:
    """How images become steps in a request; an image count of 0 is one that is not known."""
    return count_steps(request.pictures or None, request.batch or 1, request.accumulate or 1)


def as_float(number: float | None) -> float | None:
    """A number as a float, which a whole one is not yet."""
    return None if number is None else float(number)


# Runs and presets -----------------------------------------------------------------------------


class PreflightRequest(BaseModel):
    """POST /preflight; the inputs are named as in the host's function, and the host's own checks look at them."""

    kind: Kind = _kind()
    name: StrictStr = _text()
    inputs: dict[str, Any] = Field(ALL, description="an object")

    _inputs = _check("inputs", _is_object, before=True)


class TrialImages(BaseModel):
    """Of a trial: the image that each candidate is to draw."""

    prompt: StrictStr = _text("")
    negative_prompt: StrictStr = _text("")
    seed: ImageSeed = _whole(0, MOST_IMAGE_SEED, 0)
    steps: ImageSteps = _whole(1, MOST_IMAGE_STEPS, 20)


class TrialRequest(BaseModel):
    """POST /trials and /trials/estimate; the inputs are named as in the host's function, its text is the trial's own."""

    kind: Kind = _kind()
    name: StrictStr = _text()
    inputs: dict[str, Any] = Field(ALL, description="an object")
    grid: list[Factor] | None = Field(None, description=f"a list of 2 to {MOST_CANDIDATES} different factors above 0, or null")
    texts: list[StrictStr] | None = Field(None, description=f"a list of 2 to {MOST_CANDIDATES} texts, or null")
    updates: TrialUpdates = _whole(1, MOST_UPDATES, 48)
    seed: TrialSeed = _whole(0, MAX_STEP, 0)
    images: TrialImages | None = Field(None, description="an object with prompt, negative_prompt, seed and steps, or null")

    _inputs = _check("inputs", _is_object, before=True)
    _grid = _check("grid", lambda grid: grid is None or 2 <= len(set(grid)) <= MOST_CANDIDATES)
    _texts = _check("texts", lambda texts: texts is None or 2 <= len(texts) <= MOST_CANDIDATES)


class EndTrialQuery(BaseModel):
    """DELETE /trials/{id}; with a state it is refused where the trial is in another."""

    state: TrialState | None = _one_of(TRIAL_STATES, None)


class RunQuery(BaseModel):
    """GET /runs/{id}."""

    since: StepNumber = _whole(0, MAX_STEP, 0)
    until: StepNumber | None = _whole(0, MAX_STEP, None)
    smoothing: Smoothing = Field(SMOOTHING, description="a number from 0 to below 1")


class InterruptRequest(BaseModel):
    """POST /interrupt."""

    kind: Kind = _kind()
    name: StrictStr = _text()
    run: StrictStr | None = _text(None, said="the id of a run, or null")


class ImportRunQuery(BaseModel):
    """POST /runs, whose body is the file."""

    name: RunName = _text("", said="a name of at most 200 characters")


class LabelRequest(BaseModel):
    """POST /runs/{id}/label; what the two may be is looked at where they are kept."""

    title: StrictStr | None = _text(None, said="a text, or null")
    note: StrictStr | None = _text(None, said="a text, or null")


class ImageQuery(BaseModel):
    """GET /runs/{id}/images/{index}."""

    size: ImageWidth | None = _whole(LEAST_WIDTH, MOST_WIDTH, None)


class ResumeFromRequest(BaseModel):
    """POST /runs/{id}/resume-from."""

    step: StartStep | None = _whole(0, MAX_STEPS)
    way: Choice | None = _one_of(CHOICES, None)


class ComparisonRequest(BaseModel):
    """POST /comparison."""

    runs: list[StrictStr] = Field(ALL, description=f"a list of 1 to {MOST_COMPARED} ids of runs, each once")
    over: Over = _one_of(AXES, "step")

    _runs = _check("runs", lambda runs: _are_some(runs))


class ComparisonFileQuery(BaseModel):
    """GET /comparison/file."""

    runs: str = _text(said=f"1 to {MOST_COMPARED} ids of runs with commas between them, each once")
    format: Literal["csv", "curves", "html"] = _one_of(("csv", "curves", "html"))
    over: Over = _one_of(AXES, "step")

    _runs = _check("runs", lambda runs: _are_some(runs.split(",")))


def _are_some(runs: list[str]) -> bool:
    return 1 <= len(runs) <= MOST_COMPARED and len(set(runs)) == len(runs)


class ProfileRequest(BaseModel):
    """POST /profiles; the values are looked at where profiles are kept."""

    name: StrictStr = _text()
    kind: Kind | None = Field(None, description="embedding or hypernetwork, or null")
    inputs: dict[str, Any] = Field(ALL, description="an object")
    options: dict[str, Any] | None = Field(None, description="an object, or null")
    replace: StrictBool = Field(False, description="true or false")

    _inputs = _check("inputs", _is_object, before=True)
    _options = _check("options", lambda options: options is None or _is_object(options), before=True)


class ProfileQuery(BaseModel):
    """GET /profiles/{name} and GET /runs/{id}/profile; with check=1 the answer says what cannot be filled in."""

    check: Flag = _whole(0, 1, 0)


class UseRequest(BaseModel):
    """POST /runs/{id}/use."""

    what: Literal["average", "best"] = _one_of(("average", "best"))


class ResumeQuery(BaseModel):
    """GET /resume; with the text of the rate the answer says the mode."""

    kind: Kind = _kind()
    name: str = _text()
    rate_text: str | None = _text(None)


class ResumeChoice(BaseModel):
    """POST /resume."""

    kind: Kind = _kind()
    name: StrictStr = _text()
    way: Choice = _one_of(CHOICES)
    rate_text: StrictStr | None = _text(None, said="a text, or null")


class OptionsQuery(BaseModel):
    """GET /options; with the folder of the data set the answer says of its images for validation."""

    kind: Kind = _kind()
    name: str = _text()
    data_root: str = _text("")


class OptionsChoice(BaseModel):
    """POST /options; the options themselves are looked at where those of the command line are."""

    kind: Kind = _kind()
    name: StrictStr = _text()
    options: dict[str, Any] = Field(ALL, description="an object")
    data_root: StrictStr = _text("")

    _options = _check("options", _is_object, before=True)


class PresetsQuery(BaseModel):
    """GET /presets."""

    kind: Literal["rate", "timestep"] = _one_of(("rate", "timestep"), "rate")


class PresetRequest(BaseModel):
    """POST /presets."""

    name: StrictStr = _text("")
    text: StrictStr = _text("")
    note: StrictStr = _text("")
    replace: StrictBool = Field(True, description="true or false")
    total_steps: Steps | None = _whole(1, MAX_STEPS, None)


# Refusals -------------------------------------------------------------------------------------


def refusal(models: Iterable[type[BaseModel]], place: Sequence[Any], sent: Any) -> str:
    """The message about a value that does not fit its model.

    Args:
        models: those of the endpoint.
        place: where the value is, as FastAPI says it: "body" or "query", the field, and what is below it.
        sent: the body, or the parameters of the address.
    """
    expected = {name: said for model in models for name, said in _expected(model).items()}
    if not isinstance(sent, Mapping) or len(place) < 2 or place[1] not in expected:
        return NO_OBJECT
    name, value = place[1], sent.get(place[1])
    if name == "edit" and isinstance(value, dict) and len(place) > 3:  # between the two is what pydantic calls the edit's model
        return f"edit.{refusal([EDITS[value['do']]], place[2:], value)}"
    return f"{name}: expected {expected[name]}, got {_got(value)}"


def _expected(model: type[BaseModel]) -> dict[str, str]:
    """What each field of a model expects."""
    fields: Mapping[str, Any] = model.model_fields if hasattr(model, "model_fields") else model.__fields__
    return {name: getattr(field, "field_info", field).description or "" for name, field in fields.items()}


def _got(value: Any) -> str:
    """A value as the sender wrote it; what is left out and null are nothing."""
    said = "nothing" if value is None else json.dumps(value)
    return said if len(said) <= GOT_CHARS else f"{said[:GOT_CHARS]}..."
