"""What touches the optimizer: rates in, gradients clipped, norms out; compared with torch's own functions and with float64."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from lib_lrsched.optimizer import step_hook  # noqa: E402  # torch is optional, see importorskip


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def parameters(*shapes: tuple[int, ...], seed: int = 0, size: float = 1.0) -> list[Any]:
    """Parameters with random gradients."""
    generator = torch.Generator().manual_seed(seed)
    made = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    for parameter in made:
        parameter.grad = size * torch.randn(parameter.shape, generator=generator)
    return made


def norm64(grads: list[Any]) -> float:
    return math.sqrt(sum(float(grad.double().square().sum()) for grad in grads))


# Rates ------------------------------------------------------------------------------------


def test_the_rate_is_written_to_every_group_and_read_from_the_first():
    optimizer = torch.optim.AdamW([{"params": [p]} for p in parameters((2,), (3,), (4,))], lr=1.0)
    step_hook.write_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25] * 3
    assert step_hook.read_rate(optimizer) == 0.25


def test_lr_scale_multiplies_a_groups_rate():
    groups = [{"params": [p], **extra} for p, extra in zip(parameters((2,), (3,), (4,)), ({"lr_scale": 0.1}, {}, {"lr_scale": 3}))]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    step_hook.write_rate(optimizer, 0.2)
    assert [group["lr"] for group in optimizer.param_groups] == [0.2 * 0.1, 0.2, 0.2 * 3]
    assert [type(group["lr"]) for group in optimizer.param_groups] == [float] * 3


def test_a_rate_held_as_a_tensor_is_read_as_a_number():
    optimizer = torch.optim.AdamW(parameters((2,)), lr=torch.tensor(0.5), capturable=False, foreach=False)
    assert step_hook.read_rate(optimizer) == 0.5
    assert type(step_hook.read_rate(optimizer)) is float


@pytest.mark.parametrize(
    ("make", "field", "value"),
    [
        (lambda p: torch.optim.AdamW(p, betas=(0.9, 0.99)), "betas", (0.5, 0.99)),
        (lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.9), "momentum", 0.5),
        (lambda p: torch.optim.RMSprop(p), "momentum", 0.5),
        (lambda p: torch.optim.NAdam(p), "betas", (0.5, 0.999)),
    ],
)
def test_momentum_is_beta1_or_momentum(make, field, value):
    optimizer = make(parameters((2,), (3,)))
    assert step_hook.write_momentum(optimizer, 0.5) is True
    assert [group[field] for group in optimizer.param_groups] == [value]


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.RMSprop])
def test_momentum_that_begins_in_the_middle_is_that_of_an_optimizer_that_begins_there(make):
    """After one update without momentum, those with it: by hand, buffer = momentum * buffer + what is added."""
    (parameter,) = parameters((3,))
    optimizer = make([parameter], lr=0.1)
    start = parameter.detach().clone()
    moved = []
    for momentum in (0.0, 0.5, 0.5):
        assert step_hook.write_momentum(optimizer, momentum) is True
        parameter.grad = torch.ones(3)
        before = parameter.detach().clone()
        optimizer.step()
        moved.append((before - parameter.detach())[0].item())
    if make is torch.optim.SGD:
        assert moved == pytest.approx([0.1, 0.1, 0.15])
    else:
        average, buffer, expected = 0.0, 0.0, []
        for momentum in (0.0, 0.5, 0.5):
            average = 0.99 * average + 0.01
            buffer = momentum * buffer + 1.0 / (average**0.5 + 1e-8)
            expected.append(0.1 * (buffer if momentum else 1.0 / (average**0.5 + 1e-8)))
            buffer = buffer if momentum else 0.0
        assert moved == pytest.approx(expected)
    assert not torch.equal(start, parameter)


def test_an_optimizer_without_momentum_is_left_alone():
    optimizer = torch.optim.Adagrad(parameters((2,)))
    before = {name: value for name, value in optimizer.param_groups[0].items() if name != "params"}
    assert step_hook.write_momentum(optimizer, 0.5) is False
    assert {name: value for name, value in optimizer.param_groups[0].items() if name != "params"} == before


# Gradients --------------------------------------------------------------------------------


def test_gradients_are_those_of_all_groups_that_have_one():
    made = parameters((2,), (3,), (4,))
    made[1].grad = None
    optimizer = torch.optim.SGD([{"params": made[:2]}, {"params": made[2:]}], lr=1.0)
    assert [grad is p.grad for grad, p in zip(step_hook.gradients(optimizer), (made[0], made[2]))] == [True, True]


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_the_norm_is_that_of_all_gradients_together(size):
    grads = [p.grad for p in parameters((3, 4), (5,), (2, 2, 2), size=size)]
    assert float(step_hook.total_norm(grads)) == pytest.approx(norm64(grads), rel=1e-5)


def test_the_norm_of_nothing_is_nought():
    assert float(step_hook.total_norm([])) == 0.0


def test_the_norm_without_torchs_newer_function_is_the_same(monkeypatch):
    grads = [p.grad for p in parameters((3, 4), (5,))]
    expected = step_hook.total_norm(grads)
    monkeypatch.delattr(torch.nn.utils, "get_total_norm", raising=False)
    assert float(step_hook.total_norm(grads)) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("mode", ["value", "norm"])
@pytest.mark.parametrize("limit", [1e-40, 1e-9, 0.001, 0.37, 0.5, 1.0, 3.0, 1e9, 1e29, 1e37, math.inf, 0.0])
@pytest.mark.parametrize("seed", range(3))
def test_clipping_gives_the_bits_of_torchs_own_function(mode, limit, seed):
    ours, theirs = (parameters((3, 4), (5,), seed=seed) for _ in range(2))
    grads = [p.grad for p in ours]
    step_hook.clip(grads, mode, limit, step_hook.total_norm(grads))
    getattr(torch.nn.utils, f"clip_grad_{mode}_")(theirs, limit)
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(ours, theirs))


def test_clipping_by_norm_leaves_at_most_the_limit_and_the_direction():
    grads = [p.grad for p in parameters((30,), (20,))]
    before = [grad.clone() for grad in grads]
    step_hook.clip(grads, "norm", 0.25, step_hook.total_norm(grads))
    assert norm64(grads) == pytest.approx(0.25, rel=1e-5)
    scale = 0.25 / norm64(before)
    for grad, old in zip(grads, before):
        torch.testing.assert_close(grad, old * scale, rtol=1e-5, atol=0)


def test_an_unknown_mode_clips_nothing():
    grads = [p.grad for p in parameters((4,))]
    before = grads[0].clone()
    step_hook.clip(grads, "disabled", 0.0, step_hook.total_norm(grads))
    assert torch.equal(grads[0], before)


# The gauge --------------------------------------------------------------------------------


def test_the_gauge_tells_rate_and_norm_of_an_update_once():
    made = parameters((3,), (4,))
    optimizer = torch.optim.SGD(made, lr=0.125)
    gauge = step_hook.StepHook(optimizer, lambda: None)
    assert gauge.take() == step_hook.Seen()
    expected = norm64([p.grad for p in made])
    optimizer.step()
    rate, norm, clipped = gauge.take()
    assert clipped is None
    assert rate == 0.125
    assert float(norm) == pytest.approx(expected, rel=1e-6)
    assert gauge.take() == step_hook.Seen()


@pytest.mark.parametrize("mode", ["value", "norm"])
def test_the_gauge_clips_what_the_update_uses_and_tells_the_norm_before(mode):
    ours, theirs = (parameters((3,), (4,)) for _ in range(2))
    before = norm64([p.grad for p in ours])
    gauge = step_hook.StepHook(torch.optim.SGD(ours, lr=1.0), lambda: (mode, 0.1))
    gauge.optimizer.step()
    getattr(torch.nn.utils, f"clip_grad_{mode}_")(theirs, 0.1)
    torch.optim.SGD(theirs, lr=1.0).step()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs))
    assert float(gauge.take()[1]) == pytest.approx(before, rel=1e-6)


def test_a_removed_gauge_sees_and_clips_nothing():
    made = parameters((3,))
    optimizer = torch.optim.SGD(made, lr=1.0)
    gauge = step_hook.StepHook(optimizer, lambda: ("value", 0.0))
    gauge.remove()
    before = made[0].detach().clone()
    optimizer.step()
    assert gauge.take() == step_hook.Seen()
    assert torch.equal(made[0].detach(), before - made[0].grad)


def test_the_gauge_keeps_no_graph_and_no_gradient():
    made = parameters((3,))
    gauge = step_hook.StepHook(torch.optim.SGD(made, lr=1.0), lambda: ("norm", 0.1))
    gauge.optimizer.step()
    norm = gauge.take()[1]
    assert norm.grad_fn is None
    assert norm.numel() == 1


def _scaled_step(*, fused: bool, mode: str, limit: float) -> tuple[list[Any], float]:
    """Parameters after one AdamW step with a loss that is scaled by 65536, and the norm that the gauge told."""
    made = parameters((3, 4), (5,))
    target = [torch.randn(p.shape, generator=torch.Generator().manual_seed(9)) for p in made]
    for parameter in made:
        parameter.grad = None
    optimizer = torch.optim.AdamW(made, lr=0.01, fused=fused)
    gauge = step_hook.StepHook(optimizer, lambda: (mode, limit))
    scaler = torch.amp.GradScaler("cpu")
    loss = sum((p * t).sum() for p, t in zip(made, target))
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    return [p.detach().clone() for p in made], float(gauge.take()[1])


@pytest.mark.parametrize("mode", ["value", "norm"])
@pytest.mark.parametrize("limit", [0.01, 0.5])
def test_a_fused_optimizer_that_unscales_by_itself_is_clipped_at_the_true_threshold(mode, limit):
    plain, norm = _scaled_step(fused=False, mode=mode, limit=limit)
    fused, fused_norm = _scaled_step(fused=True, mode=mode, limit=limit)
    assert fused_norm == pytest.approx(norm, rel=1e-5)
    for a, b in zip(plain, fused):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


# Digests ----------------------------------------------------------------------------------


def test_the_same_weights_have_the_same_digest():
    weight = torch.arange(12.0).reshape(3, 4)
    known = step_hook.digest([weight, torch.ones(2)])
    assert step_hook.digest([torch.nn.Parameter(weight.clone()), torch.ones(2)]) == known
    assert step_hook.digest([weight.t().contiguous().t(), torch.ones(2)]) == known
    assert step_hook.digest(iter([weight, torch.ones(2)])) == known
    assert len(known) == 64


def test_other_weights_shapes_types_or_orders_have_another_digest():
    weight = torch.arange(4.0)
    nearly = weight.clone()
    nearly[3] = torch.nextafter(nearly[3], torch.tensor(9.0))
    others = [[weight], [nearly], [weight.reshape(2, 2)], [weight.double()], [weight[:2], weight[2:]], [weight[2:], weight[:2]], []]
    assert len({step_hook.digest(one) for one in others}) == len(others)


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "float32", "int64", "bool"])
def test_every_type_of_tensor_has_a_digest(kind):
    made = torch.ones(3, dtype=getattr(torch, kind))
    assert step_hook.digest([made]) == step_hook.digest([made.clone()])


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3)])
def test_a_single_number_and_an_empty_tensor_have_a_digest(shape):
    assert len(step_hook.digest([torch.ones(shape)])) == 64


TORCH_S = ("Adam", "AdamW", "RAdam", "NAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop", "Rprop", "ASGD", "SGD")


EACH_OPTIMIZER = pytest.mark.parametrize(("name", "options"), [
    *((name, {}) for name in TORCH_S),
    ("Adam", {"amsgrad": True}), ("RMSprop", {"centered": True, "momentum": 0.9}), ("SGD", {"momentum": 0.9}),
])  # fmt: skip


@EACH_OPTIMIZER
def test_what_an_optimizer_has_learned_is_taken_only_with_all_that_it_needs(name: str, options: dict[str, Any]):
    def made() -> torch.optim.Optimizer:
        parameters = [torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(2, 2))]
        return getattr(torch.optim, name)(parameters, lr=0.1, **options)

    def update(optimizer: torch.optim.Optimizer) -> None:
        for parameter in optimizer.param_groups[0]["params"]:
            parameter.grad = torch.full_like(parameter, 0.5)
        optimizer.step()

    optimizer = made()
    update(optimizer)
    saved = optimizer.state_dict()
    step_hook.load_state(made(), saved)
    first = saved["state"].get(0, {})
    for part in first:
        without = {**saved, "state": {**saved["state"], 0: {other: value for other, value in first.items() if other != part}}}
        other = made()
        with contextlib.suppress(ValueError):
            step_hook.load_state(other, without)
            update(other)  # it can do without
            continue
        with pytest.raises(ValueError, match=f"has no {part}, which {name} needs"):
            step_hook.load_state(made(), without)


def updated(name: str, options: dict[str, Any], *shapes: tuple[int, ...]) -> Any:
    optimizer = getattr(torch.optim, name)(made := parameters(*shapes), lr=0.1, **options)
    for _ in range(3):
        for parameter in made:
            parameter.grad = parameter.grad.to_sparse() if name == "SparseAdam" else parameter.grad
        optimizer.step()
    return optimizer


@EACH_OPTIMIZER
@pytest.mark.parametrize("numbers", [False, True], ids=["tensors", "numbers"])
def test_an_optimizer_takes_its_own_state_whatever_its_parameters_shapes(name: str, options: dict[str, Any], numbers: bool):
    """Older versions of torch have numbers where newer ones have tensors of one element."""
    shapes = (), (1,), (1, 1), (3, 2)
    saved = updated(name, options, *shapes).state_dict()
    for entries in saved["state"].values():
        entries.update({key: entries[key].item() for key in step_hook.SCALARS & set(entries) if numbers})
    fresh = updated(name, options, *shapes)
    step_hook.load_state(fresh, saved)
    fresh.step()


def test_a_sparse_optimizer_and_one_that_we_do_not_know_take_their_own_states():
    optimizer = updated("SparseAdam", {}, (3, 2))
    step_hook.load_state(optimizer, optimizer.state_dict())
    unknown = {"step": 3, "scale": 0.5, "mask": torch.ones(3, dtype=torch.bool)}
    step_hook.check_state("Another", {"state": {0: unknown}}, parameters((3,)))
    step_hook.check_state("SGD", {"state": {0: {"momentum_buffer": None}}}, parameters((3,)))  # as torch 2.1 keeps it


@EACH_OPTIMIZER
def test_error_an_entry_of_a_form_that_ends_the_next_update(name: str, options: dict[str, Any]):
    saved = updated(name, options, (3, 2), (2, 2)).state_dict()
    entries = saved["state"].get(0, {})
    big = torch.full((3, 2), 3.0)
    for entry in entries:
        bad = [None, True, "x", big.long(), big.to(torch.complex64), torch.tensor(3), torch.ones(2)]
        bad += [big] if entry in step_hook.SCALARS else [3, 0.5, torch.tensor(3.0), torch.ones(1)]
        for value in bad:
            if value is None and name == "SGD":
                continue
            changed = {**saved, "state": {**saved["state"], 0: {**entries, entry: value}}}
            with pytest.raises(ValueError, match=rf"parameter 0: expected a .* for {entry}, got "):
                step_hook.load_state(updated(name, options, (3, 2), (2, 2)), changed)


def test_error_steps_of_which_some_are_numbers_and_some_tensors():
    saved = updated("AdamW", {}, (3,), (2,)).state_dict()
    saved["state"][1]["step"] = 3
    with pytest.raises(ValueError, match=r"^expected step as a number for all parameters or as a tensor for all$"):
        step_hook.load_state(updated("AdamW", {}, (3,), (2,)), saved)
