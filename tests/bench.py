"""Speed against references in the same process: ``make bench``, or ``python tests/bench.py``.

Prints a table and exits with 1 where a demand was missed. Times are medians of several repeats, ours and the
reference's in turn, so that both see the same state of the machine. On a machine that is busy with other things
``--cpu`` counts processor time instead of the clock on the wall.
"""

from __future__ import annotations

import argparse
import gc
import logging
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import bench_keeping as bench_keepings  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from fastapi import FastAPI  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402
from torch.optim.lr_scheduler import LambdaLR  # noqa: E402

from lib_lrsched import plan  # noqa: E402
from lib_lrsched.optimizer.step_hook import PlanLR  # noqa: E402
from lib_lrsched.preview.curve import CurveRequest, preview  # noqa: E402
from lib_lrsched.schedule.shapes import SHAPES  # noqa: E402
from lib_lrsched.storage.store import Store  # noqa: E402
from lib_lrsched.training.request import Request  # noqa: E402
from lib_lrsched.training.run import TrainingRun  # noqa: E402
from lib_lrsched.training.session import Session  # noqa: E402
from lib_lrsched.training.settings import Settings  # noqa: E402
from lib_lrsched.web import endpoints  # noqa: E402

MILLION = 10**6
CURVE = "warmup(0.005):1000, cosine(0.005, 1e-5)"

DEAREST = {
    "exp, wide": "exp(1e-300, 1e300)", "poly, power": "poly(0.005, 1e-5, power=1.7)", "warmup, log": "warmup(0.005, curve=log)",
    "warmup, cosine": "warmup(0.005, curve=cosine)",
    "cyclic, dearest": "cyclic(1e-5, 0.005, step_size=50, step_size_down=31, mode=exp_range, gamma=0.9999, wave=cosine)",
    "restarts, dearest": "restarts(0.005, 1e-5, t_0=200, t_mult=2, peak_decay=0.9, warmup=20)",
    "restarts, many": "restarts(0.005, 1e-5, t_0=200, peak_decay=0.999, warmup=20)",
    "onecycle, three": "onecycle(0.005, pct_start=0.4, three_phase=yes)", "wsd, sqrt": "wsd(0.005, 1e-5, curve=sqrt)",
    "range_test, stairs": "range_test(1e-6, 0.1, stair=7)", "repeat": "repeat(2000, cosine(0.005, 1e-5):300, warmup(0.005):200)",
    "repeat, once": "repeat(1, repeat(2, cosine(0.005, 1e-5):250000), restarts(0.005, t_0=300, t_mult=2):500000)",
    "1,000 phases": ", ".join(f"{1e-3 + i * 1e-6:g}:{(i + 1) * 1000}" for i in range(1000)),
    "1,000 cosines": ", ".join(f"cosine({1e-3 + i * 1e-6:g}, 1e-5):{(i + 1) * 1000}" for i in range(1000)),
}
DEEP = "0.001:1, " + "repeat(2, " * 15 + "cosine(1e-5):30" + "".join(f", {50 - i}e-4:1)" for i in range(15))
"""Each pass begins at another rate than the first one, at every depth."""
TEXTS = {name: shape.example for name, shape in SHAPES.items()} | DEAREST

clock: Callable[[], float] = time.perf_counter


class Line(NamedTuple):
    """One row of the table. ``ratio`` and ``limit`` are bounds from above unless ``at_least``; None means: not bounded."""

    what: str
    measured: float
    unit: str
    limit: float | None
    reference: float | None = None
    reference_name: str = ""
    ratio: float | None = None
    ratio_limit: float | None = None
    at_least: bool = False

    def is_met(self) -> bool:
        met = self.limit is None or self.measured <= self.limit
        if self.ratio_limit is not None:
            assert self.ratio is not None
            met &= self.ratio >= self.ratio_limit if self.at_least else self.ratio <= self.ratio_limit
        return met

    def demand(self) -> str:
        wanted = [] if self.limit is None else [f"<= {self.limit:g} {self.unit}"]
        if self.ratio_limit is not None:
            wanted.append(f"{'>=' if self.at_least else '<='} {self.ratio_limit:g}x")
        return ", ".join(wanted)

    def __str__(self) -> str:
        reference = "" if self.reference is None else f"{self.reference:.4g} {self.unit} {self.reference_name}"
        ratio = "" if self.ratio is None else f"{self.ratio:.3g}x"
        demand, verdict = self.demand(), "ok" if self.is_met() else "MISSED"
        measured = f"{self.measured:.4g} {self.unit}"
        return f"{self.what:<50} {measured:>10}  {reference:<29} {ratio:>7}  {demand:<17} {verdict if demand else ''}".rstrip()


def seconds(action: Callable[[], Any], count: int = 1) -> float:
    """One measurement: seconds for one of ``count`` calls."""
    begin = clock()
    for _ in range(count):
        action()
    return (clock() - begin) / count


def median(action: Callable[[], Any], repeats: int = 7, count: int = 1) -> float:
    action()
    return statistics.median(seconds(action, count) for _ in range(repeats))


def in_turn(ours: Callable[[], float], reference: Callable[[], float], repeats: int) -> tuple[float, float]:
    """The medians of two measurements that are made by turns."""
    pairs = [(ours(), reference()) for _ in range(repeats)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def quietest(ours: Callable[[], float], reference: Callable[[], float], repeats: int) -> tuple[float, float]:
    """The least disturbed of measurements that are made by turns: for a difference of two that are nearly as long."""
    pairs = [(ours(), reference()) for _ in range(repeats)]
    return min(a for a, _ in pairs), min(b for _, b in pairs)


# Rates --------------------------------------------------------------------------------------


def small_optimizer() -> tuple[torch.nn.Parameter, torch.optim.Optimizer]:
    weight = torch.nn.Parameter(torch.full((2, 768), 0.1))
    weight.grad = torch.full((2, 768), 1e-3)
    return weight, torch.optim.AdamW([weight], lr=0.005)


def by_hand(k: int) -> float:
    """CURVE as one would write it for LambdaLR, whose base rate is 0.005."""
    if k < 1000:
        return (k + 1) / 1000
    return (1e-5 + (0.005 - 1e-5) * (1 + math.cos(math.pi * (k - 1000) / (MILLION - 1000))) / 2) / 0.005


def bench_values() -> list[Line]:
    made, steps = plan(CURVE, total_steps=MILLION), np.arange(MILLION)
    optimizer = small_optimizer()[1]
    reference = LambdaLR(optimizer, by_hand)
    optimizer.step()
    ours_s, step_s = in_turn(lambda: seconds(lambda: made.values(steps)), lambda: seconds(reference.step, 20_000), 7)
    theirs_s = step_s * MILLION
    what = "1,000,000 values of warm-up and cosine"
    return [Line(what, ours_s * 1e3, "ms", 60, theirs_s * 1e3, "LambdaLR", theirs_s / ours_s, 50, at_least=True)]


def bench_shapes() -> list[Line]:
    steps = np.arange(MILLION)
    lines = []
    for name, text in (TEXTS | {"repeat, 15 deep": DEEP}).items():
        made = plan(text, total_steps=MILLION)
        lines.append(Line(f"1,000,000 values: {name}", median(lambda made=made: made.values(steps), 5) * 1e3, "ms", 100))
    return lines


def bench_value() -> list[Line]:
    found = {}
    for name, text in TEXTS.items():
        made = plan(text, total_steps=MILLION)
        found[name] = max(median(lambda made=made, k=k: made.value(k), 7, 300) for k in (0, 15, 250_000, 999_999)) * 1e6
    ranked = sorted(found, key=found.__getitem__, reverse=True)
    return [Line(f"value(k), the slowest shapes: {name}", found[name], "us", 20) for name in ranked[:3]]


def text_of(items: int, head: str) -> str:
    return ", ".join(f"{head.format(1e-3 + i * 1e-9)}:{(i + 1) * 10}" for i in range(items))


def bench_plan() -> list[Line]:
    def planned_s(source: str) -> float:
        return seconds(lambda: plan(source, total_steps=MILLION))

    rates, shapes = text_of(80, "{:.10g}"), text_of(80, "cosine({:.10g}, 1e-5)")
    short_s, shaped_s = in_turn(lambda: planned_s(rates), lambda: planned_s(shapes), 51)
    lines = [
        Line("parse and plan: 80 rates", short_s * 1e3, "ms", 1), Line("parse and plan: 80 shapes", shaped_s * 1e3, "ms", None),
        Line("parse, plan and warn: 80 rates", median(lambda: plan(rates, total_steps=MILLION).warnings, 51) * 1e3, "ms", None),
    ]
    sizes = {1_000: None, 10_000: 150.0, 20_000: None}
    texts = {items: text_of(items, "{:.10g}") for items in sizes}
    gc.freeze()  # else the collector goes through all of torch and gradio after so many items, and that growth is not ours
    rounds = [{items: planned_s(text) for items, text in texts.items()} for _ in range(11)]
    gc.unfreeze()
    found = {items: statistics.median(one[items] for one in rounds) * 1e3 for items in sizes}
    smaller = {10_000: 1_000, 20_000: 10_000}
    for items, limit in sizes.items():
        less = smaller.get(items)
        growth = {} if less is None else {
            "reference": found[less], "reference_name": f"{less:,} rates", "ratio": found[items] / found[less],
            "ratio_limit": 1.4 * items / less,
        }
        lines.append(Line(f"parse and plan: {items:,} rates", found[items], "ms", limit, **growth))
    return lines


# In the loop --------------------------------------------------------------------------------


class Loop:
    """The host's calls at an update of a small embedding, with us and without."""

    UPDATES = 400

    def __init__(self, folder: Path, text: str, clip: str) -> None:
        self.clip = clip
        self.weight, self.optimizer = small_optimizer()
        self.other = np.ones(4 * MILLION) if clip == "cold" else None
        opts = SimpleNamespace(practice_quiet=True)
        shared = SimpleNamespace(opts=opts, state=SimpleNamespace(interrupted=False))
        settings = Settings(autosave_every=0, autosave_minutes=0.0, freeze=False)  # what saving costs is a row of its own
        place = {"embeddings_dir": lambda: str(folder), "folder_of": lambda _: str(folder)}
        host: Any = SimpleNamespace(shared=shared, settings=lambda: settings, **place)
        mode = "norm" if clip == "norm" else "disabled"
        asked = Request("embedding", "bench", text, MILLION, clip_mode=mode, clip_text="0.01" if clip == "norm" else "")
        checks: Any = SimpleNamespace(
            cautions=lambda _: [], surroundings=lambda _: {}, nothing_learned=lambda _: "", scaler=lambda: None,
            before_start=lambda *_: None, save_final=lambda _: None,
        )  # fmt: skip
        self.session = Session(host, TrainingRun(asked, Store(folder)), checks)
        embedding = SimpleNamespace(vec=self.weight, step=0)
        self.scheduler: Any = self.session.construct(text, 0, {"embedding": embedding})
        if clip == "norm":
            self.clipper: Any = self.session.construct("0.01", 0, {})
        self.session.begin()
        self.step = 0

    def ours(self) -> float:
        """Seconds for each update, with everything that the hooks do."""
        spent = 0.0
        for _ in range(self.UPDATES):
            self._cool()
            begin = clock()
            self.scheduler.apply(self.optimizer, self.step)
            if self.clip == "norm":
                self.clipper.step(self.step)
                torch.nn.utils.clip_grad_norm_([self.weight], self.clipper.learn_rate)
            self.optimizer.step()
            self.step += 1
            self.session.updated(self.step, {"loss": 0.1, "learn_rate": self.scheduler.learn_rate})
            spent += clock() - begin
        return spent / self.UPDATES

    def without(self, optimizer: torch.optim.Optimizer, weight: torch.nn.Parameter) -> float:
        """Seconds for each update of the same loop without us."""
        spent = 0.0
        for _ in range(self.UPDATES):
            self._cool()
            begin = clock()
            if self.clip == "norm":
                torch.nn.utils.clip_grad_norm_([weight], 0.01)
            optimizer.step()
            spent += clock() - begin
        return spent / self.UPDATES

    def _cool(self) -> None:
        """Drive what we use out of the processor's caches, as a network does between two updates."""
        if self.other is not None:
            self.other += 1.0


def bench_loop() -> list[Line]:
    lines = []
    for name, text, clip in (
        ("no clipping", CURVE, "disabled"), ("momentum", "onecycle(0.005)", "disabled"), ("clipping by norm", CURVE, "norm"),
        ("caches driven out before it", CURVE, "cold"),
    ):
        with tempfile.TemporaryDirectory() as folder:
            loop = Loop(Path(folder), text, clip)
            weight, optimizer = small_optimizer()
            loop.ours(), loop.without(optimizer, weight)
            ours_s, theirs_s = quietest(loop.ours, lambda: loop.without(optimizer, weight), 5 if clip == "cold" else 15)
            loop.session.loop_ended()
        limit = None if clip == "cold" else 100.0
        lines.append(Line(f"our part of an update: {name}", (ours_s - theirs_s) * 1e6, "us", limit, theirs_s * 1e6, "the update"))
    return lines


def bench_keeping() -> list[Line]:
    snapshot_s, plain_s = bench_keepings.embedding_snapshot()
    held_s, copy_s, written_s = bench_keepings.hypernetwork_snapshot()
    with_s, without_s, share = bench_keepings.whole_run()
    return [
        Line("snapshot of an embedding, on the disk", snapshot_s * 1e3, "ms", 10, plain_s * 1e3, "the bytes, unsynced"),
        Line("snapshot of 240 MB: the training is held", held_s * 1e3, "ms", None, copy_s * 1e3, "a copy", held_s / copy_s, 1.5),
        Line("snapshot of 240 MB: until it is on the disk", written_s * 1e3, "ms", None),
        Line("2,000 practice updates, autosave every 50", with_s * 1e3, "ms", None, without_s * 1e3, "without", with_s / without_s),
        Line("of these, saving", share * 100, "%", 3),
    ]


def bench_progress() -> list[Line]:
    lines = []
    for kind in ("embedding", "hypernetwork"):
        for how, speed, limit in (("with checkpointing", "exact", 1.10), ("without checkpointing", "fast", 1.15)):
            with_s, without_s = bench_keepings.progress(kind, speed)
            lines.append(Line(f"update with progress: {kind}, {how}", with_s * 1e3, "ms", None, without_s * 1e3, "without",
                              with_s / without_s, limit))
    return lines


def bench_plan_lr() -> list[Line]:
    ours, theirs = small_optimizer()[1], small_optimizer()[1]
    scheduler, reference = PlanLR(ours, CURVE, total_steps=MILLION), LambdaLR(theirs, by_hand)
    ours.step(), theirs.step()
    ours_s, theirs_s = in_turn(lambda: seconds(scheduler.step, 3000), lambda: seconds(reference.step, 3000), 15)
    return [Line("PlanLR.step, one group", ours_s * 1e6, "us", None, theirs_s * 1e6, "LambdaLR.step", ours_s / theirs_s, 2)]


# Preview and import ---------------------------------------------------------------------------


PREVIEWED = ("0.005:100, 1e-3", CURVE, "onecycle(0.005)", text_of(80, "{:.10g}"),
             *(DEAREST[name] for name in ("cyclic, dearest", "restarts, dearest", "repeat", "1,000 phases")))


def request(text: str, total: int) -> dict[str, Any]:
    return {"id": 1, "texts": [text], "kind": "rate", "total_steps": total, "pictures": 20, "batch": 1, "accumulate": 1,
            "initial_step": 0, "points": 2000}


def p95(actions: list[Callable[[], Any]], rounds: int) -> float:
    for action in actions:
        action()
    found = sorted(seconds(action) for _ in range(rounds) for action in actions)
    return found[math.ceil(0.95 * len(found)) - 1]


def bench_preview() -> list[Line]:
    logging.disable(logging.INFO)  # httpx says every request
    with tempfile.TemporaryDirectory() as folder:
        runtime: Any = SimpleNamespace(store=Store(Path(folder)), active=dict)
        app = FastAPI()
        endpoints.add_routes(app, runtime)
        with TestClient(app) as client:
            posts = [lambda body=request(text, 100_000): client.post("/lrsched/v1/preview", json=body) for text in PREVIEWED]
            assert all(post().json()["results"][0]["ok"] for post in posts)
            posted_s = p95(posts, 15)
    alone_s = p95([lambda body=request(text, 100_000): preview(CurveRequest(**body)) for text in PREVIEWED], 25)
    lines = [
        Line("POST preview, 100,000 steps: p95", posted_s * 1e3, "ms", 30),
        Line("preview(), 100,000 steps: p95", alone_s * 1e3, "ms", 30),
    ]
    for total in (2_001, 100_000, 10**7, 10**9):
        most = max(len(preview(CurveRequest(**request(text, total)))["results"][0]["x"]) for text in PREVIEWED)
        lines.append(Line(f"preview(), {total:,} steps: most points", most, "", 2000))
    return lines


IMPORT = """
import time, torch, gradio, fastapi
begin = time.{clock}()
from lib_lrsched.host import hooks, options, webui
from lib_lrsched.web import endpoints, tab
print(time.{clock}() - begin)
"""


def bench_import() -> list[Line]:
    source = IMPORT.format(clock=clock.__name__)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else every import compiles the files anew, as no user's does
    command = [sys.executable, "-W", "ignore", "-c", source]
    runs = [subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout for _ in range(6)]
    found = statistics.median(float(said.split()[-1]) for said in runs[1:])  # the first one may have compiled the files
    return [Line("importing the extension, beyond torch and gradio", found * 1e3, "ms", 100)]


BENCHES = (bench_values, bench_shapes, bench_value, bench_plan, bench_loop, bench_plan_lr, bench_preview, bench_import,
           bench_keeping, bench_progress)


def main() -> int:
    global clock
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu", action="store_true", help="count processor time, for a machine that is busy with other things")
    parser.add_argument("only", nargs="*", help=f"of {', '.join(b.__name__[6:] for b in BENCHES)}")
    options = parser.parse_args()
    if options.cpu:
        clock = time.process_time
    torch.set_num_threads(1)
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    print(f"Python {sys.version.split()[0]}, numpy {np.__version__}, torch {torch.__version__}, {cores} cores, load {load:.1f}, "
          f"{'processor time' if options.cpu else 'time on the wall'}", flush=True)
    missed = 0
    for bench in BENCHES:
        if not options.only or bench.__name__[6:] in options.only:
            gc.collect()
            for line in bench():
                print(line, flush=True)
                missed += not line.is_met()
    if missed:
        print(f"{missed} missed" + ("; the machine is busy: try --cpu, or again later" if load > cores and not options.cpu else ""))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
