"""The generators that a training draws from: Python's, numpy's, torch's on the CPU and on every CUDA device.

Taking the state costs some ten microseconds, most of them for Python's, and no wait for a device: torch keeps a CUDA generator's
seed and offset on the host's side.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

PYTHON_WORDS = 625
NUMPY_WORDS = 624


class Draws(NamedTuple):
    """Where the generators of a training stand. numpy is none of them: the host's loops draw nothing from it.

    ``python`` is random.getstate(), ``cpu`` torch's state uint8 [n], ``cuda`` one uint8 [16] for each device.
    """

    python: tuple[Any, ...]
    cpu: Tensor
    cuda: tuple[Tensor, ...]


def take(before: Draws | None = None) -> Draws:
    """Where they stand now.

    Args:
        before: taken when Python's already stood where it stands now.
    """
    cuda = tuple(torch.cuda.get_rng_state_all()) if torch.cuda.is_initialized() else ()
    return Draws(random.getstate() if before is None else before.python, torch.get_rng_state(), cuda)


def put(draws: Draws) -> None:
    """Have them stand there again; devices that are not there any more are left out."""
    random.setstate(draws.python)
    torch.set_rng_state(draws.cpu)
    if torch.cuda.is_available():
        for device, state in enumerate(draws.cuda[: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(state, device)


def state_dict(draws: Draws) -> dict[str, Any]:
    """As numbers and tensors, with numpy's generator as it is now."""
    version, words, gauss = draws.python
    _, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 the global generator is what is kept
    numpy = (torch.from_numpy(np.asarray(keys, np.int64)), int(position), int(has_gauss), float(cached))
    return {"python": (version, torch.tensor(words), gauss), "numpy": numpy, "cpu": draws.cpu, "cuda": list(draws.cuda)}


def load_state_dict(parts: dict[str, Any]) -> Draws:
    """The draws in the parts, looked at one by one; numpy's generator is put back at once.

    Raises:
        ValueError, TypeError, KeyError: parts that no generator would take.
    """
    version, words, gauss = parts["python"]
    _expect(words, PYTHON_WORDS, torch.int64)
    _expect(parts["cpu"], torch.get_rng_state().numel(), torch.uint8)
    if version != 3 or not (gauss is None or isinstance(gauss, float)):
        raise ValueError("expected the state of Python's generator, version 3")
    _expect_range(words[:-1], 2**32)
    _expect_range(words[-1:], PYTHON_WORDS)
    python = (version, tuple(words.tolist()), gauss)
    random.Random(0).setstate(python)  # only to have it looked at
    keys, position, has_gauss, cached = parts["numpy"]
    _expect(keys, NUMPY_WORDS, torch.int64)
    _expect_range(keys, 2**32)
    if type(position) is not int or not 0 <= position <= NUMPY_WORDS or has_gauss not in (0, 1) or not isinstance(cached, float):
        raise ValueError("expected the state of numpy's generator")
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    for state in parts["cuda"]:
        _expect(state, None, torch.uint8)
    return Draws(python, parts["cpu"].clone(), tuple(state.clone() for state in parts["cuda"]))


def draw_base_seed() -> None:
    """The draw that torch makes for every iter(DataLoader), however many that are in this version."""
    iter(torch.utils.data.DataLoader([0]))  # type: ignore[arg-type]  # a list is a data set


def _expect(tensor: Any, length: int | None, dtype: torch.dtype) -> None:
    if not isinstance(tensor, Tensor) or tensor.dtype != dtype or tensor.ndim != 1 or length not in (None, tensor.numel()):
        raise ValueError(f"expected a generator's state of {length or 'some'} numbers of type {dtype}")


def _expect_range(words: Tensor, stop: int) -> None:
    if int(words.min()) < 0 or int(words.max()) >= stop:
        raise ValueError(f"expected a generator's words from 0 to below {stop}")
