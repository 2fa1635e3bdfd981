"""Signals by which a command is asked to stop: Ctrl-C, SIGTERM (a system that shuts down), SIGHUP (a closed terminal).

Python's own answer to Ctrl-C, an exception out of whatever line is being run, is lost where a library swallows it, and
may end a library that did not expect it. Nothing that iwax writes is ever half-written, so a command ends there and
then, with one line. Only where work would be lost does it wait: training goes on to the end of its chunk of steps and
writes a checkpoint (`finishing`). A second signal does not wait.

Python answers in its main thread alone, once that comes back to Python: not while XLA compiles for a minute, and not
out of a wait for a lock, where another thread took the signal. A thread that watches answers in its place (`_watched`).

In Python, as in a notebook, nothing of this happens: there the handlers are the caller's.
"""

import contextlib
import functools
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["HOW_TO_GO_ON", "Interrupted", "asked", "finishing", "handled", "raising"]

GRACE = 0.2  # seconds that the main thread has to answer, which it does at once unless it is in a library or a lock
HOW_TO_GO_ON = "interrupted; `iwax train --resume RUN` goes on with training, the same command with whatever else."
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to stop, and what had to be written is written.

    Attributes:
        signum: of the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class _State:
    """What was asked for, and what is under way; of the process, as signals are."""

    asked: int | None = None
    finishing = 0
    raising = 0
    watched = 0


def asked() -> bool:
    """Whether a signal waits for what is under way to be written."""
    return _State.asked is not None


@contextlib.contextmanager
def finishing() -> Iterator[None]:
    """A context of work that looks at `asked`, and ends in good order where it is true.

    Raises:
        Interrupted: at its end, if a signal came meanwhile.
    """
    _State.finishing += 1
    try:
        yield
    finally:
        _State.finishing -= 1
    if _State.asked is not None:
        raise Interrupted(_State.asked)


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """A context of plain Python in which a signal is an exception, `Interrupted`, at once."""
    _State.raising += 1
    try:
        yield
    finally:
        _State.raising -= 1


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """A context in which signals are answered as the module says; those that the process ignores (`nohup`) stay so."""
    chosen = [signum for signum in SIGNALS if signal.getsignal(signum) is not signal.SIG_IGN]
    try:
        before = {signum: signal.signal(signum, _answer) for signum in chosen}
    except ValueError:  # not the main thread, which alone may
        yield
        return
    try:
        with _watched():
            yield
    finally:
        _State.asked = None
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _answer(signum: int, frame: FrameType | None) -> None:
    first, _State.asked = _State.asked is None, _State.asked or signum
    if first and _State.raising:
        raise Interrupted(signum)
    if first and _State.finishing:
        _say("iwax: stopping once the checkpoint is written; the same signal again stops at once.\n")
        return
    _end(signum, frame)


def _end(signum: int, frame: FrameType | None) -> None:
    if os.environ.get("IWAX_TRACEBACK", "0") not in ("", "0") or "--traceback" in sys.argv:
        import traceback  # here, since until handlers are set every millisecond counts

        _say("".join(traceback.format_stack(frame)))
    _say(f"iwax: {HOW_TO_GO_ON}\n")
    os._exit(128 + signum)


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    """A context in which a thread answers the signals that the main thread leaves unanswered for `GRACE`.

    It hears of them by Python's wake-up pipe; where that is taken, by a loop of events of the caller's, there is none.
    """
    import threading  # here, since until handlers are set every millisecond counts

    reading, writing = os.pipe()
    if os.name == "posix":
        os.set_blocking(writing, False)
    taken, done = signal.set_wakeup_fd(writing, warn_on_full_buffer=False), threading.Event()
    if taken != -1:
        signal.set_wakeup_fd(taken)
    _State.watched += 1
    _leave_to_the_parent()
    watch = functools.partial(_watch, reading, threading.get_ident(), done.wait)
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(taken)
        _State.watched -= 1
        done.set()
        os.write(writing, b"\0")
        thread.join()
        os.close(reading)
        os.close(writing)


def _watch(reading: int, main: int, wait: Callable[[float], bool]) -> None:
    """End the process at a signal that stays unanswered; where work would be lost, at a second one.

    Two within `GRACE`, such as a terminal's and that of a parent that passes it on, are one.
    """
    first = math.inf
    while True:
        found, now = os.read(reading, 64), time.monotonic()
        if wait(GRACE):
            return
        signum = next((number for number in found if number in SIGNALS and signal.getsignal(number) is _answer), None)
        if signum is not None and _State.asked is None and not _State.raising:
            if not _State.finishing or now - first > 2 * GRACE:
                _end(signum, sys._current_frames().get(main))
            first = min(first, now)


@functools.cache  # once, as it cannot be taken back
def _leave_to_the_parent() -> None:
    """Have a process that this one forks tell nobody of its signals: it has the pipe, too."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget)


def _forget() -> None:
    if _State.watched:
        signal.set_wakeup_fd(-1)


def _say(text: str) -> None:
    """On the standard error, past what Python holds back; the cursor, which a bar hides, is shown on a terminal."""
    with contextlib.suppress(OSError):  # a terminal that was closed
        os.write(2, (("\r\x1b[K\x1b[?25h" if os.isatty(2) else "") + text).encode())
