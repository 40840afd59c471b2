"""What a training starts from: the vectors at its run's first update, kept beside its snapshots; the optimizer's state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from lib_lrsched.errors import RunStateError
from lib_lrsched.optimizer import step_hook
from lib_lrsched.preview import not_measured
from lib_lrsched.snapshot import baseline
from lib_lrsched.storage import disk_errors
from lib_lrsched.storage.model_files import file_time

from .host import Host
from .reporter import Reporter
from .run import TrainingRun
from .trainee import Trainee, optimizer_file


def find_start(run: TrainingRun, trainee: Trainee, reporter: Reporter) -> list[Tensor] | None:
    """The tensors, on the device of what is trained; of a new run what is there now, which is written.

    Where the new run is trained on the average or the best state of another, that one's stay the start.

    Returns:
        None where it is not known, which is said, and where nobody needs it.
    """
    if not trainee.needs_baseline:
        return None
    tensors, path = [tensor.detach() for tensor in trainee.tensors()], run.baseline_path
    try:
        kept = None if path is None else baseline.read(path, tensors)
        if kept is None and run.is_at_start:
            kept = _inherited(run, tensors, reporter)
    except RunStateError as error:
        reporter.tell(not_measured.without_start(error))
        return None
    if kept is None and not run.is_at_start:
        reporter.tell(not_measured.without_start("this run began without them, and what it started from is not known"))
        return None
    if kept is None:
        kept = [tensor.clone() for tensor in tensors]
        _write(path, kept, run, reporter)
    return [one.to(tensor.device) for one, tensor in zip(kept, tensors, strict=True)]


def drop_foreign_state(host: Host, run: TrainingRun, trainee: Trainee, optimizer: Any) -> str:
    """Clear the state that the host has loaded into an optimizer, where it is that of other weights; what to say of it.

    The host tells whose optimizer state a file holds by 16 bits, or by a cache of hashes; here it is a real digest.
    """
    path = optimizer_file(host, trainee)
    if not optimizer.state or not path.exists():
        return ""
    belongs_to = run.knows_optimizer(file_time(path))
    if belongs_to is None or belongs_to == step_hook.digest(trainee.tensors()):
        return ""
    optimizer.state.clear()
    return f"the optimizer's state in {path.name} belongs to other weights: it starts over"


def _inherited(run: TrainingRun, tensors: list[Tensor], reporter: Reporter) -> list[Tensor] | None:
    """What the run started from whose average or best state this new one is trained on; kept with this one too."""
    theirs = run.inherited_baseline_path
    kept = None if theirs is None else baseline.read(theirs, tensors)
    if kept is not None:
        _write(run.baseline_path, kept, run, reporter)
    return kept


def _write(path: Path | None, kept: list[Tensor], run: TrainingRun, reporter: Reporter) -> None:
    try:
        if path is not None:
            baseline.write(path, kept)
    except OSError as error:
        if run.disk_trouble:
            return  # it has been said that this run cannot be resumed
        reporter.tell(f"the baseline cannot be saved: {disk_errors.why(error)}. "
                      f"{not_measured.FROM_START.capitalize()} are measured in this training, but not after a resume")
