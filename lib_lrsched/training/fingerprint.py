"""By what a run is known again: the forms that its embedding or hypernetwork takes, by digest and file time."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lib_lrsched.host.input_checks import embedding_file, file_time
from lib_lrsched.optimizer import step_hook
from lib_lrsched.schedule.plan import PLANNER_VERSION
from lib_lrsched.snapshot import find
from lib_lrsched.snapshot.snapshot import Facts
from lib_lrsched.storage.model_files import OPTIM
from lib_lrsched.storage.run_state import Known

from .reporter import Voice
from .run import TrainingRun
from .snapshots import Keeper

DESIGN = (
    "layer_structure", "activation_func", "weight_init", "add_layer_norm", "use_dropout", "activate_output", "last_layer_dropout",
    "dropout_structure",
)
"""What the host's Hypernetwork needs to be made anew, besides its widths."""


def hypernetwork_design(thing: Any) -> dict[str, Any]:
    """Widths and design of a hypernetwork, as plain values."""
    return {"enable_sizes": [int(size) for size in thing.layers], **{name: getattr(thing, name, None) for name in DESIGN}}


def facts_of(run: TrainingRun) -> Facts:
    """What a bundle of this run says of it; the keeper fills in what it alone knows."""
    asked = run.asked
    return Facts(
        run=run.id, kind=asked.kind, name=asked.name, step=0, digest="", rate_text=asked.rate_text, clip_text=asked.clip_text,
        total_steps=asked.total_steps, origin=run.origin, multiplier=float(run.multiplier), planner=PLANNER_VERSION,
        optimizer="", time_s=time.time(), torch=str(torch.__version__), data="",
    )


class Identity(Voice):
    """Of the thing that one training trains."""

    keeper: Keeper
    has_begun: bool
    _trained: Any

    def trains(self, thing: Any) -> bool:
        """Whether this training trains that very object."""
        return self._trained is thing

    def saved(self, tensors: Iterable[Any], step: int, filename: str, *, is_main: bool) -> None:
        """The host has saved the trained thing."""
        if self.has_begun:
            self.run.saved(Known(step, step_hook.digest(tensors), file_time(Path(filename))), is_main=is_main)

    def about_to_save(self, tensors: Iterable[Any], step: int, written: Path) -> None:
        """The host's own file is about to be replaced by this one, which keeps its time."""
        self.run.about_to_save(Known(step, step_hook.digest(tensors), file_time(written)))

    def saved_optimizer(self, tensors: Iterable[Any], filename: str) -> None:
        """Beside the host's own file there may be one with the optimizer's state, which was saved with it."""
        path = Path(f"{filename}{OPTIM}")
        if path.exists():
            self.run.saved_optimizer(file_time(path), step_hook.digest(tensors))

    def _drop_foreign_state(self, optimizer: Any) -> None:
        """The host tells whose optimizer state a file holds by 16 bits, or by a cache of hashes; here it is a real digest."""
        folder = self._host.embeddings_dir() if self.run.asked.kind == "embedding" else self._host.hypernetworks_dir()
        path = Path(folder) / f"{self.run.asked.name}.pt{OPTIM}"
        if self.keeper.bundle is not None or not optimizer.state or not path.exists():
            return
        belongs_to = self.run.knows_optimizer(file_time(path))
        if belongs_to is not None and belongs_to != step_hook.digest(find.trained_tensors(self.run.asked.kind, self._trained)):
            optimizer.state.clear()
            self.tell(f"the optimizer's state in {path.name} belongs to other weights: it starts anew")

    def _known(self) -> Known | None:
        """The trained thing as it is now, by digest and file time."""
        thing = self._trained
        if thing is None:
            return None
        if self.run.asked.kind == "embedding":
            path = embedding_file(self._host, thing, self.run.asked.name)
            return Known(thing.step or 0, step_hook.digest([thing.vec]), file_time(path))
        file = self._host.hypernetwork_file(self.run.asked.name)
        known = Known(thing.step or 0, step_hook.digest(thing.weights()), file_time(Path(file) if file else None))
        state = self.run.resumed.state
        is_newer = self.keeper.bundle is not None and state is not None and state.main_digest != known.digest
        return replace(known, mtime_ns=0) if is_newer else known
