"""All commands, and how one is run: its notices as lines, its errors as one line and an exit status."""

import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from iwax import __version__
from iwax.cli import (
    comparing,
    completing,
    diagnosing,
    imputing,
    judging,
    listing,
    parts,
    posterior,
    reporting,
    reproducing,
    sampling,
    sharing,
    sweeping,
    training,
    weights,
)
from iwax.cli.help import Ordered
from iwax.cli.outcome import FLAG, outcome, without_flag
from iwax.cli.startup import keep_compiled_programs
from iwax.cli.trust import code_is_named
from iwax.cli.unheard import unheard_is_no_fault
from iwax.errors import NoticeWarning
from iwax.extras import MissingPictureWarning

__all__ = ["iwax", "run"]


@click.group(
    cls=Ordered,
    context_settings={"help_option_names": ["-h", "--help"]},
    commands=[
        training.train,
        sweeping.sweep,
        judging.evaluate,
        parts.evaluate_part,
        weights.judge,
        comparing.compare,
        comparing.table,
        sampling.sample,
        sampling.reconstruct,
        sampling.encode,
        sharing.export,
        posterior.anneal,
        posterior.posterior,
        posterior.ssim,
        diagnosing.snr,
        imputing.impute,
        reproducing.reproduce,
        reporting.report,
        listing.runs,
        listing.data,
        listing.objectives,
        completing.completion,
    ],
)
@click.version_option(__version__)
@click.option(FLAG, is_flag=True, expose_value=False, help="Show where an error arose; anywhere, or IWAX_TRACEBACK=1.")
def iwax() -> None:
    """Train and judge latent-variable models with importance-weighted bounds. All bounds are in nats."""
    keep_compiled_programs()


def run(arguments: list[str] | None = None) -> None:
    """Run a command: exit status 0 only for success; else one line on the standard error, and a status (`outcome`)."""
    options, whole = without_flag(sys.argv[1:] if arguments is None else arguments)
    if whole:
        os.environ.setdefault("JAX_TRACEBACK_FILTERING", "off")
    with unheard_is_no_fault():
        _run(options, whole)


def _run(options: list[str], whole: bool) -> NoReturn:
    """The command of some arguments; `whole`: with tracebacks."""
    try:
        with _notices_as_lines(), code_is_named():
            status = iwax.main(args=options, prog_name="iwax", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except (Exception, KeyboardInterrupt) as error:
        if whole:
            click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
        message, status = outcome(error)
        click.echo("iwax: " + " ".join(message.split()), err=True)
        sys.exit(status)
    sys.exit(status if isinstance(status, int) else 0)


@contextmanager
def _notices_as_lines() -> Iterator[None]:
    """A context in which each picture left out, and each notice once, is one line on the standard error."""
    with warnings.catch_warnings():
        show, said = warnings.showwarning, set[str]()

        def show_line(message: Warning | str, category: type[Warning], *where: Any, **options: Any) -> None:
            if issubclass(category, MissingPictureWarning) or (
                issubclass(category, NoticeWarning) and str(message) not in said
            ):
                said.add(str(message))
                click.echo(f"iwax: {message}", err=True)
            elif not issubclass(category, NoticeWarning):
                show(message, category, *where, **options)

        warnings.showwarning = show_line
        warnings.simplefilter("always", MissingPictureWarning)
        warnings.simplefilter("always", NoticeWarning)
        yield
