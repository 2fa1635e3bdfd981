"""`iwax export`: a trained model as one file for others, with its card; and onto a hub."""

from pathlib import Path

import click

from iwax.cli.options import checkpoint_option, data_dir_option
from iwax.cli.sources import opened, run_argument, trust_code_option
from iwax.console import notices
from iwax.errors import IwaxError

__all__ = ["export"]


@click.command()
@run_argument
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file to write, .safetensors.")
@click.option("--overwrite", is_flag=True, help="Replace the file, if it is there.")
@click.option("--push", metavar="OWNER/NAME", help='Also put it on the Hugging Face hub (pip install "iwax[hub]").')
@click.option("--private", is_flag=True, help="With --push: a new repository is private.")
@checkpoint_option
@data_dir_option
@trust_code_option
def export(
    run: Path,
    out: Path,
    overwrite: bool,
    push: str | None,
    private: bool,
    checkpoint: str | None,
    data_dir: str | None,
    trust_code: bool,
) -> None:
    """Write a trained model to one file that iwax.load and every command read anywhere; prints its model card.

    The file holds the weights, the configuration, what is known of the data, the numbers of `iwax evaluate` with their
    errors, and of a model of your own its Python file. No path of this machine is in it.
    """
    if private and push is None:
        raise click.UsageError("Expected --private together with --push OWNER/NAME; got it alone.")
    if out.exists() and not overwrite:
        raise IwaxError(f"Expected --out to be a new file; {out} is there. --overwrite replaces it.")
    from iwax.runs import export_run, push_model

    card = export_run(opened(run, data_dir, trust_code, checkpoint=checkpoint), out)
    click.echo(card)
    notices.print(f"{out}: {out.stat().st_size:,} bytes", markup=False)
    if push is not None:
        notices.print(f"on the hub: iwax.load({push_model(out, push, private=private)!r})", markup=False)
