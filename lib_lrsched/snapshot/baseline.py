"""What a run started from: the weights at its first update, beside its snapshots.

    RUN/baseline.safetensors     tensors "0", "1", ... in the order in which they are trained
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from lib_lrsched.errors import RunStateError
from lib_lrsched.storage.checked_fields import COUNT, checked

from .snapshot import read_tensors, write_tensors

NAME = "baseline.safetensors"
FORMAT = 1


def write(path: Path, tensors: Sequence[Tensor]) -> None:
    """Keeps the tensors, on the CPU.

    Raises:
        OSError: they cannot be written.
    """
    write_tensors(path, {"lrsched_baseline": FORMAT}, {str(i): tensor.to("cpu") for i, tensor in enumerate(tensors)})


def read(path: Path, like: Sequence[Tensor] | None = None) -> list[Tensor] | None:
    """What was kept, on the CPU; None where there is no such file.

    Args:
        like: the tensors that are trained, whose shapes it must have.

    Raises:
        RunStateError: it is damaged, or of another design.
    """
    if not os.path.exists(path):  # noqa: PTH110 Path.exists() raises where a folder may not be looked into
        return None
    data, tensors = read_tensors(path)
    checked(data, {"lrsched_baseline": COUNT}, path)
    if data["lrsched_baseline"] != FORMAT:
        raise RunStateError(f"version {data['lrsched_baseline']} of a baseline; update the extension to read it", path)
    kept = [tensors[name] for name in sorted(tensors, key=int)] if all(name.isdecimal() for name in tensors) else []
    if like is not None and [one.shape for one in kept] != [tensor.shape for tensor in like]:
        raise RunStateError(f"expected tensors of {[tuple(t.shape) for t in like]}, got {[tuple(t.shape) for t in kept]}", path)
    if not all(one.is_floating_point() and bool(one.isfinite().all()) for one in kept):
        raise RunStateError("expected finite numbers", path)
    return kept
