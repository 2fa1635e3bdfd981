"""Signals by which a command is asked to stop: Ctrl-C, SIGTERM (a system that shuts down), SIGHUP (a closed terminal).

Python's own answer to Ctrl-C, an exception out of whatever line is being run, is lost where a library swallows it, and
may end a library that did not expect it. Nothing that iwax writes is ever half-written, so a command ends there and
then, with one line. Only where work would be lost does it wait: training goes on to the end of its chunk of steps and
writes a checkpoint (`finishing`). A second signal does not wait.

In Python, as in a notebook, nothing of this happens: there the handlers are the caller's.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

__all__ = ["HOW_TO_GO_ON", "Interrupted", "asked", "finishing", "handled", "raising"]

HOW_TO_GO_ON = "interrupted; `iwax train --resume RUN` goes on with training, the same command with an evaluation."
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
    if os.environ.get("IWAX_TRACEBACK", "0") not in ("", "0") or "--traceback" in sys.argv:
        import traceback  # here, since until handlers are set every millisecond counts

        _say("".join(traceback.format_stack(frame)))
    _say(f"iwax: {HOW_TO_GO_ON}\n")
    os._exit(128 + signum)


def _say(text: str) -> None:
    """On the standard error, past what Python holds back; the cursor, which a bar hides, is shown on a terminal."""
    with contextlib.suppress(OSError):  # a terminal that was closed
        os.write(2, (("\r\x1b[K\x1b[?25h" if os.isatty(2) else "") + text).encode())
