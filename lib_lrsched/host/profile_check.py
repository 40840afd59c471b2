"""What of a saved profile cannot be filled into the Train tab any more: a folder that is gone, a template, an embedding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from lib_lrsched.errors import RequestError
from lib_lrsched.training.options import OPTIONS

from .input_checks import CLIPPING
from .kinds import kind_of
from .preflight import data_trouble, folder_trouble
from .webui import Host, NoTraining


class Unfillable(NamedTuple):
    """An input by its name, an option as ``options.NAME``; its value in the profile, and why it cannot be."""

    field: str
    value: Any
    why: str


def unfillable(host: Host | NoTraining, kind: str | None, inputs: Mapping[str, Any],
               options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What cannot be filled, in the order of the inputs. Nothing is changed or loaded."""
    return [one._asdict() for one in (*_of_inputs(host, kind, inputs), *_of_options(kind, options))]


def _of_inputs(host: Host | NoTraining, kind: str | None, inputs: Mapping[str, Any]) -> Iterator[Unfillable]:
    checks: dict[str, Callable[[str], str]] = {}
    if isinstance(host, Host):
        checks = {
            "data_root": lambda value: data_trouble(host, value),
            "template_filename": lambda value: _template(host, value),
            "embedding_name": lambda value: _trained(host, "embedding", value),
            "hypernetwork_name": lambda value: _trained(host, "hypernetwork", value),
        }
    checks |= {"log_directory": folder_trouble, "clip_grad_mode": _clipping}
    ours = {"embedding_name": "embedding", "hypernetwork_name": "hypernetwork"}
    for name, value in inputs.items():
        if name not in checks or value in (None, "") or (kind is not None and ours.get(name, kind) != kind):
            continue
        why = checks[name](value) if isinstance(value, str) else "expected a text"
        if why:
            yield Unfillable(name, value, why)


def _template(host: Host, name: str) -> str:
    return "" if name in host.ti.textual_inversion_templates else "there is no prompt template of that name"


def _trained(host: Host, kind: str, name: str) -> str:
    own = kind_of(kind)
    found = own.find(host, own.plain_name(name))
    return f"there is no {kind} of that name: create it first, or refresh the list" if found is None else ""


def _clipping(mode: str) -> str:
    modes = ("disabled", *CLIPPING)
    return "" if mode in modes else f"expected one of {', '.join(modes)}"


def _of_options(kind: str | None, options: Mapping[str, Any]) -> Iterator[Unfillable]:
    for name, value in options.items():
        why = ""
        if name not in OPTIONS:
            why = "this version has no such option"
        elif kind is not None and kind not in OPTIONS[name].kinds:
            why = f"it is not for {kind}s"
        else:
            try:
                OPTIONS[name].value(value)
            except RequestError as error:
                why = str(error).partition(": ")[2]
        if why:
            yield Unfillable(f"options.{name}", value, why)
