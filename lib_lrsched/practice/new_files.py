"""A new embedding or hypernetwork that takes its place in the folder when its training starts, and not before.

Until then its file lies elsewhere, so that a training that is refused, or broken off while it prepares, has replaced nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from lib_lrsched.practice import files, hypernetwork, sd_hijack, shared
from lib_lrsched.storage.atomic_files import set_aside
from lib_lrsched.storage.model_files import BACKUP, OPTIM, TEMPORARY, has_backup, save_whole

LONGEST_ENDING = f"..pt{OPTIM}{TEMPORARY}"
"""What a file's name has beside the name of what is trained, at its longest, while it is being saved."""


def check_new_name(name: str) -> None:
    """Refuse a name that the host would save under another.

    Raises:
        ValueError: says which name it would become.
    """
    plain = files.safe_name(name)
    if not plain.strip(" ."):
        raise ValueError(f"a name has letters or digits in it; got {name!r}")
    if plain != name:
        raise ValueError(f"{name!r} would be saved as {plain!r}: take {plain!r}, or another name of letters, digits, and ._- ")


def check_length(name: str, folder: Path) -> None:
    """Refuse a name that leaves no room for the endings of the files that are made of it.

    Raises:
        ValueError: says how long it may be.
    """
    longest = (os.pathconf(folder, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255) - len(LONGEST_ENDING)
    # A character that no file name can have is counted too: check_new_name refuses it, and says why.
    size = len(name) if os.name == "nt" else len(name.encode(sys.getfilesystemencoding(), "replace"))
    if size > longest:
        raise ValueError(f"a name has at most {longest} bytes here, or its files cannot be saved; got {size}: {name[:40]!r}...")


def folder_of(kind: str) -> Path:
    """The host's folder for a kind."""
    return Path(shared.cmd_opts.embeddings_dir if kind == "embedding" else shared.cmd_opts.hypernetwork_dir)


def current_file(kind: str, name: str) -> Path | None:
    """The file that a name is loaded from now; None where the host knows none of that name."""
    if kind == "hypernetwork":
        return Path(shared.hypernetworks[name]) if name in shared.hypernetworks else None
    embedding = sd_hijack.model_hijack.embedding_db.word_embeddings.get(name)
    return None if embedding is None else Path(embedding.filename or folder_of(kind) / f"{name}.pt")


def check_same_file(kind: str, name: str) -> None:
    """Refuse to train a file whose result would go over another: every later training would start from the same file again.

    Raises:
        ValueError: says which two files, and what to do.
    """
    known, target = current_file(kind, name), folder_of(kind) / f"{name}.pt"
    if known is None or known == target or not target.exists() or (known.exists() and target.samefile(known)):
        return
    raise ValueError(f"{name!r} is loaded from {known}, and its training would be saved to {target}, which is there too: "
                     "move the one that is not to be trained out of the folder")


def check_free(kind: str, name: str, *, fresh: bool) -> None:
    """Refuse to make something new of a name that belongs to a file of the user's.

    Args:
        fresh: NAME.pt itself may be there: it becomes a backup.

    Raises:
        ValueError: says which file, and what to do.
    """
    _check_no_path(kind, name)
    check_new_name(name)
    target = folder_of(kind) / f"{name}.pt"
    known = current_file(kind, name)
    if fresh and known is not None and known != target:
        raise ValueError(f"{name!r} is loaded from {known}, and a new {target.name} would stand beside it: move that file away, "
                         "or choose another name")
    if fresh or not target.exists():
        return
    check_readable(kind, target)
    raise ValueError(f"{target} is there already, but is not listed as {name!r}: choose another name")


def check_readable(kind: str, path: Path | None) -> int:
    """Updates in a file of the host's. An embedding that the model does not take is as good as damaged.

    Raises:
        ValueError: it is damaged, or holds something else.
    """
    assert path is not None, "the host lists it"
    try:
        host_object = _loaded(kind, path)
        _check_width(kind, host_object)
        return int(host_object.step or 0)
    except files.UNREADABLE as error:
        way = f"put {path.name}{BACKUP}" if has_backup(path) else "put an intact copy"
        known = isinstance(error, ValueError) and str(path) in str(error)  # the loader's own words for any damage
        detail = "it is damaged or holds something else" if known else _first_line(error)
        raise ValueError(f"{path} cannot be read as {_a(kind)}: {detail}; {way} in its place, or move it away") from error


@contextlib.contextmanager
def created(kind: str, name: str, make: Any) -> Iterator[None]:
    """Makes ``name`` known as something new for the training within, which puts it into the host's folder when it starts.

    What was there under that name becomes NAME.pt.bak then; what has no update in it does not take the place of a backup, and
    a damaged file is set aside as NAME.pt.damaged-1.

    Args:
        make: called with the path that the new file is to have.
    """
    database = sd_hijack.model_hijack.embedding_db
    with tempfile.TemporaryDirectory(prefix="lrsched-") as folder:
        path = Path(folder) / f"{name}.pt"
        make(path)
        host_object = _loaded(kind, path)
        if kind == "embedding":
            database.unsaved[name] = database.word_embeddings[name] = host_object
        else:
            shared.hypernetworks[name] = str(path)
        shared.at_start.append(lambda: _take_place(kind, name, path))
        try:
            yield
        finally:
            shared.at_start.clear()
            if database.unsaved.pop(name, None) is not None:
                database.load_textual_inversion_embeddings(force_reload=True)
            if shared.hypernetworks.get(name) == str(path):
                shared.reload_hypernetworks()


def _check_no_path(kind: str, name: str) -> None:
    """The host knows a file in a subfolder by its own name, and a new one of the path's letters would be another."""
    own = name.replace("\\", "/").rpartition("/")[2]
    if own != name and current_file(kind, own) is not None and (folder_of(kind) / f"{name}.pt").is_file():
        raise ValueError(f"a name is the file's name without its folder: for {name!r} take {own!r}")


def _take_place(kind: str, name: str, path: Path) -> None:
    target = folder_of(kind) / f"{name}.pt"
    is_trained = target.exists() and _is_trained(kind, target)
    save_whole(str(target), lambda temporary: shutil.copyfile(path, temporary), backup=is_trained or not has_backup(target))
    if kind == "embedding":
        sd_hijack.model_hijack.embedding_db.unsaved.pop(name).filename = str(target)
        return
    shared.hypernetworks[name] = str(target)
    for loaded in shared.loaded_hypernetworks:
        if loaded.filename == str(path):
            loaded.filename = str(target)


def _is_trained(kind: str, target: Path) -> bool:
    """Whether updates are in the file. One that is damaged is set aside: the backup may be the last sound one."""
    try:
        return check_readable(kind, target) > 0
    except ValueError:
        set_aside(target)
        return False


def _loaded(kind: str, path: Path) -> Any:
    with torch.random.fork_rng(devices=[]):  # making a hypernetwork's layers draws start values
        if kind == "embedding":
            return sd_hijack.embedding_from_file(path)
        host_object = hypernetwork.Hypernetwork()
        host_object.load(str(path))
        return host_object


def _check_width(kind: str, host_object: Any) -> None:
    wanted = sd_hijack.model_hijack.embedding_db.expected_shape
    if kind == "embedding" and wanted not in (-1, host_object.shape):
        raise ValueError(f"its vectors have {host_object.shape} numbers, and the model's have {wanted}")


def _a(kind: str) -> str:
    return f"an {kind}" if kind == "embedding" else f"a {kind}"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
