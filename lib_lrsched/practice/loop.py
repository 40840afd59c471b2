"""The updates of a run, in the host's order of calls; what textual inversion and hypernetworks have in common.

    for each epoch:                     apply, then is it finished or interrupted?
        for each micro-batch:           clip schedule, forward, backward
            at each gradient_step-th:   clip, optimizer, step + 1, then what the log does with it

Files are written by a Writer that each of the two training modules brings; it calls the seams of its module.
"""
from __future__ import annotations

import contextlib
import datetime as dt
import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
import tqdm
from torch import Tensor

from lib_lrsched.practice import dataset, images, previews, shared


class Scheduler(Protocol):
    """What the loop reads of a LearnRateScheduler."""

    learn_rate: float
    finished: bool

    def apply(self, optimizer: torch.optim.Optimizer, step_number: int) -> None: ...

    def step(self, step_number: int) -> bool: ...


class Trained(Protocol):
    """An embedding or a hypernetwork; step counts the updates of its life."""

    name: Any
    step: Any


class Update(NamedTuple):
    """What the log hears of one update: the summed loss of its micro-batches and the last of them."""

    loss: float
    batch: dataset.Batch


class Clip(NamedTuple):
    """torch's clipping function, what it is called on and the schedule of its threshold."""

    function: Callable[[Any, float], Any]
    parameters: Tensor | Sequence[Tensor]
    scheduler: Scheduler


class Every(NamedTuple):
    """Something that is done every `steps` updates into a folder; None for the folder: never."""

    folder: Path | None
    steps: int

    def is_due(self, steps_done: int) -> bool:
        """Whether it is time; the host counts one more step than was made."""
        return self.folder is not None and steps_done % self.steps == 0


class Epochs(NamedTuple):
    """The data set's own counts, after its caps: updates and micro-batches per epoch, micro-batches per update."""

    steps: int
    micro_steps: int
    gradient_step: int

    @classmethod
    def of(cls, ds: dataset.PersonalizedBase) -> Epochs:
        """As the host counts: micro-batches that fill no update are left out."""
        batches = len(ds) // ds.batch_size
        return cls(batches // ds.gradient_step, batches - batches % ds.gradient_step, ds.gradient_step)


@dataclass(frozen=True)
class Loop:
    """All that one run's updates need."""

    trained: Trained
    total_steps: int
    scheduler: Scheduler
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    clip: Clip | None
    epochs: Epochs
    loader: dataset.PersonalizedDataLoader
    loss: Callable[[dataset.Batch], Tensor]
    log: UpdateLog

    def run(self) -> None:
        """Trains until the schedule is finished, or interrupted."""
        left = self.total_steps - (self.trained.step or 0)
        for _ in range(left * self.epochs.gradient_step):
            if self._must_stop():
                break
            self._epoch()

    def _epoch(self) -> None:
        loss_sum = 0.0
        for j, batch in enumerate(self.loader):
            # One batch more than an epoch has is fetched, with its draws: so it is in the host.
            if j == self.epochs.micro_steps:
                break
            self.scheduler.apply(self.optimizer, self.trained.step)
            if self._must_stop():
                break
            loss_sum += self._backward(batch)
            if (j + 1) % self.epochs.gradient_step == 0:
                self._update()
                self.log.note(Update(loss_sum, batch))
                loss_sum = 0.0

    def _must_stop(self) -> bool:
        return self.scheduler.finished or shared.state.interrupted

    def _backward(self, batch: dataset.Batch) -> float:
        """The micro-batch's share of the update's loss."""
        if self.clip is not None:
            self.clip.scheduler.step(self.trained.step)
        loss = self.loss(batch) / self.epochs.gradient_step
        value = loss.item()
        self.scaler.scale(loss).backward()
        return value

    def _update(self) -> None:
        if self.clip is not None:
            # While the gradients are still scaled: the threshold is not what it says. The host's order.
            self.clip.function(self.clip.parameters, self.clip.scheduler.learn_rate)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.trained.step += 1
        self.optimizer.zero_grad(set_to_none=True)


class Writer(Protocol):
    """What a kind of training writes; it calls the seams of its own module."""

    def save_copy(self, name: str, filename: str) -> None:
        """Saves what is trained as a copy of that name."""

    def log_loss(self, update: Update) -> None:
        """Calls the write_loss seam."""

    def draw(self, prompt: previews.Prompt) -> previews.Preview:
        """Draws an image with what is trained."""

    def note_image(self, preview: previews.Preview, name: str) -> None:
        """Writes what else goes with an image, which is shown and saved by now."""


@dataclass(kw_only=True)
class UpdateLog:
    """What is done after every update: progress bar, copy, loss file, image, text for the user."""

    trained: Trained
    writer: Writer
    name: str
    title: str
    epochs: Epochs
    copies: Every
    images: Every
    prompt: Callable[[dataset.Batch], previews.Prompt]
    progress: tqdm.tqdm
    last_saved_file: str = "<none>"
    last_saved_image: str = "<none>"

    def note(self, update: Update) -> None:
        """Takes an update that has just been made, in the host's order."""
        step = self.trained.step
        steps_done = step + 1  # the copy named -500 holds 499 updates, as in the host
        self._show_progress(step, update.loss)
        if self.copies.is_due(steps_done):
            self._save_copy(f"{self.name}-{steps_done}")
        self.writer.log_loss(update)
        if self.images.is_due(steps_done):
            self._draw(update, f"{self.name}-{steps_done}")
        shared.state.job_no = step
        shared.state.textinfo = self._text(update, steps_done)

    def _save_copy(self, name: str) -> None:
        assert self.copies.folder is not None, "a copy is due only where there is a folder for it"
        self.last_saved_file = str(self.copies.folder / f"{name}.pt")
        self.writer.save_copy(name, self.last_saved_file)

    def _draw(self, update: Update, name: str) -> None:
        preview = self.writer.draw(self.prompt(update.batch))
        self._keep_image(preview, name)
        self.writer.note_image(preview, name)

    def _keep_image(self, preview: previews.Preview, name: str) -> None:
        """Shows the image and saves it."""
        shared.state.assign_current_image(preview.image)
        assert self.images.folder is not None, "an image is due only where there is a folder for it"
        path, _ = images.save_image(preview.image, self.images.folder, "", prompt=preview.prompt, info=preview.infotext,
                                    extension=shared.opts.samples_format, forced_filename=name, save_to_dirs=False)
        self.last_saved_image = f"{path}, prompt: {preview.prompt}"

    def _show_progress(self, step: int, loss: float) -> None:
        epoch, done = divmod(step, self.epochs.steps)
        self.progress.update()
        self.progress.set_description(f"{self.title}: epoch {epoch}, {done + 1} of {self.epochs.steps}, loss {loss:.7f}")

    def _text(self, update: Update, steps_done: int) -> str:
        lines = (
            f"Loss: {update.loss:.7f}",
            f"Step: {steps_done}",
            f"Last prompt: {html.escape(update.batch.cond_text[0])}",
            f"Last saved file: {html.escape(self.last_saved_file)}",
            f"Last saved image: {html.escape(self.last_saved_image)}",
        )
        return f"<p>{'<br/>'.join(lines)}</p>"


def begin(job: str, title: str, steps: int) -> None:
    """Tells other threads what runs now."""
    shared.state.job = job
    shared.state.job_count = steps
    shared.state.textinfo = f"Starting: {title}"


def dated_folder(log_directory: str, name: str) -> str:
    """Where today's runs of this name keep their log; it is not made here, nor, always, anywhere else."""
    today = dt.datetime.now().astimezone()
    return str(Path(log_directory) / f"{today:%Y-%m-%d}" / name)


def every(log_directory: str, folder: str, steps: int) -> Every:
    """Makes the folder if steps is above 0."""
    if steps <= 0:
        return Every(None, steps)
    path = Path(log_directory) / folder
    path.mkdir(parents=True, exist_ok=True)
    return Every(path, steps)


def clip_function(mode: str) -> Callable[[Any, float], Any] | None:
    """torch's function for the mode "value" or "norm", looked up now; None for any other mode."""
    if mode == "value":
        return torch.nn.utils.clip_grad_value_
    return torch.nn.utils.clip_grad_norm_ if mode == "norm" else None


def data_loader(ds: dataset.PersonalizedBase) -> dataset.PersonalizedDataLoader:
    """The seam PersonalizedDataLoader, called with the data set's own choices."""
    return dataset.PersonalizedDataLoader(
        ds,
        latent_sampling_method=ds.latent_sampling_method,
        batch_size=ds.batch_size,
        pin_memory=shared.opts.pin_memory,
    )


@contextlib.contextmanager
def stamped(saved: Trained, **stamps: Any) -> Iterator[None]:
    """Sets these attributes for good, but puts the old ones back if saving fails."""
    before = {name: getattr(saved, name) for name in stamps}
    vars(saved).update(stamps)
    try:
        yield
    except BaseException:
        vars(saved).update(before)
        raise


def unload(*parts: torch.nn.Module) -> None:
    """Moves parts of the model to the CPU for the run where the option asks for it; no images meanwhile."""
    if not shared.opts.unload_models_when_training:
        return
    shared.parallel_processing_allowed = False
    for part in parts:
        part.to("cpu")


def grad_scaler() -> Any:
    """Off, as the host's is without a GPU, unless the option `practice_grad_scaler` asks for a scale of 65536.

    Raises:
        RuntimeError: it does, and this torch (below 2.3) has none for the CPU.
    """
    if hasattr(torch.amp, "GradScaler"):
        return torch.amp.GradScaler("cpu", enabled=shared.opts.practice_grad_scaler)
    if shared.opts.practice_grad_scaler:
        raise RuntimeError(f"torch {torch.__version__} has no GradScaler for the CPU; 2.3 has")
    return torch.cuda.amp.GradScaler(enabled=False)


def model_loss(batch: dataset.Batch, context: Tensor, use_weight: bool) -> Tensor:
    """The model's loss on the batch's latents with this context [B, T, D], weighted by the images' alpha if asked."""
    x = batch.latent_sample.to(shared.device)
    cond = _with_image(x, context) if shared.sd_model.model.conditioning_key in {"hybrid", "concat"} else context
    if use_weight:
        assert batch.weight is not None, "the data set was made without use_weight"
        return shared.sd_model.weighted_forward(x, cond, batch.weight.to(shared.device))[0]
    return shared.sd_model.forward(x, cond)[0]


def _with_image(x: Tensor, context: Tensor) -> dict[str, list[Tensor]]:
    """As the host trains an inpainting model: with an image that shows nothing, in the channels beside the latents'."""
    channels = getattr(shared.sd_model.model.diffusion_model, "in_channels", x.shape[1]) - x.shape[1]
    return {"c_concat": [x.new_zeros(x.shape[0], channels, *x.shape[2:])], "c_crossattn": [context]}
