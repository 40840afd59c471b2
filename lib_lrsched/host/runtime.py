"""What the hooks and the JSON endpoints share of one host: a part for each thing that they ask or change.

The endpoints call from the server's threads. What replaces something in the host is in _training_hooks.py and _saving_hooks.py.
"""

from __future__ import annotations

from lib_lrsched.storage.store import Store

from . import in_progress
from .choices import Choices
from .data_folders import DataFolders
from .in_progress import InProgress
from .installation import Installation
from .next_preflight import Preflight
from .next_training import NextTraining
from .run_transfer import RunTransfer
from .stored_runs import StoredRuns
from .trainings import Trainings
from .trial_calls import TrialCalls
from .trial_request import TrialRequests
from .trial_runner import TrialRunner
from .webui import Host, NoTraining

ORDER = ("training", "preparing", "trial")


class Runtime:
    """The parts, and what joins them."""

    def __init__(self, host: Host | NoTraining) -> None:
        installation = self.installation = Installation(host)
        self.trainings = Trainings(installation)
        self.trial_calls = TrialCalls(installation, self.trainings)
        self.choices = Choices()
        self.next_training = NextTraining(installation, self.trainings, self.choices)
        self.data_folders = DataFolders(installation)
        self.preflight = Preflight(installation, self.trainings, self.trial_calls, self.next_training, self.data_folders)
        self.stored_runs = StoredRuns(installation, self.trainings, self.choices)
        self.transfer = RunTransfer(installation, self.trainings)
        requests = TrialRequests(installation, self.next_training, self.preflight, self.data_folders)
        self.trial_runner = TrialRunner(installation, self.trainings, self.trial_calls, requests)

    @property
    def store(self) -> Store:
        """The store in the folder that is set now."""
        return self.installation.store

    def in_progress(self) -> list[InProgress]:
        """The trainings that run or are being prepared, those that run first, and the trial that runs."""
        found, trial = self.trainings.in_progress(), self.trial_runner.running()
        return sorted([*found, *([] if trial is None else [in_progress.trial(trial)])], key=lambda one: ORDER.index(one.what))

    def interrupt(self, kind: str, name: str, run_id: str | None) -> None:
        """End a training as the host's own button does: before its next update, and saved.

        Raises:
            ConflictError: it is not in progress, or not it alone.
        """
        in_progress.check_can_be_interrupted(self.in_progress(), kind, name, run_id)
        host = self.installation.host
        assert isinstance(host, Host), "something is trained"
        host.shared.state.interrupt()
