"""Who trains what: one training at a time of an embedding or hypernetwork, among all processes that share a state folder.

    ROOT/locks/KIND-NAME-HASH.lock    held from the check of the inputs until the training function has returned

The file says who trains and since when. What excludes is the system's lock on it, which is gone with its process however
that ends. Where a file system has no locks, the process that the file names decides.
"""

from __future__ import annotations

import atexit
import errno
import gc
import hashlib
import json
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

from lib_lrsched.errors import ConflictError

from . import process
from .atomic_files import write_all

LOOK_EVERY_S = 0.5
"""A claim is released at most this long after its training function has returned without releasing it."""

_LOOKS = 5
_TRIES = 100
_TRIES_TO_READ = 20
_PAUSE_S = 0.01
_HELD = {errno.EAGAIN, errno.EWOULDBLOCK} if os.name == "posix" else {errno.EACCES, errno.EDEADLK}
_LOCKED_BYTE = 1 << 30  # far behind the text: Windows keeps others from reading what is locked

_lock = threading.RLock()
_looking = threading.RLock()
_held: dict[tuple[str, str, str], Claim] = {}


class Call(NamedTuple):
    """A call of a function, known by its thread and its code. A reference to its frame would keep all its tensors alive."""

    thread: int
    code: CodeType

    @classmethod
    def of(cls, frame: FrameType) -> Call:
        """The call that a frame of this thread belongs to."""
        return cls(threading.get_ident(), frame.f_code)

    @property
    def is_running(self) -> bool:
        """Whether it has not returned yet. A thread may live on and serve other requests; its stack tells."""
        for _ in range(_LOOKS):
            try:
                return self._is_on_the_stack()
            except AttributeError:  # noqa: PERF203 CPython 3.11: the thread has run on, and what was a frame is another object now
                continue
        return True  # a stack that changes all the time is one of a thread that runs; who asks asks again

    def _is_on_the_stack(self) -> bool:
        with _no_garbage_collection():
            frame = sys._current_frames().get(self.thread)  # noqa: SLF001 documented, for debuggers
            while frame is not None:
                if frame.f_code is self.code:
                    return True
                frame = frame.f_back
            return False


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """For a look at another thread's stack, one at a time.

    CPython 3.11 makes the object of a frame when somebody asks for it. A collection at that moment lets the other thread run
    on, and what is then written into its frame, which is gone, ends the process with a segmentation fault.
    """
    with _looking:
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if was_enabled:
                gc.enable()


class Holder(NamedTuple):
    """Who trains: process and its mark, since when (unix seconds), the stored run that it resumes or empty."""

    pid: int
    process: str
    since_s: float
    run: str = ""


class Claim:
    """The only training of one name. `trouble` says why other processes do not see it, where they do not.

    `release` may be called twice; the claim is released by itself when the call has returned.
    """

    def __init__(self, key: tuple[str, str, str], call: Call) -> None:
        self.call = call
        self.holder = Holder(*process.own(), time.time())
        self.trouble = ""
        self._key = key
        self._path = _path(*key)
        self._fd: int | None = None
        self._made: list[Path] = []
        self._is_released = threading.Event()

    def resumes(self, run_id: str) -> None:
        """Others may know which stored run is about to be resumed."""
        self.holder = self.holder._replace(run=run_id)
        self._describe()

    def release(self) -> None:
        """Lets others train it."""
        with _lock:
            if self._is_released.is_set() or self.holder.pid != os.getpid():
                return
            self._is_released.set()
            if _held.get(self._key) is self:
                del _held[self._key]
            if self._fd is not None:
                _drop(self._path, self._fd)
            for folder in self._made:
                with suppress(OSError):
                    folder.rmdir()

    def _acquire(self) -> None:
        """
        Raises:
            ConflictError: another process holds it.
        """
        try:
            self._fd = self._opened()
        except OSError as error:  # a folder that cannot be written must not keep anybody from training
            what = "another process could train the same embedding or hypernetwork"
            self.trouble = f"{self._path}: cannot be locked, {what}: {error.strerror or error}"
            return
        self._describe()

    def _opened(self) -> int:
        failed = OSError(errno.EAGAIN, "the lock file keeps changing")
        for _ in range(_TRIES):
            try:
                self._make_folders()
                fd = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            except (FileNotFoundError, FileExistsError) as error:
                if any(_is_in_the_way(folder) for folder in self._folders):
                    raise
                failed = error  # another process has just let go of the folder, also between two calls of one mkdir
                continue
            except PermissionError:
                if os.name == "posix":
                    raise
                time.sleep(_PAUSE_S)  # so Windows says that it is being deleted
                continue
            try:
                self._exclude(fd)
                if _is_still(fd, self._path):
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)  # whoever held it has deleted it meanwhile
        raise failed

    def _exclude(self, fd: int) -> None:
        try:
            _lock_file(fd)
        except OSError as error:
            there = _read_soon(self._path) if error.errno in _HELD else _read(self._path)
            if error.errno in _HELD or (there is not None and _is_other(there)):
                raise ConflictError(_refusal(*self._key[1:], there)) from error

    @property
    def _folders(self) -> tuple[Path, Path]:
        return self._path.parent, self._path.parent.parent

    def _make_folders(self) -> None:
        for folder in self._folders:
            if not folder.exists() and folder not in self._made:
                self._made.append(folder)
        self._path.parent.mkdir(parents=True, exist_ok=True)

    def _describe(self) -> None:
        if self._fd is None:
            return
        text = json.dumps(self.holder._asdict()).encode()
        with suppress(OSError):  # on a full disk it excludes all the same, and only does not say whom
            os.lseek(self._fd, 0, os.SEEK_SET)
            write_all(self._fd, text)
            os.ftruncate(self._fd, len(text))

    def watch(self) -> None:
        """From now on it is released when the call has returned, also where that says nothing."""
        threading.Thread(target=self._watch, name="lrsched-claim", daemon=True).start()

    def _watch(self) -> None:
        while not self._is_released.wait(LOOK_EVERY_S):
            if not self.call.is_running:
                self.release()


def take(root: Path, kind: str, name: str, call: Call) -> Claim:
    """The claim on a name, for as long as the call runs. A thread that has it already keeps it, for the new call.

    Raises:
        ConflictError: it is being trained; says by whom and since when. Nothing was changed.
    """
    key = _key(root, kind, name)
    with _lock:
        there = _held.get(key)
        if there is not None and there.holder.pid == os.getpid():
            if there.call.thread == call.thread:
                there.call = call
                return there
            if there.call.is_running:
                raise ConflictError(_refusal(kind, name, there.holder))
            there.release()
        claim = Claim(key, call)
        claim._acquire()  # noqa: SLF001 the same file
        _held[key] = claim
    claim.watch()
    return claim


@atexit.register
def _release_all() -> None:
    """A process that ends in between, as the command line that refuses an input, leaves no file behind."""
    for claim in list(_held.values()):
        claim.release()


def holder(root: Path, kind: str, name: str) -> Holder | None:
    """Who trains it now, or prepares to; None where nobody does."""
    key = _key(root, kind, name)
    with _lock:
        own = _held.get(key)
        if own is not None and own.holder.pid == os.getpid():
            return own.holder if own.call.is_running else None
    there = _read(_path(*key))
    return there if there is not None and _is_other(there) else None


def _key(root: Path, kind: str, name: str) -> tuple[str, str, str]:
    # Where the system takes Mine and mine for one file, they are one thing.
    return os.path.realpath(root), kind, os.path.normcase(name)


def _path(root: str, kind: str, name: str) -> Path:
    """Of any name a file name that every system takes."""
    readable = "".join(c if c.isascii() and c.isalnum() else "-" for c in name)[:40]
    return Path(root) / "locks" / f"{kind}-{readable}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:12]}.lock"


def _is_other(there: Holder) -> bool:
    return there.pid != os.getpid() and process.alive(there.pid, there.process, there.since_s)


def _refusal(kind: str, name: str, there: Holder | None) -> str:
    if there is None:
        who = "another process"
    else:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(there.since_s))
        who = f"{'this' if there.pid == os.getpid() else 'another'} process, {there.pid}, since {since}"
    return f"the {kind} {name!r} is being trained by {who}: wait until that has ended, or stop it; nothing was changed"


def _read(path: Path) -> Holder | None:
    """What a lock file says; None where there is none, or where it is being written at this moment."""
    try:
        found = json.loads(path.read_bytes())
        there = Holder(**found)
        is_right = type(there.pid) is int and isinstance(there.process, str) and 0 <= there.since_s < 1e11
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return there if is_right and isinstance(there.run, str) else None


def _read_soon(path: Path) -> Holder | None:
    """What a lock file says whose holder may have locked it just now and writes its name next."""
    for _ in range(_TRIES_TO_READ):
        there = _read(path)
        if there is not None:
            return there
        time.sleep(_PAUSE_S)
    return None


def _is_still(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _is_in_the_way(path: Path) -> bool:
    """Whether something that is no folder stands where a folder has to be. One look: the folder may come and go meanwhile."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    return not path.is_dir() if stat.S_ISLNK(mode) else not stat.S_ISDIR(mode)


def _drop(path: Path, fd: int) -> None:
    if os.name == "posix":  # deleted while it is locked: nobody can lock it in between and be deleted
        with suppress(OSError):
            path.unlink()
        os.close(fd)
        return
    os.close(fd)
    with suppress(OSError):  # somebody else has it open by now, and it is theirs
        path.unlink()


def _lock_file(fd: int) -> None:
    """
    Raises:
        OSError: another process has it locked (_HELD), or this file system has no locks.
    """
    if os.name == "posix":
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt

    os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
    msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
