"""What would go wrong with a training because of its files: images, captions, the prompt template, and the paths to them.

Captions and names are looked at only beside files that decode as images: what is answered here must not tell of other folders.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from ._text_files import Trouble, caption_trouble, likely, unmeant
from .images import count_images, is_image
from .preflight_case import ERROR, WARNING, Case, Finding
from .webui import Host, NoTraining

MANY_FILES, MOST_TROUBLED = 400, 20

_LEADING_NUMBER = re.compile(r"^[-\d]+\s*")  # as in the host's data set
_VARIABLE = re.compile(r"%\w+%|\$\w|\$\{")
_QUOTES = "\"'`\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb"


# The template ---------------------------------------------------------------------------------


def template(case: Case) -> Iterator[Finding]:
    """A template that the host cannot read, that is empty, or whose prompts do not name the embedding that is trained."""
    file = case.inputs.get("template_file") or case.host.ti.textual_inversion_templates.get(case.path("template_filename"))
    if file is None:
        return
    lines, trouble = template_lines(file.path)
    if trouble is not None:
        yield Finding(ERROR if trouble.fatal else WARNING, "template", f"the prompt template {file.name} {trouble.what}")
    if lines and case.kind == "embedding" and case.name:
        yield from _names_the_embedding(case, file.name, lines)


def missing_template(case: Case) -> Iterator[Finding]:
    """No template is chosen, or one that is gone."""
    if "template_filename" not in case.inputs or not isinstance(case.inputs["template_filename"], str):
        return
    name, there = case.path("template_filename"), case.host.ti.textual_inversion_templates
    if not name:
        yield Finding(ERROR, "template_filename", "no prompt template is chosen: choose one, such as subject_filewords.txt")
    elif name not in there:
        yield Finding(ERROR, "template_filename", f"there is no prompt template {name!r}: choose another")


def template_lines(path: str) -> tuple[list[str], Trouble | None]:
    """The lines as the host reads them, in the encoding of the locale, and what is wrong with them."""
    if is_pipe(path):
        return [], Trouble(True, "is a pipe (FIFO), on which the WebUI would wait forever: put a text file in its place")
    try:
        with open(path) as file:  # noqa: PTH123 as the host does
            encoding = file.encoding
            lines = [line.strip() for line in file.readlines()]
    except UnicodeDecodeError as error:
        return [], Trouble(True, f"cannot be read as {error.encoding}{likely(Path(path).read_bytes())}, "
                                 f"which is how the WebUI reads templates here: save it as {error.encoding}")
    except OSError as error:
        return [], Trouble(True, f"cannot be read: {error.strerror or error}")
    if not lines:
        return [], Trouble(True, "is empty, and each image needs a prompt from it: write a line such as a photo of [name]")
    return lines, unmeant("\n".join(lines)) or _misread(path, encoding)


def _misread(path: str, encoding: str) -> Trouble | None:
    """UTF-8 that is read in another encoding: nothing fails, and the letters beyond ASCII become others."""
    data = Path(path).read_bytes()
    if data.isascii() or encoding.lower().replace("-", "") == "utf8":
        return None
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return Trouble(False, f"is UTF-8, but the WebUI reads templates as {encoding} here, so non-ASCII letters change: save it as "
                          f"{encoding}")


def _names_the_embedding(case: Case, file_name: str, lines: list[str]) -> Iterator[Finding]:
    lacking = [(i, line) for i, line in enumerate(lines, 1) if "[name]" not in line and not _names(line, case)]
    captions = _captions(case) if any("[filewords]" in line for _, line in lacking) else []
    named = sum(_names(caption, case) for caption in captions)
    if captions and named == len(captions):
        lacking = [(i, line) for i, line in lacking if "[filewords]" not in line]
    if not lacking:
        return
    number, line = lacking[0]
    what = f"{line!r}" if line else "an empty line, which counts as a prompt"
    if named and "[filewords]" in line:
        yield Finding(WARNING, "template", f"{named} of {len(captions)} captions name {case.name!r}, and line {number} of the "
                                           f"prompt template {file_name} does not: an update that uses only such prompts learns "
                                           "nothing, and on CUDA it ends the training; put [name] into that line")
    elif len(lacking) == len(lines) and not named:
        yield Finding(ERROR, "template", f"no line of the prompt template {file_name} has [name] in it, so no prompt names "
                                         f"{case.name!r} and nothing would be learned: choose another, such as "
                                         "subject_filewords.txt")
    else:
        yield Finding(WARNING, "template", f"{len(lacking)} of {len(lines)} lines of the prompt template {file_name} lack [name], "
                                           f"line {number} is {what}: an update that uses only such prompts learns nothing, and on "
                                           "CUDA it ends the training; put [name] into them")


def _names(text: str, case: Case) -> bool:
    """As the text encoder reads it, which knows no capitals."""
    return case.name.lower() in text.lower()


def _captions(case: Case) -> list[str]:
    """Those of the first few images, as the host makes them."""
    folder = case.path("data_root")
    if not folder:
        return []
    files = sorted(str(file) for file in islice(Path(folder).iterdir(), MANY_FILES) if file.suffix.lower() != ".txt")
    return [caption_of(case.host, file) for file in files if is_image(file, case.host.read_image)]


def caption_of(host: Host, image: str) -> str:
    """The text of the .txt file beside an image, else what the host makes of its name; empty where it cannot be read."""
    beside = caption_path(image)
    if os.path.exists(beside):  # noqa: PTH110 as the host asks
        return "" if _is_fatal(beside) else Path(beside).read_text(encoding="utf-8")
    words = _LEADING_NUMBER.sub("", Path(caption_path(image)).stem)
    options = getattr(host.shared, "opts", None)
    pattern = getattr(options, "dataset_filename_word_regex", "")
    if not pattern:
        return words
    return (getattr(options, "dataset_filename_join_string", "") or "").join(re.findall(pattern, words))


def caption_path(image: str) -> str:
    return f"{os.path.splitext(image)[0]}.txt"  # noqa: PTH122 with_suffix() differs for names with odd dots


def _is_fatal(caption: str) -> bool:
    trouble = caption_trouble(caption)
    return trouble is not None and trouble.fatal


# The folder -----------------------------------------------------------------------------------


def data_files(case: Case) -> Iterator[Finding]:
    """Captions that the host cannot read or reads otherwise than they were written, and what it would wait on for ever."""
    folder = case.path("data_root")
    if not folder:
        return
    with os.scandir(folder) as entries:
        names = sorted(entries, key=lambda entry: entry.name)
    yield from (_of_pipe(entry) for entry in names if is_pipe(entry.path, entry))
    beside: dict[str, list[str]] = {}
    for entry in names:
        if not entry.name.lower().endswith(".txt"):
            beside.setdefault(caption_path(entry.path), []).append(entry.path)
    yield from _of_captions(case.host, beside)


def _of_pipe(entry: os.DirEntry[str]) -> Finding:
    return Finding(ERROR, "data_root", f"{entry.name!r} in the data set directory is a pipe (FIFO), on which the WebUI would wait "
                                       "forever: remove it from the folder")


def is_pipe(path: str, entry: os.DirEntry[str] | None = None) -> bool:
    """Whether opening a path may wait for ever; what cannot be looked at is not a pipe."""
    try:
        if entry is not None and not entry.is_symlink() and (entry.is_file() or entry.is_dir()):
            return False  # known without asking the disk
        return stat.S_ISFIFO(os.stat(path).st_mode)  # noqa: PTH116 beside scandir
    except OSError:
        return False


def _of_captions(host: Host, beside: dict[str, list[str]]) -> Iterator[Finding]:
    """One finding for each kind of trouble: the first such caption, and how many more there are."""
    troubled: dict[Trouble, list[str]] = {}
    for caption, images in beside.items():
        trouble = caption_trouble(caption) if os.path.exists(caption) and not is_pipe(caption) else None  # noqa: PTH110
        if trouble is not None and any(is_image(image, host.read_image) for image in images):
            troubled.setdefault(trouble, []).append(Path(caption).name)
        if sum(map(len, troubled.values())) == MOST_TROUBLED:
            break
    for trouble, captions in troubled.items():
        more = f" (and {len(captions) - 1} more captions like it)" if len(captions) > 1 else ""
        yield Finding(ERROR if trouble.fatal else WARNING, "captions", f"the caption {captions[0]!r} {trouble.what}{more}")


def data_trouble(host: Host | NoTraining, folder: str) -> str:
    """Why a folder is not a data set; empty where it has an image."""
    try:
        count = count_images(folder, None if isinstance(host, NoTraining) else host.read_image, 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        return f"the data set directory {str(folder)!r} cannot be read: {why}{path_hint(str(folder))}"
    if count:
        return ""
    return f"no file in {str(folder)!r} can be read as an image; captions (.txt) beside images do not count"


def path_hint(folder: str) -> str:
    """What about a path that leads nowhere was probably not meant: the WebUI takes every character as part of the name."""
    bare = folder.strip()
    if bare != bare.strip(_QUOTES):
        return f"; leave out the quotes: {bare.strip(_QUOTES).strip()}"
    if bare != folder:
        return "; there is a blank at its start or end, which counts as part of the name: delete it"
    if bare.startswith("file:"):
        return "; write the path without file://"
    # What they stand for is not said: whoever may ask could read the environment.
    return "; ~ and variables are not replaced: write the whole path" if bare.startswith("~") or _VARIABLE.search(bare) else ""
