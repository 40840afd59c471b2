"""The states in memory that a run can go back to, and the pieces that make them without waiting for a device."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from lib_lrsched.optimizer import step_hook  # noqa: E402  # torch is optional, see importorskip
from lib_lrsched.optimizer.codec import cloned, finite_flags, is_finite  # noqa: E402
from lib_lrsched.snapshot.good_states import KEPT, GoodStates  # noqa: E402
from lib_lrsched.snapshot.snapshot import Facts, Snapshot  # noqa: E402

CPU = torch.device("cpu")


def state(step: int, weight: float = 1.0, moment: float = 1.0) -> Snapshot:
    facts = Facts("r", "embedding", "a", step, "", "0.005", "", 100, 0, 1.0, 1, "AdamW", 0.0, "2", "")
    optimizer = {"state": {0: {"exp_avg": torch.tensor([moment]), "step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]}
    return Snapshot(facts, {"trained": [torch.tensor([[0.0, weight]])], "optimizer": optimizer, "scaler": {}})


def begun() -> GoodStates:
    goods = GoodStates()
    goods.begin(state(0))
    return goods


def test_a_state_is_good_when_the_next_update_is():
    goods = begun()
    goods.offer(state(1), is_looked_at=True)
    assert goods.newest.facts.step == 0
    goods.settle(is_good=True)
    assert goods.newest.facts.step == 1
    goods.offer(state(2), is_looked_at=True)
    goods.settle(is_good=False)
    assert goods.newest.facts.step == 1
    goods.settle(is_good=True)
    assert goods.newest.facts.step == 1, "it is not on trial any more"


@pytest.mark.parametrize("bad", [state(1, weight=float("nan")), state(1, weight=float("-inf")), state(1, moment=float("inf"))])
def test_a_state_with_a_number_that_is_none_is_never_good(bad):
    goods = begun()
    goods.offer(bad, is_looked_at=True)
    goods.settle(is_good=True)
    assert goods.newest.facts.step == 0


def test_a_large_state_is_looked_at_when_it_is_gone_back_to():
    goods = begun()
    goods.offer(state(1, weight=float("nan")), is_looked_at=False)
    goods.settle(is_good=True)
    assert goods.newest.facts.step == 1
    assert goods.back().facts.step == 0


def test_where_going_back_did_not_help_it_goes_further_back_and_never_beyond_the_last():
    goods = begun()
    for step in (1, 2, 3):
        goods.offer(state(step), is_looked_at=True)
        goods.settle(is_good=True)
    assert [goods.back().facts.step for _ in range(KEPT + 2)] == [3, 2, 2, 2]


def test_error_there_is_nothing_to_go_back_to():
    with pytest.raises(AssertionError, match="without apply"):
        GoodStates().back()


def test_a_clone_shares_nothing_and_is_of_the_same_kind():
    value: Any = {"a": [torch.ones(2), (torch.zeros(1), 3)], 0: {"b": "text"}}
    copy = cloned(value)
    assert (copy[0], type(copy["a"]), type(copy["a"][1])) == ({"b": "text"}, list, tuple)
    copy["a"][0] += 1
    assert value["a"][0].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize(("odd", "finite"), [(0.0, True), (float("nan"), False), (float("inf"), False), (float("-inf"), False)])
def test_what_is_finite_is_found_in_every_type_and_place(dtype, odd, finite):
    for place in (0, 49, 99):
        tensor = torch.linspace(-1, 1, 100).to(dtype)
        tensor[place] = odd
        value = {"a": [torch.tensor([1]), torch.zeros(0), tensor], "b": torch.tensor(True)}
        assert is_finite(value) is finite
        assert bool(finite_flags(value, CPU).all()) is finite


def test_flags_of_nothing_are_good():
    assert bool(finite_flags({"a": 3, "b": torch.tensor([1])}, CPU).all())


def used_scaler(enabled: bool = True) -> Any:
    scaler = torch.amp.GradScaler("cpu", enabled=enabled, growth_interval=2)
    weight = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    for _ in range(3):
        scaler.scale(weight.sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    return scaler


def test_the_state_of_a_scaler_is_torchs_own_but_for_its_form():
    scaler = used_scaler()
    found = step_hook.scaler_state(scaler)
    assert isinstance(found["scale"], torch.Tensor), "reading it would wait for the device"
    plain = {name: value.item() if isinstance(value, torch.Tensor) else value for name, value in found.items()}
    assert plain == scaler.state_dict()
    assert plain["_growth_tracker"] == 1, "it has something to tell"
    other = torch.amp.GradScaler("cpu")
    step_hook.load_scaler(other, found)
    assert other.state_dict() == scaler.state_dict()
    scaler.update(new_scale=8.0)
    assert float(found["scale"]) == plain["scale"], "it is a copy"


@pytest.mark.parametrize("scaler", [used_scaler(enabled=False), torch.amp.GradScaler("cpu")])
def test_a_scaler_that_is_off_or_was_never_used_gives_its_state_dict(scaler):
    assert step_hook.scaler_state(scaler) == scaler.state_dict()
