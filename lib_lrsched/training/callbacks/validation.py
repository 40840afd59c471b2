"""How much of the loss is gone on a fixed set of images, timesteps and noise: two looks differ by the weights alone.

    L = the losses of the set, B = those with what the run started from
    share = 1 - sum(L) / sum(B), in total and in each band of timesteps

The set is made before the loop, where the encoder is at hand, and kept with the run. At a look it passes through the model without
gradient, and what is trained acts as it does for images. Nothing that is trained depends on it. The best state so far is kept: as a
copy NAME-best in the log folder, and as a snapshot that rotation leaves alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lib_lrsched.errors import RunStateError
from lib_lrsched.snapshot import validation_set
from lib_lrsched.snapshot.data_set import Encode
from lib_lrsched.snapshot.validation_set import MOST, ValidationSet
from lib_lrsched.storage import disk_errors
from lib_lrsched.storage.history_row import rounded
from lib_lrsched.training.callback import Callback, InPlace, Training, Update
from lib_lrsched.training.host import Checks
from lib_lrsched.training.options import Options

from ._band_rules import BANDS, band_of


class Best(NamedTuple):
    """The best look so far: its share and the updates that were made then, and how many looks since were not better."""

    share: float = float("-inf")
    step: int = 0
    looks_since: int = 0


def judged(best: Best, share: float, step: int) -> Best:
    """After one more look.

    >>> judged(judged(Best(), 0.25, 10), 0.125, 20)
    Best(share=0.25, step=10, looks_since=1)
    """
    return Best(share, step) if isfinite(share) and share > best.share else best._replace(looks_since=best.looks_since + 1)


class Validation(Callback):
    """Of one training.

    Args:
        checks: knows the images, and saves copies.
        options: of the run; ``validate_every`` is above 0.
    """

    def __init__(self, session: Training, checks: Checks, options: Options) -> None:
        self._session, self._checks = session, checks
        self._every, self._stop_after = options.validate_every, options.stop_after
        self._set: ValidationSet | None = None
        self._noise: list[Tensor] = []
        self._prompts: list[str] = []
        self._contexts: list[Tensor] = []  # of the samples, where what is trained does not change them
        self._best: Best | None = None
        self._is_stored = False
        self._damage = ""

    # Before the loop ------------------------------------------------------------------------------

    def on_data(self, data: Any, arguments: Mapping[str, Any], encode: Encode) -> None:
        """Where it fails there is no set, which on_start says: nothing is wrong with the training."""
        self._session.reporter.protect(lambda: self._make(data, arguments, encode))

    def _make(self, data: Any, arguments: Mapping[str, Any], encode: Encode) -> None:
        run = self._session.run
        resumed = run.planned.resumed.state
        self._set = self._kept(None if resumed is None else run.validation_path_of(resumed.id)) or self._made(data, arguments)
        self._noise = self._set.noise()
        name = str(arguments.get("placeholder_token"))  # a run that was taken elsewhere may have another
        self._prompts = [one.prompt.replace("[name]", name) for one in self._set.samples]
        if not self._session.trainee.is_in_prompts:
            self._contexts = [encode(prompt) for prompt in self._prompts]

    def _kept(self, path: Path | None) -> ValidationSet | None:
        try:
            found = None if path is None else validation_set.read(path)
        except RunStateError as error:
            self._damage = f"the validation set is rebuilt: {error}"  # told when there is a run to tell it in
            return None
        timesteps = self._session.host.shared.sd_model.num_timesteps
        self._is_stored = found is not None and found.baseline is not None
        return found if found is None or max(one.timestep for one in found.samples) < timesteps else None

    def _made(self, data: Any, arguments: Mapping[str, Any]) -> ValidationSet:
        source, images = self._checks.validation_images(arguments, [entry.filename for entry in data.dataset], MOST)
        model = self._session.host.shared.sd_model
        latents = [self._latent(model, one.pixels, arguments.get("device")) for one in images]
        prompts = [[line.replace("[filewords]", one.caption) for line in data.lines] for one in images]  # as the host
        samples = validation_set.samples(len(images), prompts, int(model.num_timesteps))
        return ValidationSet(source, tuple(one.name for one in images), tuple(latents), samples)

    def _latent(self, model: Any, pixels: Any, device: Any) -> Tensor:
        """The mean of what the encoder says of an image; sampling it would move a generator."""
        with self._session.host.autocast(), torch.no_grad():
            found = model.encode_first_stage(torch.from_numpy(pixels.copy()).unsqueeze(0).to(device))
            # A tensor passes through get_first_stage_encoding() as it is, but for its scale.
            mean = found if isinstance(found, Tensor) else found.mean
            return model.get_first_stage_encoding(mean).detach().squeeze(0).to("cpu")  # type: ignore[no-any-return]

    # In the loop ----------------------------------------------------------------------------------

    def on_start(self, session: Training) -> None:
        if self._damage:
            session.reporter.tell(self._damage)
        if self._best is None:
            self._best = _from_history(session)
        if self._stop_after and self._best.looks_since >= self._stop_after:
            self._best = self._best._replace(looks_since=0)  # it had ended: to resume is to ask for more
        model, made = session.host.shared.sd_model, self._set
        why = ""
        if made is None:
            why = "its set could not be made"
        elif getattr(getattr(model, "model", None), "conditioning_key", None) in ("hybrid", "concat"):
            why = "an inpainting model is loaded"
        elif made.baseline is None and session.trainee.needs_baseline and session.start is None:
            why = "what the run started from is not known"
        if why or made is None:
            self._off(why)
            return
        count = len(made.images)
        images = f"{count} image{'' if count == 1 else 's'}"
        where = (f"{images} of the folder validation" if made.source == "validation" else
                 f"{images} that {'is' if count == 1 else 'are'} trained on, for the data set has no folder validation")
        session.reporter.tell(f"validation every {self._every} updates, on {where}")

    def on_update(self, update: Update) -> None:
        step = update.step + 1
        if self._set is None or step % self._every:
            return
        try:
            self._look(self._set, update, step)
        except torch.cuda.OutOfMemoryError:
            self._off("the GPU has no memory left for it")

    def _look(self, made: ValidationSet, update: Update, step: int) -> None:
        if made.baseline is None:
            made = self._set = replace(made, baseline=torch.tensor(self._at_start(made)))
        if not self._is_stored:
            self._store(made)
        assert made.baseline is not None, "it was measured just now"
        before = made.baseline.double().tolist()
        shares = self._shares(made, before, nullcontext)
        update.measured |= {name: share if isfinite(share) else None for name, share in shares.items()}
        for name, in_place in self._session.other_weights.items():
            share = self._shares(made, before, in_place)["validation"]
            update.measured[f"validation_{name}"] = share if isfinite(share) else None
        self._judge(update, shares["validation"], step)

    def _judge(self, update: Update, share: float, step: int) -> None:
        assert self._best is not None, "training has started"
        self._best = judged(self._best, share, step)
        if self._best.step == step:
            update.is_best = update.must_save = True
            self._save_copy()
        elif self._stop_after and self._best.looks_since >= self._stop_after:
            self._session.finish(self._why_stopped(step))

    def _save_copy(self) -> None:
        trainee = self._session.trainee
        try:
            self._checks.save_copy(trainee.kind, "best")
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            why = disk_errors.why(error)
            self._session.reporter.tell_once(f"the copy {trainee.name}-best cannot be saved, training continues: {why}")

    def _why_stopped(self, step: int) -> str:
        assert self._best is not None, "training has started"
        why = f"stopped after update {step}: validation has not improved for {self._best.looks_since} looks"
        if not self._best.step:
            return why
        kept = f"it is kept as {self._session.trainee.name}-best in the log folder"
        return f"{why}. It was best after update {self._best.step}, with {100 * self._best.share:.3g} % of the loss gone; {kept}"

    def _at_start(self, made: ValidationSet) -> list[float]:
        start = self._session.start or []
        return self._losses(made, lambda: self._session.trainee.at_start(start))

    def _shares(self, made: ValidationSet, before: Sequence[float], in_place: InPlace) -> dict[str, float]:
        """The share of the loss that is gone, by its column."""
        losses = self._losses(made, in_place)
        timesteps = int(self._session.host.shared.sd_model.num_timesteps)
        bands = [band_of(one.timestep, timesteps) for one in made.samples]
        found = {"validation": _share(losses, before)}
        for band in range(BANDS):
            inside = [k for k, its in enumerate(bands) if its == band]
            found[f"validation_band_{band}"] = _share([losses[k] for k in inside], [before[k] for k in inside])
        return found

    def _losses(self, made: ValidationSet, in_place: InPlace) -> list[float]:
        """The loss of each sample."""
        session, model = self._session, self._session.host.shared.sd_model
        device = session.trainee.tensors()[0].device
        found: dict[int, float] = {}
        with session.trainee.in_use(), in_place(), session.host.autocast(), torch.no_grad():
            for chunk in self._chunks(made):
                latents = torch.stack([made.latents[made.samples[k].image] for k in chunk]).to(device)
                noise = torch.stack([self._noise[k] for k in chunk]).to(latents)
                timesteps = torch.tensor([made.samples[k].timestep for k in chunk], device=device)
                if self._contexts:
                    context = torch.stack([self._contexts[k] for k in chunk]).to(device)
                else:
                    context = model.cond_stage_model([self._prompts[k] for k in chunk])
                losses = session.sample_losses(latents, context, timesteps, noise)
                found |= zip(chunk, losses.double().tolist(), strict=True)
        return [found[k] for k in range(len(made.samples))]

    def _chunks(self, made: ValidationSet) -> list[list[int]]:
        """Samples that go through the model together: as many as an update has images, for which there is memory."""
        batch = self._session.run.planned.counts.batch
        alike: dict[Any, list[int]] = {}
        for k, one in enumerate(made.samples):
            key = made.latents[one.image].shape, self._contexts[k].shape if self._contexts else None
            alike.setdefault(key, []).append(k)
        return [group[k : k + batch] for group in alike.values() for k in range(0, len(group), batch)]

    def _store(self, made: ValidationSet) -> None:
        self._is_stored = True
        path = self._session.run.validation_path
        try:
            if path is not None:
                validation_set.write(path, made)
        except OSError as error:
            if not self._session.run.disk_trouble:
                why = disk_errors.why(error)
                self._session.reporter.tell(f"the validation set cannot be saved and is rebuilt after a resume: {why}")

    def _off(self, why: str) -> None:
        self._set = None
        self._session.reporter.tell(f"the run is not validated: {why}. Training continues")

    # Over a break ---------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {"validation": None if self._best is None else self._best._asdict()}

    def load_state_dict(self, parts: Mapping[str, Any]) -> None:
        part = parts.get("validation")
        if part is None:
            return  # it was off, and the history says what there was before
        kinds = {"share": float, "step": int, "looks_since": int}
        if not isinstance(part, dict) or {name: type(value) for name, value in part.items()} != kinds:
            raise ValueError("validation: its best look so far is read from the history, because what was saved of it is damaged")
        self._best = Best(**part)


def _share(losses: Sequence[float], before: Sequence[float]) -> float:
    """NaN where there is nothing to compare with, or the loss is not finite."""
    total = sum(before)
    share = 1.0 - sum(losses) / total if total > 0 else float("nan")
    return rounded(share) if isfinite(share) else float("nan")


def _from_history(session: Training) -> Best:
    """Where no snapshot says it."""
    best = Best()
    for step, share in session.run.history.validated():
        if step <= session.initial_step:
            best = judged(best, share, step)
    return best
