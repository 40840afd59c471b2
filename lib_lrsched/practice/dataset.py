"""The images of a run with their captions, encoded once, and the batches made of them.

Written to behave as `modules/textual_inversion/dataset.py` of the host does, its random draws included: Python's
`random` for templates, tags and order, torch's global CPU generator once for each iter(loader) and for latents.
"""
from __future__ import annotations

import os
import random
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from lib_lrsched import console
from lib_lrsched.practice import shared

LEADING_NUMBER = re.compile(r"^[-\d]+\s*")


@dataclass
class DatasetEntry:
    """One image: its caption, its prompt and what the text encoder made of it, its latent or the means to draw one."""

    filename: str
    filename_text: str
    latent_dist: Any = None
    latent_sample: Tensor | None = None
    cond: Any = None
    cond_text: str = ""
    weight: Tensor | None = None


class DecodedImage(NamedTuple):
    """A decoded image, RGB, and its alpha channel if it is asked for and there."""

    image: Image.Image
    alpha: Image.Image | None


class PersonalizedBase(Dataset):
    """The images below data_root that decode, in the order of os.listdir; each sub-list of `groups` has one size.

    batch_size is capped at the number of images, gradient_step at the batches that an epoch has.
    Raises AssertionError for a folder with no image. `flip_p` and `repeats` are unused, as in the host.
    """

    def __init__(  # the host's parameters
        self,
        data_root: str,
        width: int,
        height: int,
        repeats: int,  # noqa: ARG002
        flip_p: float = 0.5,  # noqa: ARG002
        placeholder_token: str = "*",  # noqa: S107  # no password
        model: Any = None,
        cond_model: Any = None,
        device: torch.device | None = None,
        template_file: str = "",
        include_cond: bool = False,
        batch_size: int = 1,
        gradient_step: int = 1,
        shuffle_tags: bool = False,
        tag_drop_out: float = 0,
        latent_sampling_method: str = "once",
        varsize: bool = False,
        use_weight: bool = False,
    ) -> None:
        self.placeholder_token = placeholder_token
        self.shuffle_tags, self.tag_drop_out = shuffle_tags, tag_drop_out
        self.latent_sampling_method = latent_sampling_method
        with Path(template_file).open() as file:
            self.lines = [line.strip() for line in file]
        self.image_paths = _listed(data_root)
        self._size = None if varsize else (width, height)
        self._use_weight, self._device = use_weight, device
        self._model, self._cond_model = model, cond_model if include_cond else None
        self.dataset: list[DatasetEntry] = []
        by_size: dict[tuple[int, int], list[int]] = {}
        for path in console.bar(self.image_paths, disable=shared.opts.practice_quiet):
            self._read(path, by_size)
        self.groups = list(by_size.values())
        self.length = found = len(self.dataset)
        assert found, "No images have been found in the dataset."
        self.batch_size = min(found, batch_size)
        self.gradient_step = min(found // self.batch_size, gradient_step)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> DatasetEntry:
        entry = self.dataset[i]
        if self._varies_prompts():
            entry.cond_text = self.create_text(entry.filename_text)
        if self.latent_sampling_method == "random":
            entry.latent_sample = shared.sd_model.get_first_stage_encoding(entry.latent_dist).cpu()
        return entry

    def create_text(self, filename_text: str) -> str:
        """A prompt: a random line of the template with the name and the caption's tags put in."""
        line = random.choice(self.lines)
        tags = filename_text.split(",")
        if self.tag_drop_out != 0:
            tags = [tag for tag in tags if random.random() > self.tag_drop_out]
        if self.shuffle_tags:
            random.shuffle(tags)
        return line.replace("[filewords]", ",".join(tags)).replace("[name]", self.placeholder_token)

    def _varies_prompts(self) -> bool:
        return self.tag_drop_out != 0 or bool(self.shuffle_tags)

    def _read(self, path: str, by_size: dict[tuple[int, int], list[int]]) -> None:
        if shared.state.interrupted:
            raise InterruptedError("interrupted while the data set was being prepared")
        decoded = _decode(path, self._size, self._use_weight)
        if decoded is None:
            return
        by_size.setdefault(decoded.image.size, []).append(len(self.dataset))
        self.dataset.append(self._entry(path, decoded))

    def _entry(self, path: str, decoded: DecodedImage) -> DatasetEntry:
        entry = DatasetEntry(path, caption(path))
        latent_dist = self._encode(decoded.image)
        # Drawn for "random" too: the weights need its shape, and the draw is one of the host's.
        latent = self._model.get_first_stage_encoding(latent_dist).squeeze().cpu()
        entry.weight = _weight(decoded.alpha, latent.shape) if self._use_weight else None
        if self.latent_sampling_method == "random":
            entry.latent_dist = latent_dist
        else:
            entry.latent_sample = latent
        if not self._varies_prompts():
            self._fix_prompt(entry)
        return entry

    def _encode(self, image: Image.Image) -> Any:
        pixels = (np.array(image).astype(np.uint8) / 127.5 - 1.0).astype(np.float32)
        batch = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0).to(self._device)
        latent_dist = self._model.encode_first_stage(batch)
        if self.latent_sampling_method == "deterministic":
            if hasattr(latent_dist, "std"):
                latent_dist.std = 0
            else:
                self.latent_sampling_method = "once"
        return latent_dist

    def _fix_prompt(self, entry: DatasetEntry) -> None:
        entry.cond_text = self.create_text(entry.filename_text)
        if self._cond_model is not None:
            # The host's text encoder is frozen; ours is not, and a graph kept here could be walked only once.
            entry.cond = self._cond_model([entry.cond_text]).detach().cpu().squeeze(0)


def caption(path: str) -> str:
    """The text of the .txt file beside the image, else the file's name without the number in front."""
    beside = os.path.splitext(path)[0] + ".txt"  # noqa: PTH122 as the host: with_suffix() differs for names with odd dots
    if os.path.exists(beside):  # noqa: PTH110
        with open(beside, encoding="utf8") as file:  # noqa: PTH123
            return file.read()
    words = LEADING_NUMBER.sub("", os.path.splitext(os.path.basename(path))[0])  # noqa: PTH119, PTH122
    if not shared.opts.dataset_filename_word_regex:
        return words
    found = re.findall(shared.opts.dataset_filename_word_regex, words)
    return (shared.opts.dataset_filename_join_string or "").join(found)


def _listed(data_root: str) -> list[str]:
    assert data_root, "the data set's folder is missing"
    assert Path(data_root).is_dir(), f"there is no data set folder {data_root}"
    found = [str(path) for path in Path(data_root).iterdir()]
    assert found, f"the data set folder {data_root} is empty"
    return found


def _decode(path: str, size: tuple[int, int] | None, want_alpha: bool) -> DecodedImage | None:
    """The image at path, or None for anything that is not one: a caption, a folder, a broken file."""
    if stat.S_ISFIFO(_mode(path)):
        return None  # the host would wait for ever for who writes into it
    try:
        with Image.open(path) as file:
            image: Image.Image = ImageOps.exif_transpose(file)  # type: ignore[assignment]  # None only in place
        if image.mode in ("RGB", "P") and isinstance(image.info.get("transparency"), bytes):
            image = image.convert("RGBA")
        alpha = image.getchannel("A") if want_alpha and "A" in image.getbands() else None
        image = image.convert("RGB")
        return DecodedImage(image if size is None else image.resize(size, Image.Resampling.BICUBIC), alpha)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None  # the host silently leaves out what it cannot read


def _mode(path: str) -> int:
    """The file's type and permissions; 0 for a link that leads nowhere."""
    try:
        return Path(path).stat().st_mode
    except OSError:
        return 0


def _weight(alpha: Image.Image | None, shape: Sequence[int]) -> Tensor:
    """The image's alpha as weights, float32 of the latent's shape [C, h, w], minimum 0 and mean 1; ones without.

    As in the host, an even alpha gives NaN (0 / 0), and an image that is not square gives a scrambled map: the
    resize takes (width, height) and gets (h, w).
    """
    if alpha is None:
        return torch.ones(*shape)
    channels, h, w = shape
    levels = torch.from_numpy(np.array(alpha.resize((h, w))).astype(np.float32))
    weight = levels.reshape(1, h, w).repeat(channels, 1, 1)
    weight -= weight.min()
    return weight / weight.mean()


class GroupedBatchSampler(Sampler):
    """Batches of images of one size, in random order; the lists in `groups` are shuffled in place each time.

    Where sizes leave remainders, batches drawn with replacement bring an epoch to its length.
    """

    def __init__(self, data_source: PersonalizedBase, batch_size: int) -> None:
        super().__init__()
        n = len(data_source)
        self.groups = data_source.groups
        self.batch_size = batch_size
        self.len = n // batch_size
        shares = [len(group) / n * self.len * batch_size for group in self.groups]
        drawn = self.len - sum(int(share) // batch_size for share in shares)
        self.n_rand_batches = drawn
        self.probs = [share % batch_size / drawn / batch_size if drawn else 0.0 for share in shares]

    def __len__(self) -> int:
        return self.len

    def __iter__(self) -> Iterator[list[int]]:
        for group in self.groups:
            random.shuffle(group)
        batches = [whole for group in self.groups for whole in self._whole_batches(group)]
        for _ in range(self.n_rand_batches):
            (group,) = random.choices(self.groups, self.probs)
            batches.append(random.choices(group, k=self.batch_size))
        random.shuffle(batches)
        yield from batches

    def _whole_batches(self, group: list[int]) -> Iterator[list[int]]:
        for i in range(len(group) // self.batch_size):
            yield group[i * self.batch_size : (i + 1) * self.batch_size]


class Batch:
    """What the loops read of a batch of B entries: `cond_text`, `cond`, `latent_sample` [B, C, h, w], `weight`."""

    def __init__(self, entries: Sequence[DatasetEntry], *, pins_latents: bool = True) -> None:
        self._pins_latents = pins_latents
        self.cond_text = [entry.cond_text for entry in entries]
        self.cond = [entry.cond for entry in entries]
        # A latent drawn again each time comes as [1, C, h, w], one drawn once as [C, h, w].
        latents = [entry.latent_sample for entry in entries if entry.latent_sample is not None]
        self.latent_sample = torch.stack(latents).squeeze(1)
        weights = [entry.weight for entry in entries if entry.weight is not None]
        self.weight = torch.stack(weights).squeeze(1) if len(weights) == len(entries) else None

    def pin_memory(self) -> Batch:
        """Puts the latents where a GPU fetches them faster; as in the host, those drawn again each time stay."""
        if self._pins_latents:
            self.latent_sample = self.latent_sample.pin_memory()
        return self


class PersonalizedDataLoader(DataLoader):
    """Iterates over a PersonalizedBase in the batches of a GroupedBatchSampler."""

    def __init__(
        self,
        dataset: PersonalizedBase,
        latent_sampling_method: str = "once",
        batch_size: int = 1,
        pin_memory: bool = False,
    ) -> None:
        super().__init__(
            dataset,
            batch_sampler=GroupedBatchSampler(dataset, batch_size),
            pin_memory=pin_memory,
            collate_fn=partial(Batch, pins_latents=False) if latent_sampling_method == "random" else Batch,
        )
