"""Schedules to start from, each with a line on when to use it. Plain data."""

from __future__ import annotations

from typing import NamedTuple


class Preset(NamedTuple):
    """A named schedule text; `builtin` ones come with the extension and cannot be changed."""

    name: str
    text: str
    note: str
    builtin: bool = False


def _builtin(name: str, text: str, note: str) -> Preset:
    return Preset(name, text, note, builtin=True)


BUILTIN = (
    _builtin(
        "Embedding: warm-up and cosine",
        "warmup(0.005):5%, cosine(0.005, 1e-5)",
        "A good start when you know how many steps you want: as good as any, and it forgives a rate that is a few "
        "times too high. Any length.",
    ),
    _builtin(
        "Embedding: constant",
        "0.005",
        "The WebUI's default for embeddings. Good where the rate is right; it does not forgive one that is too high.",
    ),
    _builtin(
        "Embedding: three steps",
        "0.005:100, 1e-3:1000, 1e-5",
        "The example of the WebUI's wiki: fast at first, careful from step 1000. For runs of 1500 to 3000 steps.",
    ),
    _builtin(
        "Embedding: seven steps down",
        "0.05:10, 0.02:20, 0.01:60, 0.005:200, 0.002:500, 0.001:3000, 0.0005",
        "Very high for a few steps, then a long tail. For runs of more than 3000 steps with few vectors.",
    ),
    _builtin(
        "Embedding: cosine",
        "cosine(0.005, 1e-5)",
        "Falls smoothly over the whole run. For an embedding that starts from a fitting word.",
    ),
    _builtin(
        "Embedding: warm restarts",
        "restarts(0.005, 1e-5, first_cycle=25%)",
        "Four cosine waves. Every wave ends at a low rate, which gives four points to compare copies at; it costs a little.",
    ),
    _builtin(
        "Embedding: hold, then fall",
        "wsd(0.005, 1e-5, warmup=5%, decay=30%)",
        "Holds its rate for most of the run. For when you may add steps later: continue from a copy made in the hold. Forgives a "
        "rate that is too high less than cosine does.",
    ),
    _builtin(
        "Embedding: one cycle",
        "onecycle(0.01)",
        "One rise to a high rate and one long fall. Slightly worse than warm-up and cosine where it was measured.",
    ),
    _builtin(
        "Embedding: fall when it stalls",
        "plateau(0.005, factor=0.5, patience=20, every=10, min=1e-5)",
        "Halves the rate when the loss has not improved for 20 looks, one every 10 steps. For when you do not know how long.",
    ),
    _builtin(
        "Embedding: find a rate",
        "range_test(1e-5, 0.5)",
        "Not for training: the rate rises from low to high, the run shows which rates learn, and then everything is put back.",
    ),
    _builtin(
        "Hypernetwork: warm-up and cosine",
        "warmup(3e-5):5%, cosine(3e-5, 1e-6)",
        "A gentle start for fresh layers and a slow end. Fits any length.",
    ),
    _builtin(
        "Hypernetwork: constant",
        "1e-5",
        "The WebUI's default for hypernetworks. Slow and safe.",
    ),
    _builtin(
        "Hypernetwork: steps",
        "5e-5:100, 5e-6:1500, 5e-7",
        "How the community's long lists begin: fast at first, then in ever smaller moves. For runs of several thousand steps.",
    ),
    _builtin(
        "Hypernetwork: warm restarts",
        "restarts(2e-5, 1e-6, first_cycle=25%, peak_decay=0.8)",
        "Four waves, each lower than the last. For when the images stop changing before the run is over.",
    ),
)

BY_TIMESTEP = (
    _builtin(
        "Min-SNR, models that predict the noise",
        "linear(0.004, 0.177):36, linear(0.371):69, linear(0.591):100, linear(0.827):128, linear(1):147, 1",
        "min(SNR, 5) / SNR at each timestep of Stable Diffusion: less weight where almost no noise is left. Hang et al. 2023, "
        "Efficient Diffusion Training via Min-SNR Weighting Strategy. For loss by timestep, with SD 1 and the 512 models of SD 2.",
    ),
    _builtin(
        "Min-SNR, models that predict v",
        "linear(0.004, 0.211):44, linear(0.462):89, linear(0.764):136, linear(0.832):147, linear(0.611):288, linear(0.332):460, "
        "linear(0.195):567, exp(0.0913):686, exp(0.0268):835, exp(0.0062):975, exp(0.0047)",
        "min(SNR, 5) / (SNR + 1) at each timestep of Stable Diffusion: less weight at both ends. Hang et al. 2023, as the other. "
        "For loss by timestep, with the 768 models of SD 2.",
    ),
)
"""Factors by timestep, whose steps are the timesteps 0 to 999; within 0.01 of the formulas, which have their peaks near 1."""
