"""kill -9 at random moments, many of them in the middle of a save: nothing that was good is lost, and at most the
updates since the last autosave have to be made again.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import struct
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from practice_rig import NAME, both_kinds, same_bits, weights  # noqa: E402
from training_steps import folder_of  # noqa: E402

from lib_lrsched.practice import files as pt_files  # noqa: E402
from lib_lrsched.practice import sd_hijack, shared, textual_inversion  # noqa: E402
from lib_lrsched.snapshot import snapshot  # noqa: E402

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

EVERY = 2
LONGEST_S = 0.02


def die_at_call(number: int) -> None:
    """The process is killed as it makes its so-manyth call among those that make a file durable or give it its name."""
    calls = 0

    def counted(original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        return call

    for name in ("fsync", "link", "unlink", "ftruncate"):
        setattr(os, name, counted(getattr(os, name)))
    for name in ("replace", "unlink", "rename"):
        setattr(Path, name, counted(getattr(Path, name)))
    snapshot.save_file = counted(snapshot.save_file)
    pt_files.save_pt = counted(pt_files.save_pt)


def child(ground: Any, kind: str, steps: int, progress: mmap.mmap, deadly_call: int | None) -> None:
    """Trains, and leaves behind how many updates it has reported."""
    original = textual_inversion.write_loss

    def write_loss(log_directory: Any, filename: Any, step: int, epoch_len: int, values: Any) -> Any:
        answer = original(log_directory, filename, step, epoch_len, values)
        progress[:8] = struct.pack("q", step)
        return answer

    textual_inversion.write_loss = write_loss
    if deadly_call is not None:
        die_at_call(deadly_call)
    try:
        ground.train(kind, "0.005", steps, copies_every=3, shuffle_tags=True)
        os._exit(0)
    except BaseException:
        os._exit(70)


def wait_for(progress: mmap.mmap, step: int, process: int) -> None:
    """Until the child has reported that update, or is gone; it is not waited for, so that a kill finds its remains."""
    while struct.unpack("q", progress[:8])[0] < step:
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        time.sleep(0.001)


def good_snapshots(ground: Any) -> list[int]:
    """The steps of the snapshots, newest first; one that cannot be read fails the test."""
    paths = sorted(ground.state_dir.glob("runs/*/bundles/*.safetensors"), reverse=True)
    assert len({path.parent for path in paths}) <= 1, "the run was not known again"
    return [snapshot.read(path).facts.step for path in paths]


@both_kinds
@pytest.mark.parametrize("kills", [8, pytest.param(100, marks=pytest.mark.long)])
def test_a_kill_loses_at_most_the_updates_since_the_last_autosave_and_no_good_file(ground, kind, kills):
    shared.opts.save_optimizer_state = True
    ground.train(kind, "0.005", 2, name="warm", copies_every=9)  # what torch loads with its first optimizer is loaded once
    for path in folder_of(kind).iterdir():
        path.unlink()
    ground.install(autosave_every=EVERY)
    chance = random.Random(7)
    ground.create(kind, NAME)
    main = folder_of(kind) / f"{NAME}.pt"
    progress = mmap.mmap(-1, 8)
    reached, ends, inside = 0, {0: 0, -signal.SIGKILL: 0}, 0
    for _ in range(kills):
        before = pt_files.load_pt(str(main))["step"]
        deadly_call = chance.randrange(1, 60) if chance.random() < 0.6 else None
        progress[:8] = struct.pack("q", 0)
        steps = reached + chance.randrange(2, 16)
        began_ns = time.time_ns() - 10**8
        process = os.fork()
        if process == 0:
            child(ground, kind, steps, progress, deadly_call)
        if deadly_call is None:
            wait_for(progress, reached + chance.randrange(0, 12), process)
            time.sleep(chance.uniform(0.0, LONGEST_S))
            os.kill(process, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        ends[status] += 1
        inside += deadly_call is not None and status != 0
        (told,) = struct.unpack("q", progress[:8])
        if told:
            newest, *older = good_snapshots(ground) or [0]
            assert told - newest < EVERY, "an update that was reported lies an autosave or more behind the newest snapshot"
            assert newest >= reached, "what was saved before is gone"
            # A kill before the oldest is deleted leaves one more; the next save takes it away.
            assert len(older) < snapshot.KEPT + 2
            reached = newest
        after = pt_files.load_pt(str(main))["step"]
        assert after >= before, "the host's own file has gone back"
        for copy in ground.log.rglob("*.pt"):
            if copy.stat().st_mtime_ns > began_ns:
                pt_files.load_pt(str(copy))
        sd_hijack.model_hijack.embedding_db.load_textual_inversion_embeddings(force_reload=True)
        assert list(sd_hijack.model_hijack.embedding_db.word_embeddings) == ([NAME] if kind == "embedding" else [])
        shared.reload_hypernetworks()
    assert ends[-signal.SIGKILL] > kills // 2
    assert inside > kills // 4
    assert reached > kills
    trained = ground.train(kind, "0.005", reached + 3, shuffle_tags=True)
    ground.create(kind, "whole")
    whole = ground.train(kind, "0.005", reached + 3, name="whole", shuffle_tags=True)
    assert same_bits(weights(trained), weights(whole))
