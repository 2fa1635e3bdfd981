"""A task as a process of its own, the same under every executor: `python -m iwax.sweeps.process TASK`.

Before JAX is imported it is pinned to as many free cores as its task says (JAX takes the number of its threads from
that, not from OMP_NUM_THREADS), takes its lease, and asks to be interrupted when its parent dies. Then it is `iwax
ARGUMENTS`. Nothing here starts JAX's distributed runtime: tasks know nothing of each other.
"""

import contextlib
import ctypes
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from iwax.errors import IwaxError
from iwax.files import dumps, loads
from iwax.runs import BusyError
from iwax.sweeps.executors.protocol import BUSY, Task
from iwax.sweeps.hardware import device, pinned
from iwax.sweeps.lease import lease

__all__ = ["PATIENCE", "environment_of", "interrupt", "main", "run_process", "start_process"]

PAUSE = 0.05  # seconds between two looks at a process, within which a signal is answered
PATIENCE = 90.0  # seconds that an interrupted process has for its checkpoint
SET_PARENT_DEATH_SIGNAL = 1  # of Linux's prctl
SHARE = 0.9  # of a GPU's memory, that tasks with a share of it divide


def start_process(task: Task) -> subprocess.Popen[bytes]:
    """The process of a task, started; what it says goes to the end of its log."""
    Path(task.log).parent.mkdir(parents=True, exist_ok=True)
    with open(task.log, "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "iwax.sweeps.process", str(os.getpid()), dumps(task.to_json())],
            env=environment_of(task),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # an interruption of the terminal is passed on once, by who started it
        )


def run_process(task: Task) -> int:
    """The exit status of a task, run to its end here; an interruption is passed on."""
    process = start_process(task)
    try:
        while process.poll() is None:  # a wait without an end is not left where another thread took the signal
            time.sleep(PAUSE)
        return process.returncode
    except BaseException:
        interrupt([process])
        raise


def interrupt(processes: Sequence[subprocess.Popen[bytes]], patience: float = PATIENCE) -> None:
    """Interrupt processes, and wait for their checkpoints; what has not ended by then is killed."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + patience
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
            process.wait()


def environment_of(task: Task, around: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of a task's process: those around it, and what JAX must find before it is imported.

    A task without a GPU leaves all of them alone; one with a share takes no more than that of the memory, of which
    JAX else takes three quarters at once.
    """
    own = dict(os.environ if around is None else around) | dict(task.environment)
    if task.gpus == 0:
        own.setdefault("JAX_PLATFORMS", "cpu")
    elif task.gpus < 1:
        own["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{SHARE * task.gpus:.3f}"
    return own


def main(arguments: Sequence[str]) -> None:
    """Of the process: the number of its parent, and its task as JSON."""
    parent, text = arguments
    task = loads(text, "the task")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which it ignores if a script started its driver with "&"
    _end_with(int(parent))
    with contextlib.ExitStack() as stack:
        try:
            if task["lease"] is not None:
                stack.enter_context(lease(task["lease"], task["timeout"]))
            stack.enter_context(pinned(task["cores"]))
            if task["devices"]:
                os.environ["CUDA_VISIBLE_DEVICES"] = stack.enter_context(device(task["devices"], task["gpus"]))
        except BusyError as error:
            print(f"iwax: {error}", file=sys.stderr)
            sys.exit(BUSY)
        except IwaxError as error:  # of a machine that has less than was asked for
            print(f"iwax: {error}", file=sys.stderr)
            sys.exit(2)
        sys.argv = ["iwax", *task["arguments"]]
        runpy.run_module("iwax", run_name="__main__", alter_sys=True)


def _end_with(parent: int) -> None:
    """Have this process interrupted when the one that started it dies; on Linux, elsewhere it goes on to its end."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGINT)
        if os.getppid() != parent:  # it died before that
            sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main(sys.argv[1:])
