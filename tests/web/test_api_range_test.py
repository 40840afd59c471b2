"""What a run's endpoint says of a range test."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

pytest.importorskip("torch")

from fastapi import FastAPI  # torch is optional

from lib_lrsched.schedule.plan import plan
from lib_lrsched.storage.history import History, HistoryRow
from lib_lrsched.storage.run_state import Leg, RunState
from lib_lrsched.storage.store import Store
from lib_lrsched.web.endpoints import add_routes

STEPS = 120


def answer_of(root: Path, text: str, origin: int = 0) -> Any:
    """A run with this text, whose loss falls until the rate is 0.1 and is then three times as high."""
    store = Store(root)
    leg = Leg(origin, 1.0, origin + STEPS, text, None, None, 1, origin)
    store.save(RunState("a", "embedding", "mine", "finished", origin + STEPS, origin + STEPS, 1.0, 2.0, text, legs=(leg,)))
    history, planned = History(store.history_path("a")), plan(text, total_steps=STEPS)
    for step in range(STEPS):
        rate = planned.value(step)
        loss = 0.3 if rate > 0.1 else 0.1 - 0.04 * min(1.0, max(0.0, step - 40) / 40)
        history.record(HistoryRow(origin + step, rate, rate, loss, None, float(step), 0.1))
    history.close()
    app, trainings, transfer = FastAPI(), SimpleNamespace(active=dict), SimpleNamespace(usable=lambda _: [])
    add_routes(app, SimpleNamespace(store=store, trainings=trainings, transfer=transfer, in_progress=list))  # type: ignore[arg-type]

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://host") as client:
            return await client.get("/lrsched/v1/runs/a")

    return asyncio.run(ask()).json()["range_test"]


@pytest.mark.parametrize("origin", [0, 500])
def test_a_range_test_alone_has_points_suggestion_and_why(tmp_path, origin):
    found = answer_of(tmp_path, "range_test(1e-5, 1)", origin)
    assert list(found) == ["points", "suggested", "why", "put_back"]
    assert found["put_back"] is True
    assert found["suggested"] == pytest.approx(0.0037, rel=0.3)  # of update 60 or so
    assert str(found["suggested"]) in found["why"]


def test_inside_a_longer_text_its_own_updates_are_looked_at(tmp_path):
    found = answer_of(tmp_path, "1e-5:20, range_test(1e-5, 1):100, 1e-5")
    assert found["put_back"] is False
    assert max(rate for rate, _ in found["points"]) > 0.5
    assert found["suggested"] is not None


def test_other_texts_have_none(tmp_path):
    assert answer_of(tmp_path, "cosine(0.01, 1e-5)") is None
