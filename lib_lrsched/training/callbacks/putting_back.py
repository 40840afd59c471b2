"""A range test alone is a rehearsal: at its end what was trained is what it was before its first update.

Nothing of it is saved either (see file_saving.py), no snapshot is written, and its run is nobody's to resume. So a kill in the
middle leaves the files and runs that were there, and the next training starts where this one began.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lib_lrsched.training.callback import ESSENTIAL, Callback, Outcome, Training
from lib_lrsched.training.range_test import range_test_of


class PutBack(Callback):
    """Keeps weights, step and everything else that the host's object says of itself, until the loop is over."""

    on_failure = ESSENTIAL

    def __init__(self, session: Training) -> None:
        self._session = session
        self._kept: tuple[list[Tensor], dict[str, Any]] | None = None

    def on_start(self, session: Training) -> None:
        trainee = session.trainee
        self._kept = [tensor.detach().clone() for tensor in trainee.tensors()], dict(vars(trainee.host_object))

    def on_end(self, outcome: Outcome) -> None:  # noqa: ARG002 however it ended
        trainee, kept = self._session.trainee, self._kept
        if kept is None or trainee.host_object is None:
            return  # it ended before its first update
        (tensors, facts), self._kept = kept, None
        with torch.no_grad():
            for tensor, before in zip(trainee.tensors(), tensors, strict=True):
                tensor.copy_(before)
                tensor.grad = None
        vars(trainee.host_object).update(facts)
        self._tell()

    def _tell(self) -> None:
        run, trainee, reporter = self._session.run, self._session.trainee, self._session.reporter
        found = range_test_of(run.state(), run.history)
        suggested = None if found is None else found.answer.suggested
        rate = "no rate is suggested" if suggested is None else f"the suggested rate is {suggested:g}"
        reporter.tell(f"{trainee.name} is what it was before the range test, at step {trainee.step}; {rate}")
        if found is not None:
            run.note(found.answer.why)
