"""The endpoints, asked over HTTP as the browser asks them."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import json
import math
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from lib_lrsched.errors import ConflictError
from lib_lrsched.host.choices import Choices, Chosen
from lib_lrsched.host.data_folders import DataFolders
from lib_lrsched.host.door import Door
from lib_lrsched.host.next_preflight import Preflight
from lib_lrsched.host.next_training import NextTraining
from lib_lrsched.host.run_transfer import RunTransfer
from lib_lrsched.host.runtime import Runtime
from lib_lrsched.host.trainings import Trainings
from lib_lrsched.preview.run_view import Histories
from lib_lrsched.schedule import running_average
from lib_lrsched.snapshot import find
from lib_lrsched.storage._presets import BUILTIN
from lib_lrsched.storage.history import MAX_STEP, History, HistoryRow
from lib_lrsched.storage.resume import Resumption
from lib_lrsched.storage.store import Known, Leg, RunState, Store, UnknownRunError
from lib_lrsched.training.options import ActiveOptions, Options, with_chosen
from lib_lrsched.web.endpoints import add_routes
from lib_lrsched.web.runtime import QUICKLY_S

NO_OBJECT = "expected a JSON object, sent as application/json"
PREVIEW = {"id": 7, "texts": ["0.005:100, 1e-3"], "total_steps": 2_000, "pictures": None}


def state(run_id: str = "a", **changes: Any) -> RunState:
    made = RunState(
        id=run_id, kind="embedding", name="my cat", state="finished", step=120, total_steps=200, created_s=1_000.0,
        updated_s=1_100.0, rate_text="0.005:100, 1e-3", pictures=12, steps_per_epoch=12, settings={"steps": 200},
        legs=(Leg(0, 1_000.0, 200, "0.005:100, 1e-3", 12, 1, 1),), known=(Known(120, "abcd", 17),),
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def filled(history: History, steps: range) -> History:
    for step in steps:
        history.record(HistoryRow(step, 0.005, 0.005, 0.1, None, 1_000.0 + 0.5 * step))
    return history


class Live:
    def __init__(self, now: RunState) -> None:
        self.now = now
        self.history = History(None)

    def state(self) -> RunState:
        return self.now


class FakeTrainings:
    def __init__(self) -> None:
        self.live: dict[str, Live] = {}

    def active(self) -> dict[str, Live]:
        return dict(self.live)


class FakeNextTraining:
    def __init__(self, store: Store, choices: Choices) -> None:
        self.found: dict[tuple[str, str], Known] = {}
        self.store = store
        self.choices = choices

    def resumption_of(self, kind: str, name: str) -> tuple[Known | None, Resumption]:
        now = self.found.get((kind, name))
        return now, find.find(self.store, kind, name, now, self.choices.of(kind, name).choice)[0]

    def options(self, kind: str, name: str) -> ActiveOptions:
        given = self.choices.of(kind, name).options
        return ActiveOptions(with_chosen(Options(), given), Options(), given, None)

    def choose_options(self, kind: str, name: str, given: dict[str, Any]) -> None:
        with_chosen(Options(), given)
        self.choices.choose_options(kind, name, given)


class FakeDataFolders:
    def __init__(self) -> None:
        self.counted: list[str] = []
        self.waited: list[float | None] = []

    def validation_of(self, data_root: str, within_s: float) -> dict[str, Any] | None:
        return {"images": self.count_images("/pictures", within_s)} if data_root == "/data" else None

    def trouble(self, folder: str) -> str:
        return "" if folder == "/pictures" else f"no images in {folder}"

    def count_images(self, folder: str, within_s: float | None = None) -> int | None:
        self.waited.append(within_s)
        self.counted.append(folder)
        return {"/pictures": 12, "/empty": 0}.get(folder)


class FakeTransfer:
    def __init__(self, trainings: FakeTrainings) -> None:
        self.trainings = trainings

    def usable(self, state: RunState) -> list[str]:
        return ["best"] if state.id == "a" else []

    def use(self, run_id: str, what: str) -> dict[str, Any]:
        if run_id != "a":
            raise UnknownRunError(f"no run {run_id}")
        if self.trainings.live:
            raise ConflictError("a training is running or being prepared; wait until it has ended")
        return {"file": "my cat.pt", "step": 120, "message": f"it is now the {what}"}


class FakePreflight:
    def findings(self, kind: str, name: str, inputs: dict[str, Any]) -> list[dict[str, str]]:
        return [{"severity": "warning", "subject": kind, "message": f"{name} {inputs['steps']}"}]


class FakeRuntime:
    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self.installation = SimpleNamespace(info=lambda: {"name": "practice", "hooked": True, "why": ""})
        self.choices = Choices()
        self.trainings = FakeTrainings()
        self.next_training = FakeNextTraining(self.store, self.choices)
        self.data_folders = FakeDataFolders()
        self.transfer = FakeTransfer(self.trainings)
        self.preflight = FakePreflight()

    def in_progress(self) -> list[Any]:
        return []


@pytest.mark.parametrize(("fake", "real"), [
    (FakeTrainings, Trainings), (FakeNextTraining, NextTraining), (FakeDataFolders, DataFolders), (FakeTransfer, RunTransfer),
    (FakePreflight, Preflight), (FakeRuntime, Runtime),
])
def test_the_stand_ins_are_called_as_the_parts_of_the_runtime_are(fake: type, real: type):
    methods = [name for name in vars(fake) if not name.startswith("_")]
    assert methods
    for name in methods:
        assert _call(getattr(fake, name)) == _call(getattr(real, name))


def _call(method: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    return [(one.name, one.kind, one.default) for one in inspect.signature(method).parameters.values()]


@pytest.fixture
def runtime(tmp_path: Path) -> FakeRuntime:
    return FakeRuntime(tmp_path)


class Client:
    """Asks an app within this process. (starlette's own test client warns with the anyio of today.)"""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.cookies: dict[str, str] = {}

    def session(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app), base_url="http://webui", cookies=self.cookies)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with self.session() as session:
                return await session.request(method, path, **options)

        return asyncio.run(ask())

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)


@pytest.fixture
def client(runtime: FakeRuntime) -> Client:
    app = FastAPI()
    add_routes(app, runtime)
    return Client(app)


def get(client: Client, path: str, status: int = 200) -> Any:
    answer = client.get(f"/lrsched/v1{path}")
    assert answer.status_code == status, answer.text
    return answer.json()


def post(client: Client, path: str, body: Any, status: int = 200) -> Any:
    answer = client.post(f"/lrsched/v1{path}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def message(answer: Any) -> str:
    """The message of a refusal, which has this form and no other."""
    assert set(answer) == {"error"}
    assert set(answer["error"]) == {"message", "span"}
    return answer["error"]["message"]


def test_preview_answers_with_curves(client: Client):
    answer = post(client, "/preview", PREVIEW)
    (result,) = answer["results"]
    assert answer["id"] == 7
    assert result["ok"]
    assert result["boundaries"] == [100]
    assert dict(zip(result["x"], result["y"], strict=True))[99] == 0.005


def test_preview_shows_where_a_text_is_wrong_without_refusing_the_request(client: Client):
    (wrong,) = post(client, "/preview", PREVIEW | {"texts": ["1e-3:500, 1e-4:100"]})["results"]
    assert not wrong["ok"]
    assert wrong["error"]["span"] == [15, 18]


def test_preview_counts_the_images_where_their_number_is_not_given(client: Client, runtime: FakeRuntime):
    assert post(client, "/preview", PREVIEW | {"data_root": "/pictures"})["pictures"] == 12
    assert post(client, "/preview", PREVIEW | {"data_root": "/nowhere"})["pictures"] is None
    assert post(client, "/preview", PREVIEW | {"data_root": "/empty"})["pictures"] is None
    assert post(client, "/preview", PREVIEW | {"data_root": "/pictures", "pictures": 5})["pictures"] == 5
    assert post(client, "/preview", PREVIEW | {"data_root": " "})["pictures"] is None
    assert runtime.data_folders.counted == ["/pictures", "/nowhere", "/empty"]
    assert runtime.data_folders.waited == [QUICKLY_S] * 3
    post(client, "/preview", PREVIEW | {"texts": ["0.005:2ep, 1e-3"], "pictures": None, "data_root": "/pictures"})
    assert runtime.data_folders.waited[-1] is None, "it needs the number"


def test_preview_of_a_continued_run_has_its_past(client: Client, runtime: FakeRuntime):
    runtime.store.save(state())
    (result,) = post(client, "/preview", PREVIEW | {"run": "a", "initial_step": 120, "texts": ["cosine(1e-3, 1e-5)"]})["results"]
    assert result["past"]["x"][0] == 0
    assert result["past"]["x"][-1] < 120
    assert result["past"]["y"][0] == 0.005
    runtime.trainings.live["b"] = Live(state("b"))
    assert post(client, "/preview", PREVIEW | {"run": "b", "initial_step": 120})["results"][0]["past"] is not None


def test_a_continued_run_whose_optimizer_is_known_warns_where_it_has_no_momentum(client: Client, runtime: FakeRuntime):
    runtime.store.save(state(settings={"steps": 200, "optimizer": "Adagrad"}))
    runtime.store.save(state("b"))
    body = PREVIEW | {"texts": ["onecycle(1e-3)"]}

    def warned(**fields: Any) -> list[str]:
        (result,) = post(client, "/preview", body | fields)["results"]
        return [warning["message"].split(":")[0] for warning in result["warnings"]]

    missing = "this drives momentum, and Adagrad has neither betas nor momentum"
    assert warned(run="a") == warned(run="b", optimizer="Adagrad") == [missing]
    assert warned(run="b") == warned(run="a", optimizer="AdamW") == []


def test_a_leg_that_went_back_takes_the_place_of_those_it_undid(client: Client, runtime: FakeRuntime):
    legs = tuple(Leg(start, 0.0, 200, text, 12, 1, 1) for start, text in ((0, "1"), (100, "2"), (50, "3")))
    runtime.store.save(state(legs=legs))
    (result,) = post(client, "/preview", PREVIEW | {"run": "a", "initial_step": 120})["results"]
    past = dict(zip(result["past"]["x"], result["past"]["y"], strict=True))
    assert (past[0], past[49], past[50], past[119]) == (1.0, 1.0, 3.0, 3.0)
    assert len(past) == len(result["past"]["x"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], NO_OBJECT),
        ("x", NO_OBJECT),
        (PREVIEW | {"texts": []}, "texts: expected a list of 1 to 8 texts, got []"),
        (PREVIEW | {"run": 3}, "run: expected the id of a run, or null, got 3"),
    ],
)
def test_error_malformed_preview(client: Client, body: Any, said: str):
    assert message(post(client, "/preview", body, 400)) == said


def test_error_preview_that_is_not_json(client: Client):
    answer = client.post("/lrsched/v1/preview", content="{", headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert message(answer.json()).startswith(f"{NO_OBJECT}, not valid JSON: Expecting property name")
    answer = client.post("/lrsched/v1/preview", content="[" * 100_000, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert message(answer.json()) == "expected JSON that is nested at most 64 deep"


def test_error_json_under_another_name_as_a_foreign_page_can_send_it(client: Client):
    answer = client.post("/lrsched/v1/presets", content='{"name": "x", "text": "1"}', headers={"content-type": "text/plain"})
    assert answer.status_code == 400
    assert message(answer.json()) == "expected a JSON object, sent as application/json"


def test_numbers_that_are_not_finite_and_half_characters_do_not_break_the_answer(client: Client):
    body = '{"id": [NaN, {"x": Infinity}, 5, "\\ud800"], "texts": ["\\ud800"], "total_steps": 10}'
    answer = client.post("/lrsched/v1/preview", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200
    assert json.loads(answer.text)["id"] == [None, {"x": None}, 5, "\ud800"]
    assert "NaN" not in answer.text


def test_runs_on_disk_and_in_memory_are_one_list(client: Client, runtime: FakeRuntime):
    runtime.store.save(state("stored"))
    runtime.store.save(state("live", state="running", step=3))
    leg = Leg(0, 2_000.0, 200, "1", 12, 1, 1)
    runtime.trainings.live["live"] = Live(state("live", state="running", step=9, legs=(leg,)))
    runtime.trainings.live["unsaved"] = Live(state("unsaved", state="pending", legs=(), created_s=3_000.0))
    answer = get(client, "/runs")
    assert [(run["id"], run["step"]) for run in answer["runs"]] == [("unsaved", 120), ("live", 9), ("stored", 120)]
    assert answer["active"] == ["live", "unsaved"]
    assert answer["host"] == {"name": "practice", "hooked": True, "why": ""}
    assert answer["messages"] == []


def test_a_run_in_the_list_has_these_fields(client: Client, runtime: FakeRuntime):
    leg = Leg(100, 1_000.0, 200, "1", 12, 1, 1)
    runtime.store.save(state(legs=(state().legs[0], leg)))
    (run,) = get(client, "/runs")["runs"]
    assert run == {
        "id": "a", "kind": "embedding", "name": "my cat", "state": "finished", "step": 120, "initial_step": 100,
        "total_steps": 200, "created_s": 1_000.0, "updated_s": 1_100.0, "rate_text": "0.005:100, 1e-3", "clip_text": "",
        "clip_mode": "disabled", "clip_exact": False, "batch": 1, "accumulate": 1, "pictures": 12, "steps_per_epoch": 12,
        "message": "", "multiplier": 1.0, "origin": 0,
        "legs": [{"start_step": 0, "mode": "start", "rate_text": "0.005:100, 1e-3"},
                 {"start_step": 100, "mode": "start", "rate_text": "1"}],
        "title": "", "note": "", "images": 0, "size_bytes": (runtime.store.root / "runs/a/run.json").stat().st_size,
        "progress_end": None, "progress_best": None, "progress_best_step": None, "validation_end": None, "validation_best": None,
        "best_step": None, "seconds": 0.0, "ended_s": 1_100.0, "outcome": "finished: 120 of 200 updates", "trouble": "",
    }  # fmt: skip


def test_a_damaged_run_does_not_hide_the_others_and_is_said(client: Client, runtime: FakeRuntime):
    runtime.store.save(state("bad"))
    runtime.store.save(state("good"))
    path = runtime.store.root / "runs/bad/run.json"
    path.write_text("{")
    answer = get(client, "/runs")
    assert [run["id"] for run in answer["runs"]] == ["good"]
    assert answer["messages"] == [f"{path}: expected JSON, got b'{{'; it is set aside as run.json.damaged-1"]


def test_an_ended_run_is_read_from_its_file(client: Client, runtime: FakeRuntime):
    runtime.store.save(state())
    history = filled(History(runtime.store.history_path("a"), clock=lambda: 5.0), range(120))
    history.event(120, "finished", "done")
    history.close()
    answer = get(client, "/runs/a")
    assert answer["run"]["id"] == "a"
    assert answer["settings"] == {"steps": 200}
    assert answer["points"]["step"] == list(range(120))
    assert answer["events"] == [{"step": 120, "time_s": 5.0, "event": "finished", "message": "done"}]
    assert (answer["next_since"], answer["complete"], answer["s_left"]) == (120, True, None)
    assert answer["s_per_step"] == pytest.approx(0.5)


def test_a_live_run_is_followed_from_step_to_step(client: Client, runtime: FakeRuntime):
    live = runtime.trainings.live["a"] = Live(state(state="running", step=40))
    empty = get(client, "/runs/a")
    assert (empty["points"]["step"], empty["next_since"], empty["s_per_step"], empty["s_left"]) == ([], 0, None, None)
    filled(live.history, range(40))
    first = get(client, f"/runs/a?since={empty['next_since']}")
    assert (first["next_since"], first["complete"]) == (40, False)
    assert (first["s_per_step"], first["s_left"]) == (pytest.approx(0.5), pytest.approx(80.0))
    filled(live.history, range(40, 45))
    second = get(client, f"/runs/a?since={first['next_since']}")
    assert second["points"]["step"] == [40, 41, 42, 43, 44]
    assert second["next_since"] == 45


def test_since_beyond_the_end_says_from_where_to_ask(client: Client, runtime: FakeRuntime):
    runtime.trainings.live["a"] = Live(state(state="running"))
    filled(runtime.trainings.live["a"].history, range(10))
    answer = get(client, "/runs/a?since=500")
    assert (answer["points"]["step"], answer["next_since"]) == ([], 10)


def test_since_with_the_ring_wrapped(client: Client, runtime: FakeRuntime):
    live = runtime.trainings.live["a"] = Live(state(state="running"))
    live.history = filled(History(None, recent=100, overview=50), range(1_000))
    whole = get(client, "/runs/a")["points"]["step"]
    assert whole == sorted(set(whole))
    assert whole[-1] == 999
    assert get(client, "/runs/a?since=950")["points"]["step"] == list(range(950, 1_000))


def test_at_most_two_thousand_points_are_sent(client: Client, runtime: FakeRuntime):
    live = runtime.trainings.live["a"] = Live(state(state="running"))
    filled(live.history, range(9_000)).record(HistoryRow(9_000, 0.0, 0.0, 50.0, None, 0.0))
    answer = get(client, "/runs/a")
    assert len(answer["points"]["step"]) <= 2_000
    assert max(answer["points"]["loss"]) == 50.0
    assert answer["next_since"] == 9_001


def test_a_stretch_of_a_long_run_has_all_that_its_file_has(client: Client, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Histories, "of", lambda _, path: History.open(path, append=False, recent=100))
    runtime.store.save(state(step=9_000))
    history = History(runtime.store.history_path("a"))
    for step in range(9_000):
        history.record(HistoryRow(step, 0.005, 0.005, 1.0 + step % 2, None, 1_000.0 + step, progress=step / 9_000))
    history.close()
    stretch = get(client, "/runs/a?since=1000&until=1400")
    assert stretch["points"]["step"] == list(range(1_000, 1_400))
    assert stretch["points"]["progress"][:2] == [1_000 / 9_000, 1_001 / 9_000]
    assert stretch["next_since"] == 1_400
    assert 1_000 < len(get(client, "/runs/a?since=1000&until=8000")["points"]["step"]) <= 2_000
    assert get(client, "/runs/a?since=8990&until=8992")["points"]["step"] == [8_990, 8_991]
    assert get(client, "/runs/a?since=1400&until=1000")["points"]["step"] == []


@pytest.mark.parametrize("smoothing", [0.0, 0.98, *(pytest.param(other, marks=pytest.mark.long) for other in (0.5, 0.999))])
def test_the_average_is_over_the_whole_run_with_the_decay_that_is_asked_for(
    client: Client, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch, smoothing: float
):
    monkeypatch.setattr(Histories, "of", lambda _, path: History.open(path, append=False, recent=100))
    runtime.store.save(state(step=9_000))
    history, total, weight, means = History(runtime.store.history_path("a")), 0.0, 0.0, []
    for step in range(9_000):
        loss = math.nan if step == 4_000 else 1.0 + math.sin(step / 50)
        history.record(HistoryRow(step, 0.005, 0.005, loss, None, 1_000.0 + step))
        total, weight = running_average.add(total, weight, loss, smoothing)
        means.append(total / weight)
    history.close()
    for address in ("", "since=1000&until=1400&", "since=8950&"):
        points = get(client, f"/runs/a?{address}smoothing={smoothing}")["points"]
        assert points["smooth"] == pytest.approx([means[step] for step in points["step"]], rel=1e-9)
    live = runtime.trainings.live["a"] = Live(state(state="running"))
    for step in range(50):
        live.history.record(HistoryRow(step, 0.005, 0.005, 1.0 + math.sin(step / 50), None, 1_000.0 + step))
    points = get(client, f"/runs/a?since=40&smoothing={smoothing}")["points"]
    assert points["smooth"] == pytest.approx(means[40:50], rel=1e-9)


@pytest.mark.parametrize("smoothing", ["1", "-0.1", "nan", "inf", "x", "", "true"])
def test_error_smoothing_that_is_none(client: Client, runtime: FakeRuntime, smoothing: str):
    runtime.store.save(state())
    assert message(get(client, f"/runs/a?smoothing={smoothing}", 400)).startswith("smoothing: expected a number from 0 to below 1")


def test_a_loss_that_is_no_number_is_sent_as_null(client: Client, runtime: FakeRuntime):
    live = runtime.trainings.live["a"] = Live(state(state="running", settings={"x": math.inf}))
    live.history.record(HistoryRow(0, math.nan, math.inf, math.nan, math.nan, 0.0))
    answer = get(client, "/runs/a")
    points = answer["points"]
    assert [points[name] for name in ("planned", "actual", "loss", "smooth", "grad_norm")] == [[None]] * 5
    assert answer["settings"] == {"x": None}


def test_a_run_without_a_history_has_no_points(client: Client, runtime: FakeRuntime):
    runtime.store.save(state())
    answer = get(client, "/runs/a")
    assert (answer["points"]["step"], answer["events"], answer["next_since"]) == ([], [], 0)


def test_a_damaged_history_leaves_the_run_to_be_seen(client: Client, runtime: FakeRuntime):
    runtime.store.save(state())
    path = runtime.store.history_path("a")
    path.write_bytes(b"garbage\n")
    answer = get(client, "/runs/a")
    note = {"step": 120, "time_s": 1_100.0, "event": "note", "message": f"{path}: line 1: expected JSON, got b'garbage\\n'"}
    assert (answer["run"]["id"], answer["events"]) == ("a", [note])
    assert path.read_bytes() == b"garbage\n"


def test_a_history_is_read_again_only_when_its_file_changed(runtime: FakeRuntime):
    path = runtime.store.history_path("a")
    histories = Histories(size=2)
    filled(History(path), range(3)).close()
    first = histories.of(path)
    assert histories.of(path) is first
    filled(History(path), range(3, 5)).close()
    assert histories.of(path).last_step == 4
    for other in "bc":
        histories.of(runtime.store.history_path(other))
    assert histories.of(path) is not first


def test_nobody_waits_for_another_run_that_is_being_read(runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch):
    long, other = (filled(History(runtime.store.history_path(name)), range(3)) for name in "ab")
    long.close()
    other.close()
    assert long.path is not None
    assert other.path is not None
    histories, reading, go_on = Histories(), threading.Event(), threading.Event()
    plainly = History.open

    def slowly(path: Path, **options: Any) -> History:
        if path == long.path:
            reading.set()
            assert go_on.wait(30)
        return plainly(path, **options)

    monkeypatch.setattr(History, "open", slowly)
    thread = threading.Thread(target=histories.of, args=[long.path])
    thread.start()
    assert reading.wait(30)
    assert histories.of(other.path).last_step == 2
    assert thread.is_alive()
    go_on.set()
    thread.join()


@pytest.mark.parametrize("run_id", ["nothing", "A", "%2e%2e%2f%2e%2e%2fx", "..%2F..%2Fx", "%00", "x" * 300, "a%20b"])
def test_error_unknown_run(client: Client, run_id: str):
    assert "run" in message(get(client, f"/runs/{run_id}", 404))


def test_error_damaged_run(client: Client, runtime: FakeRuntime):
    runtime.store.save(state())
    path = runtime.store.root / "runs/a/run.json"
    path.write_text("{")
    assert message(get(client, "/runs/a", 500)) == f"{path}: expected JSON, got b'{{'"


@pytest.mark.parametrize("since", ["-1", "x", str(10**400)])
def test_error_since_that_is_no_step(client: Client, since: str):
    said = message(get(client, f"/runs/a?since={since}", 400))
    assert said.startswith(f'since: expected a whole number from 0 to {MAX_STEP}, got "{since[:90]}')


def test_resume_finds_the_run_of_the_embedding_as_it_is_now(client: Client, runtime: FakeRuntime):
    runtime.store.save(state())
    runtime.next_training.found["embedding", "my cat"] = Known(120, "abcd", 99)
    answer = get(client, "/resume?kind=embedding&name=my%20cat")
    assert (answer["step"], answer["run"]["id"], answer["settings"], answer["message"]) == (120, "a", {"steps": 200}, "")


def test_options_are_chosen_for_a_training_and_described(client: Client):
    address = "/options?kind=hypernetwork&name=mine"
    assert get(client, address)["chosen"] == {}
    answer = post(client, "/options", {"kind": "hypernetwork", "name": "mine", "options": {"ema": 0.9}})
    assert answer == get(client, address)
    assert (answer["chosen"], answer["options"]["ema"], answer["defaults"]["ema"]) == ({"ema": 0.9}, 0.9, 0.0)
    described = {one["name"]: one for one in answer["descriptions"]}
    assert described.keys() == answer["options"].keys() - {"max_norm"}, "which is for embeddings"
    assert described["ema"]["flag"] == "--ema"
    assert (described["stop_after"]["needs"], described["loss_by_timestep"]["timesteps"]) == ("validate_every", 1000)
    assert answer["validation_folder"] is None
    assert get(client, f"{address}&data_root=/data")["validation_folder"] == {"images": 12}
    body = {"kind": "embedding", "name": "mine", "options": {"ema": 1}}
    assert message(post(client, "/options", body, 400)) == "ema: expected a number from 0 and below 1, got 1"
    assert message(post(client, "/options", body | {"options": []}, 400)) == "options: expected an object, got []"


def test_the_average_or_the_best_is_put_in_the_files_place(client: Client, runtime: FakeRuntime):
    for what in ("average", "best"):
        answer = post(client, "/runs/a/use", {"what": what})
        assert answer == {"file": "my cat.pt", "step": 120, "message": f"it is now the {what}"}
    said = 'what: expected one of average, best, got "last"'
    assert message(post(client, "/runs/a/use", {"what": "last"}, 400)) == said
    assert message(post(client, "/runs/b/use", {"what": "best"}, 404)) == "no run b"
    runtime.trainings.live["a"] = Live(state())
    assert "running or being prepared" in message(post(client, "/runs/a/use", {"what": "best"}, 409))


def test_resume_without_a_run_or_without_the_embedding_says_so(client: Client, runtime: FakeRuntime):
    runtime.store.save(state())
    runtime.next_training.found["embedding", "my cat"] = Known(121, "other", 99)
    nothing = {"kind": "embedding", "run": None, "settings": None, "file_step": None, "exact": False, "way": "continue"}
    nothing |= {"mode": None, "from_step": None, "leaving": ["file", "file-restart"], "from_beginning": "restart"}
    assert get(client, "/resume?kind=embedding&name=my%20cat") == nothing | {
        "name": "my cat", "step": 121, "file_step": 121, "message": "no stored run belongs to 'my cat' as it is now, at step 121",
    }  # fmt: skip
    assert get(client, "/resume?kind=embedding&name=dog") == nothing | {
        "name": "dog", "step": None, "message": "there is no embedding 'dog'",
    }  # fmt: skip


def test_how_a_training_goes_on_is_chosen(client: Client, runtime: FakeRuntime):
    runtime.store.save(state())
    runtime.next_training.found["embedding", "my cat"] = Known(120, "abcd", 99)
    answer = post(client, "/resume", {"kind": "embedding", "name": "my cat", "way": "file"})
    assert (answer["way"], answer["run"], answer["message"]) == ("file", None, "the file is trained on as it is, as a new run")
    assert runtime.choices.of("embedding", "my cat") == Chosen("file")
    assert answer["from_beginning"] == "file-restart"
    answer = post(client, "/resume", {"kind": "embedding", "name": "my cat", "way": "restart"})
    assert (answer["way"], answer["from_beginning"], answer["run"]["id"]) == ("restart", "restart", "a")


def test_where_the_text_is_sent_the_mode_is_answered(client: Client, runtime: FakeRuntime):
    runtime.store.save(state())
    runtime.next_training.found["embedding", "my cat"] = Known(120, "abcd", 99)
    runtime.next_training.found["embedding", "new"] = Known(0, "cdef", 99)
    address = "/resume?kind=embedding&name=my%20cat"
    assert get(client, address)["mode"] is None
    assert get(client, f"{address}&rate_text=0.005:100,%201e-3")["mode"] == "continue"
    assert get(client, f"{address}&rate_text=1")["mode"] == "new"
    assert get(client, "/resume?kind=embedding&name=new&rate_text=1")["mode"] == "start"
    choice = {"kind": "embedding", "name": "my cat", "rate_text": "1"}
    for chosen in ("restart", "file", "new"):
        assert post(client, "/resume", choice | {"way": chosen})["mode"] == chosen
    assert post(client, "/resume", choice | {"way": "continue", "rate_text": None})["mode"] is None
    runtime.trainings.live["a"] = Live(state(state="running"))
    assert get(client, f"{address}&rate_text=1")["mode"] == "new"


def test_a_preview_of_a_continued_run_says_its_mode(client: Client, runtime: FakeRuntime):
    runtime.store.save(state())
    body = PREVIEW | {"run": "a", "initial_step": 120, "texts": ["0.005:100, 1e-3", "1", "foo("]}
    assert [result["mode"] for result in post(client, "/preview", body)["results"]] == ["continue", "new", "new"]
    assert [result["mode"] for result in post(client, "/preview", body | {"run": None})["results"]] == ["start"] * 3
    clip = body | {"kind": "clip", "texts": ["1"], "rate_text": "1"}
    assert post(client, "/preview", clip)["results"][0]["mode"] == "new"


def test_a_preview_says_in_numbers_which_part_of_a_text_runs(client: Client, runtime: FakeRuntime):
    runtime.store.save(state())
    body = PREVIEW | {"run": "a", "initial_step": 120, "texts": ["warmup(0.005):100, 1e-3", "0.004", "foo("]}
    first, constant, broken = post(client, "/preview", body)["results"]
    assert first["part"] == {
        "start": 120, "stop": 2000, "loses": True,
        "over": [{"text": "warmup(0.005):100", "start": 0, "stop": 100, "until": 100},
                 {"text": "1e-3", "start": 100, "stop": 2000, "until": 120}],
        "said": "steps 120 to 2,000 of the text will be played; warmup(0.005):100 (steps 0 to 100) and 20 of the 1,900 steps of "
                "1e-3 are over",
    }  # fmt: skip
    assert constant["part"]["loses"] is False
    assert "part" not in broken
    for way, origin in (("restart", 120), ("file-restart", 120), ("file", 0)):
        result = post(client, "/preview", body | {"way": way})["results"][0]
        assert (result["mode"], result["origin"], result["part"] is None) == (way, origin, origin > 0)
    assert post(client, "/preview", PREVIEW)["results"][0]["part"] is None


def test_what_is_trained_and_how_the_last_training_ended(client: Client, runtime: FakeRuntime):
    assert get(client, "/training") == {"running": [], "preparing": [], "last": None}
    runtime.store.save(state())
    history = History.open(runtime.store.history_path("a"))
    history.record(HistoryRow(0, 0.005, 0.005, 0.1, None, 1_000.0))
    history.event(12, "rescue", "update 12: the loss is nan")
    history.close()
    runtime.store.save(state("older", legs=(Leg(0, 900.0, 200, "1", 12, 1, 1),)))
    last = get(client, "/training")["last"]
    assert (last["id"], last["outcome"]) == ("a", "finished: 120 of 200 updates")
    assert [(one["step"], one["message"]) for one in last["rescues"]] == [(12, "update 12: the loss is nan")]
    runtime.trainings.live["b"] = Live(state("b", state="running"))
    runtime.trainings.live["b"].history.event(3, "rescue", "update 3: the loss is nan")
    answer = get(client, "/training")
    (running,) = answer["running"]
    assert (running["id"], len(running["rescues"]), answer["last"]["id"]) == ("b", 1, "a")
    runtime.store.history_path("a").write_bytes(b"nonsense\nnonsense\n")
    last = get(client, "/training")["last"]
    assert last["rescues"] == []
    assert "history.jsonl" in last["trouble"]


def test_an_optimizer_in_a_stored_run_that_is_no_name_is_not_known(client: Client, runtime: FakeRuntime):
    runtime.store.save(state(settings={"optimizer": 7}))
    assert post(client, "/preview", PREVIEW | {"run": "a", "texts": ["onecycle(1e-3)"]})["results"][0]["warnings"] == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"kind": "embedding", "name": "x", "way": "back"},
         'way: expected one of continue, new, restart, file, file-restart, got "back"'),
        ({"kind": "lora", "name": "x", "way": "new"}, 'kind: expected embedding or hypernetwork, got "lora"'),
        ({"kind": "embedding", "name": 7, "way": "new"}, "name: expected a text, got 7"),
        ({"kind": "embedding", "name": "x"}, "way: expected one of continue, new, restart, file, file-restart, got nothing"),
    ],
)
def test_error_no_way_to_go_on(client: Client, body: Any, words: str):
    assert message(post(client, "/resume", body, 400)) == words


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "kind: expected embedding or hypernetwork, got nothing"),
        ("?kind=embedding", "name: expected a text, got nothing"),
        ("?name=x", "kind: expected embedding or hypernetwork, got nothing"),
        ("?kind=lora&name=x", 'kind: expected embedding or hypernetwork, got "lora"'),
    ],
)
def test_error_resume_of_nothing(client: Client, query: str, said: str):
    assert message(get(client, f"/resume{query}", 400)) == said


def test_presets_are_saved_and_deleted(client: Client):
    builtin = [preset._asdict() for preset in BUILTIN]
    assert get(client, "/presets") == {"presets": builtin}
    mine = {"name": "my 猫 / test", "text": "0.005:3ep, 1e-3", "note": "", "builtin": False}
    assert post(client, "/presets", {"name": mine["name"], "text": mine["text"]}) == {"presets": [*builtin, mine]}
    again = {"name": mine["name"], "text": "2", "replace": False}
    assert message(post(client, "/presets", again, 409)) == f"there is a preset {mine['name']!r} already"
    assert get(client, "/presets") == {"presets": [*builtin, mine]}
    assert post(client, "/presets", again | {"replace": True, "text": mine["text"]}) == {"presets": [*builtin, mine]}
    answer = client.request("DELETE", "/lrsched/v1/presets/my%20%E7%8C%AB%20%2F%20test")
    assert (answer.status_code, answer.json()) == (200, {"presets": builtin})


def test_error_preset_that_cannot_be_planned(client: Client):
    answer = post(client, "/presets", {"name": "x", "text": "1e-3:500, 1e-4:100"}, 400)
    assert answer["error"]["span"] == [15, 18]
    assert "500" in message(answer)
    assert get(client, "/presets")["presets"] == [preset._asdict() for preset in BUILTIN]


def test_a_preset_is_planned_over_the_steps_it_is_written_for(client: Client):
    short = {"name": "short", "text": "warmup(0.005):7%, 0.005:64, 1e-3"}
    assert "one before it at 140" in message(post(client, "/presets", short, 400))
    assert message(post(client, "/presets", {**short, "total_steps": 0}, 400)).startswith("total_steps: ")
    saved = post(client, "/presets", {**short, "total_steps": 120})["presets"]
    assert saved[-1]["text"] == short["text"]


def test_error_preset_refused(client: Client):
    name = BUILTIN[0].name
    taken = f"the preset {name!r} comes with the extension and cannot be changed; save under another name"
    assert message(post(client, "/presets", {"name": name, "text": "1"}, 409)) == taken
    assert message(post(client, "/presets", {"name": "", "text": "1"}, 400)) == "a preset needs a name of printable characters"
    assert message(post(client, "/presets", {"name": 3, "text": "1"}, 400)) == "name: expected a text, got 3"
    deleted = client.request("DELETE", f"/lrsched/v1/presets/{name}")
    assert (deleted.status_code, message(deleted.json())) == (409, taken)
    deleted = client.request("DELETE", "/lrsched/v1/presets/nothing")
    assert (deleted.status_code, message(deleted.json())) == (404, "there is no preset 'nothing'")


def test_error_disk_full_while_a_preset_is_saved(client: Client, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lib_lrsched.storage._preset_store.write_whole", refuse)
    assert message(post(client, "/presets", {"name": "x", "text": "1"}, 500)) == "[Errno 28] No space left on device"


@pytest.mark.parametrize(("method", "path"), [("GET", "nothing"), ("GET", "preview"), ("PUT", "presets"), ("PUT", "runs/a")])
def test_error_unknown_address(client: Client, method: str, path: str):
    answer = client.request(method, f"/lrsched/v1/{path}")
    assert answer.status_code == 404
    assert message(answer.json()) == f"there is no /lrsched/v1/{path} for this method"


def test_routes_are_added_once_and_the_newest_runtime_answers(tmp_path: Path):
    app = FastAPI()
    add_routes(app, FakeRuntime(tmp_path / "old"))
    routes = list(app.routes)
    newest = FakeRuntime(tmp_path / "new")
    newest.store.save(state("newest"))
    add_routes(app, newest)
    assert app.routes == routes
    assert [run["id"] for run in get(Client(app), "/runs")["runs"]] == ["newest"]


def test_error_not_signed_in_to_gradio(client: Client):
    client.app.auth, client.app.tokens = SimpleNamespace(), {"secret": "me"}
    refused = "sign in to the WebUI first"
    assert message(get(client, "/runs", 401)) == refused
    assert message(post(client, "/preview", PREVIEW, 401)) == refused
    client.cookies["access-token"] = "guess"
    assert message(get(client, "/runs", 401)) == refused
    client.cookies["access-token"] = "secret"
    assert get(client, "/runs")["runs"] == []


def test_error_no_credentials_where_the_webuis_api_asks_for_them(client: Client, runtime: FakeRuntime):
    add_routes(client.app, runtime, Door(credentials={"me": "it's: secret", "you": "x"}))

    def asked(authorization: str | None) -> httpx.Response:
        headers = {} if authorization is None else {"Authorization": authorization}
        return client.request("GET", "/lrsched/v1/runs", headers=headers)

    def basic(text: str) -> str:
        return f"Basic {b64encode(text.encode()).decode()}"

    for wrong in (None, "", "Basic", "Basic !!!", "Bearer x", basic("me"), basic("me:"), basic("me:x"), basic("nobody:x"),
                  basic(":"), "Basic 77+9/w==", basic("me:é")):  # fmt: skip
        refused = asked(wrong)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Basic"), wrong
        assert message(refused.json()) == "expected the user and password of the WebUI's --api-auth"
    assert asked(basic("me:it's: secret")).status_code == 200
    assert asked(basic("you:x").replace("Basic", "basic")).status_code == 200


def test_error_a_body_that_is_too_large_is_not_read(client: Client):
    taken = 0

    async def blocks() -> AsyncIterator[bytes]:
        nonlocal taken
        yield b"["
        for _ in range(1_000):
            taken += 1
            yield b" " * 100_000

    too_large = "expected a body of at most 1 MiB"
    headers = {"content-type": "application/json"}
    for path in ("preview", "preflight", "export", "import", "items", "edit", "presets", "resume"):
        answer = client.post(f"/lrsched/v1/{path}", content=b"[" * (2 << 20), headers=headers)
        assert (answer.status_code, message(answer.json())) == (413, too_large)
    answer = client.post("/lrsched/v1/preview", content=blocks(), headers=headers)
    assert (answer.status_code, message(answer.json())) == (413, too_large)
    assert taken < 20
    # A megabyte of the slowest to read matters little, and a text of many thousand phases is welcome.
    assert post(client, "/preview", [[]] * 250_000, 400) == {"error": {"message": NO_OBJECT, "span": None}}
    text = ", ".join(f"1:{step}" for step in range(1, 10_000))
    assert post(client, "/preview", PREVIEW | {"texts": [text], "total_steps": 50_000})["results"][0]["text"] == text


@pytest.mark.parametrize(("body", "said"), [
    ('{"texts": [' + "[" * 62 + "]" * 62 + "]}", "texts: expected a list of 1 to 8 texts, got [" + "[" * 62 + "]" * 37 + "..."),
    ('{"texts": [' + "[" * 63 + "]" * 63 + "]}", "expected JSON that is nested at most 64 deep"),
    ('{"total_steps": ' + "9" * 301 + "}", "expected numbers of at most 300 digits, got one of 301"),
    ('{"total_steps": ' + "9" * 9_000 + "}", "expected numbers of at most 300 digits, got one of 9000"),
    (b'{"texts": "\xff"}', f"{NO_OBJECT}, not valid JSON: 'utf-8' codec can't decode byte 0xff in position 11: invalid start byte"),
    ('{"texts": ["1"], "total_steps": 10, "data_root": "a\\u0000b"}',
     'data_root: expected the name of a folder, or null, got "a\\u0000b"'),
    ('{"texts": ["1"], "total_steps": 10, "data_root": "\\ud800"}',
     'data_root: expected the name of a folder, or null, got "\\ud800"'),
    ('{"texts": ["1"], "total_steps": 10, "data_root": ["x"]}', 'data_root: expected the name of a folder, or null, got ["x"]'),
])  # fmt: skip
def test_error_json_that_nobody_has_a_use_for(client: Client, body: Any, said: str):
    answer = client.post("/lrsched/v1/preview", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, message(answer.json())) == (400, said)


def test_error_a_mistake_of_ours_has_the_one_form_and_its_traceback_on_the_console(
    client: Client, runtime: FakeRuntime, caplog: pytest.LogCaptureFixture
):
    def broken() -> dict[str, Any]:
        raise ZeroDivisionError("oh")

    runtime.installation.info = broken
    said = message(get(client, "/runs", 500))
    assert said == "the request failed because of a bug in the extension (ZeroDivisionError: oh); its traceback is on the console"
    assert "in broken" in caplog.text


def test_an_endpoint_that_waits_does_not_stop_the_others(client: Client, runtime: FakeRuntime):
    go_on = threading.Event()

    def slow() -> dict[str, Any]:
        assert go_on.wait(30)
        return {}

    async def ask_both() -> list[int]:
        async with client.session() as session:
            waiting = asyncio.create_task(session.get("/lrsched/v1/runs"))
            other = await session.get("/lrsched/v1/presets")
            assert not waiting.done()
            go_on.set()
            return [other.status_code, (await waiting).status_code]

    runtime.installation.info = slow
    assert asyncio.run(ask_both()) == [200, 200]


# Preflight ----------------------------------------------------------------------------------


def test_what_would_stop_a_training_is_asked_of_the_host(client: Client):
    answer = post(client, "/preflight", {"kind": "embedding", "name": "mine", "inputs": {"steps": 5}})
    assert answer == {"findings": [{"severity": "warning", "subject": "embedding", "message": "mine 5"}]}


@pytest.mark.parametrize(("body", "said"), [
    ({}, "kind: expected embedding or hypernetwork, got nothing"),
    ({"kind": "lora", "name": "", "inputs": {}}, 'kind: expected embedding or hypernetwork, got "lora"'),
    ({"kind": "embedding", "name": 3, "inputs": {}}, "name: expected a text, got 3"),
    ({"kind": "embedding", "name": "mine", "inputs": []}, "inputs: expected an object, got []"),
])  # fmt: skip
def test_error_no_such_training(client: Client, body: dict[str, Any], said: str):
    assert message(post(client, "/preflight", body, 400)) == said
