"""The state of a run from its snapshots, where run.json is damaged or gone.

A snapshot keeps a copy of the state as it was when it was written. One of 0.1.0 does not: there its facts are what is left.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lib_lrsched.errors import RunStateError
from lib_lrsched.storage.run_state import Known, Leg, RunState, load_state_dict

from .snapshot import Folder, Snapshot, peek


def rebuilt(snapshots: Path, run_id: str) -> tuple[RunState, Path] | None:
    """The state as the newest whole snapshot tells it, and that snapshot's file; None where none is whole."""
    folder = Folder(snapshots, run_id)
    number, found, _ = folder.newest()
    if found is None:
        return None
    state = _kept(found, run_id) or _of_facts(found, _forms(folder))
    step = found.facts.step
    form = Known(step, found.facts.digest, 0)
    known = state.known if form in state.known else (*state.known, form)
    ended = "finished" if step >= state.total_steps else state.state
    return replace(state, step=step, known=known, state=ended), dict(folder.numbered())[number]


def _kept(found: Snapshot, run_id: str) -> RunState | None:
    """The copy of the state; it is as whole as the snapshot, but another version may have written it."""
    try:
        state = load_state_dict(found.state, None)
    except RunStateError:
        return None
    facts = found.facts
    return state if (state.id, state.kind, state.name) == (run_id, facts.kind, facts.name) else None


def _of_facts(found: Snapshot, known: tuple[Known, ...]) -> RunState:
    facts = found.facts
    leg = Leg(facts.origin, facts.time_s, facts.total_steps, facts.rate_text, None, None, facts.planner, facts.origin)
    return RunState(
        id=facts.run, kind=facts.kind, name=facts.name, state="crashed", step=facts.step, total_steps=facts.total_steps,
        created_s=facts.time_s, updated_s=facts.time_s, rate_text=facts.rate_text, legs=(leg,), known=known,
        # By value or by norm is not known. This is neither, so that a resumed run is not said to be clipped as before.
        clip_text=facts.clip_text, clip_mode="disabled", multiplier=facts.multiplier,
    )


def _forms(folder: Folder) -> tuple[Known, ...]:
    """The forms of what is trained in all snapshots that can be read, the oldest first."""
    forms = []
    for _, path in reversed(folder.numbered()):
        try:
            facts = peek(path).facts
        except RunStateError:
            continue
        if facts.run == folder.run:
            forms.append(Known(facts.step, facts.digest, 0))
    return tuple(forms)
