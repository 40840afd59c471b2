"""Training in a real WebUI through its API: what its optimizers really got, against the plan."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
from webui_api import IMAGES, Api

from lib_lrsched import Plan, plan

pytestmark = pytest.mark.webui
both_kinds = pytest.mark.parametrize("kind", ["embedding", "hypernetwork"])

TEXTS = {
    "embedding": {
        "plain": "0.005:3, 1e-3:6, 1e-5",
        "new": "warmup(0.005):3, cosine(0.005, 1e-5)",
        "epochs": "0.005:1ep, exp(1e-3):+50%, linear(1e-6)",
        "momentum": "onecycle(0.005)",
        "ends": "0.005:2, 0.001:5",
    },
    "hypernetwork": {"plain": "1e-4:2, 1e-5", "new": "warmup(1e-4):2, 1e-4:60%, cosine(1e-7)"},
}
STEPS = {"embedding": 9, "hypernetwork": 5}


def planned(text: str, steps: int, batch: int = 1, accumulate: int = 1) -> Plan:
    images = batch * accumulate
    return plan(text, total_steps=steps, steps_per_epoch=IMAGES // images, images_per_step=images)


def expect_rates(rates: list[float], made: Plan, start: int = 0) -> None:
    """The optimizer's rates are the plan's, at every update from `start` on, and there is not one update more."""
    np.testing.assert_allclose(rates, made.values(range(start, made.stop)), rtol=1e-12, atol=0)


@pytest.mark.parametrize(("kind", "case"), [(kind, case) for kind, cases in TEXTS.items() for case in cases])
def test_every_update_has_the_planned_rate(api: Api, kind: str, case: str):
    text, steps, name = TEXTS[kind][case], STEPS[kind], f"rates-{kind}-{case}"
    made = planned(text, steps)
    api.create(kind, name)
    mark = api.webui.spy.mark()
    assert "error: None" in api.train(kind, name, text, steps)
    expect_rates(api.webui.spy.rates(mark), made)
    expect_rates([float(line["learn_rate"]) for line in api.logged(name)], made)
    (run,) = api.runs(name)
    assert (run["state"], run["step"], run["kind"]) == ("finished", made.stop, kind)
    expect_rates(api.points(name)["actual"], made)
    momenta = made.momenta(range(made.stop))
    if momenta is not None:
        np.testing.assert_allclose([update["betas"][0][0] for update in api.webui.spy.updates(mark)], momenta, rtol=1e-12)


@both_kinds
@pytest.mark.parametrize("mode", ["value", "norm"])
def test_no_gradient_is_larger_than_the_threshold(api: Api, kind: str, mode: str):
    measure = {"value": "abs_max", "norm": "norm"}[mode]
    name = f"clip-{kind}-{mode}"
    api.create(kind, name)
    mark = api.webui.spy.mark()
    api.train(kind, name, "1e-5", 2)
    high = min(update[measure] for update in api.webui.spy.updates(mark)) / 10  # below what comes, so that every update is cut
    low = high / 10
    mark = api.webui.spy.mark()
    assert "error: None" in api.train(kind, name, "1e-5", 6, clip_grad_mode=mode, clip_grad_value=f"{high!r}:4, {low!r}")
    got = np.array([update[measure] for update in api.webui.spy.updates(mark)])
    assert got.shape == (4,)
    norms = np.array(api.points(name)["grad_norm"][2:])
    limits = np.array([high, high, low, low])
    if mode == "norm":
        limits = limits * norms / (norms + 1e-6)  # torch's formula
    np.testing.assert_allclose(got, limits, rtol=1e-4)
    if mode == "norm":
        assert np.all(norms > 2 * limits)


@both_kinds
def test_an_update_over_two_batches_has_one_rate_and_epochs_count_updates(api: Api, kind: str):
    text, steps, name = "1e-3:1ep, linear(1e-3, 1e-5)", 4, f"accumulate-{kind}"
    made = planned(text, steps, accumulate=2)
    assert made.segments[0].stop == 2
    api.create(kind, name)
    mark = api.webui.spy.mark()
    assert "error: None" in api.train(kind, name, text, steps, gradient_step=2)
    expect_rates(api.webui.spy.rates(mark), made)


@both_kinds
def test_previews_and_copies_on_the_way_do_not_disturb_the_rate(api: Api, kind: str):
    text, steps, name = "cosine(1e-3, 1e-5)", 4, f"previews-{kind}"
    api.create(kind, name)
    mark = api.webui.spy.mark()
    assert "error: None" in api.train(kind, name, text, steps, create_image_every=3, **{f"save_{kind}_every": 2})
    expect_rates(api.webui.spy.rates(mark), planned(text, steps))
    (folder,) = api.logs.glob(f"*/{name}")
    assert [path.name for path in (folder / "images").glob("*.png")] == [f"{name}-3.png"]
    assert sorted(path.name for path in (folder / f"{kind}s").glob("*.pt")) == [f"{name}-2.pt", f"{name}-4.pt"]


@both_kinds
def test_an_interrupted_run_goes_on_where_it_was(api: Api, kind: str):
    text, name = "linear(1e-3, 1e-4):200, cosine(1e-4, 1e-6):400", f"resume-{kind}"
    api.create(kind, name)
    mark = api.webui.spy.mark()
    said: list[str] = []
    training = threading.Thread(target=lambda: said.append(api.train(kind, name, text, 400)))
    training.start()
    api.webui.spy.wait_for(3, mark)
    assert [run["state"] for run in api.runs(name)] == ["running"]
    api.interrupt()
    training.join()
    assert "error: None" in said[0]
    first = api.webui.spy.rates(mark)
    done = len(first)
    assert 3 <= done < 400
    np.testing.assert_allclose(first, planned(text, 400).values(range(done)), rtol=1e-12, atol=0)
    assert api.get("/lrsched/v1/resume", kind=kind, name=name)["step"] == done
    mark = api.webui.spy.mark()
    assert "error: None" in api.train(kind, name, text, done + 4)
    expect_rates(api.webui.spy.rates(mark), planned(text, done + 4), done)
    (run,) = api.runs(name)
    assert (run["state"], run["step"]) == ("finished", done + 4)
    assert api.points(name)["step"] == list(range(done + 4))


def test_a_hypernetwork_keeps_the_optimizer_that_its_file_names(api: Api):
    """The WebUI takes the class out of a table that it made when it started."""
    text, name = "onecycle(1e-5)", "with-sgd"
    api.create("hypernetwork", name)
    path = api.trained("hypernetwork", name)
    weights = [value for pair in layers(torch.load(path)) for module in pair for value in module.values()]
    state = torch.optim.SGD(weights, lr=1.0, momentum=0.5).state_dict()
    torch.save({"hash": None, "optimizer_name": "SGD", "optimizer_state_dict": state}, f"{path}.optim")
    mark = api.webui.spy.mark()
    assert "error: None" in api.train("hypernetwork", name, text, 4)
    made = planned(text, 4)
    expect_rates(api.webui.spy.rates(mark), made)
    updates = api.webui.spy.updates(mark)
    assert {update["optimizer"] for update in updates} == {"SGD"}
    np.testing.assert_allclose([update["momentum"][0] for update in updates], made.momenta(range(4)), rtol=1e-12)


def layers(saved: dict[Any, Any]) -> list[Any]:
    return [saved[size] for size in saved if isinstance(size, int)]


@both_kinds
def test_error_a_bad_text_is_answered_with_its_place_and_nothing_is_trained(api: Api, kind: str):
    name = f"mistaken-{kind}"
    api.create(kind, name)
    mark = api.webui.spy.mark()
    said = api.train(kind, name, "1e-3:500, 1e-4:100", 10)
    message = "boundaries must rise: this one is at 100, the one before it at 500"
    assert said.endswith(f"error: {message}\n    1e-3:500, 1e-4:100\n                   ^^^")
    said = api.train(kind, name, "1e-3", 10, clip_grad_mode="norm", clip_grad_value="cosin(1, 0.1)")
    assert "cosin" in said.partition("error: ")[2]
    assert said.endswith("\n    cosin(1, 0.1)\n    ^^^^^")
    assert api.webui.spy.updates(mark) == []
    assert api.runs(name) == []


def test_error_a_number_for_a_text_says_how_to_mend_it(api: Api):
    api.create("embedding", "numbered")
    assert "put it in quotes" in api.train("embedding", "numbered", 0.005, 3)
    assert api.runs("numbered") == []


def test_error_no_such_name(api: Api):
    assert "there is no embedding 'nobody'" in api.train("embedding", "nobody", "0.005", 3)
    assert "there is no hypernetwork 'nobody'" in api.train("hypernetwork", "nobody", "0.005", 3)
