"""Makes a small Stable Diffusion 1 checkpoint with random weights. Runs in the WebUI's Python, in the WebUI's folder:

    python make_checkpoint.py OUT

OUT gets tiny.safetensors, tiny.yaml and the folder clip with tokenizer and text-encoder settings, to which the yaml points. The
classes are the host's own (LDM's and transformers'); only widths and depths are small, the text side keeps its width of 768.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

BPE_MERGES = 49152 - 256 - 2
START, END = "<|startoftext|>", "<|endoftext|>"
TEXT_MODEL = {
    "vocab_size": 49408, "hidden_size": 768, "intermediate_size": 768, "num_hidden_layers": 2, "num_attention_heads": 12,
    "max_position_embeddings": 77, "hidden_act": "quick_gelu", "bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 1,
}
UNET = {"model_channels": 32, "num_res_blocks": 1}
VAE = {"ch": 32, "num_res_blocks": 1}


def main(out: Path) -> None:
    """Everything, into `out`."""
    clip = out / "clip"
    clip.mkdir(parents=True)
    write_tokenizer(clip)
    sys.argv[1:] = ["--skip-prepare-environment", "--use-cpu", "all", "--no-half"]  # read when the host's modules are imported
    sys.path.insert(0, ".")
    import torch
    from modules import paths  # noqa: F401 puts the host's repositories on the path
    from omegaconf import OmegaConf
    from transformers import CLIPTextConfig, CLIPTextModel

    CLIPTextConfig(**TEXT_MODEL).save_pretrained(clip)
    config = OmegaConf.load("configs/v1-inference.yaml")
    params = config.model.params
    params.unet_config.params.update(UNET)
    params.first_stage_config.params.ddconfig.update(VAE)
    params.cond_stage_config.params = {"version": str(clip)}
    OmegaConf.save(config, out / "tiny.yaml")

    from ldm.modules.encoders import modules as encoders
    from ldm.util import instantiate_from_config

    # There are no weights to read for the text encoder: made at random, like all others.
    encoders.CLIPTextModel.from_pretrained = lambda folder, **_: CLIPTextModel(CLIPTextConfig.from_pretrained(folder))
    params.cond_stage_config.params.device = "cpu"
    torch.manual_seed(1)
    model = instantiate_from_config(config.model)
    wake(model)
    save(model, out / "tiny.safetensors")


def write_tokenizer(folder: Path) -> None:
    """CLIP's vocabulary and merges, out of the file that open_clip (which the WebUI needs) brings along."""
    import open_clip

    packed = Path(open_clip.__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
    merges = gzip.decompress(packed.read_bytes()).decode("utf8").split("\n")[1 : BPE_MERGES + 1]
    letters = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [256 + i for i in range(256 - len(letters))]  # bytes that cannot be seen stand for characters beyond
    single = [chr(code) for code in (*letters, *others)]
    words = [*single, *(one + "</w>" for one in single), *("".join(pair.split()) for pair in merges), START, END]
    assert len(words) == TEXT_MODEL["vocab_size"], len(words)
    special = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}, ensure_ascii=False), encoding="utf8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf8")
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    settings = {**special, "model_max_length": 77, "do_lower_case": True, "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def wake(model) -> None:
    """Weights that are made as zeros get numbers.

    Zero output layers would let no gradient through to the text; a last layer norm without bias would give the
    emphasis code a mean of zero to divide by.
    """
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1 and not parameter.any():
                parameter.normal_(0, 0.02)
        model.cond_stage_model.transformer.text_model.final_layer_norm.bias.normal_(0, 0.05)


def save(model, path: Path) -> None:
    """What a checkpoint of Stable Diffusion 1 has: UNet, VAE, text encoder, noise schedule."""
    from safetensors.torch import save_file

    parts = ("model.", "first_stage_model.", "cond_stage_model.", "betas", "alphas_", "sqrt_", "log_", "posterior_")
    save_file({name: value.contiguous().clone() for name, value in model.state_dict().items() if name.startswith(parts)}, path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
