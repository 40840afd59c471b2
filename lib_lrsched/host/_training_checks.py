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
from .kinds import kind_of
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
        shared, beside = self._host.shared, kind_of(kind).applied_beside(self._host)
        applied = [f"{getattr(one, 'name', '?')} {step_hook.digest(one.weights())[:16]}" for one in beside]
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
        kind_of(kind).save(self._host, input_checks.caller_locals(f"{kind}_name"))

    def save_copy(self, kind: str, end: str) -> str:
        frame = input_checks.caller_locals(f"{kind}_name")
        name = f"{frame[f'{kind}_name']}-{end}"
        file, host_object = os.path.join(frame["log_directory"], f"{name}.pt"), frame[kind]  # noqa: PTH118 the host's own path
        before = host_object.name
        try:
            kind_of(kind).save(self._host, frame, name, file)
        finally:
            host_object.name = before
        return file

    def validation_images(self, arguments: Mapping[str, Any], trained: Sequence[str], most: int) -> tuple[str, list[LoadedImage]]:
        return validation_images.images(self._host, arguments, trained, most)
