"""How the practice host's page trains, for trials that are asked for through the endpoints; see training/host.py, Trainer."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from PIL import PngImagePlugin

from lib_lrsched.host.kinds import kind_of
from lib_lrsched.training.host import Sample

from . import previews, service, shared

queue_lock = threading.Lock()
"""Held while something trains or is made: the host's queue lock."""


class PracticeTrainer:
    """See Trainer."""

    @property
    def lock(self) -> threading.Lock:
        return queue_lock

    def arguments(self, kind: str, name: str, inputs: Mapping[str, Any], task: str) -> dict[str, Any]:
        chosen = service.Choices()
        usual = service.arguments(kind, name, {"embedding": "0.005", "hypernetwork": "0.00001"}[kind], 300, chosen)
        none = {"create_image_every": 0, f"save_{kind}_every": 0, f"{kind}_name": name, "id_task": task}
        return {**usual, **{key: value for key, value in inputs.items() if key in usual}, **none}

    def enqueue(self, task: str) -> None:
        """There is no list of what waits."""

    def leave(self, task: str) -> None:
        """There is none to leave."""

    @contextmanager
    def job(self, task: str) -> Iterator[None]:
        shared.state.begin(task)
        try:
            yield
        finally:
            shared.state.end()
            shared.state.interrupted = False

    def train(self, kind: str, arguments: Mapping[str, Any]) -> None:
        applied = shared.loaded_hypernetworks
        try:
            service.call(kind, arguments)
        finally:
            shared.set_loaded_hypernetworks(applied)

    def draw(self, kind: str, host_object: Any, sample: Sample) -> bytes | None:
        shared.sd_model.first_stage_model.to(shared.device)
        try:
            with kind_of(kind).drawing(host_object):
                return _png(previews.draw(_prompt(sample)))
        finally:
            if shared.opts.unload_models_when_training:
                shared.sd_model.first_stage_model.to("cpu")


def _prompt(sample: Sample) -> previews.Prompt:
    usual = previews.Prompt(sample.prompt)
    return previews.Prompt(
        sample.prompt, sample.negative_prompt, sample.steps, usual.cfg_scale if sample.cfg_scale is None else sample.cfg_scale,
        sample.seed, sample.width, sample.height, usual.sampler if sample.sampler is None else sample.sampler,
    )


def _png(preview: previews.Preview) -> bytes:
    info, file = PngImagePlugin.PngInfo(), BytesIO()
    info.add_text("parameters", preview.infotext)
    preview.image.save(file, "PNG", pnginfo=info)
    return file.getvalue()
