"""An executor of this process, so that a test of a sweep costs no processes; and a tiny sweep."""

import contextlib
import json
from pathlib import Path

import pytest

from iwax.cli import main
from iwax.runs import BusyError
from iwax.sweeps import BUSY, Ended
from iwax.sweeps.lease import lease

OPTIONS = {
    **{"dataset": "mnist-sample", "train_images": 40, "batch_size": 20},
    **{"protocol": "burda-paper", "epochs": 2, "objective": "elbo"},
}
TINY = [word for name, value in OPTIONS.items() for word in (f"--{name.replace('_', '-')}", str(value))]


class Here:
    """Tasks are done while they are waited for, one at a time, by the command line of this process."""

    def __init__(self, *_, **__):
        self.slots, self.tasks, self.started = 1, [], []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def start(self, tasks):
        self.tasks += tasks
        self.started += [task.name for task in tasks]

    def wait(self, seconds):
        return [Ended(task, done(task)) for task in [self.tasks.pop(0)]] if self.tasks else []

    def stop(self):
        self.tasks.clear()


def done(task) -> int:
    """The exit status of a task; what it says goes into its log."""
    log = Path(task.log)
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            open(log, "a") as file,
            contextlib.redirect_stdout(file),
            contextlib.redirect_stderr(file),
            lease(task.lease, task.timeout),
            pytest.raises(SystemExit) as exit_,
        ):
            main(list(task.arguments))
        return exit_.value.code
    except BusyError:
        return BUSY


def iwax(capsys, *arguments):
    """Status, standard output and standard error of a command."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        main([*map(str, arguments)])
    captured = capsys.readouterr()
    return exit_.value.code, captured.out, captured.err


def rows(capsys, folder):
    """The status of a sweep, by what tells its runs apart."""
    _, out, _ = iwax(capsys, "sweep", "--status", folder, "--json")
    return {row["options"]: row for row in json.loads(out)}
