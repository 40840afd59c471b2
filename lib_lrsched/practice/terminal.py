"""What a front end in a terminal adds to a training: signals that stop it between two updates, and its progress."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

from lib_lrsched import console
from lib_lrsched.practice import shared

LINE_EVERY_S = 0.25
"""Where the output is not a terminal, a line with k/N comes at least this often."""

STOPPING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """A signal to stop, such as Ctrl-C, interrupts the training between two updates; a second one ends it where it is.

    Where nothing is being trained yet, or any more, the first one raises KeyboardInterrupt.
    """

    def stop(*_: object) -> None:
        if not shared.state.job or shared.state.interrupted:
            raise KeyboardInterrupt
        shared.state.interrupt()

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # only there can signals be handled
        numbers = (getattr(signal, name) for name in STOPPING if hasattr(signal, name))
        heeded = [number for number in numbers if signal.getsignal(number) not in (signal.SIG_IGN, None)]  # nohup ignores some
        before = {number: signal.signal(number, stop) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def progress(steps: int, stream: console.Guarded) -> Iterator[None]:
    """Show the host's job as a bar, or as lines where ``stream`` is not a terminal, from a thread of its own."""
    done = threading.Event()

    def follow() -> None:
        bar = console.bar(total=steps, unit="update", stream=stream) if stream.isatty() else None
        started, ended = time.monotonic(), False
        while not ended:
            ended = done.wait(0.1 if bar is not None else LINE_EVERY_S)
            k = min(int(shared.state.job_no or 0), steps)
            if bar is not None:
                bar.update(k - bar.n)
            else:
                console.line(f"{k}/{steps}  {time.monotonic() - started:.1f} s", stream)
        if bar is not None:
            bar.close()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
