"""What the commands judge: a run's folder, a model that comes with iwax, an exported file, or one on a hub."""

from pathlib import Path
from typing import Any

import click

from iwax.cli.kinds import RUN
from iwax.console import notices
from iwax.errors import IwaxError
from iwax.extras import check_installed

__all__ = ["keeping", "kept_nowhere", "opened", "results_option", "run_argument", "trust_code_option"]

run_argument = click.argument("run", type=RUN)
trust_code_option = click.option(
    "--trust-code",
    is_flag=True,
    help="Where RUN is an exported file of a model of its author's own: run the Python code that it holds.",
)
results_option = click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the results; RUN if left out. Those of a model that is no run are then printed and not kept.",
)


def opened(
    run: Path,
    data_dir: str | None,
    trust_code: bool,
    out: Path | None = None,
    needs: tuple[str, str] | None = None,
    checkpoint: str | None = None,
) -> Any:
    """The run, loaded, with its results in `out` if given; refused first where what it `needs` is not installed.

    Says which checkpoint it is where the run keeps two, and how far a run came that is not finished.
    """
    if needs is not None:
        check_installed(*needs)
    from iwax.zoo import open_run

    loaded = open_run(run, data_dir=data_dir, trust_code=trust_code, out=out, checkpoint=checkpoint)
    if loaded.words:
        notices.print(loaded.words, markup=False)
    return loaded


def keeping(run: Any, what: str, out: Path | None = None) -> None:
    """Raises IwaxError where files are all that a command is for, and a model that is no run has no place for them."""
    if out is None and kept_nowhere(run):
        raise IwaxError(f"Expected --out to say where {what} goes, as the model is no run with a folder; got none.")


def kept_nowhere(run: Any) -> bool:
    """Whether what is found of a model goes with the process."""
    from iwax.runs import ScratchFolder

    return isinstance(run.folder, ScratchFolder)
