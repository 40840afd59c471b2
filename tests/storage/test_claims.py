"""One training at a time of one embedding or hypernetwork, whichever process it is in; and none is kept out by a dead one."""

from __future__ import annotations

import errno
import gc
import inspect
import os
import random
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from lib_lrsched.errors import ConflictError
from lib_lrsched.storage import locks, process
from lib_lrsched.storage.locks import Call
from lib_lrsched.storage.store import Store

ROOT = Path(__file__).resolve().parents[2]


def here() -> Call:
    """The call of the test itself."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return Call.of(frame.f_back)


def lock_files(root: Path) -> list[Path]:
    return sorted((root / "locks").glob("*")) if root.exists() else []


def python(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **options)


HOLDING = """
import inspect, sys
from pathlib import Path
from lib_lrsched.storage import locks
def train():
    claim = locks.take(Path(sys.argv[1]), "embedding", sys.argv[2], locks.Call.of(inspect.currentframe()))
    print("held", flush=True)
    input()
    claim.release()
train()
"""


@pytest.fixture
def other(tmp_path: Path) -> Any:
    """Another process that trains `mine`, until it gets a line."""
    child = python(HOLDING, tmp_path, "mine")
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    yield child
    child.kill()
    for pipe in (child.stdin, child.stdout, child.stderr):
        pipe.close()
    child.wait(timeout=60)


def test_error_what_another_process_trains_says_which_and_since_when(tmp_path, other):
    with pytest.raises(ConflictError) as caught:
        locks.take(tmp_path, "embedding", "mine", here())
    there = locks.holder(tmp_path, "embedding", "mine")
    assert there is not None
    assert (there.pid, there.process) == (other.pid, process.mark(other.pid))
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(there.since_s))
    assert str(caught.value) == (
        f"the embedding 'mine' is being trained by another process, {other.pid}, since {since}: "
        "wait until that has ended, or stop it; nothing was changed"
    )
    for kind, name in (("hypernetwork", "mine"), ("embedding", "yours"), ("embedding", "mine ")):
        locks.take(tmp_path, kind, name, here()).release()


def test_it_is_free_when_the_other_has_ended_and_nothing_is_left(tmp_path, other):
    other.communicate("\n", timeout=60)
    assert lock_files(tmp_path) == []
    claim = locks.take(tmp_path, "embedding", "mine", here())
    assert locks.holder(tmp_path, "embedding", "mine") == claim.holder
    claim.release()
    claim.release()
    assert not (tmp_path / "locks").exists()
    assert locks.holder(tmp_path, "embedding", "mine") is None


def test_a_killed_process_keeps_nobody_out(tmp_path, other):
    other.kill()
    other.wait(timeout=60)
    assert len(lock_files(tmp_path)) == 1, "a kill leaves the file"
    assert locks.holder(tmp_path, "embedding", "mine") is None
    claim = locks.take(tmp_path, "embedding", "mine", here())
    assert (claim.holder.pid, claim.trouble) == (os.getpid(), "")
    claim.release()
    assert lock_files(tmp_path) == []


def test_a_process_that_ends_while_it_holds_it_leaves_no_file_and_no_folder(tmp_path):
    with python(HOLDING.replace("input()", "sys.exit()"), tmp_path / "made", "mine") as child:
        assert child.communicate(timeout=60)[0] == "held\n"
    assert list(tmp_path.iterdir()) == []


def test_only_folders_that_it_made_go_with_it(tmp_path):
    locks.take(tmp_path / "made", "embedding", "mine", here()).release()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "there").mkdir()
    locks.take(tmp_path / "there", "embedding", "mine", here()).release()
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_error_another_thread_of_this_process(tmp_path):
    claim = locks.take(tmp_path, "embedding", "mine", here())
    caught: list[Any] = []

    def second() -> None:
        try:
            locks.take(tmp_path, "embedding", "mine", here())
        except ConflictError as error:
            caught.append(str(error))

    worker = threading.Thread(target=second)
    worker.start()
    worker.join(timeout=60)
    assert f"is being trained by this process, {os.getpid()}, since 2" in caught[0]
    claim.release()


def test_a_claim_whose_function_has_returned_is_taken_over_at_once(tmp_path):
    """Its thread may live on: the WebUI's do."""
    left, end = threading.Event(), threading.Event()

    def train() -> None:
        locks.take(tmp_path, "embedding", "mine", here())

    def serve() -> None:
        train()
        left.set()
        end.wait(60)

    worker = threading.Thread(target=serve)
    worker.start()
    left.wait(60)
    assert locks.holder(tmp_path, "embedding", "mine") is None
    claim = locks.take(tmp_path, "embedding", "mine", here())
    assert locks.holder(tmp_path, "embedding", "mine") == claim.holder
    end.set()
    worker.join(60)
    claim.release()


def test_other_processes_are_let_in_when_the_function_has_left_without_a_word(tmp_path, monkeypatch):
    """An exception between two seams: nobody tells the claim."""
    monkeypatch.setattr(locks, "LOOK_EVERY_S", 0.01)

    def train() -> locks.Claim:
        claim = locks.take(tmp_path, "embedding", "mine", here())
        assert lock_files(tmp_path) != []
        return claim

    assert train()._is_released.wait(60)
    with locks._lock:  # its release has ended
        assert lock_files(tmp_path) == []


@pytest.mark.parametrize("is_enabled", [True, False])
def test_no_garbage_is_collected_during_a_look_at_the_stack_of_another_thread(monkeypatch, is_enabled):
    """CPython 3.11 crashed: a collection lets that thread run on, and its frames are gone."""
    call, frames, during = here(), sys._current_frames, []

    def current_frames() -> dict[int, FrameType]:
        during.append(gc.isenabled())
        return frames()

    monkeypatch.setattr(sys, "_current_frames", current_frames)
    looks: list[bool] = []
    worker = threading.Thread(target=lambda: looks.append(call.is_running))
    if not is_enabled:
        gc.disable()
    try:
        worker.start()
        worker.join(60)
        assert gc.isenabled() is is_enabled
    finally:
        gc.enable()
    assert (looks, during) == ([True], [False])


def test_a_function_that_reserved_it_keeps_it_through_the_training_that_it_calls(tmp_path):
    outer = locks.take(tmp_path, "embedding", "mine", here())

    def train() -> None:
        assert locks.take(tmp_path, "embedding", "mine", here()) is outer

    train()
    outer.release()


@pytest.mark.parametrize("name", ["../../x", "a/b\\c", "猫 と 犬", "x" * 500, "", "con", "a\0b", "\ud800", "mine.lock"])
def test_any_name_can_be_claimed_and_stays_in_the_folder(tmp_path, name):
    claim = locks.take(tmp_path / "state", "embedding", name, here())
    assert claim.trouble == ""
    assert [path.parent for path in tmp_path.rglob("*.lock")] == [tmp_path / "state" / "locks"]
    claim.release()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_which_nothing_can_be_made_keeps_nobody_from_training(tmp_path):
    (tmp_path / "file").write_text("")
    claim = locks.take(tmp_path / "file", "embedding", "mine", here())
    assert "cannot be locked, another process could train the same" in claim.trouble
    claim.release()


@pytest.mark.skipif(os.name != "posix", reason="flock")
def test_without_locks_in_the_file_system_the_process_that_it_names_decides(tmp_path, monkeypatch, other):
    import fcntl

    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", none)
        with pytest.raises(ConflictError, match=f"another process, {other.pid}, since"):
            locks.take(tmp_path, "embedding", "mine", here())
        other.kill()
        other.wait(timeout=60)
        claim = locks.take(tmp_path, "embedding", "mine", here())
        assert locks.holder(tmp_path, "embedding", "mine") == claim.holder
        claim.release()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1, "process": 2, "since_s": 3}', "[" * 9_999])
def test_error_a_lock_file_that_says_nothing_is_held_all_the_same(tmp_path, other, text):
    (path,) = lock_files(tmp_path)
    path.write_text(text)
    with pytest.raises(ConflictError, match="is being trained by another process: wait"):
        locks.take(tmp_path, "embedding", "mine", here())


RACING = """
import inspect, sys
from pathlib import Path
from lib_lrsched.storage import locks
from lib_lrsched.errors import ConflictError
root, inside = Path(sys.argv[1]), Path(sys.argv[2])
def train():
    try:
        claim = locks.take(root, "embedding", "mine", locks.Call.of(inspect.currentframe()))
    except ConflictError:
        return 0
    assert claim.trouble == "", claim.trouble
    inside.mkdir()  # fails where another is inside
    inside.rmdir()
    claim.release()
    return 1
input()
entered = 0
while entered < int(sys.argv[3]):
    entered += train()
"""


@pytest.mark.parametrize("entries", [100, pytest.param(1_000, marks=pytest.mark.long)])
def test_processes_that_race_for_it_are_never_two_at_once(tmp_path, entries):
    """Also while the lock file and its folder come and go."""
    children = [python(RACING, tmp_path / "state", tmp_path / "inside", entries) for _ in range(3)]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    ended = [(*child.communicate(timeout=300), child.returncode) for child in children]
    assert ended == [("", "", 0)] * 3
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


class Meddler:
    """Makes or removes the folders of the lock between any two instructions, as other processes may, up to `left` times."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.left = root, 1_000
        self.random = random.Random(seed)

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        path = Path(frame.f_code.co_filename)
        if path.name != "locks.py" and "pathlib" not in path.as_posix():
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and self.left and self.random.random() < 0.3:
            self.left -= 1
            self.meddle()
        return self

    def meddle(self) -> None:
        folder = self.root / "locks"
        if folder.exists():
            with suppress(OSError):
                folder.rmdir()
                self.root.rmdir()
        else:
            folder.mkdir(parents=True, exist_ok=True)


def test_it_is_taken_although_the_folders_come_and_go_at_any_moment(tmp_path):
    before = sys.gettrace()
    for seed in range(20):
        sys.settrace(Meddler(tmp_path / "state", seed))
        try:
            claim = locks.take(tmp_path / "state", "embedding", "mine", here())
        finally:
            sys.settrace(before)
        assert (seed, claim.trouble) == (seed, "")
        claim.release()


@pytest.mark.parametrize(("name", "target"), [
    ("state", ""), ("state/locks", ""), ("state/locks", "nothing"), ("state/locks", "file"),
])
def test_error_something_in_the_place_of_the_folder_is_said_at_once(tmp_path, name, target):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    (tmp_path / "file").touch()
    if target:
        path.symlink_to(tmp_path / target)
    else:
        path.touch()
    claim = locks.take(tmp_path / "state", "embedding", "mine", here())
    assert "cannot be locked, another process could train the same" in claim.trouble
    claim.release()


NAMING = """
import sys
from pathlib import Path
from lib_lrsched.storage.store import Store
input()
for second in range(int(sys.argv[2])):
    print(Store(Path(sys.argv[1])).new_id("embedding", "mine", float(second)))
"""


def test_processes_that_ask_at_the_same_time_get_ids_of_their_own(tmp_path):
    children = [python(NAMING, tmp_path, 200) for _ in range(3)]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    ids = [one for child in children for one in child.communicate(timeout=300)[0].split()]
    assert len(set(ids)) == len(ids) == 600
    assert Store(tmp_path).runs() == []
    assert Store(tmp_path).messages == []


# Two programs on one folder -------------------------------------------------------------------

torch = pytest.importorskip("torch")

import practice_rig  # noqa: E402  # torch is optional, see importorskip
from practice_rig import both_kinds  # noqa: E402

from lib_lrsched.cli.main import main  # noqa: E402
from lib_lrsched.host import hooks  # noqa: E402
from lib_lrsched.practice import files as pt_files  # noqa: E402

STEPS = 12


def train_at_signal(ground: Any, kind: str, text: str, starts: int, answers: int) -> None:
    """A child of this process trains as soon as a byte comes, and answers with what the user would read, or with nothing."""
    message = "left without an answer"
    try:
        os.read(starts, 1)
        ground.train(kind, text, STEPS)
        message = ""
    except BaseException as error:
        message = str(error)
    finally:
        os.write(answers, message.encode() + b"\0")
        os._exit(0)


def trial(ground: Any, kind: str, file: Path) -> list[tuple[str, str]]:
    """Two processes at once: text of the schedule and answer of each. The file is read all the time, and is never torn."""
    (starts, start), answers = os.pipe(), {}
    for text in ("0.005", "0.001"):
        mine, its = os.pipe()
        child = os.fork()
        if child == 0:
            train_at_signal(ground, kind, text, starts, its)
        os.close(its)
        answers[text] = child, mine
    os.write(start, b"gg")
    for child, _ in answers.values():
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            pt_files.load_pt(file)
    for one in (starts, start):
        os.close(one)
    said = []
    for text, (_, pipe) in answers.items():
        with os.fdopen(pipe, "rb") as stream:
            said.append((text, stream.read().rstrip(b"\0").decode()))
    return said


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@both_kinds
def test_error_what_another_process_is_in_the_middle_of_training(ground, kind):
    ground.install()
    ground.create(kind)
    (starts, start), (mine, its) = os.pipe(), os.pipe()
    os.write(start, b"g")
    seen: list[Any] = []

    def meet(update: int) -> None:
        if update == 3:
            before = ground.listing()
            child = os.fork()
            if child == 0:
                train_at_signal(ground, kind, "0.001", starts, its)
            os.waitpid(child, 0)
            seen.extend((os.read(mine, 4_000).rstrip(b"\0").decode(), ground.listing() == before))

    with practice_rig.OptimizerSpy() as spy:
        spy.at_step = meet
        ground.train(kind, "0.005", STEPS)
    for pipe in (starts, start, mine, its):
        os.close(pipe)
    message, is_unchanged = seen
    assert f"the {kind} 'mine' is being trained by another process, {os.getpid()}, since 2" in message
    assert is_unchanged
    assert (ground.run().state, len(ground.records())) == ("finished", STEPS)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@both_kinds
@pytest.mark.parametrize("trials", [3, pytest.param(100, marks=pytest.mark.long)])
def test_of_two_processes_that_train_the_same_one_does_and_the_other_says_why_not(ground, kind, trials):
    """Or they do not meet, and the second finds nothing left to train."""
    ground.install(autosave_every=3)
    ground.train(kind, "0.005", 2, name="warm")  # what torch loads with its first optimizer is loaded once
    for number in range(trials):
        ground.create(kind, overwrite=True)
        file = ground.root / f"{kind}s" / "mine.pt"
        said = trial(ground, kind, file)
        runs = [run for run in ground.runs() if run.name == "mine"]
        assert [(run.state, run.step, len(run.legs)) for run in runs] == [("finished", STEPS, 1)] * (number + 1)
        assert pt_files.load_pt(file)["step"] == STEPS
        for text, message in said:
            if message:
                assert f"the {kind} 'mine' is being trained by another process, " in message
                assert runs[0].rate_text != text
        assert lock_files(ground.state_dir) == []


def test_error_the_command_line_replaces_nothing_that_another_process_trains(tmp_path, capsys):
    root = tmp_path / "out"
    arguments = ["train", "--kind", "embedding", "--name", "mine", "--lr", "0.005", "--out", str(root), "--json"]
    try:
        assert main([*arguments, "--steps", "2"]) == 0
        file = root / "embeddings" / "mine.pt"
        before = file.read_bytes()
        child = python(HOLDING, root / "lrsched", "mine")
        with child:
            assert child.stdout is not None
            assert child.stdout.readline() == "held\n"
            assert main([*arguments, "--steps", "4", "--fresh"]) == 2
            child.kill()
    finally:
        hooks.uninstall()
    assert "is being trained by another process, " in capsys.readouterr().out.splitlines()[-1]
    assert file.read_bytes() == before
