"""What the next training of a name resumes from, and with which options, as it is chosen now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib_lrsched.errors import RequestError, RunStateError
from lib_lrsched.snapshot import find
from lib_lrsched.snapshot.snapshot import peek
from lib_lrsched.storage.resume import KeptState, Resumption, leaves_run
from lib_lrsched.storage.run_state import Known
from lib_lrsched.training.options import ActiveOptions, Options, with_chosen, with_stored

from .choices import Choices, Chosen
from .installation import Installation
from .kinds import kind_of
from .trainings import Trainings
from .webui import NoTraining


class NextTraining:
    """By kind and name. Nothing is loaded, and of snapshots only what is shown is read."""

    def __init__(self, installation: Installation, trainings: Trainings, choices: Choices) -> None:
        self._installation = installation
        self._trainings = trainings
        self._choices = choices

    def lookup(self, kind: str, name: str) -> Known | None:
        """The form of what the host has under a name now; None where there is nothing."""
        host = self._installation.host
        return None if isinstance(host, NoTraining) else kind_of(kind).known(host, self._installation.store, name)

    def resumption_of(self, kind: str, name: str) -> tuple[Known | None, Resumption]:
        """What the host has under a name, and with which stored run and from which step its next training resumes."""
        now, chosen = self.lookup(kind, name), self._choices.of(kind, name)
        try:
            return now, find.find(self._installation.store, kind, name, now, chosen.choice, peek, chosen.kept)[0]
        except (RequestError, RunStateError) as error:  # what was chosen is gone, and a training would be refused
            return now, Resumption(chosen.choice, messages=(str(error),))

    def choose_kept(self, run_id: str, step: int, choice: str) -> None:
        """That the next training of what a run trained resumes from its snapshot after so many updates.

        Raises:
            RequestError: it cannot; what was chosen before stays.
        """
        store = self._installation.store
        state = store.load(run_id)
        kept, now = KeptState(run_id, step), self.lookup(state.kind, state.name)
        if now is None:
            raise RequestError(f"there is no {state.kind} {state.name!r} that could go back")
        if leaves_run(choice):
            raise RequestError("way: expected continue, new or restart, for a snapshot is resumed from and not the file")
        find.find(store, state.kind, state.name, now, choice, kept=kept)
        self._choices.choose(state.kind, state.name, choice, kept)

    # Options -------------------------------------------------------------------------------

    def options(self, kind: str, name: str) -> ActiveOptions:
        """The options in force."""
        base, run_id = self._base_options(kind, name)
        chosen = self._choices.of(kind, name).options
        return ActiveOptions(with_chosen(base, chosen), self._installation.host.settings().run, chosen, run_id)

    def likely_options(self, kind: str, name: str) -> Options:
        """The same for a preview: a choice that is no longer possible is ignored."""
        return with_stored(self._base_options(kind, name)[0], self._choices.of(kind, name).options)

    def options_for(self, chosen: Chosen, resumed: Resumption) -> Options:
        """The options of a training, from what it resumes and what was chosen for it.

        Raises:
            RequestError: what was chosen cannot be, with settings that have changed since.
        """
        base = self._installation.host.settings().run
        base = base if resumed.state is None else with_stored(base, resumed.state.options)
        return with_chosen(base, chosen.options)

    def choose_options(self, kind: str, name: str, given: Mapping[str, Any]) -> None:
        """Options for that one training; they take the place of those chosen before.

        Raises:
            RequestError: a name or a value that is wrong; what was chosen before stays.
        """
        with_chosen(self._base_options(kind, name)[0], given)
        self._choices.choose_options(kind, name, given)

    def _base_options(self, kind: str, name: str) -> tuple[Options, str | None]:
        """Where nobody chooses others: those of the run that is resumed, and its id, else those of the settings."""
        active = self._trainings.active().values()
        state = next((run.state() for run in active if (run.request.kind, run.request.name) == (kind, name)), None)
        if state is None and not leaves_run(self._choices.of(kind, name).choice):
            state = self.resumption_of(kind, name)[1].state
        default = self._installation.host.settings().run
        return (default, None) if state is None else (with_stored(default, state.options), state.id)
