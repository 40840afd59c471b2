"""What a run started from: the vectors at its first update, kept beside its snapshots."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from lib_lrsched.errors import RunStateError
from lib_lrsched.snapshot import baseline
from lib_lrsched.storage import disk_errors

from .reporter import Reporter
from .run import TrainingRun
from .trainee import Trainee

MEASURED = "progress and the distance from the start"
"""What needs it."""


def find_start(run: TrainingRun, trainee: Trainee, reporter: Reporter) -> list[Tensor] | None:
    """The tensors, on the device of what is trained; of a new run what is there now, which is written.

    Returns:
        None where it is not known, which is said, and where nobody needs it.
    """
    if not trainee.needs_baseline:
        return None
    tensors, path = [tensor.detach() for tensor in trainee.tensors()], run.baseline_path
    try:
        kept = None if path is None else baseline.read(path, tensors)
    except RunStateError as error:
        reporter.tell(f"{MEASURED} are not measured: {error}")
        return None
    if kept is None and not run.is_at_start:
        reporter.tell(f"{MEASURED} are not measured: this run began without them, and what it started from is not known")
        return None
    if kept is None:
        kept = [tensor.clone() for tensor in tensors]
        _write(path, kept, run, reporter)
    return [one.to(tensor.device) for one, tensor in zip(kept, tensors, strict=True)]


def _write(path: Path | None, kept: list[Tensor], run: TrainingRun, reporter: Reporter) -> None:
    try:
        if path is not None:
            baseline.write(path, kept)
    except OSError as error:
        if run.disk_trouble:
            return  # it has been said that this run cannot be resumed
        reporter.tell(f"what the run started from cannot be kept: {disk_errors.why(error)}. {MEASURED.capitalize()} are measured "
                      "in this training, and not after a resume")
