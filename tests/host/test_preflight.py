"""What is found before a training starts, as the page shows it and as the start of a training refuses or notes it.

Models that the practice host does not have are stood in for by the attributes that the WebUI gives them.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from practice_rig import NAME
from preflight_steps import found, only, write_template
from torch import Tensor, nn

from lib_lrsched.host import _preflight_model as preflight_model
from lib_lrsched.host import attention, input_checks, preflight, webui
from lib_lrsched.host.input_checks import InputError
from lib_lrsched.host.webui import NoTraining
from lib_lrsched.practice import sd_hijack, service, shared
from lib_lrsched.practice import unet as practice_unet
from lib_lrsched.schedule.plan import plan
from lib_lrsched.storage import _presets as presets

both_kinds = pytest.mark.parametrize("kind", service.KINDS)
CUDA = torch.device("cuda")


def model(**attributes: Any) -> SimpleNamespace:
    """A model that can be trained, but for these attributes of it."""
    inner = SimpleNamespace(conditioning_key="crossattn", diffusion_model=SimpleNamespace(in_channels=4))
    there = dict.fromkeys(("cond_stage_model", "encode_first_stage", "get_first_stage_encoding", "forward"), print)
    return SimpleNamespace(**{**there, "model": inner, "is_sdxl": False, "is_sd3": False, **attributes})


def with_model(ground: Any, loaded: Any, **fields: Any) -> Any:
    return replace(ground.host(), loaded_model=lambda: loaded, **fields)


def with_key(key: str, channels: int = 4) -> SimpleNamespace:
    return model(model=SimpleNamespace(conditioning_key=key, diffusion_model=SimpleNamespace(in_channels=channels)))


# A training with which nothing is wrong -------------------------------------------------------


@both_kinds
def test_nothing_is_found_where_nothing_is_wrong(ground, kind):
    ground.create(kind)
    rate = "warmup(0.005):1ep, cosine(0.005, 1e-5)" if kind == "embedding" else "warmup(3e-5):1ep, cosine(3e-5, 1e-6)"
    inputs = {
        "learn_rate": rate, "steps": "100", "batch_size": 1, "gradient_step": 1,
        "data_root": str(ground.data), "log_directory": str(ground.log), "template_filename": "subject_filewords.txt",
        "create_image_every": 0,
    }
    assert found(ground.host(), kind, **inputs) == []
    assert found(with_model(ground, model()), kind, **inputs) == []
    assert found(ground.host(), kind, "") == [], "an empty form"


def test_a_host_without_what_is_looked_at_gives_no_finding_and_no_exception(ground):
    bare = replace(ground.host(), shared=SimpleNamespace(), ti=ModuleType("ti"), embedding=lambda name: 1 / 0)
    assert found(bare, template_filename="none.txt") == []
    assert preflight.of_start(bare, "embedding", NAME, {}) == []
    assert found(ground.host(), learn_rate=5, steps=[], data_root=7, log_directory=None, batch_size=["x"]) == []
    assert found(with_model(ground, None)) == [], "no model is loaded yet, and asking loads none"


def test_a_host_without_training_says_why(tmp_path):
    assert found(NoTraining("Forge", "there is none", tmp_path)) == [("error", "host", "there is none")]


# The model ------------------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize(("flags", "what"), [
    ({"is_sdxl": True}, "an SDXL model"), ({"is_sdxl": True, "is_ssd": True}, "an SDXL model"), ({"is_sd3": True}, "an SD 3 model"),
])
def test_error_another_architecture(ground, kind, flags, what):
    severity, message = only(with_model(ground, model(**flags)), kind)
    assert severity == "error"
    assert message == (f"the loaded model is {what}; embeddings and hypernetworks can be trained on SD 1 and SD 2 models: load one "
                       "of those")


def test_error_a_model_that_lacks_what_training_calls(ground):
    loaded = model()
    del loaded.encode_first_stage, loaded.cond_stage_model
    severity, message = only(with_model(ground, loaded))
    assert severity == "error"
    assert message.startswith("the loaded model is of a kind without cond_stage_model, encode_first_stage; ")


@pytest.mark.parametrize(("key", "channels", "kind", "refused"), [
    ("hybrid", 9, "embedding", False), ("hybrid", 9, "hypernetwork", True), ("hybrid", 5, "embedding", True),
    ("concat", 9, "hypernetwork", True), ("crossattn-adm", 4, "embedding", True), ("crossattn", 4, "hypernetwork", False),
])
def test_error_a_model_that_wants_more_than_a_prompt(ground, key, channels, kind, refused):
    """Inpainting models train embeddings: there the host gives them an empty image."""
    assert [one[:2] for one in found(with_model(ground, with_key(key, channels)), kind)] == [("error", "model")] * refused


def test_error_a_network_in_the_place_of_the_unet(ground):
    severity, message = only(replace(ground.host(), replaced_unet=lambda: "[TRT] v1-5"))
    assert severity == "error"
    assert message.startswith("[TRT] v1-5 replaces the model's UNet and does not propagate gradients: set SD Unet to None")


# Memory savers --------------------------------------------------------------------------------


@both_kinds
def test_error_lowvram(ground, monkeypatch, kind):
    monkeypatch.setattr(shared.cmd_opts, "lowvram", True)
    severity, message = only(ground.host(), kind)
    assert severity == "error"
    assert message == ("the WebUI runs with --lowvram, which moves weights away before the backward pass needs them: "
                       "start it without that, or with --medvram")
    assert preflight.of_start(ground.host(), kind, NAME, {}) == [], "the API may train on a CPU, where nothing is moved"
    monkeypatch.setattr(shared, "device", CUDA)
    assert [one.severity for one in preflight.of_start(ground.host(), kind, NAME, {})] == ["error"]


def test_medvram_is_slow_for_embeddings(ground, monkeypatch):
    monkeypatch.setattr(shared.cmd_opts, "medvram", True, raising=False)
    assert found(ground.host()) == []
    monkeypatch.setattr(shared, "device", CUDA)
    assert found(ground.host(), "hypernetwork") == []
    severity, message = only(ground.host())
    assert severity == "warning"
    assert "--no-half" not in message
    monkeypatch.setattr(shared.cmd_opts, "no_half", True, raising=False)
    assert "With --no-half training fails at its first update" in only(ground.host())[1]


def test_a_module_that_is_moved_takes_its_saved_weights_along():
    """Why --lowvram cannot work: what the graph has saved of a layer's own weight is the weight as it is at the backward pass.

    Another dtype stands for another device here; both are put in place of the weight's data in the same way.
    """
    layer = nn.GroupNorm(2, 4)
    out = layer(torch.ones(1, 4, 2, 2, requires_grad=True))
    layer.to(torch.float64)
    with pytest.raises(RuntimeError, match="expected scalar type Float but found Double"):
        out.sum().backward()


# The embedding --------------------------------------------------------------------------------


def database(ground: Any, shape: int = 768, **skipped: Any) -> Any:
    there = SimpleNamespace(expected_shape=shape, skipped_embeddings=skipped)
    return replace(ground.host(), embedding_db=lambda: there)


def test_error_an_embedding_of_another_width(ground):
    wide = SimpleNamespace(vec=torch.zeros(2, 1024))
    severity, message = only(database(ground, mine=wide))
    assert severity == "error"
    assert message == ("the embedding 'mine' has vectors of 1024 numbers (as SD 2 does), the loaded model takes 768 (as SD 1 does)"
                       ": load the model that it was made for, or create a new embedding")
    loaded = replace(database(ground), embedding=lambda name: wide)
    assert only(loaded)[1] == message, "loaded for the model before"
    assert found(database(ground, mine=SimpleNamespace(vec=torch.zeros(2, 768)))) == []
    assert found(database(ground, -1, mine=wide)) == [], "no model is loaded yet"
    assert found(database(ground, mine=wide), "hypernetwork") == []


def test_error_an_embedding_for_sdxl(ground):
    both = SimpleNamespace(vec={"clip_g": torch.zeros(1, 1280), "clip_l": torch.zeros(1, 768)})
    severity, message = only(database(ground, mine=both))
    assert severity == "error"
    assert message.startswith("the embedding 'mine' is one for SDXL")


def test_error_the_start_of_a_training_says_the_width_and_not_that_there_is_none(ground):
    """The practice host skips embeddings of another width as the WebUI does."""
    torch.save({"string_to_param": {"*": torch.zeros(1, 5)}, "step": 0}, Path(shared.cmd_opts.embeddings_dir) / f"{NAME}.pt")
    sd_hijack.model_hijack.embedding_db.load_textual_inversion_embeddings(force_reload=True)
    at = replace(ground.host(), embedding_db=lambda: sd_hijack.model_hijack.embedding_db)
    with pytest.raises(InputError, match="'mine' has vectors of 5 numbers, the loaded model takes 16: load the model"):
        input_checks.check_inputs(at, {"model_name": NAME, "learn_rate": "0.005"}, {})


def test_a_hypernetwork_that_is_still_loaded_is_applied_to_an_embedding(ground, monkeypatch):
    monkeypatch.setattr(shared, "loaded_hypernetworks", [SimpleNamespace(name="one"), SimpleNamespace(name="two")])
    assert found(ground.host(), "hypernetwork") == [], "its training loads itself alone"
    severity, message = only(ground.host())
    assert severity == "warning"
    assert message.startswith("the hypernetwork one, two is loaded and will be applied while the embedding is trained: ")


# The template ---------------------------------------------------------------------------------


def test_error_a_template_that_never_names_the_embedding(ground):
    name = write_template(ground, "a picture\na picture of a [filewords]\n")
    severity, message = only(ground.host(), template_filename=name, data_root=str(ground.data))
    assert severity == "error"
    assert message == ("no line of the prompt template own.txt has [name] in it, so no prompt names 'mine' and nothing would be "
                       "learned: choose another, such as subject_filewords.txt")
    assert found(ground.host(), "hypernetwork", template_filename=name) == []
    assert found(ground.host(), "embedding", "picture", template_filename=name, data_root=str(ground.data)) == []


def test_a_template_that_names_it_in_some_lines(ground):
    name = write_template(ground, "a picture of [name]\n\na picture\n")
    severity, message = only(ground.host(), template_filename=name)
    assert severity == "warning"
    assert message.startswith("2 of 3 lines of the prompt template own.txt lack [name], line 2 is an empty line, which counts as")


def test_a_template_whose_captions_name_it(ground):
    name = write_template(ground, "[filewords]\n")
    for caption in ground.data.glob("*.txt"):
        caption.write_text("mine, red")
    assert found(ground.host(), template_filename=name, data_root=str(ground.data)) == []
    next(ground.data.glob("*.txt")).write_text("red")
    severity, message = only(ground.host(), template_filename=name, data_root=str(ground.data))
    assert (severity, message.split(":")[0]) == (
        "warning", "4 of 5 captions name 'mine', and line 1 of the prompt template own.txt does not",
    )
    for caption in ground.data.glob("*.txt"):
        caption.write_text("red")
    assert only(ground.host(), template_filename=name, data_root=str(ground.data))[0] == "error"


def test_the_text_encoder_knows_no_capitals(ground):
    name = write_template(ground, "a PICTURE\n")
    assert found(ground.host(), "embedding", "Picture", template_filename=name) == []
    name = write_template(ground, "[filewords]\n")
    for caption in ground.data.glob("*.txt"):
        caption.write_text("A red Mine")
    assert found(ground.host(), "embedding", "miNE", template_filename=name, data_root=str(ground.data)) == []
    assert only(ground.host(), "embedding", "else", template_filename=name)[0] == "error", "no folder, no captions"


def test_a_prompt_without_the_embedding_leaves_it_without_gradient(ground):
    """What the finding says, seen in the practice host's loop: updates are counted and nothing is learned."""
    shared.opts.save_training_settings_to_txt = False
    name = write_template(ground, "a picture\n")
    before = ground.train("embedding", "0.005", 1).vec.clone()
    after = ground.train("embedding", "0.005", 5, template=name)
    assert after.step == 5
    assert torch.equal(before, after.vec)


# Hypernetworks that touch nothing ------------------------------------------------------------


@pytest.mark.parametrize(("sizes", "touches"), [([1024], False), ([1024, 768], False), ([1024, 24], True)])
def test_error_a_hypernetwork_for_another_models_widths(ground, sizes, touches):
    with torch.random.fork_rng():
        webui = replace(ground.host(), shared=SimpleNamespace(sd_model=Lonely()))
    host_object = SimpleNamespace(layers=dict.fromkeys(sizes, ()))
    input_checks.check_design(webui, "embedding", "wide", host_object)
    listed = ", ".join(map(str, sorted(sizes)))
    words = f"works on vectors of {listed} numbers, but the loaded model has only 24, 32: nothing would be learned"
    with nullcontext() if touches else pytest.raises(InputError, match=words):
        input_checks.check_design(webui, "hypernetwork", "wide", host_object)


# What is made already -----------------------------------------------------------------------


@both_kinds
def test_error_max_steps_that_are_made_already(ground, kind):
    runtime = ground.install()
    ground.train(kind, "0.005", 5)
    said = [one["message"] for one in ground.runtime.preflight.findings(kind, NAME, {"steps": 5})]
    assert said == [f"{NAME!r} is finished: it has 5 updates already. Raise max steps to continue, or start over"]
    said = [one["message"] for one in ground.runtime.preflight.findings(kind, NAME, {"steps": 4})]
    assert said == [f"{NAME!r} has 5 updates already, and max steps, which counts all of them, is 4: raise it"]
    assert ground.runtime.preflight.findings(kind, NAME, {"steps": 6}) == []
    assert ground.runtime.preflight.findings(kind, "nobody", {"steps": 1}) == []
    assert runtime is None or runtime is ground.runtime


def test_switched_off_it_says_nothing(ground):
    ground.install(enabled=False)
    assert ground.runtime.preflight.findings("embedding", NAME, {"data_root": "/nowhere"}) == []


# Folders, images, the schedule --------------------------------------------------------------


def test_error_no_images(ground):
    texts = ground.root / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("a")
    assert only(ground.host(), data_root=str(texts)) == (
        "error", f"no file in {str(texts)!r} can be read as an image; captions (.txt) beside images do not count",
    )
    severity, message = only(ground.host(), data_root=str(ground.root / "none"))
    missing = f"the data set directory {str(ground.root / 'none')!r} cannot be read: No such file or directory"
    assert (severity, message) == ("error", missing)


def test_log_folders_that_are_missing(ground, monkeypatch):
    (ground.root / "file").write_text("")
    wanted = str(ground.root / "file" / "log")
    assert only(ground.host(), log_directory=wanted) == (
        "error", f"the log directory {wanted!r} does not exist and cannot be created: {ground.root / 'file'} is not a folder",
    )
    assert only(ground.host(), log_directory="", save_embedding_every=500) == (
        "error", "no log directory is given, and copies or images are to be saved there: name one",
    )
    monkeypatch.chdir(ground.root)
    assert only(ground.host(), log_directory=" ") == (
        "warning", f"no log directory is given: settings and losses will be written to a folder of today's date in {ground.root}",
    )


def test_a_schedule_that_ends_early_or_never_begins(ground):
    assert only(ground.host(), learn_rate="0.005:10", steps=100) == (
        "warning", "the schedule ends at step 10 of 100, and training with it; leave out the last end to continue at the last rate",
    )
    assert only(ground.host(), learn_rate="0:10, linear(0, 0)", steps=100) == (
        "warning", "the learning rate is 0 at every step, so nothing will be learned: give a rate above 0",
    )
    assert found(ground.host(), learn_rate="0:99, 1e-3", steps=100) == []
    assert found(ground.host(), learn_rate="0:2999, 0.005:3000, 0", steps=10_000_000) == []
    assert found(ground.host(), learn_rate="0.005:2ep", steps=100, data_root=str(ground.data))[0][0] == "warning"


@pytest.mark.parametrize(("inputs", "message"), [
    ({"learn_rate": "cosine("}, "the learning rate cannot be planned: expected a value, got the end of the text"),
    ({"learn_rate": ""}, "no learning rate is given: write one, such as 0.005"),
    ({"clip_grad_mode": "norm", "clip_grad_value": "cosine("},
     "the gradient clip value cannot be planned: expected a value, got the end of the text"),
    ({"clip_grad_mode": "value", "clip_grad_value": ""},
     "no gradient clip value is given: write one, such as 0.1, or switch clipping off"),
    ({"data_root": ""}, "no data set directory is given: name the folder with the images"),
    ({"template_filename": ""}, "no prompt template is chosen: choose one, such as subject_filewords.txt"),
    ({"template_filename": "gone.txt"}, "there is no prompt template 'gone.txt': choose another"),
    ({"steps": None}, "Max steps: a whole number from 1"),
    ({"steps": 0}, "Max steps: a whole number from 1, not 0"),
    ({"steps": "1e400"}, "Max steps: a whole number from 1, not '1e400'"),
    ({"batch_size": 1.5}, "Batch size: a whole number from 1, not 1.5"),
    ({"gradient_step": -1}, "Gradient accumulation steps: a whole number from 1, not -1"),
    ({"training_width": ""}, "Width: a whole number from 1"),
    ({"create_image_every": -5}, "Save an image every N steps: a whole number from 0, not -5"),
    ({"tag_drop_out": 1.2}, "Drop out tags when creating prompts: a number from 0 to 1, not 1.2"),
])  # fmt: skip
def test_error_a_field_that_holds_nothing_to_train_with(ground, inputs, message):
    assert only(ground.host(), **{"steps": 100, **inputs}) == ("error", message)


def test_a_batch_and_an_accumulation_that_the_set_is_too_small_for(ground):
    there = {"data_root": str(ground.data), "steps": 100}
    count = len(service.decodable_images(ground.data))
    assert found(ground.host(), **there, batch_size=count, gradient_step=1) == []
    assert only(ground.host(), **there, batch_size=count + 1) == (
        "warning", f"the data set has {count} images, so a batch size of {count + 1} is taken as {count}",
    )
    assert only(ground.host(), **there, batch_size=2, gradient_step=count)[1] == (
        f"the data set has {count} images, which is {count // 2} batches of 2, so gradient accumulation of {count} steps is taken "
        f"as {count // 2}"
    )


def test_errors_come_first(ground):
    severities = [one[0] for one in found(ground.host(), learn_rate="0.1:5", steps=9, log_directory="", data_root="/none")]
    assert severities == ["error", "warning", "warning"]


# At the start of a training -------------------------------------------------------------------


def test_error_what_is_found_at_the_start_is_raised_in_one(ground, monkeypatch):
    ground.create("embedding")
    ground.install()
    name = write_template(ground, "a picture\n")
    monkeypatch.setattr(shared.sd_model, "is_sdxl", True, raising=False)
    with pytest.raises(InputError) as error:
        ground.call("embedding", template_filename=name)
    assert [line[:35] for line in str(error.value).split("\n")] == [
        "the loaded model is an SDXL model; ", "no line of the prompt template own.",
    ]
    assert ground.runtime.store.runs() == []


def test_what_is_found_at_the_start_and_stops_nothing_is_a_caution(ground):
    ground.create("embedding")
    name = write_template(ground, "a picture of [name]\nthing [name]\n\n")
    planned = SimpleNamespace(plan=plan("0:3", total_steps=5), clip_plan=None, stop=3)
    run = SimpleNamespace(planned=planned, request=SimpleNamespace(kind="embedding", name=NAME, total_steps=5))
    inputs = {"model_name": NAME, "learn_rate": "0:3", "data_root": str(ground.data), "steps": 5, "batch_size": 1,
              "gradient_step": 1, "template_filename": name}
    said = [*input_checks.check_inputs(ground.host(), inputs, {})[1], *input_checks.cautions(run)]
    assert [one[:32] for one in said] == [
        "1 of 3 lines of the prompt templ", "the learning rate is 0 at every ", "the schedule ends at step 3 of 5",
    ]


def test_cautions_are_in_the_log_of_the_run(ground):
    ground.install()
    ground.train("embedding", "0.005:3", 5)
    notes = [message for event, message in ground.events() if event == "note"]
    assert [note[:38] for note in notes] == ["the schedule ends at step 3 of 5, and "]
    ground.train("embedding", "0", 5, name="other")
    assert [note[:31] for event, note in ground.events(newest(ground)) if event == "note"] == ["the learning rate is 0 at every"]


def newest(ground: Any) -> Any:
    return next(run for run in ground.runs() if run.name == "other")


# Attention ------------------------------------------------------------------------------------


class Lonely(nn.Module):
    """A model whose UNet is one cross-attention; ``forward`` of its class may be replaced, as the WebUI replaces LDM's."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.model = nn.Module()
        self.model.diffusion_model = nn.Sequential(*(practice_unet.CrossAttention(32, words, heads=2) for words in (32, 24)))


CPU = torch.device("cpu")


def test_attention_with_its_own_gradient_is_no_trouble():
    with torch.random.fork_rng():
        one = Lonely()
        before = torch.get_rng_state()
        assert attention.trouble(one, CPU) == ""
        assert attention.trouble(one.half(), CPU) == ""
        assert torch.equal(torch.get_rng_state(), before)
    assert attention.trouble(one, CUDA) == "", "its weights lie elsewhere, where it will not be trained"
    assert attention.trouble(nn.Linear(1, 1), CPU) == ""


NO = "does not propagate gradients to the prompt, so nothing would be learned"
WRONG = "passes a wrong gradient to the prompt (its cosine "


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda out, words: out.detach(), NO), (lambda out, words: out.detach() + 0 * words.sum(), NO),
    (lambda out, words: out.detach() + words.sum(), WRONG), (lambda out, words: out.detach() + words.sum() * float("nan"), WRONG),
])
def test_error_attention_without_its_gradient(ground, monkeypatch, spoil, message):
    original = practice_unet.CrossAttention.forward

    def broken_attention_forward(self: Any, x: Tensor, context: Tensor | None = None) -> Tensor:
        return spoil(original(self, x, context), context)

    monkeypatch.setattr(practice_unet.CrossAttention, "forward", broken_attention_forward)
    with torch.random.fork_rng():
        one = Lonely()
    found = attention.trouble(one, CPU)
    assert found.startswith(f"the attention in force (broken_attention_forward) {message}")
    monkeypatch.setattr(shared, "sd_model", one)
    case = preflight.Case(ground.host(), "embedding", NAME, {}, starts=True)
    (error,) = preflight.look(case, (preflight.gradient,))
    assert error.severity == "error"
    assert error.message.startswith(found)
    assert 'switch off "Use cross attention optimizations while training"' in error.message
    monkeypatch.setattr(shared, "loaded_hypernetworks", [object()])
    assert preflight.look(case, (preflight.gradient,)) == [], "with a hypernetwork in it, it is another function"


def test_error_attention_without_its_gradient_is_said_before_the_click_where_it_would_be_trained_with(ground, monkeypatch):
    calls = []

    def silent_attention_forward(self: Any, x: Tensor, context: Tensor | None = None) -> Tensor:
        calls.append(x)
        return x.detach() + 0 * context.sum().detach()

    monkeypatch.setattr(practice_unet.CrossAttention, "forward", silent_attention_forward)
    with torch.random.fork_rng():
        one = model(model=Lonely().model)
    monkeypatch.setattr(preflight_model, "_looked_at", {})
    at = with_model(ground, one)
    assert found(at) == [], "the WebUI takes the optimization out while it trains"
    monkeypatch.setattr(shared.opts, "training_xattention_optimizations", True, raising=False)
    monkeypatch.setattr(shared.state, "job", "a picture")
    assert (found(at), calls) == ([], []), "the device has something else to do"
    monkeypatch.setattr(shared.state, "job", "")
    severity, message = only(at)
    assert (severity, message.startswith(f"the attention in force (silent_attention_forward) {NO}")) == ("error", True)
    assert only(at) == (severity, message)
    assert len(calls) == 1, "one look is enough"


# A rate of the other kind ---------------------------------------------------------------------


OF_EMBEDDINGS = "an embedding is usually trained with, 1e-4 to 0.1"
OF_NETWORKS = "a hypernetwork is usually trained with, 1e-6 to 1e-3"


@pytest.mark.parametrize(("kind", "rate", "message"), [
    ("hypernetwork", "warmup(0.005):5%, cosine(0)",
     f"0.005, far above what {OF_NETWORKS}; for an embedding it would be usual (1e-4 to 0.1)"),
    ("embedding", "1e-5", f"1e-05, far below what {OF_EMBEDDINGS}; for a hypernetwork it would be usual (1e-6 to 1e-3)"),
    ("embedding", "5:10, 0.005", f"5, far above what {OF_EMBEDDINGS}"),
    ("hypernetwork", "1e-9", f"1e-09, far below what {OF_NETWORKS}"),
])
def test_a_rate_far_from_what_is_usual_is_a_warning(ground, kind, rate, message):
    assert only(ground.host(), kind, learn_rate=rate, steps=100) == ("warning", f"the highest learning rate is {message}")


@pytest.mark.parametrize("preset", presets.BUILTIN, ids=lambda preset: preset.name)
def test_usual_practice_gets_no_warning(ground, preset):
    kind = "hypernetwork" if preset.name.startswith("Hypernetwork") else "embedding"
    assert [one for one in found(ground.host(), kind, learn_rate=preset.text, steps=2000) if "usual" in one[2]] == []


def test_a_training_that_starts_with_the_other_kinds_rate_notes_it(ground):
    ground.install()
    ground.train("hypernetwork", "0.005", 2)
    notes = [message for event, message in ground.events() if event == "note"]
    assert any(note.startswith("the highest learning rate is 0.005, far above what a hypernetwork") for note in notes)


# Which WebUI can be hooked --------------------------------------------------------------------


@pytest.fixture
def modules(monkeypatch):
    """A WebUI's modules with everything that is looked for; a test takes away what it wants to be missing."""
    made = {}
    for name in ("modules", "modules.textual_inversion", "modules.hypernetworks"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for name, attributes in webui.NEEDED.items():
        made[name] = ModuleType(name)
        vars(made[name]).update(dict.fromkeys(attributes, print))
        monkeypatch.setitem(sys.modules, name, made[name])
    return made


def test_a_webui_with_all_its_training_has_the_four_modules_of_the_seams_first(modules):
    found, why = webui._modules()
    assert why == ""
    assert found[:4] == [*modules.values()][:4]


def test_reforge_is_told_by_the_functions_that_it_has_commented_out(modules):
    del modules["modules.sd_hijack"].undo_optimizations, modules["modules.sd_hijack"].apply_optimizations
    found, why = webui._modules()
    assert found == []
    assert why == ("modules.sd_hijack has no undo_optimizations and no apply_optimizations here, which training needs: nothing is "
                   "hooked; schedules can be planned and logs read")


def test_forge_is_told_by_what_its_textual_inversion_has_lost(modules):
    vars(modules["modules.textual_inversion.textual_inversion"]).clear()
    found, why = webui._modules()
    assert found == []
    assert why.startswith("modules.textual_inversion.textual_inversion has no validate_train_inputs and no LearnRateScheduler")


def test_a_webui_without_hypernetworks_is_told_by_the_import(modules, monkeypatch):
    monkeypatch.setitem(sys.modules, "modules.hypernetworks.hypernetwork", None)
    assert webui._modules()[1].startswith("this WebUI has no training to hook (")
