"""What is being done in this process: trainings that run or are being prepared, a trial; and how one of them is ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from lib_lrsched.errors import ConflictError
from lib_lrsched.training.session import Session


class InProgress(NamedTuple):
    """A training or a trial.

    Attributes:
        what: "training"; "preparing", until its first update; or "trial".
        run: the id of the run, of one that is being prepared that of the run that it resumes; None where there is none yet.
        trial: the id of the trial.
        step, total_steps: updates made, and those that there will be.
        s_left: seconds until its end; None where that is not known.
        is_ending: it has been interrupted, and ends before its next update.
    """

    what: str
    kind: str
    name: str
    run: str | None = None
    trial: str | None = None
    step: int = 0
    total_steps: int = 0
    s_left: float | None = None
    is_ending: bool = False


def training(session: Session, *, is_ending: bool) -> InProgress:
    """A session that has not ended."""
    run, request = session.run, session.run.request
    if run.is_live:
        state, pace = run.state(), run.history.pace(run.initial_step)
        s_left = None if pace is None else pace * max(0, state.total_steps - state.step)
        found = InProgress("training", request.kind, request.name, state.id or None, is_ending=is_ending)
        return found._replace(step=state.step, total_steps=state.total_steps, s_left=s_left)
    resumed = run.planned.resumed
    run_id = None if resumed.state is None else resumed.state.id
    step = resumed.step if resumed.step is not None else 0 if resumed.state is None else resumed.state.step
    found = InProgress("preparing", request.kind, request.name, run_id, is_ending=is_ending)
    return found._replace(step=step, total_steps=request.total_steps)


def trial(found: Mapping[str, Any]) -> InProgress:
    """A trial as the trial runner answers it."""
    answer = InProgress("trial", found["kind"], found["name"], trial=found["id"])
    return answer._replace(step=found["made"], total_steps=found["expected"], s_left=found["seconds_left"])


def check_can_be_interrupted(there: list[InProgress], kind: str, name: str, run_id: str | None) -> None:
    """The host's button ends whatever runs in it: looks whether that is what is meant.

    Raises:
        ConflictError: it is not, with what to do.
    """
    trainings = [one for one in there if one.what != "trial"]
    meant = [one for one in trainings if (one.kind, one.name) == (kind, name) and run_id in (None, one.run)]
    if not meant:
        names = " and ".join(repr(one.name) for one in trainings)
        instead = f"; in progress is the training of {names}" if names else ""
        why = f"the training of {name!r} is not in progress here, it may have ended meanwhile{instead}"
        raise ConflictError(f"{why}: nothing was changed")
    if len(trainings) > 1:
        others = " and ".join(repr(one.name) for one in trainings if one is not meant[0])
        raise ConflictError(f"{others} is being trained at the same time, and an interrupt would end both: "
                            "interrupt where you started them if that is what you want; nothing was changed")
