"""The practice host for tests: in a fresh folder, with random weights and tiny pictures; and spies on its seams.

A test module that says `host, practice_model = practice_rig.host, practice_rig.practice_model` has the fixtures.
"""
from __future__ import annotations

import copy
import csv
import inspect
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from lib_lrsched.practice import (
    dataset,
    hypernetwork,
    initialize,
    sd_hijack,
    sd_hijack_checkpoint,
    service,
    shared,
    textual_inversion,
)
from lib_lrsched.practice.hypernetwork_layers import Hypernetwork
from lib_lrsched.practice.model import PracticeModel

SIDE = 8  # pixels; small pictures make fast tests
ADAMW = torch.optim.AdamW


@pytest.fixture(scope="session")
def practice_model() -> PracticeModel:
    """Random weights are enough: the loops do not look at the pictures."""
    torch.manual_seed(0)
    return PracticeModel().eval()


@pytest.fixture
def host(practice_model, tmp_path):
    """The practice host in a fresh folder, with a data set of five pictures below it, quiet, one CSV line per update."""
    threads, before = torch.get_num_threads(), copy.copy(vars(shared.opts))
    torch.set_num_threads(1)
    shared.opts.practice_quiet = True
    shared.opts.training_write_csv_every = 1
    initialize.setup(tmp_path, practice_model)
    shared.state.begin("test")
    data = tmp_path / "data"
    draw_pictures(data, 5)
    random.seed(1)
    torch.manual_seed(2)
    yield SimpleNamespace(root=tmp_path, data=data, log=tmp_path / "textual_inversion", model=practice_model)
    shared.state.end()
    vars(shared.opts).update(before)
    practice_model.zero_grad()
    torch.set_num_threads(threads)


def draw_pictures(folder: Path, count: int, side: int = SIDE, prefix: str = "") -> None:
    folder.mkdir(exist_ok=True)
    for i in range(count):
        Image.new("RGB", (side, side), (40 * i, 90, 200)).save(folder / f"{prefix}{i} red thing.png")


def train(kind: str, steps: int, lr: str = "0.01", **choices: Any) -> Any:
    """One run on a thing that is made first if there is none; returns what was trained."""
    known = service.embeddings() if kind == "embedding" else service.hypernetworks()
    if "mine" not in known:
        service.create(kind, "mine")
    chosen = {"data": shared.cmd_opts.embeddings_dir + "/../data", "width": SIDE, "height": SIDE, "copies_every": 1000, **choices}
    return service.train(kind, "mine", lr, steps, **chosen).trained


def dated(host: Any) -> Path:
    (day,) = host.log.iterdir()
    return day / "mine"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def csv_rows(host: Any) -> list[dict[str, str]]:
    (path,) = dated(host).glob("*.csv")
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


both_kinds = pytest.mark.parametrize("kind", service.KINDS)


def made(kind: str) -> Any:
    path = service.create(kind, "mine")
    if kind == "embedding":
        return sd_hijack.model_hijack.embedding_db.word_embeddings["mine"]
    made = Hypernetwork()
    made.load(str(path))
    return made


def weights(trained: Any) -> list[torch.Tensor]:
    found = trained.weights() if isinstance(trained, Hypernetwork) else [trained.vec]
    return [weight.detach().clone() for weight in found]


class Spies:
    """Wraps the seams and writes down their calls, shortly."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
        self.calls: list[str] = []
        self._monkeypatch = monkeypatch
        self._scheduler(module)
        self._wrap(textual_inversion, "validate_train_inputs")
        self._wrap(dataset, "PersonalizedBase")
        self._wrap(dataset, "PersonalizedDataLoader")
        self._wrap(torch.amp, "GradScaler")
        self._wrap(sd_hijack_checkpoint, "add")
        self._wrap(sd_hijack_checkpoint, "remove")
        self._wrap(torch.nn.utils, "clip_grad_value_")
        self._wrap(textual_inversion, "write_loss", lambda *a: f"write_loss {a[2]}")
        self._optimizer(module)
        if module is textual_inversion:
            self._wrap(textual_inversion, "save_settings_to_file")
            self._wrap(textual_inversion, "save_embedding", lambda *a: f"save_embedding {Path(a[4]).name}")
        else:
            self._wrap(hypernetwork.saving_settings, "save_settings_to_file")
            self._wrap(hypernetwork, "save_hypernetwork", lambda *a: f"save_hypernetwork {Path(a[3]).name}")

    def _wrap(self, owner: Any, name: str, describe: Any = None) -> None:
        original = getattr(owner, name)

        def spy(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name if describe is None else describe(*args))
            return original(*args, **kwargs)

        self._monkeypatch.setattr(owner, name, spy)

    def _scheduler(self, module: Any) -> None:
        calls = self.calls

        class SpyScheduler(module.LearnRateScheduler):
            def __init__(self, learn_rate, max_steps, cur_step=0, verbose=True):
                calls.append(f"scheduler {learn_rate} {max_steps} {cur_step} {verbose}")
                super().__init__(learn_rate, max_steps, cur_step, verbose)

            def apply(self, optimizer, step_number):
                super().apply(optimizer, step_number)
                calls.append(f"apply {step_number}{' finished' if self.finished else ''}")

            def step(self, step_number):
                if inspect.stack()[1].function != "apply":
                    calls.append(f"step {step_number}")
                return super().step(step_number)

        self._monkeypatch.setattr(module, "LearnRateScheduler", SpyScheduler)

    def _optimizer(self, module: Any) -> None:
        calls = self.calls

        class SpyAdamW(torch.optim.AdamW):
            def __init__(self, params, **kwargs):
                calls.append(f"AdamW {kwargs['lr']}")
                super().__init__(params, **kwargs)

            def step(self, *args, **kwargs):
                calls.append("update")
                return super().step(*args, **kwargs)

        if module is textual_inversion:
            self._monkeypatch.setattr(torch.optim, "AdamW", SpyAdamW)
        else:
            self._monkeypatch.setitem(hypernetwork.optimizer_dict, "AdamW", SpyAdamW)
