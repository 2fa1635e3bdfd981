"""`iwax report`: tables, figures and one HTML page of what has been run."""

from pathlib import Path

import click

from iwax.cli.options import data_dir_option
from iwax.cli.stores import FOLDER
from iwax.console import notices

__all__ = ["report"]


@click.command()
@click.argument("folders", nargs=-1, metavar="[RUNS]...", type=FOLDER)
@click.option("--studies", is_flag=True, help="The published studies, too, from the records in --results.")
@click.option("--results", type=click.Path(path_type=Path), help="Folder of records (results); asks for the studies.")
@click.option("--runs", type=click.Path(path_type=Path), help="Folder of runs, as RUNS; runs if nothing is given.")
@click.option(
    "--out", type=click.Path(path_type=Path), default="iwax-report", show_default=True, help="Folder of the report."
)
@data_dir_option
def report(
    folders: tuple[Path, ...],
    studies: bool,
    results: Path | None,
    runs: Path | None,
    out: Path,
    data_dir: str | None,
) -> None:
    """Tables, figures and one HTML page of RUNS: your runs first, beside each other, with their best models to explore.

    RUNS are folders of runs, or that hold some, or URLs of stores; ./runs if left out. Nothing is trained or judged
    here. The published studies are in it where they are asked for (--studies).
    """
    from iwax.experiments import STUDIES
    from iwax.report import write_report

    given = (*folders, *([] if runs is None else [runs])) or (Path("runs"),)
    studies = studies or results is not None
    page = write_report(
        (results or Path("results")) if studies else None,
        given,
        out,
        studies=tuple(STUDIES.values()) if studies else (),
        data_dir=data_dir,
        log=_notice,
    )
    click.echo(page)
    notices.print(f"Open {page} in a browser; the tables are in {out / 'tables'}.", markup=False)


def _notice(message: str) -> None:
    notices.print(message, markup=False)
