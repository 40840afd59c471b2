"""Trains hypernetworks: the host's `modules/hypernetworks/hypernetwork.py`, seam by seam.

As there, the input check and write_loss are called through the textual inversion module, and LearnRateScheduler is
a global of this one; all of them are looked up when they are called. The host's defects are kept on purpose.
"""
from __future__ import annotations

import html
import inspect
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib_lrsched.practice import dataset, loop, previews, saving_settings, sd_hijack_checkpoint, shared, textual_inversion
from lib_lrsched.practice._hypernetwork_files import create_hypernetwork, load_hypernetworks, new_hypernetwork
from lib_lrsched.practice.hypernetwork_layers import Hypernetwork, HypernetworkModule
from lib_lrsched.practice.learn_schedule import LearnRateScheduler

__all__ = [
    "Hypernetwork",
    "HypernetworkModule",
    "LearnRateScheduler",
    "create_hypernetwork",
    "load_hypernetworks",
    "new_hypernetwork",
    "optimizer_dict",
    "save_hypernetwork",
    "stack_conds",
    "train_hypernetwork",
]

DESCRIBED = ("layer_structure", "activation_func", "weight_init", "add_layer_norm", "use_dropout")
LOSSES_KEPT = 3  # epochs, for the mean loss in TensorBoard

_classes: list[tuple[str, Any]] = inspect.getmembers(torch.optim, inspect.isclass)
optimizer_dict = {name: cls for name, cls in _classes if name != "Optimizer"}


def stack_conds(conds: Sequence[Tensor]) -> Tensor:
    """Contexts [T_i, D] -> one [B, T, D]; shorter ones are filled up with their last vector."""
    longest = max(len(cond) for cond in conds)
    return torch.stack([torch.cat([cond, cond[-1:].expand(longest - len(cond), -1)]) for cond in conds])


@dataclass(kw_only=True)
class HypernetworkWriter:
    """What the training of a hypernetwork writes; see loop.Writer."""

    trained: Hypernetwork
    name: str
    log_directory: str
    epochs: loop.Epochs
    optimizer: torch.optim.Optimizer
    optimizer_name: str
    checkpoint: shared.Checkpoint
    scheduler: loop.Scheduler
    tensorboard_writer: Any
    dataset_size: int
    losses: deque[float] = field(default_factory=deque)

    def save_copy(self, name: str, filename: str) -> None:  # noqa: ARG002  # a copy keeps the hypernetwork's own name
        self.save(filename)

    def save(self, filename: str) -> None:
        """Saves under the hypernetwork's own name, with the optimizer's state if the option asks for it."""
        self.trained.optimizer_name = self.optimizer_name
        if shared.opts.save_optimizer_state:
            self.trained.optimizer_state_dict = self.optimizer.state_dict()
        save_hypernetwork(self.trained, self.checkpoint, self.name, filename)
        self.trained.optimizer_state_dict = None

    def log_loss(self, update: loop.Update) -> None:
        self.losses.append(update.loss)
        if self.tensorboard_writer is not None:
            self._add_to_tensorboard()
        values = {"loss": f"{update.loss:.7f}", "learn_rate": self.scheduler.learn_rate}
        textual_inversion.write_loss(
            self.log_directory, "hypernetwork_loss.csv", self.trained.step, self.epochs.steps, values
        )

    def draw(self, prompt: previews.Prompt) -> previews.Preview:
        self.trained.eval()
        kept = torch.get_rng_state()
        preview = previews.draw(prompt)
        torch.set_rng_state(kept)
        self.trained.train()
        return preview

    def note_image(self, preview: previews.Preview, name: str) -> None:  # noqa: ARG002  # TensorBoard knows it by its step
        if self.tensorboard_writer is not None and shared.opts.training_tensorboard_save_images:
            tag = f"Validation at epoch {self.trained.step // self.dataset_size}"
            textual_inversion.tensorboard_add_image(self.tensorboard_writer, tag, preview.image, self.trained.step)

    def _add_to_tensorboard(self) -> None:
        epoch, done = divmod(self.trained.step, self.dataset_size)
        textual_inversion.tensorboard_add(
            self.tensorboard_writer,
            loss=sum(self.losses) / len(self.losses),
            global_step=self.trained.step,
            step=done + 1,
            learn_rate=self.scheduler.learn_rate,
            epoch_num=epoch,
        )


def train_hypernetwork(  # the host's parameters, and its locals, which hooks may read
    id_task: Any, hypernetwork_name: str, learn_rate: str, batch_size: int, gradient_step: int,
    data_root: str, log_directory: str, training_width: int, training_height: int, varsize: bool, steps: int,
    clip_grad_mode: str, clip_grad_value: str, shuffle_tags: bool, tag_drop_out: float,
    latent_sampling_method: str, use_weight: bool, create_image_every: int, save_hypernetwork_every: int,
    template_filename: str, preview_from_txt2img: bool, preview_prompt: str, preview_negative_prompt: str,
    preview_steps: int, preview_sampler_name: str, preview_cfg_scale: float, preview_seed: int,
    preview_width: int, preview_height: int,
) -> tuple[Hypernetwork, str]:
    """Trains the hypernetwork up to `steps` updates over its life; returns it and its file's path.

    Raises AssertionError, ValueError or KeyError for inputs with which no run can begin. An exception during the
    run is printed and swallowed; what has been learned until then is saved.
    """
    save_hypernetwork_every, create_image_every = save_hypernetwork_every or 0, create_image_every or 0
    template = textual_inversion.textual_inversion_templates.get(template_filename)
    textual_inversion.validate_train_inputs(
        hypernetwork_name, learn_rate, batch_size, gradient_step, data_root, template, template_filename, steps,
        save_hypernetwork_every, create_image_every, log_directory, name="hypernetwork",
    )
    template_file = template.path  # type: ignore[union-attr]  # checked just above
    hypernetwork = Hypernetwork()
    hypernetwork.load(shared.hypernetworks[hypernetwork_name])
    shared.set_loaded_hypernetworks([hypernetwork])
    loop.begin("train-hypernetwork", "hypernetwork", steps)
    hypernetwork_name = hypernetwork_name.rsplit("(", 1)[0]  # the host's lists show a hash behind the name
    filename = str(Path(shared.cmd_opts.hypernetwork_dir) / f"{hypernetwork_name}.pt")
    log_directory = loop.dated_folder(log_directory, hypernetwork_name)
    copies = loop.every(log_directory, "hypernetworks", save_hypernetwork_every)
    images = loop.every(log_directory, "images", create_image_every)

    checkpoint = shared.select_checkpoint()
    initial_step = hypernetwork.step or 0
    if initial_step >= steps:
        shared.state.textinfo = f"Nothing to do: it has been trained for {initial_step} steps, and max steps is {steps}"
        return hypernetwork, filename

    scheduler = LearnRateScheduler(learn_rate, steps, initial_step)
    clip_grad = loop.clip_function(clip_grad_mode)
    clip = None
    weights = hypernetwork.weights()
    if clip_grad is not None:
        clip_grad_sched = LearnRateScheduler(clip_grad_value, steps, initial_step, verbose=False)
        clip = loop.Clip(clip_grad, weights, clip_grad_sched)
    is_logged = shared.opts.training_enable_tensorboard
    tensorboard_writer = textual_inversion.tensorboard_setup(log_directory) if is_logged else None
    shared.state.textinfo = f"Preparing the data set in {html.escape(data_root)}"

    ds = dataset.PersonalizedBase(
        data_root=data_root,
        width=training_width,
        height=training_height,
        repeats=shared.opts.training_image_repeats_per_epoch,
        placeholder_token=hypernetwork_name,
        model=shared.sd_model,
        cond_model=shared.sd_model.cond_stage_model,
        device=shared.device,
        template_file=template_file,
        include_cond=True,
        batch_size=batch_size,
        gradient_step=gradient_step,
        shuffle_tags=shuffle_tags,
        tag_drop_out=tag_drop_out,
        latent_sampling_method=latent_sampling_method,
        varsize=varsize,
        use_weight=use_weight,
    )
    if shared.opts.save_training_settings_to_txt:
        facts = {name: getattr(hypernetwork, name) for name in DESCRIBED} | {"num_of_dataset_images": len(ds)}
        saving_settings.save_settings_to_file(log_directory, {**locals(), **checkpoint.facts(), **facts})
    dl = loop.data_loader(ds)
    was_parallel_allowed = shared.parallel_processing_allowed
    loop.unload(shared.sd_model.cond_stage_model, shared.sd_model.first_stage_model)

    hypernetwork.train()
    optimizer, optimizer_name = _optimizer(hypernetwork, weights, scheduler.learn_rate)
    scaler = loop.grad_scaler()
    fixed_prompt = previews.Prompt(
        preview_prompt, preview_negative_prompt, preview_steps, preview_cfg_scale, preview_seed, preview_width,
        preview_height, preview_sampler_name,
    )
    pbar = shared.progress_bar(steps - initial_step)
    epochs = loop.Epochs.of(ds)
    writer = HypernetworkWriter(
        trained=hypernetwork,
        name=hypernetwork_name,
        log_directory=log_directory,
        epochs=epochs,
        optimizer=optimizer,
        optimizer_name=optimizer_name,
        checkpoint=checkpoint,
        scheduler=scheduler,
        tensorboard_writer=tensorboard_writer,
        dataset_size=len(ds),
        losses=deque(maxlen=LOSSES_KEPT * len(ds)),
    )
    log = loop.UpdateLog(
        trained=hypernetwork,
        writer=writer,
        name=hypernetwork_name,
        title="Hypernetwork",
        epochs=epochs,
        copies=copies,
        images=images,
        prompt=previews.chooser(training_width, training_height, fixed_prompt if preview_from_txt2img else None),
        progress=pbar,
    )
    prompts_vary = tag_drop_out != 0 or shuffle_tags
    updates = loop.Loop(
        trained=hypernetwork,
        total_steps=steps,
        scheduler=scheduler,
        optimizer=optimizer,
        scaler=scaler,
        clip=clip,
        epochs=epochs,
        loader=dl,
        loss=lambda batch: loop.model_loss(batch, _context(batch, prompts_vary), use_weight),
        log=log,
    )
    shared.start()
    try:
        sd_hijack_checkpoint.add()
        updates.run()
    except Exception:  # noqa: BLE001  # as the host: whatever goes wrong is printed, and what there is will be saved
        shared.report("Error training hypernetwork")
    finally:
        pbar.leave = False
        pbar.close()
        hypernetwork.eval()
        sd_hijack_checkpoint.remove()
    writer.save(filename)
    shared.sd_model.cond_stage_model.to(shared.device)
    shared.sd_model.first_stage_model.to(shared.device)
    shared.parallel_processing_allowed = was_parallel_allowed
    return hypernetwork, filename


def save_hypernetwork(
    hypernetwork: Hypernetwork, checkpoint: shared.Checkpoint, hypernetwork_name: str, filename: str
) -> None:
    """Saves the hypernetwork under this name, which it keeps; what it said before comes back if saving fails."""
    stamps = {"sd_checkpoint": checkpoint.shorthash, "sd_checkpoint_name": checkpoint.model_name}
    with loop.stamped(hypernetwork, name=hypernetwork_name, **stamps):
        hypernetwork.save(filename)


def _optimizer(
    hypernetwork: Hypernetwork, weights: list[torch.nn.Parameter], rate: float
) -> tuple[torch.optim.Optimizer, str]:
    """The optimizer of the kind the hypernetwork was saved with, with its state, whose rate comes back with it."""
    name = hypernetwork.optimizer_name or ""
    if name not in optimizer_dict:
        shared.say(f"There is no optimizer {name}; AdamW takes its place")
        name = "AdamW"
    optimizer = optimizer_dict[name](params=weights, lr=rate)
    if hypernetwork.optimizer_state_dict:
        try:
            optimizer.load_state_dict(hypernetwork.optimizer_state_dict)
        except RuntimeError as error:
            shared.say(f"The saved optimizer state does not fit and is left out: {error}")
    return optimizer, name


def _context(batch: dataset.Batch, prompts_vary: bool) -> Tensor:
    """[B, T, D]: what was encoded when the data set was read, unless tags are dropped or shuffled."""
    if prompts_vary:
        return shared.sd_model.cond_stage_model(batch.cond_text)
    return stack_conds(batch.cond).to(shared.device)
