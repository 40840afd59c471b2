"""The guard on the practice model: a single update at 10,000 times the rate is undone at once, and healthy runs are left alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from practice_rig import Ground, both_kinds, practice_ground, same_bits, weights  # noqa: E402  # torch is optional
from training_steps import TEXT, UPDATES  # noqa: E402

from lib_lrsched.practice import service  # noqa: E402
from lib_lrsched.practice.model import load_model  # noqa: E402

RATE = {"embedding": 0.005, "hypernetwork": 0.001}
PLACES = [2, 5, 9, 14, 20, 27, 35, 44, 54, 65, 77, 90, 104, 119, 135, 152, 170, 189, 209, 230]
QUICK = {(2, "embedding"), (27, "hypernetwork")}


@pytest.fixture(scope="module")
def model() -> Any:
    return load_model()


@pytest.fixture
def practice(tmp_path: Path, model: Any) -> Iterator[Ground]:
    """The practice host with its own model and its sample concept."""
    with practice_ground(tmp_path, model) as ground:
        ground.install(autosave_every=0, autosave_minutes=0.0)
        yield ground


def train(ground: Ground, kind: str, text: str, steps: int, seed: int, **choices: Any) -> Any:
    return ground.train(kind, text, steps, data=service.CONCEPT, width=32, height=32, seed=seed, **choices)


def rescues(ground: Ground) -> list[tuple[int, int]]:
    """Of each rescue the update at which the guard stepped in, and the step that it went back to."""
    texts = [text for event, text in ground.events() if event == "rescue"]
    found = [re.match(r"update (\d+): .* Restored the state after update (\d+)", text) for text in texts]
    return [(int(one[1]), int(one[2])) for one in found if one]


def places() -> list[Any]:
    return [pytest.param(*one, marks=[] if one in QUICK else [pytest.mark.long]) for one in product(PLACES, service.KINDS)]


@pytest.mark.parametrize(("place", "kind"), places())
def test_one_update_at_10000_times_the_rate_is_undone_within_three(practice, kind, place):
    rate = RATE[kind]
    train(practice, kind, f"{rate}:{place}, {10_000 * rate}:{place + 1}, {rate}", place + 6, seed=place)
    (first, *_) = rescues(practice)
    assert place < first[0] <= place + 3
    assert first[1] <= place


@pytest.mark.long
@pytest.mark.parametrize("seed", range(50))
def test_a_healthy_run_is_left_alone(practice, seed):
    kind = "hypernetwork" if seed % 5 == 0 else "embedding"
    rate = {0: "0.001", 1: "0.005", 2: "warmup(0.005):20, cosine(0.005, 1e-5)", 3: "0.02", 4: "onecycle(0.01)"}[seed % 5]
    train(practice, kind, rate, 300, seed=seed)
    assert rescues(practice) == []


@pytest.mark.parametrize(("structure", "init", "seed"), [([1, 2, 2, 1], "KaimingNormal", 2), ([1, 4, 4, 1], "KaimingUniform", 2)])
def test_a_hypernetwork_with_random_layers_is_left_alone(practice, structure, init, seed):
    """It begins far worse than the model without it, and nothing but training mends that."""
    torch.manual_seed(seed)
    service.create("hypernetwork", "mine", weight_init=init, layer_structure=structure)
    train(practice, "hypernetwork", "0.0005", 12, seed=seed)
    assert rescues(practice) == []


@both_kinds
def test_what_the_guard_compares_changes_no_bit(ground, kind):
    found = []
    for guard in (False, True):
        ground.install(guard=guard, progress_every=0)
        ground.create(kind, overwrite=True)
        found.append([tensor.clone() for tensor in weights(ground.train(kind, TEXT, UPDATES, batch=2, accumulate=2))])
    assert same_bits(*found)
