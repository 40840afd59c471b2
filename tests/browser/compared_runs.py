"""Makes runs to list and to compare, as another process than the page's server: python compared_runs.py FOLDER [COUNT]

    low, right, high    three trainings on the practice host at other rates, with preview images; compared in a journey
    past runs           COUNT runs of the last weeks as they lie on a disk, some with a title and a note (45 where it is left out)
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from lib_lrsched.storage.history import History, HistoryRow
from lib_lrsched.storage.labels import Label
from lib_lrsched.storage.store import Leg, RunState, Store

RATES = {"low": "1e-5", "right": "warmup(0.01):10, cosine(0.01, 1e-4)", "high": "0.3"}
STEPS, IMAGES_EVERY = 64, 32
PAST = 45
DAY_S = 86_400
WANTED = "copper kettle, second try"
"""The title of the run that is looked for, which trained "Zürich 8" and was interrupted."""

UNMEASURED = "old bridge 12"
"""A run without a baseline, as those of the first version are."""

NOTES = {
    3: ("", "blurred from the start"),
    8: (WANTED, "The handle came out best here.\nLower the rate next time."),
    21: ("baseline", ""),
}
SUBJECTS = ("starling", "kettle", "old bridge", "Zürich", "lamp")
TEXTS = ("warmup(0.005):5%, cosine(0.005, 1e-5)", "0.005:100, 1e-3", "restarts(0.005, 1e-5, t_0=25%)", "linear(0.004, 1e-5)")


def train() -> None:
    from lib_lrsched.practice import service, shared

    shared.opts.practice_quiet = True
    for name, rate in RATES.items():
        service.create("embedding", name)
        service.train("embedding", name, rate, STEPS, seed=1, previews_every=IMAGES_EVERY, preview_steps=4, batch=2)


def past_runs(store: Store, count: int = PAST) -> Iterator[RunState]:
    """Runs of the last weeks, two days for each three of them; the newest first."""
    states = ("finished", "finished", "interrupted", "finished", "failed", "crashed")
    for number in range(count):
        kind = "hypernetwork" if number % 9 == 4 else "embedding"
        begun = time.time() - 3 * 3600 - number * DAY_S * 2 / 3
        name, text, steps = f"{SUBJECTS[number % 5]} {number}", TEXTS[number % 4], 200 + 10 * number
        made = steps if states[number % 6] == "finished" else steps // 2
        run = RunState(
            id=f"past-{number:03}-{kind}", kind=kind, name=name, state=states[number % 6], step=made, total_steps=steps,
            created_s=begun, updated_s=begun + made / 2, rate_text=text, pictures=12, steps_per_epoch=12, settings={"steps": steps},
            legs=(Leg(0, begun, steps, text, 12, 1, 1),),
        )  # fmt: skip
        store.save(run)
        _record(store, run, None if name == UNMEASURED else 0.02 * (number % 19))
        if number in NOTES:
            store.labels.save(run.id, Label(*NOTES[number]))
        yield run


def _record(store: Store, run: RunState, gained: float | None) -> None:
    """A history whose progress rises to `gained` and stays there; None: without a baseline."""
    history = History(store.history_path(run.id), clock=lambda: run.created_s)
    history.event(0, "leg")
    for step in range(0, run.step, 8):
        share = (gained or 0.0) * min(1.0, 2 * step / run.step)
        loss = 0.1 * (1.0 - share) + 1e-4 * (-1) ** (step // 8)
        measured = (None, None) if gained is None else (0.1, share)
        history.record(HistoryRow(step, 0.005, 0.005, loss, 0.1, run.created_s + step / 2, *measured))
    history.close()


def main(root: Path, count: int) -> None:
    from lib_lrsched.host import hooks
    from lib_lrsched.practice import service
    from lib_lrsched.practice.host import practice_host
    from lib_lrsched.training.settings import Settings

    service.open_at(root)
    hooks.install(practice_host(root, lambda: Settings(training_speed="fast")))
    train()
    list(past_runs(Store(root / "lrsched"), count))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else PAST)
