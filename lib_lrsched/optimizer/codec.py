"""Nested values as JSON and named tensors: what an optimizer's state_dict needs to lie in a safetensors file.

Every dict becomes `{"dict": [[key, value], ...]}`, so that a JSON object is always a tag of ours and keys keep their
type; tuples, tensors and numbers that JSON cannot say have tags too. Nothing that is read can be code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

import torch
from torch import Tensor

MAX_DEPTH = 32

PLAIN = frozenset({type(None), bool, int, float, str})
"""What has no tensor in it. To ask whether one of these is a Tensor or a Mapping takes longer than to copy a tensor."""


def split(value: Any, tensors: dict[str, Tensor], name: str = "") -> Any:
    """The value as JSON; its tensors go into ``tensors`` under names that begin with ``name``.

    A tensor is kept as it is: copy it first where somebody else may change it.

    Raises:
        TypeError: something that can be neither.

    >>> found = {}
    >>> split({"step": 3, "betas": (0.9, float("inf")), "avg": torch.ones(2)}, found, "adam")
    {'dict': [['step', 3], ['betas', {'tuple': [0.9, {'float': 'inf'}]}], ['avg', {'tensor': 'adam.avg'}]]}
    >>> list(found)
    ['adam.avg']
    """
    if isinstance(value, Tensor):
        tensors[name] = value
        return {"tensor": name}
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, Mapping):
        return {"dict": [[_key(key), split(one, tensors, f"{name}.{key}")] for key, one in value.items()]}
    if isinstance(value, (list, tuple)):
        parts = [split(one, tensors, f"{name}.{n}") for n, one in enumerate(value)]
        return {"tuple": parts} if isinstance(value, tuple) else parts
    raise TypeError(f"{name}: a {type(value).__name__} can be kept neither as JSON nor as a tensor")


def join(plain: Any, tensors: Mapping[str, Tensor], depth: int = 0) -> Any:
    """What was split, from its JSON and its tensors.

    Raises:
        ValueError: JSON that ``split`` does not write, or a tensor that is not there.
    """
    if depth > MAX_DEPTH:
        raise ValueError("values are nested too deeply")
    if plain is None or isinstance(plain, (bool, int, float, str)):
        return plain
    if isinstance(plain, list):
        return [join(one, tensors, depth + 1) for one in plain]
    if not isinstance(plain, dict) or len(plain) != 1:
        raise ValueError(f"expected one tag, got {str(plain)[:60]}")
    ((tag, held),) = plain.items()
    if tag == "tensor" and isinstance(held, str) and held in tensors:
        return tensors[held]
    if tag == "float" and held in ("nan", "inf", "-inf"):
        return float(held)
    if tag == "tuple" and isinstance(held, list):
        return tuple(join(held, tensors, depth + 1))
    if tag == "dict" and isinstance(held, list) and all(_is_pair(one) for one in held):
        return {key: join(one, tensors, depth + 1) for key, one in held}
    raise ValueError(f"expected a value after the tag {tag!r}, got {str(held)[:60]}")


def copied(value: Any) -> Any:
    """The value with a copy of each tensor on the CPU; the one wait for the device that a snapshot makes."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True).contiguous()
    if isinstance(value, Mapping):
        return {key: copied(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(copied, value)) if type(value) in (list, tuple) else tuple(map(copied, value))
    return value


def cloned(value: Any) -> Any:
    """The value with a copy of each tensor where it is: nothing is waited for."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {key: cloned(one) for key, one in value.items()}
    return tuple(map(cloned, value)) if isinstance(value, tuple) else list(map(cloned, value)) if isinstance(value, list) else value


def finite_flags(value: Any, device: torch.device) -> Tensor:
    """Whether each tensor of floats in the value that is on the device is finite, bool [n] there: nothing is waited for."""
    ends: dict[torch.dtype, list[Tensor]] = {}
    for one in _floats(value):
        if one.device == device:
            ends.setdefault(one.dtype, []).extend(torch.aminmax(one))
    flags = [torch.isfinite(torch.stack(of_one_type)).view(-1, 2).all(1) for of_one_type in ends.values()]
    return torch.cat(flags) if flags else torch.ones(1, dtype=torch.bool, device=device)


def _floats(value: Any) -> Iterator[Tensor]:
    if type(value) in PLAIN:
        return
    if isinstance(value, Tensor):
        if value.is_floating_point() and value.numel():
            # The WebUI's torch 2.1 has no aminmax for float16 on the CPU.
            half = value.dtype == torch.float16 and value.device.type == "cpu"
            yield value.detach().float() if half else value.detach()
    elif isinstance(value, (Mapping, list, tuple)):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _floats(one)


def is_finite(value: Any) -> bool:
    """Whether no tensor of floats in the value holds a NaN or an infinity."""
    # A sum is finite only where all numbers are. The ends are NaN if one is there; a tenth of isfinite's time: nothing is written.
    return all(isfinite(tensor.sum().item()) or all(isfinite(end.item()) for end in torch.aminmax(tensor))
               for tensor in _floats(value))


def _key(key: Any) -> str | int:
    if isinstance(key, (str, int)) and not isinstance(key, bool):
        return key
    raise TypeError(f"a key of type {type(key).__name__} cannot be kept")


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], (str, int))
