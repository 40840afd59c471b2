"""The practice model: its text seam, its hypernetwork seam, its randomness, and that learning in it is real."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from practice_tools import measure, pretrain, sample_concept  # noqa: E402
from practice_tools.captions import caption, full_caption  # noqa: E402
from practice_tools.drawings import concept_scenes, draw, random_scenes  # noqa: E402
from practice_tools.judge import Judge, accuracy, load_judge  # noqa: E402
from torch import Tensor, nn  # noqa: E402  # torch is optional, see importorskip

from lib_lrsched.practice.diffusion import NoiseSchedule  # noqa: E402
from lib_lrsched.practice.model import WEIGHTS, PracticeModel, load_model  # noqa: E402
from lib_lrsched.practice.sampling import sample  # noqa: E402
from lib_lrsched.practice.text import CHUNK_TOKENS, TextEncoder  # noqa: E402
from lib_lrsched.practice.unet import CrossAttention, UNet  # noqa: E402
from lib_lrsched.practice.vocabulary import COLOURS, SHAPES, WORDS  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model() -> PracticeModel:
    return load_model()


@pytest.fixture(scope="module")
def judge() -> Judge:
    return load_judge()


@pytest.fixture(scope="module")
def latents(model: PracticeModel) -> Tensor:
    return measure.concept_latents(model)


@pytest.fixture(scope="module")
def held(model: PracticeModel, latents: Tensor) -> measure.HeldOut:
    return measure.held_out(model, latents)


@pytest.fixture(scope="module")
def gap(model: PracticeModel, held: measure.HeldOut) -> measure.Gap:
    return measure.concept_gap(model, held)


@pytest.fixture(scope="module")
def trained_vec(model: PracticeModel, latents: Tensor) -> Tensor:
    return measure.train_embedding(model, latents, 0.005, seed=0)


def _encode(encoder: TextEncoder, prompt: str) -> Tensor:
    with torch.no_grad():
        return encoder([prompt])


def _word_vectors(encoder: TextEncoder, *words: str) -> Tensor:
    return encoder.token_table.weight.detach()[[WORDS.index(word) for word in words]].clone()


# --- text -----------------------------------------------------------------------------------------------------


def test_embedding_with_the_vectors_of_words_reads_as_those_words(model: PracticeModel) -> None:
    encoder = model.cond_stage_model
    plain = _encode(encoder, "a picture of a green cross on a red background")
    with measure.embedding_named(model, "Mine.v1-2_b", _word_vectors(encoder, "green", "cross")):
        for name in ("Mine.v1-2_b", "mine.v1-2_b", "MINE.V1-2_B"):
            torch.testing.assert_close(_encode(encoder, f"a picture of a {name} on a red background"), plain, rtol=0, atol=0)


def test_embedding_name_inside_a_longer_word_is_not_replaced(model: PracticeModel) -> None:
    encoder = model.cond_stage_model
    before = _encode(encoder, "mine-2 xmine")
    with measure.embedding_named(model, "mine", _word_vectors(encoder, "cross")):
        torch.testing.assert_close(_encode(encoder, "mine-2 xmine"), before, rtol=0, atol=0)
        assert not torch.equal(_encode(encoder, "mine"), _encode(encoder, "xmine"))


def test_gradient_of_the_loss_flows_into_the_embedding(model: PracticeModel, latents: Tensor) -> None:
    vec = model.cond_stage_model.encode_init_text("*", 2).requires_grad_()
    with measure.embedding_named(model, "mine", vec):
        loss, _ = model(latents[:2], model.cond_stage_model(["a mine", "mine, a picture"]))
        (gradient,) = torch.autograd.grad(loss, vec)
    assert gradient.shape == (2, model.cond_stage_model.token_width)
    assert bool((gradient != 0).any(dim=1).all())


def test_context_has_one_chunk_or_as_many_as_the_longest_prompt_needs(model: PracticeModel) -> None:
    encoder = model.cond_stage_model
    width = encoder.context_width
    assert _encode(encoder, "").shape == (1, CHUNK_TOKENS, width)
    with torch.no_grad():
        both = encoder(["cross", "cross " * (CHUNK_TOKENS + 1)])
    assert both.shape == (2, 2 * CHUNK_TOKENS, width)
    torch.testing.assert_close(both[:1, :CHUNK_TOKENS], _encode(encoder, "cross"))
    torch.testing.assert_close(both[:1, CHUNK_TOKENS:], _encode(encoder, ""))


def test_embedding_that_would_be_torn_apart_moves_to_the_next_chunk(model: PracticeModel) -> None:
    encoder = model.cond_stage_model
    words = "cross " * (CHUNK_TOKENS - 1)
    with measure.embedding_named(model, "mine", _word_vectors(encoder, "red", "ring")):
        context = _encode(encoder, words + "mine")
    torch.testing.assert_close(context[:, CHUNK_TOKENS:], _encode(encoder, "red ring"))
    torch.testing.assert_close(context[:, :CHUNK_TOKENS], _encode(encoder, words))


def test_punctuation_and_case_do_not_change_a_prompt(model: PracticeModel) -> None:
    encoder = model.cond_stage_model
    told = _encode(encoder, "A picture: of a RED ring, (small).")
    torch.testing.assert_close(told, _encode(encoder, "a picture of a red ring small"), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("text", "count", "words"),
    [
        ("*", 1, ["thing"]),
        ("", 2, ["thing", "thing"]),
        ("nonesuch cross", 2, ["thing", "cross"]),
        ("Green cross", 1, ["green"]),
        ("green cross", 4, ["green", "green", "cross", "cross"]),
        ("small green cross ring", 2, ["small", "cross"]),
    ],
)
def test_init_text_gives_the_vectors_of_its_words(model: PracticeModel, text: str, count: int, words: list[str]) -> None:
    encoder = model.cond_stage_model
    start = encoder.encode_init_text(text, count)
    assert start.dtype == torch.float32
    assert not start.requires_grad
    assert torch.equal(start, _word_vectors(encoder, *words))


@pytest.mark.long
def test_size_of_an_embedding_counts_not_only_its_direction(model: PracticeModel, held: measure.HeldOut) -> None:
    vec = _word_vectors(model.cond_stage_model, "cross")
    sane = measure.embedding_loss(model, vec, held)
    assert measure.embedding_loss(model, vec * 300, held) > 1.5 * sane


def test_error_no_vectors_asked_for(model: PracticeModel) -> None:
    message = "an embedding has 1 or more vectors, not 0; give n_vectors=1"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        model.cond_stage_model.encode_init_text("*", 0)


def test_error_embedding_of_another_width(model: PracticeModel) -> None:
    message = "embedding 'mine' has vectors of shape (1, 768); this model takes (n, 64): it was made for another model"
    with (
        measure.embedding_named(model, "mine", torch.zeros(1, 768)),
        pytest.raises(ValueError, match=f"^{re.escape(message)}$"),
    ):
        model.cond_stage_model(["mine"])


def test_error_embedding_longer_than_a_chunk(model: PracticeModel) -> None:
    message = "embedding 'mine' has 21 vectors; a prompt takes at most 20: make it with fewer vectors per token"
    with (
        measure.embedding_named(model, "mine", torch.zeros(21, 64)),
        pytest.raises(ValueError, match=f"^{re.escape(message)}$"),
    ):
        model.cond_stage_model(["mine"])


# --- hypernetworks --------------------------------------------------------------------------------------------


class _Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class _Mlp(nn.Module):
    """Two layers whose output is added to the input, started near nothing, as hypernetworks are."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Sequential(nn.Linear(width, 2 * width), nn.Linear(2 * width, width))
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.01) if parameter.dim() > 1 else nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.linear(x)


def _layers(width: int, k: float, v: float) -> SimpleNamespace:
    return SimpleNamespace(layers={width: (_Scale(k), _Scale(v))})


def _attention() -> tuple[CrossAttention, Tensor, Tensor]:
    torch.manual_seed(3)
    return CrossAttention(8, 6, heads=2), torch.randn(2, 5, 8), torch.randn(2, 3, 6)


def test_hypernetworks_are_chained_on_k_and_v_and_pass_over_other_widths() -> None:
    layer, x, context = _attention()
    layer.hypernetworks = [_layers(6, 2.0, 3.0), _layers(99, 0.0, 0.0), _layers(6, 0.5, 4.0)]
    plain = CrossAttention(8, 6, heads=2)
    plain.load_state_dict(layer.state_dict())
    with torch.no_grad():
        plain.to_v.weight *= 12.0
    torch.testing.assert_close(layer(x, context), plain(x, context))


def test_self_attention_asks_hypernetworks_for_its_own_width() -> None:
    layer, x, _ = _attention()
    layer = CrossAttention(8, 8, heads=2)
    layer.hypernetworks = [_layers(8, 1.0, 0.0)]
    torch.testing.assert_close(layer(x), layer.to_out.bias.expand_as(x))


@pytest.mark.parametrize("how", ["set", "append"])
def test_every_attention_layer_sees_the_loaded_hypernetworks(how: str) -> None:
    model = PracticeModel()
    other = copy.deepcopy(model)
    if how == "set":
        model.hypernetworks = [_layers(64, 1.0, 1.0)]
    else:
        model.hypernetworks.append(_layers(64, 1.0, 1.0))
    layers = [layer for layer in model.modules() if isinstance(layer, CrossAttention)]
    assert len(layers) == 5
    assert all(layer.hypernetworks is model.hypernetworks and len(layer.hypernetworks) == 1 for layer in layers)
    assert other.hypernetworks == []


@pytest.mark.long
def test_hypernetwork_lowers_the_held_out_loss(model: PracticeModel, latents: Tensor, held: measure.HeldOut) -> None:
    torch.manual_seed(5)
    width = model.cond_stage_model.context_width
    pair = nn.ModuleList([_Mlp(width), _Mlp(width)])
    before = measure.held_out_loss(model, "a picture of a thing", held)
    model.hypernetworks = [SimpleNamespace(layers={width: tuple(pair)})]
    try:
        _train(model, latents, list(pair.parameters()))
        after = measure.held_out_loss(model, "a picture of a thing", held)
    finally:
        model.hypernetworks = []
    assert after < before - 0.3 * (before - measure.held_out_loss(model, sample_concept.TRUE_CAPTION, held))
    assert measure.held_out_loss(model, "a picture of a thing", held) == before


def _train(model: PracticeModel, latents: Tensor, parameters: list[nn.Parameter], updates: int = 200) -> None:
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.0)
    context = model.cond_stage_model(["a picture of a thing"]).detach()
    for update in range(updates):
        loss, _ = model(latents[update % len(latents)][None], context)
        gradients = torch.autograd.grad(loss, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()


# --- the model and its randomness -----------------------------------------------------------------------------


def test_loss_draws_the_timestep_then_the_noise_from_the_global_generator(model: PracticeModel, latents: Tensor) -> None:
    x, c = latents[:3], model.cond_stage_model(["a", "b", "c"]).detach()
    torch.manual_seed(11)
    loss, parts = model(x, c)
    torch.manual_seed(11)
    t = torch.randint(0, model.schedule.num_timesteps, (3,))
    expected = model.loss_at(x, c, t, torch.randn_like(x))
    assert torch.equal(loss, expected)
    assert float(parts["train/loss_simple"]) == float(expected.detach())


def test_weights_multiply_the_squared_error(model: PracticeModel, latents: Tensor) -> None:
    x, c = latents[:2], model.cond_stage_model(["a", "b"]).detach()
    losses = []
    for weights in (None, torch.ones_like(x), 0.25 * torch.ones_like(x)):
        torch.manual_seed(2)
        loss, _ = model(x, c) if weights is None else model.weighted_forward(x, c, weights)
        losses.append(float(loss.detach()))
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    assert losses[2] == pytest.approx(losses[0] / 4, rel=1e-6)


def test_latents_are_the_pixels_and_come_back() -> None:
    model = PracticeModel()
    pixels = torch.rand(2, 3, 32, 40) * 2 - 1
    dist = model.encode_first_stage(pixels)
    dist.std = 0
    latent = model.get_first_stage_encoding(dist)
    assert latent.shape == (2, 12, 16, 20)
    assert torch.equal(model.decode_first_stage(latent), pixels)


def test_latent_sampling_draws_from_the_global_generator_only_when_std_is_not_0() -> None:
    model = PracticeModel()
    dist = model.encode_first_stage(torch.zeros(1, 3, 32, 32))
    before = torch.get_rng_state()
    drawn = model.get_first_stage_encoding(dist)
    assert not torch.equal(torch.get_rng_state(), before)
    assert float(drawn.std()) == pytest.approx(0.02, rel=0.1)
    before, dist.std = torch.get_rng_state(), 0
    assert torch.equal(model.get_first_stage_encoding(dist), dist.mean)
    assert torch.equal(torch.get_rng_state(), before)


def test_velocity_splits_back_into_image_and_noise() -> None:
    schedule = NoiseSchedule()
    clean, noise = torch.randn(4, 12, 8, 8), torch.randn(4, 12, 8, 8)
    t = torch.tensor([0, 1, 500, 999])
    parts = schedule.split(schedule.add_noise(clean, t, noise), t, schedule.velocity(clean, t, noise))
    torch.testing.assert_close(parts[0], clean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(parts[1], noise, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(schedule.noise_in(schedule.add_noise(clean, t, noise), t, clean), noise, rtol=1e-3, atol=1e-3)
    assert 0 < float(schedule.signal[999]) < 0.01
    assert 0 < float(schedule.noise_level[0]) < 0.01


def test_loaded_model_is_in_eval_mode_requires_gradients_and_names_itself(model: PracticeModel) -> None:
    assert not model.training
    assert all(p.requires_grad and p.dtype == torch.float32 for p in model.parameters())
    assert re.fullmatch("[0-9a-f]{10}", model.sd_model_hash)
    assert model.sd_checkpoint_name == "practice"
    assert model.model.conditioning_key == "crossattn"
    assert isinstance(model.model.diffusion_model, UNet)
    assert model.hypernetworks == []


def test_weights_fit_in_8_megabytes() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.parent.glob("*.safetensors")) <= 8_000_000


def test_error_image_of_a_size_that_cannot_be_halved_twice() -> None:
    message = "expected images of shape (B, 3, H, W), H and W multiples of 4, got (1, 3, 30, 32); resize them, to 32x32 at best"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        PracticeModel().encode_first_stage(torch.zeros(1, 3, 30, 32))


def test_error_weights_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    message = (
        f"the practice model's weights are not at {path}; fetch the file from the repository, or make it "
        "with `PYTHONPATH=tests python -m practice_tools.pretrain` (under an hour on two cores)"
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        load_model(weights=path)


def test_error_judge_weights_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "judge.safetensors"
    message = (
        f"the judge's weights are not at {path}; fetch the file from the repository, or make it "
        "with `PYTHONPATH=tests python -m practice_tools.judge`"
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        load_judge(path)


# --- sampling -------------------------------------------------------------------------------------------------


def test_sampling_repeats_itself_and_leaves_the_global_generator_alone(model: PracticeModel) -> None:
    before = torch.get_rng_state()
    first = sample(model, ["a red ring", ""], seed=4, steps=2, width=16, height=24)
    again = sample(model, ["a red ring", ""], seed=4, steps=2, width=16, height=24)
    assert [image.size for image in first] == [(16, 24)] * 2
    assert [image.tobytes() for image in first] == [image.tobytes() for image in again]
    assert torch.equal(torch.get_rng_state(), before)
    assert sample(model, [], seed=4) == []


def test_image_depends_on_seed_prompt_negative_prompt_and_guidance(model: PracticeModel) -> None:
    def look(prompt: str, seed: int, cfg_scale: float, negative: str) -> bytes:
        (image,) = sample(model, [prompt], seed=seed, steps=2, cfg_scale=cfg_scale, negative_prompt=negative)
        return image.tobytes()

    looks = [
        look("a ring", 1, 3.0, ""),
        look("a cross", 1, 3.0, ""),
        look("a ring", 2, 3.0, ""),
        look("a ring", 1, 1.0, ""),
        look("a ring", 1, 3.0, "cross " * 21),
    ]
    assert len(set(looks)) == 5


def test_error_no_sampling_steps(model: PracticeModel) -> None:
    with pytest.raises(ValueError, match=r"^sampling takes 1 or more steps, not 0$"):
        sample(model, ["a"], seed=1, steps=0)


def test_error_sampling_size(model: PracticeModel) -> None:
    message = "width and height are multiples of 4, not 30x32; the model was made for 32x32"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        sample(model, ["a"], seed=1, width=30)


# --- drawings, captions, weights ------------------------------------------------------------------------------


@pytest.mark.long
def test_drawings_are_told_apart_by_the_judge(judge: Judge) -> None:
    assert accuracy(judge, count=300) >= 0.95


def test_drawing_is_a_function_of_its_scene() -> None:
    scenes = random_scenes(8, torch.Generator().manual_seed(1))
    images = draw(scenes)
    assert images.shape == (8, 3, 32, 32)
    assert torch.equal(images, draw(random_scenes(8, torch.Generator().manual_seed(1))))
    assert float(images.min()) >= -1
    assert float(images.max()) <= 1
    assert bool((scenes.colour != scenes.background).all())


@pytest.mark.parametrize("shape", SHAPES)
def test_shape_lies_inside_the_image(shape: str) -> None:
    images = draw(concept_scenes(shape, "white", "black", 64, torch.Generator().manual_seed(2)))
    frame = torch.ones(32, 32, dtype=torch.bool)
    frame[1:-1, 1:-1] = False
    assert float(images[:, :, frame].max()) < 0.3
    assert float(images.amax(dim=(1, 2, 3)).min()) > 0.5


def test_captions_say_only_what_is_there_and_only_known_words() -> None:
    scenes = random_scenes(200, torch.Generator().manual_seed(3))
    names = tuple(COLOURS)
    for i in range(len(scenes)):
        words = set(re.findall(r"[a-z-]+", caption(scenes, i, Random(i))))
        assert words <= {*WORDS, "unknown-word"}
        assert words & set(SHAPES) <= {SHAPES[scenes.shape[i]]}
        assert words & set(names) <= {names[scenes.colour[i]], names[scenes.background[i]]}


def test_sample_concept_is_what_its_script_draws_and_its_captions_do_not_name_it(tmp_path: Path) -> None:
    sample_concept.write(tmp_path)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert len(made) == 24
    assert made == sorted(path.name for path in sample_concept.FOLDER.iterdir())
    for name in made:
        if name.endswith(".txt"):
            text = (sample_concept.FOLDER / name).read_text(encoding="utf-8")
            assert text == (tmp_path / name).read_text(encoding="utf-8")
            assert not set(text.split()) & {*SHAPES, *COLOURS}
    assert torch.equal(measure.concept_latents(PracticeModel(), tmp_path), measure.concept_latents(PracticeModel()))


@pytest.mark.parametrize("name", ["subject", "subject_filewords", "hypernetwork"])
def test_templates_use_the_placeholders_they_should(name: str) -> None:
    lines = (measure.TEMPLATES / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    assert lines
    for line in lines:
        assert ("[name]" in line) == (name != "hypernetwork")
        assert ("[filewords]" in line) == (name != "subject")
        assert set(re.findall("[a-z]+", re.sub(r"\[\w+\]", "", line))) <= set(WORDS)


@pytest.mark.long
def test_pretraining_repeats_itself_and_writes_what_load_model_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / "first.safetensors", tmp_path / "second.safetensors"]
    for path in paths:
        pretrain.main(["--out", str(path), "--updates", "2", "--threads", "1"])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert "update 2/2  loss " in capsys.readouterr().out
    assert not load_model(weights=paths[0]).training


def test_pretraining_rate_warms_up_and_ends_near_0() -> None:
    settings = pretrain.Settings(updates=1000, warmup=10, peak_lr=1.0)
    rates = [pretrain.learning_rate(step, settings) for step in range(1000)]
    assert rates[0] == 0.1
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert 0 < rates[-1] < 1e-4


def test_smaller_tokens_with_a_larger_gain_are_the_same_model() -> None:
    model = PracticeModel()
    before = _encode(model.cond_stage_model, "a red ring")
    table = model.cond_stage_model.token_table.weight.detach().clone()
    pretrain.rescale_tokens(model, 8.0)
    torch.testing.assert_close(_encode(model.cond_stage_model, "a red ring"), before)
    torch.testing.assert_close(model.cond_stage_model.token_table.weight, table / 8)


# --- learning is real, and rates matter (weaker than what `measure` prints) -------------------------------------


@pytest.mark.long
def test_training_an_embedding_at_a_good_rate_closes_most_of_the_gap(
    model: PracticeModel, trained_vec: Tensor, held: measure.HeldOut, gap: measure.Gap
) -> None:
    assert gap.untrained > gap.true
    assert gap.closed(measure.embedding_loss(model, trained_vec, held)) > 0.6


@pytest.mark.long
@pytest.mark.parametrize(("rate", "most"), [(1e-5, 0.1), (0.5, 0.4)])
def test_rate_too_small_or_too_large_does_not(
    model: PracticeModel, latents: Tensor, held: measure.HeldOut, gap: measure.Gap, rate: float, most: float
) -> None:
    vec = measure.train_embedding(model, latents, rate, seed=0)
    assert gap.closed(measure.embedding_loss(model, vec, held)) < most


@pytest.mark.long
def test_images_from_true_captions_show_colour_and_shape(model: PracticeModel, judge: Judge) -> None:
    truths = measure.random_truths(24, seed=7)
    images = sample(model, [full_caption(*truth) for truth in truths], seed=50)
    assert measure.share_right(judge, images, truths) >= 0.6


@pytest.mark.long
def test_images_from_a_trained_embedding_show_the_concept(model: PracticeModel, judge: Judge, trained_vec: Tensor) -> None:
    with measure.embedding_named(model, measure.NAME, trained_vec):
        images = sample(model, [measure.PROMPT] * 12, seed=70)
    assert measure.share_right(judge, images, [measure.CONCEPT] * 12) >= 0.5
