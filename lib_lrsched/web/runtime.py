"""What the endpoints know of an installation on a host, and how one gets at it: ``runtime: Runtime = RUNTIME`` in its signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from fastapi import Depends, Request

from lib_lrsched.host.in_progress import InProgress
from lib_lrsched.host.trial_runner import TrialRunner
from lib_lrsched.storage.history import History
from lib_lrsched.storage.resume import KeptState, Resumption
from lib_lrsched.storage.run_state import Known, RunState
from lib_lrsched.storage.store import Store
from lib_lrsched.training.options import ActiveOptions

QUICKLY_S = 0.5
"""So long an answer waits for a number of images that it can do without."""


class LiveRun(Protocol):
    """A run that is running in this process."""

    @property
    def history(self) -> History: ...

    def state(self) -> RunState: ...


class Runtime(Protocol):
    """What the hooks tell the endpoints. All of it is called from the server's threads."""

    @property
    def store(self) -> Store: ...

    @property
    def trial_runner(self) -> TrialRunner: ...

    def host_info(self) -> Mapping[str, Any]:
        """`{"name", "hooked": bool, "why"}`."""

    def active(self) -> Mapping[str, LiveRun]:
        """The runs in progress, by id: a copy."""

    def in_progress(self) -> Sequence[InProgress]:
        """The trainings that are running or being prepared in this process, and the trial that is running."""

    def interrupt(self, kind: str, name: str, run_id: str | None) -> None:
        """Ends such a training as the host's own button does.

        Raises:
            ConflictError: it is not in progress, or it cannot be ended alone.
        """

    def lookup(self, kind: str, name: str) -> Known | None:
        """The form of an embedding or hypernetwork as it is now; None where there is none."""

    def resumption_of(self, kind: str, name: str) -> tuple[Known | None, Resumption]:
        """The same as lookup, and what its next training resumes from, as it is chosen now."""

    def choose(self, kind: str, name: str, choice: str) -> None:
        """How the next training of this name resumes."""

    def chosen(self, kind: str, name: str) -> str:
        """What was chosen for it."""

    def options(self, kind: str, name: str) -> ActiveOptions:
        """The options in force for the next training of this name."""

    def choose_options(self, kind: str, name: str, given: Mapping[str, Any]) -> None:
        """Options of that one training, in the place of those chosen before."""

    def choose_kept(self, run_id: str, step: int, choice: str) -> None:
        """That it resumes from the snapshot of a run after so many updates."""

    def kept(self, kind: str, name: str) -> KeptState | None:
        """The snapshot that was chosen for it; None for the newest."""

    def snapshots(self, run_id: str) -> dict[str, Any]:
        """The snapshots of a run and its best state: `{"bundles": [...], "best"}`."""

    def check(self, run_id: str) -> dict[str, Any]:
        """The same, each read whole, and the `files` that it needs besides."""

    def keep_last(self, run_id: str) -> dict[str, Any]:
        """Deletes all but the newest good snapshot: `{"freed_bytes", "deleted", "step"}`."""

    def unfillable(self, kind: str | None, inputs: Mapping[str, Any], options: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What of a profile cannot be filled in: `{"field", "value", "why"}`."""

    def delete_run(self, run_id: str) -> None:
        """Deletes a run that is not running."""

    def export_run(self, run_id: str, target: BinaryIO) -> None:
        """Writes a run as one file."""

    def import_run(self, source: Path, name: str) -> str:
        """Takes such a file in, under a name or its own; the id of the run."""

    def usable(self, state: RunState) -> list[str]:
        """What of "average" and "best" a run seems to have; only use() looks whether it is whole."""

    def use(self, run_id: str, what: str) -> dict[str, Any]:
        """Puts the average or the best state of a run in the place of the host's own file."""

    def findings(self, kind: str, name: str, inputs: Mapping[str, Any]) -> list[dict[str, str]]:
        """What would stop or spoil a training: severity, subject, message; errors first."""

    def count_images(self, folder: str, within_s: float | None = None) -> int | None:
        """How many images in the folder can be decoded; None where it is not a folder, or where that takes longer."""

    def data_trouble(self, folder: str) -> str:
        """Why a folder is not a data set; empty where it is one."""

    def validation_folder(self, data_root: str, within_s: float) -> dict[str, Any] | None:
        """`{"images": number or None}` of the folder `validation` in a data set; None where there is none."""


async def _current(request: Request) -> Runtime:
    return request.app.state.lrsched_runtime  # type: ignore[no-any-return]


RUNTIME: Any = Depends(_current)
"""The runtime of now: "Reload UI" makes a new one while the server runs."""


def state_of(runtime: Runtime, run_id: str) -> RunState:
    """The state of a run; of a running one as it is in memory, and pending where it is about to be resumed.

    Raises:
        UnknownRunError: there is no such run.
        RunStateError: its file is damaged.
    """
    live = runtime.active().get(run_id)
    return as_it_is(runtime.store.load(run_id), runtime.in_progress()) if live is None else live.state()


def as_it_is(state: RunState, in_progress: Sequence[InProgress]) -> RunState:
    """A stored state, which says how the run ended; it is about to be resumed where its next training is being prepared."""
    is_prepared = any(one.what == "preparing" and one.run == state.id for one in in_progress)
    return replace(state, state="pending", message="") if is_prepared else state
