"""What is found of a training's files before it starts, and that the practice host's data set fails or works on the same ones."""

from __future__ import annotations

import locale
import os
from pathlib import Path
from typing import Any

import practice_rig
import pytest
from practice_rig import NAME, both_kinds
from preflight_steps import found, only, write_template

from lib_lrsched.host import _preflight_data as preflight_data
from lib_lrsched.host import _text_files as text_files
from lib_lrsched.host import input_checks, preflight
from lib_lrsched.host.images import count_images
from lib_lrsched.host.input_checks import InputError
from lib_lrsched.practice import dataset, shared


def captioned(ground: Any, data: bytes) -> Path:
    """The caption of the first image, with these bytes."""
    image = min(ground.data.glob("*.png"))
    caption = image.with_suffix(".txt")
    caption.write_bytes(data)
    return caption


def host_reads(ground: Any, template: Path | None = None) -> list[str]:
    """The captions that the practice host's data set ends up with; raises as it does."""
    if template is None:
        template = ground.root / "template.txt"
        template.write_text("a [name]\n")
    model = practice_rig.small_model()
    folder, file = str(ground.data), str(template)
    made = dataset.PersonalizedBase(data_root=folder, width=8, height=8, repeats=1, model=model, template_file=file)
    return [entry.filename_text for entry in made.dataset]


def start(ground: Any, kind: str = "embedding", template: str = "subject_filewords.txt") -> Any:
    ground.create(kind)
    at = ground.host()
    file = at.ti.textual_inversion_templates.get(template) or at.ti.list_textual_inversion_templates()[template]
    inputs = {"model_name": NAME, "name": kind, "learn_rate": "0.001", "data_root": str(ground.data), "steps": 5, "batch_size": 1,
              "gradient_step": 1, "template_file": file, "template_filename": template}
    return input_checks.check_inputs(at, inputs, {})


# Captions -------------------------------------------------------------------------------------

NOT_UTF8 = [
    ("eine schöne Blume".encode("utf-16"), "UTF-16"), ("eine schöne Blume".encode("cp1252"), "Windows-1252 or Latin-1"),
    ("赤い花、白い花".encode("shift_jis"), "Shift-JIS"), ("赤い花、白い花".encode("euc_jp"), "EUC-JP"),
    ("a red flower".encode("utf-32"), "UTF-32"),
]


@pytest.mark.parametrize(("data", "likely"), NOT_UTF8, ids=[row[1] for row in NOT_UTF8])
def test_error_a_caption_that_is_not_utf_8(ground, data, likely):
    caption = captioned(ground, data)
    severity, message = only(ground.host(), data_root=str(ground.data))
    assert severity == "error"
    assert message == (f"the caption {caption.name!r} is not UTF-8 (likely {likely}), and the WebUI reads captions as UTF-8: "
                       "save it as UTF-8")
    with pytest.raises(UnicodeDecodeError):
        host_reads(ground)
    for kind in ("embedding", "hypernetwork"):
        with pytest.raises(InputError) as caught:
            start(ground, kind)
        assert str(caught.value) == message


@pytest.mark.parametrize(("data", "what"), [
    ("a red thing".encode("utf-8-sig"),
     "starts with a byte order mark, which becomes part of the prompt: save it as UTF-8 without BOM"),
    ("a red thing".encode("utf-16-le"), "has NUL characters (likely UTF-16), which become part of the prompt: save it as UTF-8"),
])
def test_a_caption_that_is_read_otherwise_than_it_was_meant_is_a_warning(ground, data, what):
    caption = captioned(ground, data)
    assert only(ground.host(), data_root=str(ground.data)) == ("warning", f"the caption {caption.name!r} {what}")
    assert data.decode() in host_reads(ground), "the host takes it as it is"
    assert any(what in warning for warning in start(ground)[1])


def test_error_a_folder_in_the_place_of_a_caption(ground):
    caption = captioned(ground, b"")
    caption.unlink()
    caption.mkdir()
    severity, message = only(ground.host(), data_root=str(ground.data))
    assert severity == "error"
    assert message == f"the caption {caption.name!r} is a folder, which the WebUI opens as a caption: give it another name"
    with pytest.raises(IsADirectoryError):
        host_reads(ground)


def test_error_a_byte_that_is_no_utf_8_far_behind_the_start_of_a_caption(ground):
    caption = captioned(ground, b"x" * 1_200_000 + b"\xe9")
    severity, message = only(ground.host(), data_root=str(ground.data))
    assert severity == "error"
    assert message.startswith(f"the caption {caption.name!r} is not UTF-8 (likely Windows-1252 or Latin-1), and")
    with pytest.raises(UnicodeDecodeError):
        host_reads(ground)


@pytest.mark.parametrize(("text", "encoding", "likely"), [
    ("红色的花", "gb18030", ""), ("一张照片，女孩", "gb18030", ""), ("蓝天", "gb18030", ""), ("写真", "euc_jp", ""),
    ("赤い花", "euc_jp", "EUC-JP"), ("写真、猫", "shift_jis", "Shift-JIS"), ("schön, café", "cp1252", "Windows-1252 or Latin-1"),
])
def test_an_encoding_is_called_likely_only_where_the_bytes_tell(text, encoding, likely):
    assert text_files.likely_encoding(text.encode(encoding)) == likely


def test_error_several_captions_of_a_kind_are_one_finding(ground):
    for image in ground.data.glob("*.png"):
        image.with_suffix(".txt").write_bytes("schön".encode("cp1252"))
    assert only(ground.host(), data_root=str(ground.data))[1].endswith("save it as UTF-8 (and 4 more captions like it)")


@pytest.mark.parametrize("text", ["", "赤い花, schön, \U0001f338", "a\u200bb", "x" * (text_files.MOST_BYTES - 1) + "ü"])
def test_captions_that_the_host_reads_are_not_refused(ground, text):
    captioned(ground, text.encode())
    assert found(ground.host(), data_root=str(ground.data)) == []
    assert text in host_reads(ground)


def test_only_captions_of_images_are_looked_at(ground):
    """Else the answer would tell of any text file of any folder, word by word."""
    (ground.data / "secret.conf").write_text("x")
    (ground.data / "secret.txt").write_bytes("password: hunter2, schön".encode("cp1252"))
    (ground.data / "alone.txt").write_bytes(b"\xff\xff")
    assert found(ground.host(), data_root=str(ground.data)) == []
    (ground.data / "secret.txt").write_text("password: hunter2")
    name = write_template(ground, "[filewords]\n")
    for word in ("hunter2", "secret", "absent"):
        severity, message = only(ground.host(), "embedding", word, template_filename=name, data_root=str(ground.data))
        assert severity == "error"
        assert message == (f"no line of the prompt template own.txt has [name] in it, so no prompt names {word!r} and nothing "
                           "would be learned: choose another, such as subject_filewords.txt")


@pytest.mark.parametrize("name", ["1 red.png", "12-34 red.png", "a.b.png", ".png", "a.", "no suffix", "1.PNG"])
def test_captions_and_names_are_those_of_the_host(ground, monkeypatch, name):
    for path in ground.data.iterdir():
        path.unlink()
    practice_rig.draw_images(ground.data, 1)
    (image,) = ground.data.glob("*.png")
    image = image.rename(ground.data / name)
    for path in ground.data.glob("*.txt"):
        path.unlink()
    assert [preflight_data.caption_of(ground.host(), str(image))] == host_reads(ground)
    monkeypatch.setattr(shared.opts, "dataset_filename_word_regex", r"[a-z]+")
    monkeypatch.setattr(shared.opts, "dataset_filename_join_string", "+")
    assert [preflight_data.caption_of(ground.host(), str(image))] == host_reads(ground)
    Path(os.path.splitext(image)[0] + ".txt").write_text("the caption")
    assert [preflight_data.caption_of(ground.host(), str(image))] == host_reads(ground) == ["the caption"]


# Templates ------------------------------------------------------------------------------------


def template_bytes(ground: Any, data: bytes) -> str:
    name = write_template(ground, "")
    (Path(shared.cmd_opts.textual_inversion_templates_dir) / name).write_bytes(data)
    return name


@both_kinds
def test_error_a_template_that_is_empty(ground, kind):
    name = template_bytes(ground, b"")
    severity, message = only(ground.host(), kind, template_filename=name)
    assert severity == "error"
    assert message == ("the prompt template own.txt is empty, and each image needs a prompt from it: write a line such as "
                       "a photo of [name]")
    with pytest.raises(InputError, match="is empty, and each image"):
        start(ground, kind, name)
    with pytest.raises(IndexError):
        host_reads(ground, Path(shared.cmd_opts.textual_inversion_templates_dir) / name)


@both_kinds
def test_error_a_template_in_another_encoding_than_the_locales(ground, kind):
    encoding = locale.getpreferredencoding(False)
    assert encoding.lower().replace("-", "") == "utf8", "the tests run where templates are UTF-8"
    name = template_bytes(ground, "ein schönes [name]\n".encode("latin-1"))
    severity, message = only(ground.host(), kind, template_filename=name)
    assert severity == "error"
    assert message == ("the prompt template own.txt cannot be read as utf-8 (likely Windows-1252 or Latin-1), which is how the "
                       "WebUI reads templates here: save it as utf-8")
    with pytest.raises(UnicodeDecodeError):
        host_reads(ground, Path(shared.cmd_opts.textual_inversion_templates_dir) / name)


def test_error_a_template_that_is_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "f.txt")
    lines, trouble = preflight_data.template_lines(str(tmp_path / "f.txt"))
    assert lines == []
    assert trouble == (True, "is a pipe (FIFO), on which the WebUI would wait forever: put a text file in its place")


def test_a_template_with_a_byte_order_mark(ground):
    name = template_bytes(ground, "[name]\n".encode("utf-8-sig"))
    severity, message = only(ground.host(), template_filename=name)
    assert (severity, message.partition(", ")[0]) == ("warning", "the prompt template own.txt starts with a byte order mark")


def test_a_template_is_read_in_the_encoding_of_the_locale(ground, monkeypatch):
    """On Windows that is no UTF-8: what works there is not refused, and UTF-8 is a warning."""
    real = open

    def of_windows(path: Any, *args: Any, **kwargs: Any) -> Any:
        return real(path, *args, encoding="cp1252", **kwargs)

    monkeypatch.setattr(preflight_data, "open", of_windows, raising=False)
    name = template_bytes(ground, "ein schönes [name]\n".encode("cp1252"))
    assert found(ground.host(), template_filename=name) == []
    template_bytes(ground, "ein schönes [name]\n".encode())
    severity, message = only(ground.host(), template_filename=name)
    assert severity == "warning"
    assert message.startswith("the prompt template own.txt is UTF-8, but the WebUI reads templates as cp1252 here")


def test_lines_of_a_template_are_those_that_the_host_counts(ground):
    """str.splitlines() also breaks at a form feed and at U+2028, where the host does not."""
    name = template_bytes(ground, "[name] a\u2028b\x0cc\n".encode())
    assert found(ground.host(), template_filename=name) == []


# Paths ----------------------------------------------------------------------------------------

NO_SUCH = "cannot be read: No such file or directory"


@pytest.mark.parametrize(("written", "hint"), [
    ("{} ", "there is a blank at its start or end, which counts as part of the name: delete it"),
    ("\t{}", "there is a blank at its start or end, which counts as part of the name: delete it"),
    ('"{}"', "leave out the quotes: {}"), ("'{}' ", "leave out the quotes: {}"), ("\u201c{}\u201d", "leave out the quotes: {}"),
    ("file://{}", "write the path without file://"),
])
def test_error_a_path_with_what_is_no_part_of_it(ground, written, hint):
    path = written.format(ground.data)
    severity, message = only(ground.host(), data_root=path)
    assert severity == "error"
    assert message == f"the data set directory {path!r} {NO_SUCH}; {hint.format(ground.data)}"


@pytest.mark.parametrize("path", ["~/images", "$HOME", "%USERPROFILE%\\images"])
def test_error_a_path_with_a_variable_does_not_tell_what_it_stands_for(ground, path):
    message = only(ground.host(), data_root=path)[1]
    assert message.endswith("; ~ and variables are not replaced: write the whole path")
    assert str(Path.home()) not in message


def test_error_a_windows_path_in_quotes(ground):
    message = only(ground.host(), data_root='"C:\\my images"')[1]
    assert message.endswith("; leave out the quotes: C:\\my images")


def test_a_folder_whose_name_ends_with_a_blank_works(ground):
    folder = ground.data.rename(ground.root / "images ")
    assert found(ground.host(), data_root=str(folder)) == []
    assert only(ground.host(), data_root=f"{ground.root}/images")[0] == "error"


def test_error_a_path_with_a_nul(ground):
    assert only(ground.host(), data_root="/a\x00b")[0] == "error"


def test_a_log_directory_that_would_be_made_with_a_blank_or_quotes_is_a_warning(ground):
    path = f"{ground.root}/new "
    severity, message = only(ground.host(), log_directory=path)
    assert severity == "warning"
    assert message.startswith(f"the log directory {path!r} will be created; there is a blank at its start or end")
    Path(path).mkdir()
    assert found(ground.host(), log_directory=path) == []


# Files that are none --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["aaa.png", "zzz.png"])
def test_a_link_that_leads_in_a_circle_is_skipped_as_the_host_skips_it(ground, name):
    (ground.data / name).symlink_to(ground.data / name)
    assert count_images(ground.data) == 5
    assert found(ground.host(), data_root=str(ground.data)) == []
    assert len(host_reads(ground)) == 5


@pytest.mark.parametrize("name", ["aaa.png", "zzz.txt", "link.png"])
def test_error_a_pipe_in_the_folder(ground, name):
    os.mkfifo(ground.root / "pipe")
    if name.startswith("link"):
        (ground.data / name).symlink_to(ground.root / "pipe")
    else:
        (ground.root / "pipe").rename(ground.data / name)
    assert count_images(ground.data) == 5, "it is not opened"
    severity, message = only(ground.host(), data_root=str(ground.data))
    assert severity == "error"
    assert message == (f"{name!r} in the data set directory is a pipe (FIFO), on which the WebUI would wait forever: "
                       "remove it from the folder")
    with pytest.raises(InputError, match="is a pipe"):
        start(ground)
    assert len(host_reads(ground)) == 5, "the practice host does not wait for it"


def test_error_a_pipe_in_the_place_of_a_caption(ground):
    caption = captioned(ground, b"")
    caption.unlink()
    os.mkfifo(caption)
    severity, message = only(ground.host(), data_root=str(ground.data))
    assert (severity, message.partition(" in ")[0]) == ("error", repr(caption.name))


def test_a_device_in_the_place_of_a_caption_works_as_in_the_host(ground):
    caption = captioned(ground, b"")
    caption.unlink()
    caption.symlink_to("/dev/null")
    assert found(ground.host(), data_root=str(ground.data)) == []
    assert "" in host_reads(ground)


def test_looking_again_reads_no_caption_again(ground, monkeypatch):
    """The page asks every five seconds."""
    assert found(ground.host(), data_root=str(ground.data)) == []
    captioned(ground, b"new")
    assert preflight.findings(ground.host(), "embedding", NAME, {"data_root": str(ground.data)}) == []
    monkeypatch.setattr(text_files, "_caption_trouble", None)
    assert preflight.findings(ground.host(), "embedding", NAME, {"data_root": str(ground.data)}) == []
