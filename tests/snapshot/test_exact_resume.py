"""A run that was killed and resumed is the run that it would have been, to the last bit.

The kill is real: a child process trains and exits without any cleanup after an update, as a power cut would have it.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import practice_rig  # noqa: E402  # torch is optional, see importorskip
from practice_rig import NAME, both_kinds, draw_images, same_bits, weights  # noqa: E402
from training_steps import EXACTLY, TEXT, UPDATES, events, folder_of, history, train_and_die, whole  # noqa: E402

from lib_lrsched.host import attention  # noqa: E402
from lib_lrsched.host._training_checks import TrainingChecks  # noqa: E402
from lib_lrsched.optimizer import step_hook  # noqa: E402
from lib_lrsched.practice import dataset, hypernetwork, service, shared  # noqa: E402
from lib_lrsched.practice.files import load_pt  # noqa: E402
from lib_lrsched.snapshot import data_set  # noqa: E402

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

CHOICES: dict[str, dict[str, Any]] = {
    "plain": {},
    "batch": {"batch": 2},
    "accumulation": {"accumulate": 3},
    "both": {"batch": 2, "accumulate": 3},
    "deterministic": {"latent_sampling": "deterministic"},
    "random": {"latent_sampling": "random", "batch": 2},
    "tags": {"shuffle_tags": True, "tag_drop_out": 0.3, "accumulate": 3},
    "all drawn": {"shuffle_tags": True, "tag_drop_out": 0.3, "latent_sampling": "random", "batch": 2, "accumulate": 2},
    "previews": {"previews_every": 3, "preview_steps": 2},
    "fixed previews": {"previews_every": 2, "preview_steps": 2, "preview_prompt": "a red thing", "preview_seed": 7},
    "copies": {"copies_every": 4},
    "value": {"clip_mode": "value", "clip": "1e-3:5, 1e-2"},
    "norm": {"clip_mode": "norm", "clip": "1e-2:4, 1e-3"},
}


def kills() -> Iterator[Any]:
    """Every choice, kind and update to be killed after. The quick ones: each choice with one kind, each update with each kind."""
    for (c, (name, choices)), (k, kind), (u, killed) in product(*map(enumerate, (CHOICES.items(), service.KINDS, (3, 7, 11)))):
        marks = [pytest.mark.long] if u != (c + k) % 3 or c % 2 != k else []
        yield pytest.param(kind, choices, killed, id=f"{killed}-{name}-{kind}", marks=marks)


@pytest.mark.parametrize(("kind", "choices", "killed"), list(kills()))
def test_a_killed_run_taken_up_again_ends_with_the_same_bits(ground, kind, choices, killed):
    draw_images(ground.data, 7)
    ground.install(autosave_every=2)
    expected = whole(ground, kind, **choices)
    ground.create(kind, NAME, overwrite=True)
    train_and_die(ground, kind, killed, **choices)
    trained = ground.train(kind, TEXT, UPDATES, **{**choices, "seed": 99})
    assert trained.step == UPDATES
    assert EXACTLY in events(ground), "; ".join(events(ground))
    assert same_bits(weights(trained), expected)
    assert history(ground, NAME) == history(ground, "whole")


@both_kinds
@pytest.mark.parametrize("killed", [7, *(pytest.param(update, marks=pytest.mark.long) for update in (3, 11))])
def test_a_run_with_everything_on_ends_with_the_same_bits(ground, kind, killed):
    choices = {"batch": 2, "accumulate": 2, "clip_mode": "norm", "clip": "1e-2:4, 1e-3", "shuffle_tags": True, "previews_every": 5,
               "preview_steps": 2}
    draw_images(ground.data, 7)
    ground.install(autosave_every=2, progress_every=1, max_norm=1.1, ema=0.7, spread_timesteps=True,
                   rate_by_timestep="linear(2, 0.5)", loss_by_timestep="1:300, 3", validate_every=4)
    expected = whole(ground, kind, **choices)
    ground.create(kind, NAME, overwrite=True)
    train_and_die(ground, kind, killed, **choices)
    trained = ground.train(kind, TEXT, UPDATES, **{**choices, "seed": 99})
    assert EXACTLY in events(ground), "; ".join(events(ground))
    assert same_bits(weights(trained), expected)
    assert history(ground, NAME) == history(ground, "whole")
    averages = [load_pt(str(folder_of(kind) / f"{name}-ema.pt")) for name in ("whole", NAME)]
    assert same_bits(*(tensors_of(data) for data in averages))


def tensors_of(value: Any) -> list[Any]:
    """Those in a file of the host's, however deep."""
    if isinstance(value, torch.Tensor):
        return [value.detach()]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [tensor for one in inner for tensor in tensors_of(one)]


@pytest.mark.parametrize(
    ("name", "module", "function"), [("attention", attention, "name_in_force"), ("device", step_hook, "device_name")]
)
def test_other_surroundings_are_named_and_nothing_is_drawn_anew(ground, monkeypatch, name, module, function):
    """What an update computes may be other bits; what was drawn for the images is the same."""
    ground.install(autosave_every=2)
    expected = whole(ground, "embedding")
    ground.create("embedding", NAME, overwrite=True)
    train_and_die(ground, "embedding", 7)
    with monkeypatch.context() as patch:
        patch.setattr(module, function, lambda *_: "another")
        trained = ground.train("embedding", TEXT, UPDATES)
    said = events(ground)
    assert EXACTLY not in said
    assert [message for message in said if message.startswith(f"{name} is another, was ")]
    assert same_bits(weights(trained), expected), "here the bits are the same"


def test_another_hypernetwork_in_force_is_named(ground, monkeypatch):
    ground.install(autosave_every=2)
    ground.train("hypernetwork", TEXT, 2, name="beside")
    whole(ground, "embedding")
    ground.create("embedding", NAME, overwrite=True)
    train_and_die(ground, "embedding", 7)
    hypernetwork.load_hypernetworks(["beside"])
    monkeypatch.setattr(shared, "set_loaded_hypernetworks", lambda _: None)  # the practice service would unload it
    ground.train("embedding", TEXT, UPDATES)
    assert EXACTLY not in events(ground)
    assert [message for message in events(ground) if re.fullmatch("hypernetworks is beside [0-9a-f]{16}, was none", message)]


@pytest.mark.parametrize(("word", "said"), [("off", EXACTLY), ("on", "training speed is exact, was fast")])
def test_the_setting_that_an_earlier_version_has_stored_is_compared_by_its_word_of_now(ground, monkeypatch, word, said):
    ground.install(autosave_every=2)
    with monkeypatch.context() as patch:
        patch.setattr(data_set, "ALSO_COMPARED", ("free_memory",))
        patch.setattr(TrainingChecks, "surroundings", lambda self, kind: {"free_memory": word})
        train_and_die(ground, "embedding", 7)
    ground.train("embedding", TEXT, UPDATES)
    assert said in events(ground)
    assert (EXACTLY in events(ground)) == (word == "off")


def test_where_the_speed_is_decided_anew_no_exactness_is_claimed(ground):
    ground.install(autosave_every=2, training_speed="auto")
    whole(ground, "embedding")
    ground.create("embedding", NAME, overwrite=True)
    train_and_die(ground, "embedding", 7)
    ground.train("embedding", TEXT, UPDATES)
    assert EXACTLY not in events(ground)
    assert [message for message in events(ground) if "results may differ in the last digits" in message]


def places() -> Iterator[Any]:
    """Every update to be killed after and with every autosave interval. The quick ones: each update with one kind."""
    for every, killed, (k, kind) in product((1, 3), (4, 5, 6, 7, 8, 9), enumerate(service.KINDS)):
        marks = [pytest.mark.long] if every != (1, 3)[(killed + k) % 2] or killed % 2 != k else []
        yield pytest.param(kind, killed, every, id=f"{every}-{killed}-{kind}", marks=marks)


@pytest.mark.parametrize(("kind", "killed", "every"), list(places()))
def test_wherever_in_the_epoch(ground, kind, killed, every):
    """Five images in batches of two, two micro-batches to an update: an epoch is one update, and one batch too many."""
    ground.install(autosave_every=every)
    choices = {"latent_sampling": "random", "shuffle_tags": True, "tag_drop_out": 0.2}
    expected = whole(ground, kind, **choices)
    ground.create(kind, NAME, overwrite=True)
    train_and_die(ground, kind, killed, **choices)
    assert same_bits(weights(ground.train(kind, TEXT, UPDATES, **{**choices, "seed": 1})), expected)


@both_kinds
def test_killed_again_and_again(ground, kind):
    ground.install(autosave_every=2)
    expected = whole(ground, kind, batch=2)
    ground.create(kind, NAME, overwrite=True)
    for killed in (3, 6, 9, 12, 15):
        train_and_die(ground, kind, killed, batch=2, seed=killed)
    trained = ground.train(kind, TEXT, UPDATES, batch=2, seed=99)
    assert same_bits(weights(trained), expected)
    assert [leg.start_step for leg in ground.runs()[0].legs] == [0, 2, 6, 8, 12, 14]


OPTIMIZERS = ["SGD", "Adam", "RAdam", "Rprop"]
OTHERS = ["RMSprop", "Adagrad", "NAdam", "Adamax", "Adadelta", "ASGD"]


@pytest.mark.parametrize("name", [*OPTIMIZERS, *(pytest.param(name, marks=pytest.mark.long) for name in OTHERS)])
def test_every_optimizer_of_a_hypernetwork_gets_its_state_back(ground, name, monkeypatch):
    ground.install(autosave_every=2)
    monkeypatch.setitem(hypernetwork.optimizer_dict, "AdamW", hypernetwork.optimizer_dict[name])
    expected = whole(ground, "hypernetwork")
    ground.create("hypernetwork", NAME, overwrite=True)
    train_and_die(ground, "hypernetwork", 9)
    assert same_bits(weights(ground.train("hypernetwork", TEXT, UPDATES, seed=99)), expected)


@both_kinds
def test_grad_scaler_goes_on_with_its_scale(ground, kind):
    shared.opts.practice_grad_scaler = True
    ground.install(autosave_every=2)
    expected = whole(ground, kind)
    ground.create(kind, NAME, overwrite=True)
    train_and_die(ground, kind, 7)
    assert same_bits(weights(ground.train(kind, TEXT, UPDATES, seed=99)), expected)


@both_kinds
def test_momentum_and_plateau_go_on(ground, kind):
    text = "cyclic(0.001, 0.01, step_size=3):8, plateau(0.01, patience=0, every=1, factor=0.5)"
    ground.install(autosave_every=2)
    expected = whole(ground, kind, text)
    ground.create(kind, NAME, overwrite=True)
    train_and_die(ground, kind, 13, text=text)
    assert same_bits(weights(ground.train(kind, text, UPDATES, seed=99)), expected)
    assert history(ground, NAME) == history(ground, "whole")


@both_kinds
def test_an_interrupted_run_goes_on_exactly(ground, kind, monkeypatch):
    """Interrupted after some of an update's micro-batches: they are done again, with the same numbers."""
    ground.install(autosave_every=50)
    expected = whole(ground, kind, accumulate=3, shuffle_tags=True)
    ground.create(kind, NAME, overwrite=True)
    original = type(practice_rig.small_model()).forward
    calls = []

    def interrupting(self: Any, *args: Any) -> Any:
        calls.append(self)
        if len(calls) == 3 * 7 + 2:
            shared.state.interrupted = True
        return original(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(type(practice_rig.small_model()), "forward", interrupting)
        assert ground.train(kind, TEXT, UPDATES, accumulate=3, shuffle_tags=True).step == 7
    assert ground.runs()[0].state == "interrupted"
    trained = ground.train(kind, TEXT, UPDATES, accumulate=3, shuffle_tags=True, seed=99)
    assert same_bits(weights(trained), expected)


@both_kinds
def test_previews_leave_the_training_as_it_is_without_them(ground, kind):
    ground.install()
    expected = whole(ground, kind, shuffle_tags=True)
    for choices in (CHOICES["previews"], CHOICES["fixed previews"]):
        ground.create(kind, NAME, overwrite=True)
        assert same_bits(weights(ground.train(kind, TEXT, UPDATES, shuffle_tags=True, **choices)), expected)


@both_kinds
def test_a_listing_in_another_order_makes_no_difference(ground, kind, monkeypatch):
    """os.listdir promises no order; on another disk the same images come in another."""
    ground.install(autosave_every=2)
    expected = whole(ground, kind)
    ground.create(kind, NAME, overwrite=True)
    train_and_die(ground, kind, 7)
    listed = dataset._listed
    monkeypatch.setattr(dataset, "_listed", lambda root: random.Random(4).sample(found := listed(root), len(found)))
    trained = ground.train(kind, TEXT, UPDATES, seed=99)
    assert EXACTLY in events(ground), "; ".join(events(ground))
    assert same_bits(weights(trained), expected)


# What has changed is said ------------------------------------------------------------------


def change_added(ground: Any) -> None:
    draw_images(ground.data, 6)


def change_removed(ground: Any) -> None:
    (ground.data / "003 red thing.png").unlink()


def change_image(ground: Any) -> None:
    (ground.data / "003 red thing.png").write_bytes((ground.data / "001 red thing.png").read_bytes())


def change_caption(ground: Any) -> None:
    (ground.data / "003 red thing.txt").write_text("a blue thing")


@both_kinds
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_added, "1 image added: 005 red thing.png"),
        (change_removed, "1 image removed: 003 red thing.png"),
        (change_image, "1 image changed: 003 red thing.png"),
        (change_caption, "1 image with another caption: 003 red thing.png"),
    ],
)
def test_images_that_changed_are_named_and_the_run_goes_on(ground, kind, change, said):
    ground.install(autosave_every=2)
    ground.create(kind, NAME)
    train_and_die(ground, kind, 7)
    change(ground)
    trained = ground.train(kind, TEXT, UPDATES)
    assert trained.step == UPDATES
    assert said in events(ground)
    assert EXACTLY not in events(ground)
    assert [leg.start_step for leg in ground.run().legs] == [0, 6]


@both_kinds
def test_another_batch_size_is_said_and_the_run_goes_on(ground, kind):
    ground.install(autosave_every=2)
    ground.create(kind, NAME)
    train_and_die(ground, kind, 7)
    trained = ground.train(kind, TEXT, UPDATES, batch=2, latent_sampling="deterministic")
    assert trained.step == UPDATES
    assert {"batch size is 2, was 1", "latent sampling method is deterministic, was once"} <= set(events(ground))
    assert EXACTLY not in events(ground)
