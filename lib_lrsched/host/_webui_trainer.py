"""How the WebUI's Train tab trains, for trials that are asked for through the endpoints; see training/host.py, Trainer.

The buttons are modules.textual_inversion.ui and modules.hypernetworks.ui within modules.call_queue.wrap_gradio_gpu_call; the image
is the preview of the training loops.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from io import BytesIO
from typing import Any

from lib_lrsched.training.host import Sample

from .kinds import kind_of

RATES = {"embedding": "0.005", "hypernetwork": "0.00001"}

TAB: Mapping[str, Any] = {
    "batch_size": 1, "gradient_step": 1, "data_root": "", "log_directory": "textual_inversion", "training_width": 512,
    "training_height": 512, "varsize": False, "steps": 100_000, "clip_grad_mode": "disabled", "clip_grad_value": "0.1",
    "shuffle_tags": False, "tag_drop_out": 0.0, "latent_sampling_method": "once", "use_weight": False,
    "template_filename": "style_filewords.txt", "save_image_with_stored_embedding": True, "preview_from_txt2img": False,
    "preview_prompt": "", "preview_negative_prompt": "", "preview_steps": 20, "preview_sampler_name": "Euler a",
    "preview_cfg_scale": 7.0, "preview_seed": -1, "preview_width": 512, "preview_height": 512,
}  # fmt: skip
"""What the fields of the tab have first, by the parameters of the train functions; the last rows are those of txt2img."""


class WebUITrainer:
    """See Trainer."""

    @property
    def lock(self) -> AbstractContextManager[Any]:
        from modules import call_queue

        return call_queue.queue_lock  # type: ignore[no-any-return]

    def arguments(self, kind: str, name: str, inputs: Mapping[str, Any], task: str) -> dict[str, Any]:
        usual = {**TAB, "learn_rate": RATES[kind]}
        none = {"create_image_every": 0, f"save_{kind}_every": 0, f"{kind}_name": name, "id_task": task}
        given = {**usual, **{key: value for key, value in inputs.items() if key in usual}, **none}
        return {key: given[key] for key in inspect.signature(_train_of(kind)).parameters}

    def enqueue(self, task: str) -> None:
        from modules import progress

        progress.add_task_to_queue(task)

    def leave(self, task: str) -> None:
        from modules import progress

        progress.pending_tasks.pop(task, None)

    @contextmanager
    def job(self, task: str) -> Iterator[None]:
        from modules import devices, progress, shared

        shared.state.begin(job=task)
        progress.start_task(task)
        try:
            yield
        finally:
            progress.finish_task(task)
            shared.state.end()
            shared.state.skipped = shared.state.interrupted = shared.state.stopping_generation = False
            devices.torch_gc()

    def train(self, kind: str, arguments: Mapping[str, Any]) -> None:
        from modules import shared
        from modules.hypernetworks import ui as hypernetworks
        from modules.textual_inversion import ui as textual_inversion

        press = kind_of(kind).train_function(textual_inversion, hypernetworks)
        applied = shared.loaded_hypernetworks
        try:
            press(*arguments.values())
        finally:
            shared.loaded_hypernetworks = applied

    def draw(self, kind: str, host_object: Any, sample: Sample) -> bytes | None:
        from modules import devices, shared

        parts = [getattr(shared.sd_model, name) for name in kind_of(kind).unloaded]
        for part in parts:
            part.to(devices.device)
        try:
            with kind_of(kind).drawing(host_object):
                return _drawn(sample)
        finally:
            if shared.opts.unload_models_when_training:
                for part in parts:
                    part.to(devices.cpu)


def _train_of(kind: str) -> Callable[..., Any]:
    from modules.hypernetworks import hypernetwork
    from modules.textual_inversion import textual_inversion

    return kind_of(kind).train_function(textual_inversion, hypernetwork)


def _drawn(sample: Sample) -> bytes | None:
    """One image of txt2img, which leaves no file and changes nothing of the model."""
    from modules import processing, sd_hijack, sd_samplers, shared

    p = processing.StableDiffusionProcessingTxt2Img(
        sd_model=shared.sd_model, do_not_save_grid=True, do_not_save_samples=True, do_not_reload_embeddings=True,
        prompt=sample.prompt, negative_prompt=sample.negative_prompt, seed=sample.seed, subseed=sample.seed, steps=sample.steps,
        width=sample.width, height=sample.height,
    )
    if sample.sampler is not None:
        p.sampler_name = sd_samplers.samplers_map[sample.sampler.lower()]
    if sample.cfg_scale is not None:
        p.cfg_scale = sample.cfg_scale
    p.disable_extra_networks = True  # they would replace the hypernetwork, and stay in the model
    p.tiling = sd_hijack.model_hijack.circular_enabled
    p.restore_faces = False
    # The host keeps what a prompt was encoded to, and looks at its text alone: the vectors behind it have changed.
    p.cached_c, p.cached_uc = [None, None], [None, None]
    with closing(p), _unwritten(shared.cmd_opts):
        processed = processing.process_images(p)
    return _png(processed.images[0], processed.infotexts[0]) if processed.images else None


@contextmanager
def _unwritten(cmd_opts: Any) -> Iterator[None]:
    """The host writes the text of each image to params.txt, from which the page restores the last one."""
    before = getattr(cmd_opts, "no_prompt_history", False)
    cmd_opts.no_prompt_history = True
    try:
        yield
    finally:
        cmd_opts.no_prompt_history = before


def _png(image: Any, infotext: str) -> bytes:
    from PIL import PngImagePlugin

    info, file = PngImagePlugin.PngInfo(), BytesIO()
    info.add_text("parameters", infotext)
    image.save(file, "PNG", pnginfo=info)
    return file.getvalue()
