"""Signals by which a command is asked to stop: Ctrl-C, SIGTERM (a system that shuts down), SIGHUP (a closed terminal).

Python's own answer to Ctrl-C, an exception out of whatever line is being run, is lost where a library swallows it, and
may end a library that did not expect it. Nothing that iwax writes is ever half-written, so a command ends there and
then, with one line. Only where work would be lost does it wait: training goes on to the end of its chunk of steps and
writes a checkpoint (`finishing`). A second signal does not wait.

Python answers in its main thread alone, once that comes back to Python: not while XLA compiles for a minute, and not
out of a wait for a lock, where another thread took the signal. A thread that watches answers in its place (`_watched`).
Signals that come together are one: a terminal that is closed sends SIGHUP itself, and so does its shell.

In Python, as in a notebook, nothing of this happens: there the handlers are the caller's.
"""

import contextlib
import functools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["HOW_TO_GO_ON", "Interrupted", "asked", "finishing", "handled", "raising"]

GRACE = 0.2  # seconds that the main thread has to answer, which it does at once unless it is in a library or a lock
TOGETHER = 0.5  # seconds within which signals are one
HOW_TO_GO_ON = "interrupted; to go on, give the same command again, or `iwax train --resume RUN` for a run."
STOPPING = "iwax: stopping once the checkpoint is written; the same signal again stops at once.\n"
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to stop, and what had to be written is written.

    Attributes:
        signum: of the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class _Asked:
    """A signal that was heard.

    Attributes:
        unheard: if the watching thread answered, the signals of which the main thread is still to be told.
    """

    def __init__(self, signum: int) -> None:
        self.signum, self.time, self.unheard = signum, time.monotonic(), set[int]()


class _State:
    """What was asked for, and what is under way; of the process, as signals are."""

    def __init__(self) -> None:
        self.asked = list[_Asked]()  # which two threads append to, so that one alone is first
        self.answers = 0  # of the main thread
        self.finishing = self.raising = 0
        self.before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}  # the caller's handlers


_state = _State()


def asked() -> bool:
    """Whether a signal waits for what is under way to be written."""
    return bool(_state.asked)


def _raise_if_asked() -> None:
    if _state.asked:
        raise Interrupted(_state.asked[0].signum)


@contextlib.contextmanager
def finishing() -> Iterator[None]:
    """A context of work that looks at `asked`, and ends in good order where it is true.

    Raises:
        Interrupted: at its end, if a signal came meanwhile.
    """
    _state.finishing += 1
    try:
        yield
    finally:
        _state.finishing -= 1
    _raise_if_asked()


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """A context of plain Python in which a signal is an exception, `Interrupted`, at once.

    Raises:
        Interrupted: at its end at the latest, where what was running swallowed it.
    """
    _state.raising += 1
    try:
        yield
    finally:
        _state.raising -= 1
    _raise_if_asked()


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """A context in which signals are answered as the module says; those that the process ignores (`nohup`) stay so."""
    of_others = (signal.SIG_IGN, None)  # None: set in C, and could not be given back
    chosen = [signum for signum in SIGNALS if signal.getsignal(signum) not in of_others]
    try:
        before = {signum: signal.signal(signum, _answer) for signum in chosen}
    except ValueError:  # not the main thread, which alone may
        yield
        return
    outermost = not _state.before
    _state.before = _state.before or before
    try:
        with _watched():
            yield
    finally:
        _state.asked.clear()
        _state.before = {} if outermost else _state.before
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _answer(signum: int, frame: FrameType | None) -> None:
    """What the main thread does at a signal."""
    _state.answers += 1
    first, own = _heard(signum)
    if first is not own:
        if signum in first.unheard:
            first.unheard.discard(signum)
        elif own.time - first.time > TOGETHER:
            _end(signum, frame)
    elif _state.raising:
        raise Interrupted(signum)
    elif _state.finishing:
        _say(STOPPING)
    else:
        _end(signum, frame)


def _answer_instead(signum: int, when: float, main: int) -> None:
    """What the watching thread does at a signal that came at `when`, and which the thread `main` does not answer."""
    if _state.raising and not _state.asked:
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(main, signum)  # out of what it waits for, as it alone can raise there
        return
    first, own = _heard(signum)
    if first is not own and when - first.time <= TOGETHER:
        if first.unheard:
            first.unheard.add(signum)
    elif first is own and _state.finishing:
        own.unheard.add(signum)
        _say(STOPPING)
    else:
        _end(signum, sys._current_frames().get(main))


def _heard(signum: int) -> tuple[_Asked, _Asked]:
    """The signal that was first, and this one: the same where it is that."""
    own = _Asked(signum)
    _state.asked.append(own)
    return _state.asked[0], own


def _end(signum: int, frame: FrameType | None) -> None:
    if os.environ.get("IWAX_TRACEBACK", "0") not in ("", "0") or "--traceback" in sys.argv:
        import traceback  # here, since until handlers are set every millisecond counts

        _say("".join(traceback.format_stack(frame)))
    _say(f"iwax: {HOW_TO_GO_ON}\n")
    os._exit(128 + signum)


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    """A context in which a thread answers the signals that the main thread leaves unanswered for `GRACE`.

    It hears of them by Python's wake-up pipe; where that is taken, by a loop of events of the caller's, there is none,
    nor where the system starts no more threads.
    """
    import threading  # here, since until handlers are set every millisecond counts

    reading, writing = os.pipe()
    if os.name == "posix":
        os.set_blocking(writing, False)
    _leave_to_the_parent()
    done = threading.Event()
    watch = functools.partial(_watch, reading, threading.get_ident(), done.wait)
    thread = threading.Thread(target=watch, name="iwax signals", daemon=True)
    with contextlib.suppress(RuntimeError):
        thread.start()
    taken = signal.set_wakeup_fd(writing if thread.ident else -1, warn_on_full_buffer=False)
    if taken != -1:
        signal.set_wakeup_fd(taken)
    try:
        yield
    finally:
        signal.set_wakeup_fd(taken)
        done.set()
        os.write(writing, b"\0")
        if thread.ident:
            thread.join()
        os.close(reading)
        os.close(writing)


def _watch(reading: int, main: int, wait: Callable[[float], bool]) -> None:
    """Answer what `main` leaves unanswered, until what `wait` waits for has come."""
    while True:
        answers = _state.answers
        found, when = os.read(reading, 64), time.monotonic()
        if wait(GRACE):
            return
        found += _at_once(reading)  # what came meanwhile, so that it is not counted as unanswered afterwards
        if _state.answers == answers:
            for number in set(found) & set(SIGNALS):
                if signal.getsignal(number) is _answer:
                    _answer_instead(number, when, main)


def _at_once(reading: int) -> bytes:
    """What is in a pipe, without waiting for it."""
    if os.name != "posix":
        return b""
    os.set_blocking(reading, False)
    try:
        return os.read(reading, 64)
    except BlockingIOError:
        return b""
    finally:
        os.set_blocking(reading, True)


@functools.cache  # once, as it cannot be taken back
def _leave_to_the_parent() -> None:
    """Have a process that this one forks be the caller's alone: its signals are, and it tells nobody of them."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget)


def _forget() -> None:
    if _state.before:
        signal.set_wakeup_fd(-1)  # of which the parent has the other end
        for signum, handler in _state.before.items():
            signal.signal(signum, handler)


def _say(text: str) -> None:
    """On the standard error, past what Python holds back; the cursor, which a bar hides, is shown on a terminal."""
    with contextlib.suppress(OSError):  # a terminal that was closed
        os.write(2, (("\r\x1b[K\x1b[?25h" if os.isatty(2) else "") + text).encode())
