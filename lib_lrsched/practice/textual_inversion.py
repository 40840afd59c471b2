"""Trains embeddings: the host's `modules/textual_inversion/textual_inversion.py`, seam by seam.

Whatever a hook may replace is a global of this module and looked up when it is called: validate_train_inputs,
LearnRateScheduler, write_loss, save_settings_to_file, save_embedding, and the attributes of `dataset` and
`sd_hijack_checkpoint`. The host's defects are kept on purpose; they are the hooks' to mend.
"""
from __future__ import annotations

import csv
import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lib_lrsched.practice import dataset, files, loop, previews, sd_hijack, sd_hijack_checkpoint, shared
from lib_lrsched.practice._tensorboard import tensorboard_add, tensorboard_add_image, tensorboard_setup
from lib_lrsched.practice.images import insert_image_data_embed
from lib_lrsched.practice.learn_schedule import LearnRateScheduler
from lib_lrsched.practice.saving_settings import save_settings_to_file
from lib_lrsched.practice.sd_hijack import Embedding
from lib_lrsched.practice.train_inputs import (
    TextualInversionTemplate,
    list_textual_inversion_templates,
    textual_inversion_templates,
    validate_train_inputs,
)

__all__ = [
    "Embedding",
    "LearnRateScheduler",
    "TextualInversionTemplate",
    "create_embedding",
    "list_textual_inversion_templates",
    "new_embedding",
    "save_embedding",
    "save_settings_to_file",
    "tensorboard_add",
    "tensorboard_add_image",
    "tensorboard_setup",
    "textual_inversion_templates",
    "train_embedding",
    "validate_train_inputs",
    "write_loss",
]


def create_embedding(name: str, num_vectors_per_token: int, overwrite_old: bool, init_text: str = "*") -> str:
    """Saves a new embedding that starts as the words of init_text, as zeros without; returns the file's path.

    The database knows it after its next load. Raises AssertionError where the file is there already.
    """
    safe_name = files.safe_name(name)
    path = Path(shared.cmd_opts.embeddings_dir) / f"{safe_name}.pt"
    assert overwrite_old or not path.exists(), f"file {path} is there already; choose another name"
    new_embedding(safe_name, num_vectors_per_token, init_text).save(str(path))
    return str(path)


def new_embedding(name: str, num_vectors_per_token: int, init_text: str = "*") -> Embedding:
    """As create_embedding, without the file."""
    vec = shared.sd_model.cond_stage_model.encode_init_text(init_text or "*", num_vectors_per_token)
    return Embedding(vec if init_text else torch.zeros_like(vec), name, step=0)


def write_loss(log_directory: str, filename: str, step: int, epoch_len: int, values: Mapping[str, Any]) -> None:
    """Adds a line to the CSV file when the option `training_write_csv_every` says so; `step` counts from 1."""
    interval = shared.opts.training_write_csv_every
    if interval == 0 or step % interval != 0:
        return
    epoch, epoch_step = divmod(step - 1, epoch_len)
    row = {"step": step, "epoch": epoch, "epoch_step": epoch_step, **values}
    path = Path(log_directory) / filename
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if is_new:
            writer.writeheader()
        writer.writerow(row)


@dataclass(kw_only=True)
class EmbeddingWriter:
    """What the training of an embedding writes; see loop.Writer."""

    trained: Embedding
    log_directory: str
    epochs: loop.Epochs
    optimizer: torch.optim.Optimizer
    checkpoint: shared.Checkpoint
    scheduler: loop.Scheduler
    with_embedding_dir: Path | None
    tensorboard_writer: Any
    new_copy: str | None = None
    """The last copy's file, until it went into an image."""

    def save_copy(self, name: str, filename: str) -> None:
        save_embedding(self.trained, self.optimizer, self.checkpoint, name, filename)
        self.new_copy = filename

    def log_loss(self, update: loop.Update) -> None:
        values = {"loss": f"{update.loss:.7f}", "learn_rate": self.scheduler.learn_rate}
        write_loss(self.log_directory, "textual_inversion_loss.csv", self.trained.step, self.epochs.steps, values)

    def draw(self, prompt: previews.Prompt) -> previews.Preview:
        # Torch's generator is left as the image leaves it: the host does not put it back here.
        return previews.draw(prompt)

    def note_image(self, preview: previews.Preview, name: str) -> None:
        if self.tensorboard_writer is not None and shared.opts.training_tensorboard_save_images:
            tag = f"Validation at epoch {self.trained.step // self.epochs.steps}"
            tensorboard_add_image(self.tensorboard_writer, tag, preview.image, self.trained.step)
        if self.with_embedding_dir is not None and self.new_copy is not None and Path(self.new_copy).exists():
            data = files.load_pt(self.new_copy)
            image = insert_image_data_embed(preview.image, data)
            image.save(self.with_embedding_dir / f"{name}.png", "PNG", **previews.with_embedding(preview, data))
            self.new_copy = None


def train_embedding(  # the host's parameters, and its locals, which hooks may read
    id_task: Any, embedding_name: str, learn_rate: str, batch_size: int, gradient_step: int,
    data_root: str, log_directory: str, training_width: int, training_height: int, varsize: bool, steps: int,
    clip_grad_mode: str, clip_grad_value: str, shuffle_tags: bool, tag_drop_out: float,
    latent_sampling_method: str, use_weight: bool, create_image_every: int, save_embedding_every: int,
    template_filename: str, save_image_with_stored_embedding: bool, preview_from_txt2img: bool,
    preview_prompt: str, preview_negative_prompt: str, preview_steps: int, preview_sampler_name: str,
    preview_cfg_scale: float, preview_seed: int, preview_width: int, preview_height: int,
) -> tuple[Embedding, str]:
    """Trains the embedding up to `steps` updates over its life; returns it and its file's path.

    Raises AssertionError, ValueError or KeyError for inputs with which no run can begin. An exception during the
    run is printed and swallowed; the file is then not written, and the embedding keeps what it has learned.
    """
    save_embedding_every, create_image_every = save_embedding_every or 0, create_image_every or 0
    template = textual_inversion_templates.get(template_filename)
    validate_train_inputs(
        embedding_name, learn_rate, batch_size, gradient_step, data_root, template, template_filename, steps,
        save_embedding_every, create_image_every, log_directory, name="embedding",
    )
    template_file = template.path  # type: ignore[union-attr]  # checked just above
    loop.begin("train-embedding", "textual inversion", steps)
    filename = str(Path(shared.cmd_opts.embeddings_dir) / f"{embedding_name}.pt")
    log_directory = loop.dated_folder(log_directory, embedding_name)
    copies = loop.every(log_directory, "embeddings", save_embedding_every)
    images = loop.every(log_directory, "images", create_image_every)
    with_embedding = loop.every(
        log_directory, "image_embeddings", create_image_every if save_image_with_stored_embedding else 0
    )

    embedding = sd_hijack.model_hijack.embedding_db.word_embeddings[embedding_name]
    checkpoint = shared.select_checkpoint()
    initial_step = embedding.step or 0
    if initial_step >= steps:
        shared.state.textinfo = f"Nothing to do: it has been trained for {initial_step} steps, and max steps is {steps}"
        return embedding, filename

    scheduler = LearnRateScheduler(learn_rate, steps, initial_step)
    clip_grad = loop.clip_function(clip_grad_mode)
    clip = None
    if clip_grad is not None:
        clip_grad_sched = LearnRateScheduler(clip_grad_value, steps, initial_step, verbose=False)
        clip = loop.Clip(clip_grad, embedding.vec, clip_grad_sched)
    shared.state.textinfo = f"Preparing the data set in {html.escape(data_root)}"
    tensorboard_writer = _tensorboard_or_none(log_directory)

    ds = dataset.PersonalizedBase(
        data_root=data_root,
        width=training_width,
        height=training_height,
        repeats=shared.opts.training_image_repeats_per_epoch,
        placeholder_token=embedding_name,
        model=shared.sd_model,
        cond_model=shared.sd_model.cond_stage_model,
        device=shared.device,
        template_file=template_file,
        batch_size=batch_size,
        gradient_step=gradient_step,
        shuffle_tags=shuffle_tags,
        tag_drop_out=tag_drop_out,
        latent_sampling_method=latent_sampling_method,
        varsize=varsize,
        use_weight=use_weight,
    )
    if shared.opts.save_training_settings_to_txt:
        facts = {"num_of_dataset_images": len(ds), "num_vectors_per_token": len(embedding.vec)}
        save_settings_to_file(log_directory, {**locals(), **checkpoint.facts(), **facts})
    dl = loop.data_loader(ds)
    was_parallel_allowed = shared.parallel_processing_allowed
    loop.unload(shared.sd_model.first_stage_model)

    embedding.vec.requires_grad = True
    optimizer = torch.optim.AdamW([embedding.vec], lr=scheduler.learn_rate, weight_decay=0.0)
    _load_optimizer_state(optimizer, embedding, f"{filename}.optim")
    scaler = loop.grad_scaler()
    fixed_prompt = previews.Prompt(
        preview_prompt, preview_negative_prompt, preview_steps, preview_cfg_scale, preview_seed, preview_width,
        preview_height, preview_sampler_name,
    )
    pbar = shared.progress_bar(steps - initial_step)
    epochs = loop.Epochs.of(ds)
    writer = EmbeddingWriter(
        trained=embedding,
        log_directory=log_directory,
        epochs=epochs,
        optimizer=optimizer,
        checkpoint=checkpoint,
        scheduler=scheduler,
        with_embedding_dir=with_embedding.folder,
        tensorboard_writer=tensorboard_writer,
    )
    log = loop.UpdateLog(
        trained=embedding,
        writer=writer,
        name=embedding_name,
        title="Textual inversion",
        epochs=epochs,
        copies=copies,
        images=images,
        prompt=previews.chooser(training_width, training_height, fixed_prompt if preview_from_txt2img else None),
        progress=pbar,
    )
    updates = loop.Loop(
        trained=embedding,
        total_steps=steps,
        scheduler=scheduler,
        optimizer=optimizer,
        scaler=scaler,
        clip=clip,
        epochs=epochs,
        loader=dl,
        loss=lambda batch: loop.model_loss(batch, shared.sd_model.cond_stage_model(batch.cond_text), use_weight),
        log=log,
    )
    shared.start()
    try:
        sd_hijack_checkpoint.add()
        updates.run()
        save_embedding(embedding, optimizer, checkpoint, embedding_name, filename)
    except Exception:  # noqa: BLE001  # as the host: whatever goes wrong is printed, and the final save is skipped
        shared.report("Error training embedding")
    finally:
        pbar.leave = False
        pbar.close()
        shared.sd_model.first_stage_model.to(shared.device)
        shared.parallel_processing_allowed = was_parallel_allowed
        sd_hijack_checkpoint.remove()
    return embedding, filename


def save_embedding(  # the host's parameters
    embedding: Embedding,
    optimizer: torch.optim.Optimizer,
    checkpoint: shared.Checkpoint,
    embedding_name: str,
    filename: str,
    remove_cached_checksum: bool = True,
) -> None:
    """Saves the embedding under this name, which it keeps; what it said before comes back if saving fails."""
    stamps = {"name": embedding_name, "sd_checkpoint": checkpoint.shorthash, "sd_checkpoint_name": checkpoint.model_name}
    checksum = None if remove_cached_checksum else embedding.cached_checksum
    with loop.stamped(embedding, **stamps, cached_checksum=checksum):
        embedding.optimizer_state_dict = optimizer.state_dict()
        embedding.save(filename)


def _tensorboard_or_none(log_directory: str) -> Any:
    if not shared.opts.training_enable_tensorboard:
        return None
    try:
        return tensorboard_setup(log_directory)
    except ImportError:
        shared.report("TensorBoard cannot be used")
        return None


def _load_optimizer_state(optimizer: torch.optim.Optimizer, embedding: Embedding, path: str) -> None:
    """Loads the state that was saved with exactly these vectors; the saved rate comes back with it, as in the host."""
    if not shared.opts.save_optimizer_state:
        return
    saved = files.load_pt(path) if Path(path).exists() else {}
    matches = saved.get("hash") == embedding.checksum()
    state = saved.get("optimizer_state_dict") if matches else None
    if state is None:
        shared.say("No saved optimizer state for this embedding")
    else:
        optimizer.load_state_dict(state)
        shared.say("Resumed with the saved optimizer state")
