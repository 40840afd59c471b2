"""Trials: which rate, which schedule. Candidates start from the same state, see the same noise, and leave nothing behind.

    finder       constants on a grid of rates around the highest one of the user's text; suggests the text scaled to the peak found
    comparison   the texts as they are, each compressed to the updates that it gets; suggests the best one

A trial runs inside the host's training loop, before its first update, on the host's own batches, model, optimizer and scaler;
see trial_session.py. How its losses are judged is in _trial_rules.py.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from math import isfinite
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from lib_lrsched.editing.scaling import scaled
from lib_lrsched.errors import ScheduleError
from lib_lrsched.optimizer import step_hook
from lib_lrsched.optimizer.codec import cloned
from lib_lrsched.schedule.plan import Plan, plan
from lib_lrsched.schedule.sampling import sample_steps
from lib_lrsched.snapshot import generators

from ._interrupts import Held
from ._trial_rules import GRID, Course, Point, curve, is_ruined, next_factor, share, warmed
from ._trial_words import Answer, Row, judge_rates, judge_texts
from .host import InputError, Sample
from .loss_seam import Batch, LossSeam
from .run_plan import RunPlan

MANY_POINTS = 2000
"""At so many steps a text is looked at for its highest rate, its extremes among them."""

Rates = Callable[[int], float | None]
"""The rate of a trial's update, from 0; None where the schedule has ended."""


@dataclass(frozen=True)
class Spec:
    """What is to be tried.

    Attributes:
        texts: of a comparison; empty for the finder.
        grid: the finder's factors of the highest rate; None for half decades, which grow where the best lies at their edge.
        updates: of each candidate.
        seed: of the order of the images, the timesteps and the noise.
        sample: the image to be drawn at the end of each candidate that has not diverged, or None.
    """

    texts: tuple[str, ...] = ()
    grid: tuple[float, ...] | None = None
    updates: int = 48
    seed: int = 0
    sample: Sample | None = None

    @property
    def candidates(self) -> int:
        """So many there are, as far as is known beforehand."""
        return len(self.texts) or len(set(GRID if self.grid is None else self.grid))


class Candidate(NamedTuple):
    """A text, its factor where the finder made it, its highest rate, and rate and momentum at each update of the trial."""

    text: str
    factor: float | None
    rate: float
    rates: Rates
    momenta: Rates | None = None


@dataclass(eq=False)
class Tried:
    """A candidate that has begun. The thread of the trial fills it; others read.

    Attributes:
        losses: of its updates so far.
        row: its result; None until it has ended.
        image: a PNG, where one was asked for.
    """

    candidate: Candidate
    losses: list[float] = field(default_factory=list)
    row: Row | None = None
    image: bytes | None = None

    def curve(self, baseline: Sequence[float]) -> list[tuple[int, float | None]]:
        """Updates made, and the share of the loss that is gone over the last few of them."""
        return curve(tuple(self.losses), baseline)


class Trial:
    """A trial that was asked for, and what comes of it. One thread runs it; others may read, and stop it.

    Attributes:
        tried: the candidates that have begun, in that order.
        baseline: the loss of each update of what the trial started from; empty until it is known.
        made, expected: updates, those of the baseline among them.
        drawing_s: seconds that images took.

    Args:
        told: called with the number of updates made so far, after each.
    """

    def __init__(self, spec: Spec, told: Callable[[int], None] = lambda _: None) -> None:
        self.spec = spec
        self.told = told
        self.tried: tuple[Tried, ...] = ()
        self.baseline: tuple[float, ...] = ()
        self.made = 0
        self.expected = (spec.candidates + 1) * spec.updates
        self.drawing_s = 0.0
        self.answer: Answer | None = None
        self.messages: list[str] = []
        self.is_stopped = False
        self.was_interrupted = False
        self.error: Exception | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        """The results so far; those of the finder by rising rate."""
        rows = [one.row for one in self.tried if one.row is not None]
        return tuple(sorted(rows, key=lambda row: row.factor or 0.0))

    @property
    def s_per_image(self) -> float | None:
        """Seconds that an image took; None where there is none."""
        images = sum(one.image is not None for one in self.tried)
        return self.drawing_s / images if images else None

    def stop(self) -> None:
        """End it before the next pass; from any thread."""
        self.is_stopped = True

    def count(self, made: int) -> None:
        """So many updates are made."""
        self.made = made
        self.told(made)

    def say(self, message: str) -> None:
        """Tell the user, once."""
        if message not in self.messages:
            self.messages.append(message)


class Loop(Protocol):
    """The host's own training step, without what it counts and writes.

    Attributes:
        scaler: its GradScaler, or None.
        accumulate: micro-batches in one update.
    """

    optimizer: Any
    scaler: Any
    accumulate: int

    def batches(self) -> Iterator[Any]:
        """Micro-batches in the host's order, one epoch after the other, without end."""

    def loss(self, batch: Any) -> Tensor:
        """Of one micro-batch, with its graph; drawn and computed as the host does."""


class Interrupted(Exception):  # noqa: N818 nothing has gone wrong
    """The user has stopped the trial."""


# What is tried ------------------------------------------------------------------------------------


def highest_rate(plan: Plan) -> float:
    """Of a whole run."""
    return float(plan.values(sample_steps(plan, MANY_POINTS)).max())


def check_finder(plan: Plan, spec: Spec) -> None:
    """
    Raises:
        InputError: there is no rate to scale, or a grid of fewer than two rates.
    """
    if any(segment.entry.is_search for segment in plan.segments):
        raise InputError("range_test is a search for the rate itself: give the schedule that is to be trained with")
    if not highest_rate(plan) > 0:
        raise InputError("the schedule's highest rate is 0: there is nothing to scale")
    if spec.grid is not None and len(spec.grid) < 2:
        raise InputError("a trial compares two rates or more, got a grid of one")


def check_texts(plans: Sequence[Plan]) -> None:
    """
    Raises:
        InputError: fewer than two texts, or the same one twice.
        ScheduleError: a text whose rates are not known beforehand, or that is a search itself.
    """
    if len(plans) < 2 or len({plan.text for plan in plans}) < len(plans):
        raise InputError("a trial compares two different schedules or more")
    for one in plans:
        for segment in one.segments:
            if segment.entry.is_feedback or segment.entry.is_search:
                message = f"{segment.shape} cannot be compared in a trial: its rates are not those of a schedule"
                raise ScheduleError(message, one.text, segment.item.value.span)


def plans_of(spec: Spec, planned: RunPlan) -> list[Plan]:
    """The plans of a comparison's texts, for the counts of the training; none for the finder.

    Raises:
        InputError, ScheduleError: a text that cannot be planned, or a trial that compares nothing.
    """
    counts = planned.counts
    plans = [plan(text, total_steps=planned.request.total_steps, steps_per_epoch=counts.steps_per_epoch,
                  images_per_step=counts.images_per_step) for text in spec.texts]
    if spec.texts:
        check_texts(plans)
    else:
        check_finder(planned.plan, spec)
    return plans


def constant(text: str, peak: float, factor: float) -> Candidate:
    """A rate of the finder."""
    rate = peak * factor
    return Candidate(scaled(text, factor), factor, rate, lambda update: warmed(rate, update))


def compressed(plan: Plan, updates: int) -> Candidate:
    """A text over the updates of a trial: each stands for the same share of the run."""

    def step(update: int) -> int | None:
        there = (2 * update + 1) * plan.total_steps // (2 * updates)
        return there if there < plan.stop else None

    def rate(update: int) -> float | None:
        there = step(update)
        return None if there is None else plan.value(there)

    def momentum(update: int) -> float | None:
        there = step(update)
        return None if there is None else plan.momentum(there)

    return Candidate(plan.text, None, highest_rate(plan), rate, None if plan.momenta([]) is None else momentum)


# The updates --------------------------------------------------------------------------------------


@dataclass
class Track:
    """Where candidates run: what is trained, the loop, and what every candidate begins with.

    Attributes:
        tensors: what is trained.
        limit: how gradients are clipped at an update of the trial; None where they are not.
        after_step: what belongs to an update after the optimizer's own step.
        is_stopped: whether the user wants it to end.
        told: hears of the updates made.
        draw: a PNG of what is trained as it is now; None where none is wanted or it could not be made.
    """

    loop: Loop
    model: Any
    tensors: Sequence[Tensor]
    updates: int
    seed: int
    limit: Callable[[int], tuple[str, float] | None]
    after_step: Callable[[], None]
    is_stopped: Callable[[], bool]
    told: Callable[[int], None]
    draw: Callable[[], bytes | None] = lambda: None
    baseline: tuple[float, ...] = ()
    _made: int = 0
    _update: int = 0
    _micro: int = 0
    _batches: list[Any] = field(default_factory=list)
    _start: Mapping[str, Any] = field(default_factory=dict)

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Inside, candidates can run. After it weights, optimizer, scaler and generators are what they were, however it ended."""
        draws = generators.take()
        optimizer = self.loop.optimizer.state_dict()
        self._start = cloned({"trained": list(self.tensors), "optimizer": optimizer, "scaler": self._scaling()})
        seam = None
        try:
            self._seed_all(0)
            self._batches = list(islice(self.loop.batches(), self.updates * self.loop.accumulate))
            seam = LossSeam(self.model, self._same_noise, lambda _: None)
            self.baseline = tuple(self._losses(None, self._nothing))
            yield
        finally:
            with Held():
                if seam is not None:
                    seam.undo()
                self._put_back()
                generators.put(draws)
                self._batches = []

    def run(self, candidate: Candidate, losses: list[float]) -> Course:
        """One candidate, from the common start; its weights stay until the next one.

        Args:
            losses: gets the loss of each update as it is made.
        """
        self._put_back()
        told = step_hook.Told(after=self.after_step)
        hook = step_hook.StepHook(self.loop.optimizer, lambda: self.limit(self._update), told, lambda _: False)
        try:
            for loss in self._losses(candidate, lambda: self._step(candidate, hook)):
                losses.append(loss)
                if is_ruined(losses, self.baseline):
                    return Course(tuple(losses), len(losses))
        finally:
            hook.remove()
        return Course(tuple(losses))

    def _losses(self, candidate: Candidate | None, finish: Callable[[], None]) -> Iterator[float]:
        """The loss of each update, before it is made by ``finish``."""
        accumulate = self.loop.accumulate
        for update in range(self.updates):
            self._update, total = update, 0.0
            is_over = candidate is not None and candidate.rates(update) is None
            for micro in range(update * accumulate, (update + 1) * accumulate):
                total += self._pass(micro, backward=candidate is not None and not is_over)
            if not is_over:
                finish()
            self._made += 1
            self.told(self._made)
            yield total

    def _pass(self, micro: int, *, backward: bool) -> float:
        if self.is_stopped():
            raise Interrupted
        self._micro = micro
        self._seed_all(micro)  # dropout is the same for every candidate
        loss = self.loop.loss(self._batches[micro]) / self.loop.accumulate
        value = loss.item()
        if backward:
            (loss if self.loop.scaler is None else self.loop.scaler.scale(loss)).backward()
        return float(value)

    def _nothing(self) -> None:
        """The baseline makes no update."""

    def _step(self, candidate: Candidate, hook: step_hook.StepHook) -> None:
        optimizer, scaler = self.loop.optimizer, self.loop.scaler
        step_hook.write_rate(optimizer, candidate.rates(self._update) or 0.0)
        momentum = None if candidate.momenta is None else candidate.momenta(self._update)
        if momentum is not None:
            step_hook.write_momentum(optimizer, momentum)
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        optimizer.zero_grad(set_to_none=True)
        hook.take()

    def _same_noise(self, batch: Batch) -> None:
        """Timesteps and noise of a micro-batch, the same for every candidate."""
        generator = torch.Generator().manual_seed(self._number(self._micro))
        batch.timesteps = torch.randint(0, self.model.num_timesteps, (len(batch.latents),), generator=generator).to(batch.timesteps)
        batch.noise = torch.randn(batch.latents.shape, generator=generator).to(batch.latents)

    def _seed_all(self, micro: int) -> None:
        random.seed(self._number(micro))
        torch.manual_seed(self._number(micro))

    def _number(self, micro: int) -> int:
        return (self.seed * 1_000_003 + micro) % 2**63

    def _scaling(self) -> dict[str, Any]:
        scaler = self.loop.scaler
        return {} if scaler is None or not scaler.is_enabled() else step_hook.plain_scaler(step_hook.scaler_state(scaler))

    def _put_back(self) -> None:
        with torch.no_grad():
            for tensor, kept in zip(self.tensors, self._start["trained"], strict=True):
                tensor.copy_(kept)
                tensor.grad = None
        self.loop.optimizer.load_state_dict(cloned(self._start["optimizer"]))
        if self._start["scaler"]:
            step_hook.load_scaler(self.loop.scaler, self._start["scaler"])


# The trial ----------------------------------------------------------------------------------------


def run(trial: Trial, plan: Plan, plans: Sequence[Plan], track: Track) -> None:
    """Run a trial, and leave its answer in it.

    Args:
        plan: of the text that is trained with, for the finder.
        plans: of the texts of a comparison; empty for the finder.
    """
    with track.ready():
        trial.baseline = track.baseline
        if plans:
            _compare(trial, plans, track)
        else:
            _find(trial, plan, track)


def _compare(trial: Trial, plans: Sequence[Plan], track: Track) -> None:
    ended = [_try(trial, compressed(plan, track.updates), track) for plan in plans]
    rows, courses = zip(*ended, strict=True)
    trial.answer = judge_texts(rows, courses, plans[0].total_steps, track.updates)


def _find(trial: Trial, plan: Plan, track: Track) -> None:
    peak, grows = highest_rate(plan), trial.spec.grid is None
    found: dict[float, tuple[Row, Course]] = {}
    waiting, first = sorted(set(GRID if trial.spec.grid is None else trial.spec.grid)), set(trial.spec.grid or GRID)
    while waiting:
        for factor in waiting:
            found[factor] = _try(trial, constant(plan.text, peak, factor), track)
        points = _points(peak, found)
        below, above = (sum(1 for factor in found if is_beyond(factor)) for is_beyond in
                        (lambda factor: factor < min(first), lambda factor: factor > max(first)))
        more = next_factor(sorted(found), points, (below, above)) if grows else None
        waiting = [] if more is None else [more]
        trial.expected += len(waiting) * track.updates
    ordered = [found[factor] for factor in sorted(found)]
    trial.answer = judge_rates(plan, [row for row, _ in ordered], [course for _, course in ordered], _points(peak, found))


def _try(trial: Trial, candidate: Candidate, track: Track) -> tuple[Row, Course]:
    """One candidate, and its image while its weights are there."""
    one = Tried(candidate)
    trial.tried = (*trial.tried, one)
    course = track.run(candidate, one.losses)
    if course.stopped_at is None:
        begun_s = time.monotonic()
        one.image = track.draw()
        trial.drawing_s += time.monotonic() - begun_s
    else:
        trial.expected -= track.updates - course.stopped_at
    if track.is_stopped():  # while the image was made, which may be half of one
        raise Interrupted
    one.row = _row(candidate, course, track.baseline)
    return one.row, course


def _points(peak: float, found: Mapping[float, tuple[Row, Course]]) -> list[Point]:
    return [Point(peak * factor, found[factor][0].progress) for factor in sorted(found)]


def _row(candidate: Candidate, course: Course, baseline: Sequence[float]) -> Row:
    found = share(course, baseline)
    if found is None:
        return Row(candidate.text, candidate.factor, None, None, None, course.stopped_at)
    low, high = (end if isfinite(end) else None for end in (found.low, found.high))  # of one update there is no interval
    return Row(candidate.text, candidate.factor, found.progress, low, high, None)
