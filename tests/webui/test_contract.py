"""The practice host has the signatures of a real WebUI, read from that WebUI's source without importing it.

Which checkout, and what to do where there is none: webui_checkout.py.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from webui_checkout import REPOSITORY, no_checkout
from webui_checkout import ROOT as WEBUI

TI = "modules/textual_inversion/textual_inversion.py"
HN = "modules/hypernetworks/hypernetwork.py"
PRACTICE = REPOSITORY / "lib_lrsched" / "practice"

# name, where the WebUI has it, where the practice host has it
SEAMS = [
    ("validate_train_inputs", TI, "train_inputs.py"),
    ("train_embedding", TI, "textual_inversion.py"),
    ("create_embedding", TI, "textual_inversion.py"),
    ("save_embedding", TI, "textual_inversion.py"),
    ("write_loss", TI, "textual_inversion.py"),
    ("tensorboard_add", TI, "_tensorboard.py"),
    ("Embedding.__init__", TI, "sd_hijack.py"),
    ("Embedding.save", TI, "sd_hijack.py"),
    ("EmbeddingDatabase.load_textual_inversion_embeddings", TI, "sd_hijack.py"),
    ("train_hypernetwork", HN, "hypernetwork.py"),
    ("create_hypernetwork", HN, "_hypernetwork_files.py"),
    ("load_hypernetworks", HN, "_hypernetwork_files.py"),
    ("save_hypernetwork", HN, "hypernetwork.py"),
    ("stack_conds", HN, "hypernetwork.py"),
    ("Hypernetwork.__init__", HN, "hypernetwork_layers.py"),
    ("Hypernetwork.save", HN, "hypernetwork_layers.py"),
    ("Hypernetwork.load", HN, "hypernetwork_layers.py"),
    ("HypernetworkModule.__init__", HN, "hypernetwork_layers.py"),
    ("LearnRateScheduler.__init__", "modules/textual_inversion/learn_schedule.py", "learn_schedule.py"),
    ("LearnRateScheduler.step", "modules/textual_inversion/learn_schedule.py", "learn_schedule.py"),
    ("LearnRateScheduler.apply", "modules/textual_inversion/learn_schedule.py", "learn_schedule.py"),
    ("PersonalizedBase.__init__", "modules/textual_inversion/dataset.py", "dataset.py"),
    ("PersonalizedBase.create_text", "modules/textual_inversion/dataset.py", "dataset.py"),
    ("PersonalizedDataLoader.__init__", "modules/textual_inversion/dataset.py", "dataset.py"),
    ("GroupedBatchSampler.__init__", "modules/textual_inversion/dataset.py", "dataset.py"),
    ("add", "modules/sd_hijack_checkpoint.py", "sd_hijack_checkpoint.py"),
    ("remove", "modules/sd_hijack_checkpoint.py", "sd_hijack_checkpoint.py"),
    ("save_image", "modules/images.py", "images.py"),
]

# name, where the WebUI imports it by name, where the practice host does
IMPORTS = [
    ("LearnRateScheduler", TI, "textual_inversion.py"),
    ("LearnRateScheduler", HN, "hypernetwork.py"),
    ("train_embedding", "modules/api/api.py", None),
    ("train_hypernetwork", "modules/api/api.py", None),
]

webui = pytest.mark.skipif(no_checkout() != "", reason=no_checkout())


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf8"), filename=str(path))


def _function(path: Path, dotted: str) -> ast.FunctionDef:
    body: Any = _tree(path)
    for name in dotted.split("."):
        found = [node for node in body.body if getattr(node, "name", None) == name]
        assert found, f"{path} has no {dotted}"
        body = found[0]
    return body


def _signature(path: Path, dotted: str) -> list[tuple[str, str | None]]:
    """Names of the parameters with their defaults as source, None for no default."""
    arguments = _function(path, dotted).args
    named = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(named) - len(arguments.defaults)) + arguments.defaults
    pairs = [*zip(named, defaults), *zip(arguments.kwonlyargs, arguments.kw_defaults)]
    return [(argument.arg, None if default is None else ast.unparse(default)) for argument, default in pairs]


def _names(path: Path, dotted: str) -> list[str]:
    return [name for name, _ in _signature(path, dotted)]


def _imported_names(path: Path) -> set[str]:
    imports = [node for node in _tree(path).body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name for node in imports for alias in node.names}


@webui
@pytest.mark.parametrize(("name", "theirs", "ours"), SEAMS, ids=[name for name, _, _ in SEAMS])
def test_parameter_names_and_their_order_are_the_hosts(name, theirs, ours):
    assert _names(PRACTICE / ours, name) == _names(WEBUI / theirs, name)


@webui
@pytest.mark.parametrize(
    ("name", "theirs", "ours"),
    [
        ("LearnRateScheduler.__init__", "modules/textual_inversion/learn_schedule.py", "learn_schedule.py"),
        ("save_embedding", TI, "textual_inversion.py"),
        ("create_embedding", TI, "textual_inversion.py"),
        ("train_embedding", TI, "textual_inversion.py"),
        ("train_hypernetwork", HN, "hypernetwork.py"),
        ("PersonalizedDataLoader.__init__", "modules/textual_inversion/dataset.py", "dataset.py"),
    ],
)
def test_defaults_are_the_hosts(name, theirs, ours):
    assert _signature(PRACTICE / ours, name) == _signature(WEBUI / theirs, name)


@webui
@pytest.mark.parametrize(("name", "theirs", "ours"), IMPORTS)
def test_what_the_host_imports_by_name_the_practice_host_does_too(name, theirs, ours):
    assert name in _imported_names(WEBUI / theirs)
    assert ours is None or name in _imported_names(PRACTICE / ours)


DDPM = "repositories/stable-diffusion-stability-ai/ldm/models/diffusion/ddpm.py"
HIJACK = "modules/sd_hijack.py"
DATASET = "modules/textual_inversion/dataset.py"

# What is compared under the same noise passes through these: theirs, where, ours, and how many of their parameters we have.
MODEL = [
    ("LatentDiffusion.forward", DDPM, "PracticeModel.forward", 3),
    ("LatentDiffusion.p_losses", DDPM, "PracticeModel.p_losses", 5),
    ("LatentDiffusion.apply_model", DDPM, "PracticeModel.apply_model", 4),
    ("DDPM.get_loss", DDPM, "PracticeModel.get_loss", 4),
    ("DiffusionWrapper.forward", DDPM, "DiffusionWrapper.forward", 5),
]

# What we count on in the host's own lines.
LINES = [
    ("LatentDiffusion.forward", DDPM, "self.p_losses(x, c, t"),
    ("LatentDiffusion.forward", DDPM, "torch.randint(0, self.num_timesteps, (x.shape[0],)"),
    ("LatentDiffusion.p_losses", DDPM, "torch.randn_like(x_start)"),
    ("LatentDiffusion.p_losses", DDPM, "self.apply_model(x_noisy, t, cond)"),
    ("LatentDiffusion.p_losses", DDPM, "self.get_loss(model_output, target, mean=False)"),
    ("weighted_forward", HIJACK, "sd_model.get_loss = MethodType(weighted_loss, sd_model)"),
    ("weighted_forward", HIJACK, "sd_model.forward(x, c, *args, **kwargs)"),
    ("train_embedding", TI, "shared.sd_model.cond_stage_model(batch.cond_text)"),
    ("train_embedding", TI, "{'c_concat': [img_c], 'c_crossattn': [c]}"),
    ("train_hypernetwork", HN, "shared.sd_model.forward(x, c)"),
    ("EmbeddingsWithFixes.forward", HIJACK, "embedding.vec"),
    ("LatentDiffusion.get_first_stage_encoding", DDPM, "isinstance(encoder_posterior, torch.Tensor)"),
    ("PersonalizedBase.__init__", DATASET, "model.encode_first_stage(torchdata.unsqueeze(dim=0))"),
    ("PersonalizedBase.create_text", DATASET, "text.replace('[name]', self.placeholder_token)"),
    ("HypernetworkModule.forward", HN, "self.multiplier if not self.training else 1"),
    ("Hypernetwork.train", HN, "layer.train(mode=mode)"),
    ("apply_single_hypernetwork", HN, "hypernetwork.layers if hypernetwork is not None else {}).get("),
]


@webui
@pytest.mark.parametrize(("theirs", "file", "ours", "count"), MODEL, ids=[theirs for theirs, *_ in MODEL])
def test_the_models_methods_have_the_parameters_of_the_hosts(theirs, file, ours, count):
    assert _names(PRACTICE / "model.py", ours)[:count] == _names(WEBUI / file, theirs)[:count]


@webui
@pytest.mark.parametrize(("function", "file", "line"), LINES, ids=[f"{function}-{n}" for n, (function, *_) in enumerate(LINES)])
def test_the_host_passes_its_batches_as_we_expect(function, file, line):
    assert line in ast.unparse(_function(WEBUI / file, function))


def test_the_comparison_sees_a_difference(tmp_path):
    (tmp_path / "one.py").write_text("class A:\n    def f(self, a, b=1): ...\n")
    (tmp_path / "two.py").write_text("class A:\n    def f(self, b, a=1): ...\n")
    assert _signature(tmp_path / "one.py", "A.f") == [("self", None), ("a", None), ("b", "1")]
    assert _names(tmp_path / "one.py", "A.f") != _names(tmp_path / "two.py", "A.f")
