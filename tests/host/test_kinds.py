"""What differs between embeddings and hypernetworks: in one place, and as the WebUI's page and loops have it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lib_lrsched.host import _webui_trainer, input_checks
from lib_lrsched.host._trial_loop import HostLoop
from lib_lrsched.host._webui_trainer import WebUITrainer
from lib_lrsched.host.kinds import KINDS, kind_of
from lib_lrsched.practice import service
from lib_lrsched.training.host import InputError, Sample
from lib_lrsched.training.trainee import trainee_of

ROOT = Path(__file__).resolve().parents[2]
both_kinds = pytest.mark.parametrize("kind", service.KINDS)

ONE_KIND_ALONE = {
    "host/_preflight_data.py": "the template has to name an embedding",
    "host/_preflight_model.py": "findings on the model that are of one kind alone",
    "host/_training_hooks.py": "the seam Hypernetwork",
    "training/trainee.py": "the factory",
    "practice": "a host, which has two loops as the WebUI has",
}
"""Files that compare with the name of a kind, and why; a folder stands for its files."""


def compared(source: str) -> Iterator[int]:
    """The lines that compare something with the name of a kind."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            sides = (side for one in (node.left, *node.comparators) for side in ast.walk(one))
            if any(isinstance(side, ast.Constant) and side.value in KINDS for side in sides):
                yield node.lineno


def test_kinds_are_told_apart_in_their_classes_alone():
    library, found = ROOT / "lib_lrsched", set()
    for path in library.rglob("*.py"):
        if any(compared(path.read_text(encoding="utf-8"))):
            name = path.relative_to(library).as_posix()
            found.add("practice" if name.startswith("practice/") else name)
    assert found == set(ONE_KIND_ALONE)


@pytest.mark.parametrize("source", ["a = kind == 'embedding'", "a = b if (x, y) != ('embedding', z) else c", "k in ['embedding']"])
def test_a_comparison_with_a_kind_is_seen(source):
    assert list(compared(source)) == [1]


def test_error_a_kind_that_is_neither(ground):
    with pytest.raises(InputError, match=r"expected embedding or hypernetwork as what is trained, got 'lora'"):
        kind_of("lora")
    inputs = {"model_name": "mine", "learn_rate": "0.005", "name": "lora"}
    with pytest.raises(InputError, match="got 'lora'"):
        input_checks.check_inputs(ground.host(), inputs, {})


@both_kinds
def test_a_name_its_file_and_what_is_loaded_from_it_belong_together(ground, kind):
    ground.install()
    trained = ground.train(kind, "0.005", 3)
    host, own = ground.host(), kind_of(kind)
    assert (own.name, own.folder(host)) == (kind, host.folder_of(kind))
    assert own.find(host, "nobody") is None
    assert own.find(host, own.plain_name("mine")) is not None
    file = own.file(host, "mine")
    assert file == Path(host.folder_of(kind)) / "mine.pt"
    loaded = own.load(host, "mine", file)
    trainee = trainee_of(host, kind, "mine")
    assert trainee.tensors() == [], "the loop has not told it yet"
    trainee.take({kind: loaded})
    assert trainee.step == loaded.step == trained.step == 3
    assert len(trainee.tensors()) == len(loaded.weights() if kind == "hypernetwork" else [loaded.vec])
    known = own.known(host, ground.runtime.store, "mine")
    assert known == trainee.known(is_ahead_of=None)
    assert (known.step, known.mtime_ns) == (3, file.stat().st_mtime_ns)
    file.unlink()
    assert (own.known(host, ground.runtime.store, "mine") is None) == (kind == "hypernetwork"), "an embedding is in memory"


def test_only_a_hypernetworks_name_is_cut_at_its_checksum():
    assert [kind_of(kind).plain_name("mine(2) (0a1b)") for kind in ("embedding", "hypernetwork")] == ["mine(2) (0a1b)", "mine(2) "]


def test_prompts_tell_hypernetworks_apart_and_not_embeddings_of_the_same_letters():
    host: Any = SimpleNamespace(embedding_db=lambda: SimpleNamespace(word_embeddings={"mine": 0, "Mine": 0, "other": 0}))
    assert [kind_of(kind).same_words(host, "Mine") for kind in ("embedding", "hypernetwork")] == [["mine"], []]
    nothing: Any = SimpleNamespace(embedding_db=lambda: None)
    assert kind_of("embedding").same_words(nothing, "Mine") == []


def test_an_embedding_of_the_same_letters_is_no_reason_for_a_hypernetwork_that_learns_nothing():
    host: Any = SimpleNamespace(embedding_db=lambda: SimpleNamespace(word_embeddings={"mine": 0, "Mine": 0}))
    assert trainee_of(host, "embedding", "Mine").why_no_gradient().startswith("Besides 'Mine' there is also 'mine'")
    assert trainee_of(host, "hypernetwork", "Mine").why_no_gradient().startswith("Either the attention in use")


# In the loops, and on the page of the WebUI ---------------------------------------------------


class Part:
    """Of a model: writes down where it goes. As a text encoder it gives a context, which may go anywhere."""

    def __init__(self, name: str, log: list[Any]) -> None:
        self.name, self.log = name, log

    def to(self, device: str) -> None:
        self.log.append(f"{self.name} to {device}")

    def __call__(self, prompts: Any) -> Any:
        self.log.append("encoded")
        return CONTEXT


CONTEXT = SimpleNamespace(to=lambda device: CONTEXT)


@pytest.mark.parametrize(
    ("kind", "frame", "told"),
    [
        ("embedding", {"unload": True, "tag_drop_out": 0}, ["encoded"]),
        ("hypernetwork", {"unload": True, "tag_drop_out": 0}, ["stacked"]),
        ("hypernetwork", {"unload": False, "tag_drop_out": 0.1}, ["encoded"]),
        ("hypernetwork", {"unload": False, "tag_drop_out": 0, "shuffle_tags": True}, ["encoded"]),
        ("hypernetwork", {"unload": True, "tag_drop_out": 0.1}, ["encoder to gpu", "encoded", "encoder to cpu"]),
    ],
)
def test_a_trial_encodes_prompts_when_the_hosts_loop_does(kind, frame, told):
    log: list[Any] = []

    def stack_conds(conds: Any) -> Any:
        log.append("stacked")
        return CONTEXT

    shared = SimpleNamespace(sd_model=SimpleNamespace(cond_stage_model=Part("encoder", log)), device="gpu")
    host: Any = SimpleNamespace(shared=shared, hn=SimpleNamespace(stack_conds=stack_conds))
    loop = HostLoop(host, kind, {"optimizer": None, "ds": SimpleNamespace(gradient_step=1), "dl": None, **frame})
    assert loop._context(SimpleNamespace(cond=[], cond_text=["a photo"])) is CONTEXT
    assert log == told


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The WebUI's modules, as far as a trial looks at them; ``log`` has what was done with them."""
    log: list[Any] = []
    shared = SimpleNamespace(
        sd_model=SimpleNamespace(first_stage_model=Part("vae", log), cond_stage_model=Part("encoder", log)),
        opts=SimpleNamespace(unload_models_when_training=True), loaded_hypernetworks=["one"],
    )

    def trains(kind: str, what: str) -> Any:
        def train(*arguments: Any) -> None:
            log.append((what, arguments))
            shared.loaded_hypernetworks = [kind]

        return train

    def train_embedding(id_task: Any, embedding_name: Any, learn_rate: Any, steps: Any, save_embedding_every: Any) -> None:
        """The signature of the loop says what its button is pressed with."""

    def train_hypernetwork(id_task: Any, hypernetwork_name: Any, learn_rate: Any, steps: Any, save_hypernetwork_every: Any) -> None:
        """The same."""

    here = {
        "modules": {}, "modules.shared": vars(shared), "modules.devices": {"device": "gpu", "cpu": "cpu"},
        "modules.textual_inversion": {}, "modules.hypernetworks": {},
        "modules.textual_inversion.ui": {"train_embedding": trains("embedding", "button of TI")},
        "modules.hypernetworks.ui": {"train_hypernetwork": trains("hypernetwork", "button of HN")},
        "modules.textual_inversion.textual_inversion": {"train_embedding": train_embedding},
        "modules.hypernetworks.hypernetwork": {"train_hypernetwork": train_hypernetwork},
    }
    for name, attributes in here.items():
        module = ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
        parent, _, own = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], own, module)
    vars(sys.modules["modules"])["shared"] = shared
    return SimpleNamespace(log=log, shared=shared)


@pytest.mark.parametrize(("kind", "button"), [("embedding", "button of TI"), ("hypernetwork", "button of HN")])
def test_a_trial_presses_the_button_of_its_kind(modules, kind, button):
    WebUITrainer().train(kind, {"id_task": "me", "steps": 5})
    assert modules.log == [(button, ("me", 5))]
    assert modules.shared.loaded_hypernetworks == ["one"], "what images were made with"


@pytest.mark.parametrize(("kind", "rate"), [("embedding", "0.005"), ("hypernetwork", "0.00001")])
def test_a_trial_without_inputs_has_those_that_the_page_begins_with(modules, kind, rate):
    own = {f"{kind}_name": "mine", f"save_{kind}_every": 0}
    assert WebUITrainer().arguments(kind, "mine", {"steps": 7}, "me") == {"id_task": "me", "learn_rate": rate, "steps": 7, **own}


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("embedding", ["vae to gpu", "drawn", "vae to cpu"]),
        ("hypernetwork", ["vae to gpu", "encoder to gpu", "eval", "drawn", "train", "vae to cpu", "encoder to cpu"]),
    ],
)
@pytest.mark.parametrize("fails", [False, True])
def test_an_image_of_a_candidate_is_drawn_as_the_loops_previews_are(modules, monkeypatch, kind, told, fails):
    log = modules.log
    host_object = SimpleNamespace(eval=lambda: log.append("eval"), train=lambda: log.append("train"))

    def drawn(sample: Sample) -> bytes:
        log.append("drawn")
        if fails:
            raise RuntimeError("no memory")
        return b"png"

    monkeypatch.setattr(_webui_trainer, "_drawn", drawn)
    if fails:
        with pytest.raises(RuntimeError, match="no memory"):
            WebUITrainer().draw(kind, host_object, Sample("a photo"))
    else:
        assert WebUITrainer().draw(kind, host_object, Sample("a photo")) == b"png"
    assert log == told
