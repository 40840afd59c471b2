"""The trainings that a table needs, made in processes of their own and kept as they come."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from itertools import zip_longest
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from lib_lrsched import console

from . import rows
from .results import Results, Summary, difference, summary
from .rows import BEST, Row

LONGER = ("cycles", "long cycles")
"""Groups that are measured when they are named: an hour or more each."""

SHORT_SEEDS = 4
MOST_DEATHS = 6


RATES = Path(__file__).with_name("rates.json")
"""The rates that the trainings behind the page have chosen: a single row can be measured without choosing them again."""


def stored_rates() -> dict[str, dict[str, float]]:
    return dict(json.loads(RATES.read_text(encoding="utf-8")))


class Job(NamedTuple):
    row: Row
    seed: int


_bench: Any = None
"""Of a worker process."""


def _begin(folder: str) -> None:
    global _bench
    os.environ["OMP_NUM_THREADS"] = "1"
    from .training import Bench

    _bench = Bench(Path(folder) / str(os.getpid()))


def _measure(job: Job) -> dict[str, Any]:
    return dict(_bench.measure(job.row, job.seed))


class Evidence:
    """The rows, their results, and the trainings that are missing."""

    def __init__(
        self, results: Results, processes: int, *, choose: bool, first_seed: int | None = None, short: bool = False,
    ) -> None:  # fmt: skip
        """``choose`` measures the best rates anew, which takes a third of all the time; else those of the page are taken."""
        self.results = results
        self._processes = processes
        self._choose = choose
        self._first = first_seed
        self._short = short

    def seeds(self, row: Row) -> Sequence[int]:
        own = list(rows.seeds_of(row))
        if self._first is not None and row.group not in ("choosing", "range tests"):
            own = [self._first + i for i in range(len(own))]
        return own[:SHORT_SEEDS] if self._short else own

    def values(self, row: Row, name: str = "closed") -> list[float]:
        return self.results.values(row, self.seeds(row), name)

    def is_whole(self, row: Row) -> bool:
        return all(self.results.has(row, seed) for seed in self.seeds(row))

    def in_common(self, wanted: Sequence[Row]) -> int:
        """With how many of their first seeds all these rows are measured."""
        lined_up = zip(*(self.seeds(row) for row in wanted), strict=True)
        have = [all(self.results.has(row, seed) for row, seed in zip(wanted, seeds, strict=True)) for seeds in lined_up]
        return [*have, False].index(False)

    def best(self) -> dict[str, float]:
        """The best rate of each schedule: as stored, or measured where ``choose`` was asked for."""
        if not self._choose:
            return dict(stored_rates()["best"])
        self.run(rows.choosing())
        return rows.best_peaks(lambda row: summary(self.values(row)).mean)

    def tops(self) -> dict[str, float]:
        """The top of the cycles for each kind, likewise."""
        if not self._choose:
            return dict(stored_rates()["tops"])
        tests = {row.kind: row for row in rows.range_tests()}
        self.run(tests.values())
        return {kind: float(f"{median(self.values(row, 'top')):.2g}") for kind, row in tests.items()}

    def groups(self) -> dict[str, Callable[[], Iterable[Row]]]:
        """What each group's rows are, which is known when the rates are chosen."""
        return {
            "choosing": rows.choosing,
            "schedules": lambda: rows.schedules(self.best()),
            "same rate": rows.same_rate,
            "options": lambda: rows.options(self.best()),
            "finder": lambda: rows.finder(self.best()),
            "cycles": lambda: rows.cycles(self.tops()),
            "long cycles": lambda: rows.long_cycles(self.tops()),
        }

    def run(self, wanted: Iterable[Row]) -> None:
        """Make the trainings that are missing, with a bar; where a process dies, those that it left are made by new ones.

        Raises:
            BrokenProcessPool: processes died more than MOST_DEATHS times.
        """
        lined_up = [[Job(row, seed) for seed in self.seeds(row) if not self.results.has(row, seed)] for row in wanted]
        jobs = [job for abreast in zip_longest(*lined_up) for job in abreast if job]  # the first seeds of all rows first
        if not jobs:
            return
        deaths = 0
        with console.bar(total=len(jobs), unit="training", stream=console.stderr()) as bar:
            while missing := [job for job in jobs if not self.results.has(*job)]:
                try:
                    self._make(missing, bar)
                except BrokenProcessPool:
                    deaths += 1
                    if deaths > MOST_DEATHS:
                        raise

    def _make(self, jobs: Sequence[Job], bar: Any) -> None:
        folder = tempfile.mkdtemp(prefix="evidence-")
        pool = ProcessPoolExecutor(self._processes, multiprocessing.get_context("spawn"), _begin, (folder,))
        try:
            waiting = {pool.submit(_measure, job): job for job in jobs}
            for one in as_completed(waiting):
                self.results.add(*waiting[one], one.result())
                bar.update(1)
        finally:
            pool.shutdown(cancel_futures=True)
            shutil.rmtree(folder, ignore_errors=True)

    def reference(self, row: Row) -> Row | None:
        """What the tables compare a row with; None where it is compared with none."""
        if row.group == "schedules" and row.name.endswith(BEST):
            found = next(one for one in rows.schedules(self.best()) if one.name == f"constant, {BEST}")
        elif row.group == "same rate":
            found = next(iter(rows.same_rate()))
        elif row.group == "options":
            found = next(one for one in rows.schedules(self.best()) if one.text == row.text)
        elif row.group in LONGER:
            found = rows.constant_beside(row, self.groups()[row.group]())
        else:
            return None
        return None if found.definition == row.definition else found

    def against(self, row: Row, name: str = "closed", count: int | None = None) -> Summary | None:
        """The row less its reference, by seed.

        Args:
            count: of so many first seeds; None: of all of the row.

        Returns:
            None without a reference, and where one of the two is not measured with all these seeds.
        """
        other = self.reference(row)
        seeds = self.seeds(row)[:count]
        if other is None or not all(self.results.has(one, seed) for one in (row, other) for seed in seeds):
            return None
        return difference(*(self.results.values(one, seeds, name) for one in (row, other)))

    def told(self, row: Row) -> str:
        """A row in a line."""
        parts = []
        for name in ("closed", "average") if row.average else ("closed",):
            found, pairs = summary(self.values(row, name)), self.against(row, name)
            of = " (average of the weights)" if name == "average" else ""
            beside = "" if pairs is None else f", against {pairs.mean:+.1f} +- {pairs.error:.1f}"
            parts.append(f"{found.mean:.1f} +- {found.error:.1f} %, worst {found.worst:.1f}{beside}, n {found.count}{of}")
        return f"{row.name}: {'; '.join(parts)}"
