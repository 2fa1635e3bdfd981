"""How a command ends that did not succeed: one line, and an exit status that says whose fault it was."""

import errno
import os
import signal
import sys
import traceback
from collections.abc import Sequence

import click

from iwax.errors import IwaxError, NonFiniteLossError, OutOfMemoryError, is_out_of_memory
from iwax.interrupts import HOW_TO_GO_ON

__all__ = ["FLAG", "outcome", "without_flag"]

FLAG = "--traceback"
VARIABLE = "IWAX_TRACEBACK"
OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}  # which the system reports without a file's name


def without_flag(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """The arguments without --traceback, wherever it stands; and whether it or IWAX_TRACEBACK asks for tracebacks."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = [argument for argument in arguments[:end] if argument != FLAG]
    return options + list(arguments[end:]), len(options) < end or os.environ.get(VARIABLE, "0") not in ("", "0")


def outcome(error: BaseException) -> tuple[str, int]:
    """The message for an error and the exit status.

    2 is for what the user can put right: what click or iwax refuses, a file that cannot be read or written, code of the
    user's own. 1 is for a run that failed, and for every other error, which is a fault of iwax and is called one.
    """
    if isinstance(error, click.ClickException):
        return error.format_message(), 2
    if isinstance(error, click.Abort | KeyboardInterrupt):
        cause = error.__cause__ if isinstance(error, click.Abort) else error  # click makes the one of the other
        return HOW_TO_GO_ON, 128 + getattr(cause, "signum", signal.SIGINT)
    if isinstance(error, NonFiniteLossError | OutOfMemoryError):
        return str(error), 1
    if isinstance(error, IwaxError) or _is_of_the_system(error):
        return str(error), 2
    if isinstance(error, NotImplementedError):  # none of iwax's own; distributions raise it for what they lack
        what = f": {error}" if str(error) else ""
        return (
            "Expected the densities of the model to have what this command asks of them; one raised "
            f"NotImplementedError{what}. Write it for that density, or ask for less."
        ), 2
    what = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    if (place := _place_in_own_model(error)) is not None:
        return f"Expected the model in {place[0]} to work; got {what} (line {place[1]}). {FLAG} shows more.", 2
    if is_out_of_memory(error):
        return f"out of memory; ask for fewer samples, images or rows at a time ({what}).", 1
    return f"{what}. This is a fault of iwax; {FLAG} shows where.", 1


def _is_of_the_system(error: BaseException) -> bool:
    """Whether it is about a file that the user named, or about the disk."""
    return isinstance(error, OSError) and (error.filename is not None or error.errno in OF_THE_MACHINE)


def _place_in_own_model(error: BaseException) -> tuple[str, int] | None:
    """File and line where a user's own model raised it, or called what did."""
    if "jax" not in sys.modules:  # no model, then
        return None
    from iwax.models import OWN_MODULE

    frames = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__", "")).startswith(OWN_MODULE)
    ]
    return frames[-1] if frames else None
