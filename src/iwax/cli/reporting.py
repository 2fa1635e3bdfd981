"""`iwax report`: tables, figures and one HTML page of what has been run."""

from pathlib import Path

import click

from iwax.cli.options import data_dir_option
from iwax.console import notices

__all__ = ["report"]


@click.command()
@click.option(
    "--results", type=click.Path(path_type=Path), default="results", show_default=True, help="Folder of records."
)
@click.option("--runs", type=click.Path(path_type=Path), default="runs", show_default=True, help="Folder of runs.")
@click.option(
    "--out", type=click.Path(path_type=Path), default="build/report", show_default=True, help="Folder of the report."
)
@data_dir_option
def report(results: Path, runs: Path, out: Path, data_dir: str | None) -> None:
    """Tables, figures and one HTML page, from records and run folders; nothing is trained. Open OUT/index.html."""
    from iwax.experiments import STUDIES
    from iwax.report import write_report

    page = write_report(results, runs, out, studies=tuple(STUDIES.values()), data_dir=data_dir, log=_notice)
    click.echo(page)


def _notice(message: str) -> None:
    notices.print(message, markup=False)
