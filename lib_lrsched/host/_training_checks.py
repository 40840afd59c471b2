"""What the host's side looks at for one training, and what it reads from the train function that calls."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lib_lrsched.optimizer import step_hook
from lib_lrsched.training.host import LoadedImage
from lib_lrsched.training.run import TrainingRun

from . import fast_attention, input_checks, validation_images
from .webui import Host


class TrainingChecks:
    """See training/host.py, Checks."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def before_start(self, run: TrainingRun, host_object: Any, step: int) -> None:
        request = run.request
        input_checks.check_is_left(run.planned, step)
        input_checks.check_design(self._host, request.kind, request.name, host_object)
        input_checks.check_numbers(request.kind, request.name, host_object)

    def cautions(self, run: TrainingRun) -> list[str]:
        return input_checks.cautions(run)

    def surroundings(self, kind: str) -> dict[str, str]:
        shared = self._host.shared
        loaded = [] if kind == "hypernetwork" else getattr(shared, "loaded_hypernetworks", None) or []
        applied = [f"{getattr(one, 'name', '?')} {step_hook.digest(one.weights())[:16]}" for one in loaded]
        return {
            "training_speed": self._host.settings().training_speed, "hypernetworks": ", ".join(applied) or "none",
            "attention": fast_attention.name_of(self._host), "torch": str(torch.__version__),
            "device": step_hook.device_name(torch.device(shared.device)),
        }

    def nothing_learned(self, run: TrainingRun) -> str:
        return input_checks.nothing_learned(run)

    def scaler(self) -> Any:
        return input_checks.caller_locals("scaler").get("scaler")

    def save_final(self, kind: str) -> None:
        save = self._save_embedding if kind == "embedding" else self._save_hypernetwork
        save()

    def save_copy(self, kind: str, end: str) -> str:
        frame = input_checks.caller_locals(f"{kind}_name")
        name = f"{frame[f'{kind}_name']}-{end}"
        file, host_object = os.path.join(frame["log_directory"], f"{name}.pt"), frame[kind]  # noqa: PTH118 the host's own path
        before = host_object.name
        save = self._save_embedding if kind == "embedding" else self._save_hypernetwork
        try:
            save(name, file)
        finally:
            host_object.name = before
        return file

    def validation_images(self, arguments: Mapping[str, Any], trained: Sequence[str], most: int) -> tuple[str, list[LoadedImage]]:
        return validation_images.images(self._host, arguments, trained, most)

    def _save_embedding(self, name: str | None = None, file: str | None = None) -> None:
        frame = input_checks.caller_locals("embedding_name")
        self._host.ti.save_embedding(
            frame["embedding"], frame["optimizer"], frame["checkpoint"], name or frame["embedding_name"], file or frame["filename"],
            remove_cached_checksum=True,
        )

    def _save_hypernetwork(self, name: str | None = None, file: str | None = None) -> None:
        frame = input_checks.caller_locals("hypernetwork_name")
        host_object, name, file = frame["hypernetwork"], name or frame["hypernetwork_name"], file or frame["filename"]
        host_object.optimizer_name = frame["optimizer_name"]
        if getattr(self._host.shared.opts, "save_optimizer_state", False):
            host_object.optimizer_state_dict = frame["optimizer"].state_dict()
        try:
            self._host.hn.save_hypernetwork(host_object, frame["checkpoint"], name, file)
        finally:
            host_object.optimizer_state_dict = None
