"""What the tests of the practice host share: a short run on it, and its files."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch
from practice_rig import NAME, SIDE, Ground

from lib_lrsched.practice import sd_hijack, service, shared
from lib_lrsched.practice.hypernetwork_layers import Hypernetwork

ADAMW = torch.optim.AdamW
"""As it was before a test replaced it."""


def train(kind: str, steps: int, lr: str = "0.01", **choices: Any) -> Any:
    """One run on a thing that is made first if there is none; returns what was trained."""
    known = service.embeddings() if kind == "embedding" else service.hypernetworks()
    if NAME not in known:
        service.create(kind, NAME)
    chosen = {"data": shared.cmd_opts.embeddings_dir + "/../data", "width": SIDE, "height": SIDE, "copies_every": 1000, **choices}
    return service.train(kind, NAME, lr, steps, **chosen).trained


def dated(host: Ground) -> Path:
    (day,) = host.log.iterdir()
    return day / NAME


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def csv_rows(host: Ground) -> list[dict[str, str]]:
    (path,) = dated(host).glob("*.csv")
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def made(kind: str) -> Any:
    path = service.create(kind, NAME)
    if kind == "embedding":
        return sd_hijack.model_hijack.embedding_db.word_embeddings[NAME]
    made = Hypernetwork()
    made.load(str(path))
    return made
