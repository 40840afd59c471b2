"""Speed against references in the same process: ``make bench``, or ``python tests/bench.py``.

Prints a row for each measurement, and in the end a table of the goals: each is a ratio of two times that were measured by turns, so
that both see the same state of the machine. Where the noise is larger than the margin a goal is "not decided". Exits with 1
where one was missed. On a machine that is busy with other things ``--cpu`` counts processor time instead of the clock on the wall.
"""

from __future__ import annotations

import argparse
import ast
import gc
import logging
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import bench_keeping as keeping  # noqa: E402
import bench_where as where  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from bench_lines import MISSED, OPEN, Clock, Goal, Line, Pairs, in_turn, median, seconds  # noqa: E402
from fastapi import FastAPI  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402
from torch.optim.lr_scheduler import LambdaLR  # noqa: E402

from lib_lrsched import plan  # noqa: E402
from lib_lrsched.optimizer.plan_lr import PlanLR  # noqa: E402
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

COSINES = "a million cosines"
STEP = "an AdamW step of 1 x 768"


# Rates --------------------------------------------------------------------------------------


def small_optimizer() -> tuple[torch.nn.Parameter, torch.optim.Optimizer]:
    weight = torch.nn.Parameter(torch.full((1, 768), 0.1))
    weight.grad = torch.full((1, 768), 1e-3)
    return weight, torch.optim.AdamW([weight], lr=0.005)


def by_hand(k: int) -> float:
    """CURVE as one would write it for LambdaLR, whose base rate is 0.005."""
    if k < 1000:
        return (k + 1) / 1000
    return (1e-5 + (0.005 - 1e-5) * (1 + math.cos(math.pi * (k - 1000) / (MILLION - 1000))) / 2) / 0.005


def lambda_lr() -> LambdaLR:
    optimizer = small_optimizer()[1]
    made = LambdaLR(optimizer, by_hand)
    optimizer.step()
    return made


def cosines() -> Callable[[], float]:
    """What a machine needs for a million numbers, as the unit of what follows."""
    numbers = np.linspace(0.0, 100.0, MILLION)
    return lambda: seconds(lambda: np.cos(numbers))


def bench_values() -> Iterator[Line]:
    made, steps, reference = plan(CURVE, total_steps=MILLION), np.arange(MILLION), lambda_lr()
    pairs = in_turn(lambda: seconds(lambda: made.values(steps)), lambda: seconds(reference.step, 20_000) * MILLION, 9)
    what, name = "1,000,000 values of warm-up and cosine", "as many steps of LambdaLR"
    yield pairs.line(what, "ms", 1e3, name, Goal(1 / 50))


def bench_shapes() -> Iterator[Line]:
    steps, unit, lines = np.arange(MILLION), cosines(), []
    for name, text in (TEXTS | {"repeat, 15 deep": DEEP}).items():
        made = plan(text, total_steps=MILLION)
        pairs = in_turn(lambda made=made: seconds(lambda: made.values(steps)), unit, 5)
        lines.append(pairs.line(f"1,000,000 values: {name}", "ms", 1e3, COSINES))
        yield lines[-1]
    slowest = max(lines, key=lambda line: statistics.median(line.ratios))
    yield slowest._replace(what=f"the slowest of these: {slowest.what.partition(': ')[2]}", goal=Goal(15))


def bench_value() -> Iterator[Line]:
    found = {}
    for name, text in TEXTS.items():
        made = plan(text, total_steps=MILLION)
        found[name] = max((median(lambda made=made, k=k: made.value(k), 5, 100), k) for k in (0, 15, 250_000, 999_999))
    for name in sorted(found, key=found.__getitem__, reverse=True)[:3]:
        made, k, reference = plan(TEXTS[name], total_steps=MILLION), found[name][1], lambda_lr()
        pairs = in_turn(lambda made=made, k=k: seconds(lambda: made.value(k), 300), lambda: seconds(reference.step, 300), 11)
        yield pairs.line(f"value(k), the slowest shapes: {name}", "us", 1e6, "LambdaLR.step", Goal(8))


def text_of(items: int, head: str) -> str:
    return ", ".join(f"{head.format(1e-3 + i * 1e-9)}:{(i + 1) * 10}" for i in range(items))


def bench_plan() -> Iterator[Line]:
    def planned_s(source: str) -> float:
        return seconds(lambda: plan(source, total_steps=MILLION))

    rates, shapes = text_of(80, "{:.10g}"), text_of(80, "cosine({:.10g}, 1e-5)")
    numbers = "[" + ", ".join(f"({1e-3 + i * 1e-9:.10g}, {(i + 1) * 10})" for i in range(80)) + "]"
    pairs = in_turn(lambda: planned_s(rates), lambda: seconds(lambda: ast.literal_eval(numbers)), 51)
    yield pairs.line("parse and plan: 80 rates", "ms", 1e3, "ast.literal_eval of 80 pairs", Goal(4))
    yield Line("parse and plan: 80 shapes", median(lambda: planned_s(shapes), 21) * 1e3, "ms")
    yield Line("parse, plan and warn: 80 rates", median(lambda: plan(rates, total_steps=MILLION).warnings, 21) * 1e3, "ms")
    gc.freeze()  # else the collector goes through all of torch and gradio after so many items, and that growth is not ours
    try:
        for items, less in ((10_000, 1_000), (20_000, 10_000)):
            more_text, less_text = text_of(items, "{:.10g}"), text_of(less, "{:.10g}")
            pairs = in_turn(lambda text=more_text: planned_s(text), lambda text=less_text: planned_s(text), 9)
            yield pairs.line(f"parse and plan: {items:,} rates", "ms", 1e3, f"{less:,} rates", Goal(1.4 * items / less))
    finally:
        gc.unfreeze()


# In the loop --------------------------------------------------------------------------------


class Epochs:
    """A data set of so many images and its host's sampler: all that our part of a loop asks of them."""

    batch_size = gradient_step = 1

    def __init__(self, images: int) -> None:
        self.groups = [list(range(images))]
        self.dataset: list[Any] = []
        self.lines: list[str] = []

    def __len__(self) -> int:
        return len(self.groups[0])

    def __iter__(self) -> Iterator[list[int]]:
        return iter([[n] for n in self.groups[0]])


class Loop:
    """The host's calls at an update of a small embedding, with us and without."""

    UPDATES = 300

    def __init__(self, folder: Path, text: str, clip: str) -> None:
        self.clip = clip
        self.weight, self.optimizer = small_optimizer()
        self.other = np.ones(4 * MILLION) if clip == "cold" else None
        shared = SimpleNamespace(opts=SimpleNamespace(practice_quiet=True), state=SimpleNamespace(interrupted=False),
                                 sd_model=torch.nn.Identity())
        # Snapshots are on, for their sake random numbers are read; what saving one costs is a row of its own.
        settings = Settings(autosave_every=10**9, autosave_minutes=0.0, freeze=False)
        place = {"embeddings_dir": lambda: str(folder), "folder_of": lambda _: str(folder), "model_facts": dict}
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
        data = Epochs(1000)
        self.session.data_made(data, {"shuffle_tags": False, "tag_drop_out": 0.0, "latent_sampling_method": "once"})
        self.order = self.session.snapshots.order_of(data, data)
        self.batches = iter(self.order)
        self.session.begin()
        self.step = 0

    def ours(self) -> float:
        """Seconds for each update, with everything that the hooks do."""
        spent = 0.0
        for _ in range(self.UPDATES):
            self._cool()
            begin = Clock.read()
            if next(self.batches, None) is None:
                self.batches = iter(self.order)
            self.scheduler.apply(self.optimizer, self.step)
            if self.clip == "norm":
                self.clipper.step(self.step)
                torch.nn.utils.clip_grad_norm_([self.weight], self.clipper.learn_rate)
            self.optimizer.step()
            self.step += 1
            self.session.updated(self.step, {"loss": 0.1, "learn_rate": self.scheduler.learn_rate})
            spent += Clock.read() - begin
        return spent / self.UPDATES

    def without(self, optimizer: torch.optim.Optimizer, weight: torch.nn.Parameter) -> float:
        """Seconds for each update of the same loop without us."""
        spent = 0.0
        for _ in range(self.UPDATES):
            self._cool()
            begin = Clock.read()
            if self.clip == "norm":
                torch.nn.utils.clip_grad_norm_([weight], 0.01)
            optimizer.step()
            spent += Clock.read() - begin
        return spent / self.UPDATES

    def _cool(self) -> None:
        """Drive what we use out of the processor's caches, as a network does between two updates."""
        if self.other is not None:
            self.other += 1.0


def bench_loop() -> Iterator[Line]:
    for name, text, clip, goal in (
        ("no clipping", CURVE, "disabled", Goal(2)), ("momentum", "onecycle(0.005)", "disabled", Goal(2.2)),
        ("clipping by norm", CURVE, "norm", None), ("caches driven out before it", CURVE, "cold", None),
    ):
        with tempfile.TemporaryDirectory() as folder:
            loop = Loop(Path(folder), text, clip)
            weight, optimizer = small_optimizer()
            both = in_turn(loop.ours, lambda loop=loop: loop.without(optimizer, weight), 5 if clip == "cold" else 25)
            own = Pairs([ours - without for ours, without in zip(*both)], both.reference)
            yield own.line(f"our part of an update: {name}", "us", 1e6, f"clipping and {STEP}" if clip == "norm" else STEP, goal)
            loop.session.loop_ended()


def bench_where() -> Iterator[Line]:
    """Where an update of the practice host spends its time."""
    for kind in ("embedding", "hypernetwork"):
        spent_s = where.parts(kind)
        update_s = sum(spent_s.values())
        ours = sum(part_s for what, part_s in spent_s.items() if what.startswith("ours"))
        for what, part_s in (*sorted(spent_s.items(), key=lambda one: -one[1]), ("ours in all", ours)):
            yield Line(f"{kind}: {what}", part_s * 1e3, "ms", update_s * 1e3, "the update", [part_s / update_s])


def bench_keeping() -> Iterator[Line]:
    snapshot = keeping.embedding_snapshot()
    yield snapshot.line("snapshot of an embedding, on the disk", "ms", 1e3, "its bytes, brought to the disk", Goal(8))
    held, written = keeping.hypernetwork_snapshot()
    yield held.line("snapshot of 240 MB: the training is held", "ms", 1e3, "a copy", Goal(1.5))
    yield Line("snapshot of 240 MB: until it is on the disk", statistics.median(written) * 1e3, "ms")
    update_s, saving = keeping.whole_run()
    yield Line("practice updates, autosave every 50: saving", update_s * 1e3, "ms", None, "the whole update", saving, Goal(0.03))


def bench_progress() -> Iterator[Line]:
    for kind in ("embedding", "hypernetwork"):
        for how, speed, limit in (("with checkpointing", "exact", 1.10), ("without checkpointing", "fast", 1.15)):
            pairs = keeping.progress(kind, speed)
            yield pairs.line(f"progress: {kind}, {how}", "ms", 1e3, "an update without", Goal(limit))


def bench_plan_lr() -> Iterator[Line]:
    ours = small_optimizer()[1]
    scheduler, reference = PlanLR(ours, CURVE, total_steps=MILLION), lambda_lr()
    ours.step()
    pairs = in_turn(lambda: seconds(scheduler.step, 1000), lambda: seconds(reference.step, 1000), 15)
    yield pairs.line("PlanLR.step, one group", "us", 1e6, "LambdaLR.step", Goal(2))


# Preview and import ---------------------------------------------------------------------------


PREVIEWED = ("0.005:100, 1e-3", CURVE, "onecycle(0.005)", text_of(80, "{:.10g}"),
             *(DEAREST[name] for name in ("cyclic, dearest", "restarts, dearest", "repeat", "1,000 phases")))


def request(text: str, total: int) -> dict[str, Any]:
    return {"id": 1, "texts": [text], "kind": "rate", "total_steps": total, "batch": 1, "accumulate": 1, "initial_step": 0,
            "points": 2000}


def slowest(actions: list[Callable[[], Any]]) -> float:
    """Of one round through all of them."""
    return max(seconds(action) for action in actions)


def bench_preview() -> Iterator[Line]:
    logging.disable(logging.INFO)  # httpx says every request
    alone = [lambda body=request(text, 100_000): preview(CurveRequest(images=20, **body)) for text in PREVIEWED]
    pairs = in_turn(lambda: slowest(alone), cosines(), 15)
    yield pairs.line("preview(), 100,000 steps, the slowest text", "ms", 1e3, COSINES, Goal(3))
    with tempfile.TemporaryDirectory() as folder:
        trainings = SimpleNamespace(active=dict)
        runtime: Any = SimpleNamespace(store=Store(Path(folder)), trainings=trainings, in_progress=list)
        app = FastAPI()
        endpoints.add_routes(app, runtime)
        with TestClient(app) as client:
            bodies = [request(text, 100_000) | {"pictures": 20} for text in PREVIEWED]
            posts = [lambda body=body: client.post("/lrsched/v1/preview", json=body) for body in bodies]
            assert all(post().json()["results"][0]["ok"] for post in posts)
            pairs = in_turn(lambda: slowest(posts), lambda: slowest(alone), 15)
            yield pairs.line("POST preview, 100,000 steps, the slowest text", "ms", 1e3, "preview()", Goal(3))
    for total in (2_001, 100_000, 10**7, 10**9):
        most = max(len(preview(CurveRequest(images=20, **request(text, total)))["results"][0]["x"]) for text in PREVIEWED)
        yield Line(f"preview(), {total:,} steps: most points", most, "", 2000, "as a chart has at most", [most / 2000], Goal(1))


IMPORT = """
import time
begin = time.{clock}()
import fastapi, pydantic
theirs = time.{clock}() - begin
import torch, gradio
begin = time.{clock}()
from lib_lrsched.host import hooks, options, webui
from lib_lrsched.web import endpoints, tab
print(time.{clock}() - begin, theirs)
"""


def bench_import() -> Iterator[Line]:
    source = IMPORT.format(clock=Clock.read.__name__)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else every import compiles the files anew, as no user's does
    command = [sys.executable, "-W", "ignore", "-c", source]
    runs = [subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout for _ in range(6)]
    found = [tuple(map(float, said.split()[-2:])) for said in runs[1:]]  # the first one may have compiled the files
    pairs = Pairs(*(list(one) for one in zip(*found)))
    yield pairs.line("importing the extension, beyond torch and gradio", "ms", 1e3, "importing fastapi", Goal(1.5))


BENCHES = (bench_values, bench_shapes, bench_value, bench_plan, bench_loop, bench_where, bench_plan_lr, bench_preview, bench_import,
           bench_keeping, bench_progress)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", action="store_true", help="count processor time, for a machine that is busy with other things")
    parser.add_argument("only", nargs="*", help=f"of {', '.join(b.__name__[6:] for b in BENCHES)}")
    options = parser.parse_args()
    if options.cpu:
        Clock.read = time.process_time
    torch.set_num_threads(1)
    print(f"Python {sys.version.split()[0]}, numpy {np.__version__}, torch {torch.__version__}, {os.cpu_count() or 1} cores, load "
          f"{os.getloadavg()[0]:.1f}, {'processor time' if options.cpu else 'time on the wall'}", flush=True)
    lines = []
    for bench in BENCHES:
        if not options.only or bench.__name__[6:] in options.only:
            gc.collect()
            for line in bench():
                print(line, flush=True)
                lines.append(line)
    return told([line for line in lines if line.goal is not None])


def told(goals: list[Line]) -> int:
    """The table of the goals; 1 where one was missed."""
    if goals:
        print("\nGoals, each a ratio of two times of this run: the median, and the ends between which it lies with 90 % certainty")
    for line in goals:
        print(line.as_goal())
    count = {verdict: sum(line.verdict == verdict for line in goals) for verdict in (MISSED, OPEN)}
    if any(count.values()):
        print(f"{count[MISSED]} missed, {count[OPEN]} not decided, for the noise is larger than the margin"
              " (try --cpu, or again when less runs beside it)")
    return 1 if count[MISSED] else 0


if __name__ == "__main__":
    sys.exit(main())
