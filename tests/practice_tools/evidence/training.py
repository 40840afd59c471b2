"""One training of a row on the practice host, with the hooks on it, and what it comes to on noise that no training sees."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib_lrsched.host import hooks
from lib_lrsched.practice import sd_hijack, service, shared
from lib_lrsched.practice.host import practice_host
from lib_lrsched.practice.model import PracticeModel, load_model
from lib_lrsched.storage.history import History
from lib_lrsched.training.options import Options
from lib_lrsched.training.range_test import range_test_of
from lib_lrsched.training.settings import Settings
from lib_lrsched.training.trial import Spec, Trial
from practice_tools.measure import Gap, HeldOut, concept_gap, concept_latents, embedding_loss, held_out

from . import images
from .rows import DECAY, Row

NAME = "evidence"
PLAIN = Settings(guard=False, autosave_every=0, autosave_minutes=0.0, training_speed="fast", run=Options(progress_every=0))
"""Nothing that steps in, and nothing that costs time. Fast changes the seventh digit of a loss, the rest not a bit."""


class Bench:
    """The practice model and the image sets, loaded once for many trainings."""

    def __init__(self, root: Path) -> None:
        torch.set_num_threads(1)
        shared.opts.practice_quiet = True
        self._root = root
        self._folders = images.folders(root / "images")
        self._held: dict[str, HeldOut] = {}
        self._gaps: dict[str, Gap] = {}

    @cached_property
    def _model(self) -> PracticeModel:
        return load_model()

    def measure(self, row: Row, seed: int) -> dict[str, Any]:
        """Train the row with a seed.

        Returns:
            ``closed``, of an embedding the share of the gap between the generic word and the true caption that it closes, of
            a hypernetwork the share of the loss without it that is gone, and ``average``, the same of the average of the
            weights, where the row keeps one; of a range test ``top``, the rate of its highest progress. ``text`` is what was
            trained, ``seconds`` how long it took. A result that is no finite number is null.
        """
        started = time.monotonic()
        with tempfile.TemporaryDirectory(dir=self._root) as folder, self._host(Path(folder), row) as runtime:
            torch.manual_seed(seed)  # a hypernetwork draws its first weights
            service.create(row.kind, NAME)
            text = self._found(row, seed, runtime) if row.find else row.text
            trained = service.train(row.kind, NAME, text, row.updates, **self._choices(row, seed)).trained
            found = {"text": text, **self._results(row, trained, runtime)}
        return {**found, "seconds": round(time.monotonic() - started, 2)}

    @contextlib.contextmanager
    def _host(self, folder: Path, row: Row) -> Iterator[Any]:
        own = Options(progress_every=1 if row.text.startswith("range_test") else 0, ema=DECAY if row.average else 0.0,
                      spread_timesteps=row.spread, validate_every=row.validate_every)
        service.open_at(folder)
        try:
            yield hooks.install(practice_host(folder, lambda: replace(PLAIN, run=own)))
        finally:
            hooks.uninstall()

    def _choices(self, row: Row, seed: int) -> dict[str, Any]:
        template = "subject.txt" if row.kind == "embedding" else "hypernetwork.txt"
        clip = {"clip_mode": "norm", "clip": row.clip} if row.clip else {}
        return {"data": self._folders[row.images], "batch": row.batch, "seed": seed, "template": template, **clip}

    def _found(self, row: Row, seed: int, runtime: Any) -> str:
        """What the finder suggests, with twice its updates where it cannot tell, as it advises; else the text as it is."""
        for updates in (Spec().updates, 2 * Spec().updates):
            trial = Trial(Spec(seed=seed, updates=updates))
            with runtime.trial_calls.trying(trial):
                service.train(row.kind, NAME, row.text, row.updates, **self._choices(row, seed))
            if trial.answer is not None and trial.answer.suggested is not None:
                return trial.answer.suggested
        return row.text

    def _results(self, row: Row, trained: Any, runtime: Any) -> dict[str, Any]:
        if row.text.startswith("range_test"):
            (run,) = runtime.store.runs()
            made = range_test_of(run, History.open(runtime.store.history_path(run.id), append=False))
            points = made.answer.points if made else ()
            return {"top": max(points, key=lambda point: point[1])[0] if points else None}
        if row.kind == "hypernetwork":
            return {"closed": finite(self._gone(row, trained))}
        found = {"closed": finite(self._closed(row, trained.vec.detach()))}
        if row.average:
            sd_hijack.model_hijack.embedding_db.load_textual_inversion_embeddings(force_reload=True)
            average = sd_hijack.model_hijack.embedding_db.word_embeddings[f"{NAME}-ema"]
            found["average"] = finite(self._closed(row, average.vec.detach()))
        return found

    def _closed(self, row: Row, vec: Tensor) -> float:
        held = self._looks(row.measured_on)
        if row.measured_on not in self._gaps:
            self._gaps[row.measured_on] = concept_gap(self._model, held)
        return self._gaps[row.measured_on].closed(embedding_loss(self._model, vec.clone(), held))

    def _gone(self, row: Row, hypernetwork: Any) -> float:
        """Against the model without it, with the prompts of the images."""
        held = self._looks(row.measured_on)
        captions = [path.read_text(encoding="utf-8") for path in sorted(self._folders[row.measured_on].glob("*.txt"))]
        hypernetwork.eval()
        before, after = (self._loss(held, captions, loaded) for loaded in ([], [hypernetwork]))
        return 1.0 - after / before

    def _loss(self, held: HeldOut, captions: list[str], loaded: list[Any]) -> float:
        model, kept = self._model, self._model.hypernetworks
        each = len(held.t) // len(captions)
        try:
            model.hypernetworks = loaded
            with torch.no_grad():
                context = model.cond_stage_model(captions).repeat_interleave(each, dim=0)
                return float(model.loss_at(held.latents, context, held.t, held.noise))
        finally:
            model.hypernetworks = kept

    def _looks(self, images_of: str) -> HeldOut:
        if images_of not in self._held:
            latents = concept_latents(self._model, self._folders[images_of])
            self._held[images_of] = held_out(self._model, latents)
        return self._held[images_of]


def finite(number: float) -> float | None:
    """JSON has no infinity and no NaN."""
    return number if torch.isfinite(torch.tensor(number)) else None
