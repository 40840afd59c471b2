"""The practice host without the hooks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from practice_rig import Ground

    from lib_lrsched.practice.model import PracticeModel


@pytest.fixture(scope="session")
def practice_model() -> PracticeModel:
    """The real network with random weights: the loops do not look at the images."""
    torch = pytest.importorskip("torch")
    from lib_lrsched.practice.model import PracticeModel

    torch.manual_seed(0)
    return PracticeModel().eval()


@pytest.fixture
def host(practice_model: PracticeModel, tmp_path: Path) -> Iterator[Ground]:
    """The practice host with the real network, images without captions and a line in the loss file for every update."""
    import torch
    from practice_rig import practice_ground

    from lib_lrsched.practice import shared

    with practice_ground(tmp_path, practice_model, captions=False) as host:
        shared.opts.training_write_csv_every = 1
        random.seed(1)
        torch.manual_seed(2)
        yield host
