"""The data set of a run, so that it can be restored: which images, and the prompt and latent drawn for each.

A data set draws a template for every image and, with the usual latent sampling, noise for every latent, once, while
it is made. A resumed run must train on the same ones: they are written beside its snapshots when it starts, and
put into the new data set, image by image, wherever the folder's listing has them now.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from lib_lrsched.errors import RunStateError
from lib_lrsched.storage.checked_fields import COUNT, LIST, SCALARS, TEXT, TEXTS, OtherVersionError, checked
from lib_lrsched.storage.former_settings import renamed

from .snapshot import read_tensors, write_tensors

FORMAT = 1

COMPARED = ("width", "height", "varsize", "shuffle_tags", "tag_drop_out", "latent_sampling_method", "use_weight",
            "placeholder_token", "checkpoint", "vae", "clip_skip", "precision")
"""What decides what an update does with its images, besides batch size and accumulation: arguments of the host's
PersonalizedBase, and the model."""

ALSO_COMPARED = ("training_speed", "hypernetworks", "attention", "torch", "device")
"""What else moves the bits of an update, and not what is drawn for an image."""

SHOWN = 3
"""So many names are in a message; of the rest, the number."""

_IMAGE = {"name": TEXT, "digest": TEXT, "text": TEXT, "prompt": TEXT}

Encode = Callable[[str], Tensor]


def describe(data: Any, arguments: Mapping[str, Any], options: Mapping[str, str]) -> dict[str, Any]:
    """The data set as JSON: its images in order, with digests of their files, and what its batches depend on.

    Args:
        data: the host's data set.
        arguments: with which it was made, and what else moves the bits of an update.
        options: those of the run that do so, empty where they are off. One that is off is not written: so runs of versions
            without it are the same without it.
    """
    settings = {name: arguments.get(name) for name in (*COMPARED, *ALSO_COMPARED)}
    settings |= {name: value for name, value in options.items() if value}
    settings |= {"batch size": int(data.batch_size), "accumulation": int(data.gradient_step)}
    images = [
        {"name": Path(entry.filename).name, "digest": _file_digest(entry.filename), "text": str(entry.filename_text or ""),
         "prompt": str(entry.cond_text or "")}
        for entry in data.dataset
    ]  # fmt: skip
    return {"lrsched_data": FORMAT, "settings": settings, "lines": list(data.lines), "pictures": images}


def save(path: Path, data: Any, described: Mapping[str, Any]) -> None:
    """Writes the description, and the latents where they were drawn once.

    Raises:
        OSError: what was there is there.
    """
    found = ((n, entry.latent_sample) for n, entry in enumerate(data.dataset))
    # With "random" sampling an entry has only the last latent that was drawn from it, or none.
    once = described["settings"]["latent_sampling_method"] != "random"
    latents = {f"latent.{n}": latent.detach().cpu().contiguous() for n, latent in found if once and isinstance(latent, Tensor)}
    write_tensors(path, dict(described), latents)


def digest(described: Mapping[str, Any]) -> str:
    """By which a snapshot knows the data that it belongs to."""
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def with_prompts(described: Mapping[str, Any], data: Any) -> dict[str, Any]:
    """The description after ``restore_into``: the images in their order of now, with their prompts of now."""
    known = {image["name"]: image for image in described["pictures"]}
    images = [{**known[Path(entry.filename).name], "prompt": str(entry.cond_text or "")} for entry in data.dataset]
    return {**described, "pictures": images}


class Differences(NamedTuple):
    """What is not as it was: of the data, so that what was drawn for it may not fit any more; and around it."""

    data: list[str]
    around: list[str]


@dataclass(frozen=True)
class Made:
    """The host's data set, just made.

    Attributes:
        data: the host's own object.
        described: what ``describe`` says of it.
        options: the names of the options that ``describe`` got.
        encode: what the host made of a prompt for ``entry.cond``; None where entries have none.
    """

    data: Any
    described: Mapping[str, Any]
    options: Collection[str]
    encode: Encode | None


def restore_into(path: Path, made: Made, wanted: str) -> Differences:
    """Makes the new data set the stored one, as far as the images are the same; says every difference.

    Args:
        wanted: the digest of the description that the snapshot belongs to.

    Returns:
        what has changed; nothing where the data set is now exactly the stored one.

    Raises:
        RunStateError: no such file, or a damaged one.
    """
    now, options = made.described, made.options
    stored, latents = _read(path)
    if digest(stored) != wanted:
        raise RunStateError("it belongs to another leg of the run", path)
    names = [image["name"] for image in stored["pictures"]]
    settings = renamed(stored["settings"])
    around = [_changed(name, settings, now["settings"]) for name in ALSO_COMPARED if settings.get(name) is not None]
    around += [_changed(name, *({name: one.get(name, "off")} for one in (settings, now["settings"]))) for name in options]
    differences = Differences(_differences(stored, now, options), [one for one in around if one])
    if sorted(names) == sorted(image["name"] for image in now["pictures"]):
        _reorder(made.data, names, [image["name"] for image in now["pictures"]])
    same = all(stored["settings"].get(name) == now["settings"].get(name) for name in COMPARED)
    if same and stored["lines"] == now["lines"]:  # else the old prompts and latents are not what was asked for
        _put_back(made, {p["name"]: (n, p) for n, p in enumerate(stored["pictures"])}, latents)
    return differences


def check(path: Path) -> None:
    """Whether a file is one that ``save`` wrote.

    Raises:
        RunStateError: it is not; says what was expected where.
    """
    _read(path)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    value, latents = read_tensors(path)
    checked(value, {"lrsched_data": COUNT}, path)
    if value["lrsched_data"] != FORMAT:
        raise OtherVersionError(f"version {value['lrsched_data']} of a data file; update the extension to read it", path)
    data = checked(value, {"lrsched_data": COUNT, "settings": SCALARS, "lines": TEXTS, "pictures": LIST}, path)
    data["pictures"] = [checked(one, _IMAGE, path, f"pictures[{n}].") for n, one in enumerate(data["pictures"])]
    if len({image["name"] for image in data["pictures"]}) != len(data["pictures"]):
        raise RunStateError("pictures: expected distinct names", path)
    return data, latents


def _differences(stored: Mapping[str, Any], now: Mapping[str, Any], options: Collection[str]) -> list[str]:
    old = {p["name"]: p for p in stored["pictures"]}
    new = {p["name"]: p for p in now["pictures"]}
    both = [name for name in old if name in new]
    found = [
        _listed("removed", [name for name in old if name not in new]),
        _listed("added", [name for name in new if name not in old]),
        _listed("changed", [name for name in both if old[name]["digest"] != new[name]["digest"]]),
        _listed("with another caption", [name for name in both if old[name]["text"] != new[name]["text"]]),
    ]
    settings = stored["settings"]
    found += [_changed(name, settings, now["settings"]) for name in now["settings"] if name not in (*ALSO_COMPARED, *options)]
    if stored["lines"] != now["lines"]:
        found.append("the prompt template has changed")
    return [one for one in found if one]


def _changed(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    same = new.get(name) == old.get(name)
    return "" if same else f"{name.replace('_', ' ')} is {new.get(name)}, was {old.get(name)}"


def _listed(word: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    return f"{len(names)} image{'s' if len(names) > 1 else ''} {word}: {shown}"


def _reorder(data: Any, names: list[str], now: list[str]) -> None:
    """os.listdir does not sort: the same images may come in another order."""
    if names == now:
        return
    place = {name: n for n, name in enumerate(names)}
    moved = [place[name] for name in now]  # new index by present index
    data.dataset[:] = [entry for _, entry in sorted(zip(moved, data.dataset, strict=True), key=lambda pair: pair[0])]
    data.groups[:] = sorted(sorted(moved[index] for index in group) for group in data.groups)


def _put_back(made: Made, stored: Mapping[str, tuple[int, Mapping[str, Any]]], latents: Mapping[str, Tensor]) -> None:
    """Prompts and latents of the images that are the same."""
    digests = {image["name"]: (image["digest"], image["text"]) for image in made.described["pictures"]}
    for entry in made.data.dataset:
        name = Path(entry.filename).name
        number, image = stored.get(name, (0, None))
        if image is None or digests[name] != (image["digest"], image["text"]):
            continue
        latent = latents.get(f"latent.{number}")
        if latent is not None and isinstance(entry.latent_sample, Tensor) and latent.shape == entry.latent_sample.shape:
            entry.latent_sample = latent.to(entry.latent_sample)
        if entry.cond_text and entry.cond_text != image["prompt"]:
            entry.cond_text = image["prompt"]
            if made.encode is not None and entry.cond is not None:
                entry.cond = made.encode(entry.cond_text)


def _file_digest(path: str) -> str:
    total = hashlib.sha256()
    try:
        with Path(path).open("rb") as stream:
            while block := stream.read(1 << 20):
                total.update(block)
    except OSError:
        return ""  # it was there a moment ago; that it cannot be compared shows as a change
    return total.hexdigest()
