"""What would go wrong with a training because of the loaded model, or of how the WebUI runs it."""

from __future__ import annotations

from collections.abc import Iterator

from .preflight_case import ERROR, WARNING, Case, Finding
from .webui import Host

TRAINABLE = "embeddings and hypernetworks can be trained on SD 1 and SD 2 models: load one of those"
NEEDED = ("cond_stage_model", "model", "encode_first_stage", "get_first_stage_encoding", "forward")
"""What the host's training asks of a model."""

INPAINTING_CHANNELS = 9

_looked_at: dict[tuple[str, str], str] = {}
"""What was said of an attention on a device."""


def architecture(case: Case) -> Iterator[Finding]:
    """SDXL, SD 3 and models whose UNet wants more than a prompt."""
    model = case.model
    if model is None:
        return
    names = {"is_sdxl": "SDXL", "is_ssd": "SSD", "is_sd3": "SD 3"}
    named = next((name for flag, name in names.items() if getattr(model, flag, False)), "")
    missing = [name for name in NEEDED if not hasattr(model, name)]
    if named or missing:
        what = f"an {named} model" if named else f"of a kind without {', '.join(missing)}"
        yield Finding(ERROR, "model", f"the loaded model is {what}; {TRAINABLE}")
        return
    key = getattr(model.model, "conditioning_key", None)
    channels = getattr(getattr(model.model, "diffusion_model", None), "in_channels", INPAINTING_CHANNELS)
    if key in ("hybrid", "concat") and case.kind == "hypernetwork":
        yield Finding(ERROR, "model", "the loaded model also needs an image (inpainting), which the training of a hypernetwork "
                                      "does not supply: load a model without that")
    elif (key in ("hybrid", "concat") and channels != INPAINTING_CHANNELS) or key in ("adm", "hybrid-adm", "crossattn-adm"):
        yield Finding(ERROR, "model", f"the loaded model needs more than a prompt (its conditioning is {key}), which training does "
                                      "not supply: load a model without that")


def network(case: Case) -> Iterator[Finding]:
    """Another network stands in for the UNet."""
    label = case.host.replaced_unet()
    if label:
        yield Finding(ERROR, "unet", f"{label} replaces the model's UNet and does not propagate gradients: "
                                     "set SD Unet to None in the settings and make one image to unload it")


def offloading(case: Case) -> Iterator[Finding]:
    """Weights that are moved away between the forward and the backward pass."""
    uses_cpu = getattr(getattr(case.host.shared, "device", None), "type", "") == "cpu"
    if case.flag("lowvram") and not (case.starts and uses_cpu):
        yield Finding(ERROR, "lowvram", "the WebUI runs with --lowvram, which moves weights away before the backward pass needs "
                                        "them: start it without that, or with --medvram")
    elif case.flag("medvram") and case.kind == "embedding" and not uses_cpu:
        breaks = " With --no-half training fails at its first update, where it is missing." if case.flag("no_half") else ""
        yield Finding(WARNING, "medvram", "the WebUI runs with --medvram: the text encoder is moved off the GPU and back at each "
                                          f"update, which is slow.{breaks} Start the WebUI without it if the memory allows")


def width(case: Case) -> Iterator[Finding]:
    """An embedding made for another model."""
    if case.kind == "embedding" and case.name:
        message = of_another_width(case.host, case.name)
        if message:
            yield Finding(ERROR, "embedding", message)


def of_another_width(host: Host, name: str) -> str:
    """Why an embedding does not fit the loaded model; empty where it does, or where there is none of that name."""
    database = host.embedding_db()
    expected = getattr(database, "expected_shape", -1)
    embedding = host.embedding(name)
    if embedding is None:
        embedding = (getattr(database, "skipped_embeddings", None) or {}).get(name)
    vec = getattr(embedding, "vec", None)
    if isinstance(vec, dict):
        return f"the embedding {name!r} is one for SDXL; {TRAINABLE}, and create a new embedding"
    has = getattr(vec, "shape", (0,))[-1]
    if embedding is None or not has or not expected or expected < 0 or has == expected:
        return ""
    made_for = {768: " (as SD 1 does)", 1024: " (as SD 2 does)", 2048: " (as SDXL does)"}
    return (f"the embedding {name!r} has vectors of {has} numbers{made_for.get(has, '')}, the loaded model takes {expected}"
            f"{made_for.get(expected, '')}: load the model that it was made for, or create a new embedding")


def applied(case: Case) -> Iterator[Finding]:
    """A hypernetwork that the last image, or its own training, has left loaded: the host applies it here too."""
    loaded = [str(getattr(one, "name", "?")) for one in getattr(case.host.shared, "loaded_hypernetworks", None) or ()]
    if case.kind == "embedding" and loaded:
        yield Finding(WARNING, "hypernetwork", f"the hypernetwork {', '.join(loaded)} is loaded and will be applied while the "
                                               "embedding is trained: make one image without it first, if that is not meant")


def gradient(case: Case) -> Iterator[Finding]:
    """An attention optimization whose backward pass gives nothing, or something else than attention's gradient."""
    from . import attention  # it needs torch, and nothing else here does

    if getattr(case.host.shared, "loaded_hypernetworks", None) or _is_replaced(case.host):
        return
    with case.host.autocast():
        trouble = attention.trouble(case.model, case.host.shared.device)
    if trouble:
        yield _of_attention(trouble)


def gradient_ahead(case: Case) -> Iterator[Finding]:
    """The same before the click, of the attention with which the settings would have it trained: looked at once for each."""
    from . import attention

    shared = case.host.shared
    if not getattr(shared.opts, "training_xattention_optimizations", False) or _is_replaced(case.host):
        return  # the WebUI takes the optimization out while it trains
    if getattr(shared, "loaded_hypernetworks", None):
        return
    if case.model is None:
        return
    key = (attention.name_in_force(case.model), str(shared.device))
    if key not in _looked_at:
        if getattr(shared.state, "job", ""):
            return  # the device has something else to do; there will be another question
        with case.host.autocast():
            _looked_at[key] = attention.trouble(case.model, shared.device)
    if _looked_at[key]:
        yield _of_attention(_looked_at[key])


def _is_replaced(host: Host) -> bool:
    """Whether the training gets another attention, which is looked at when it has it; see fast_attention.py."""
    return host.fast_attention is not None and host.settings().training_speed != "exact"


def _of_attention(trouble: str) -> Finding:
    return Finding(ERROR, "attention", f'{trouble}: switch off "Use cross attention optimizations while training" in the settings, '
                                       "or choose another cross attention optimization there")


OF_MODEL = (architecture, network, offloading, width, applied)
