"""The command line: a thin shell over the library. Heavy imports wait inside the commands, so that --help is quick."""

import sys

import click

from iwax import __version__
from iwax.cli import diagnosing, judging, listing, posterior, reporting, reproducing, training
from iwax.cli.startup import keep_compiled_programs

__all__ = ["main"]


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    commands=[
        training.train,
        judging.evaluate,
        judging.sample,
        judging.reconstruct,
        posterior.anneal,
        posterior.posterior,
        posterior.ssim,
        diagnosing.snr,
        reproducing.reproduce,
        reporting.report,
        listing.runs,
        listing.data,
        listing.objectives,
    ],
)
@click.version_option(__version__)
def iwax() -> None:
    """Train and judge latent-variable models with importance-weighted bounds. All bounds are in nats."""
    keep_compiled_programs()


def main(arguments: list[str] | None = None) -> None:
    """Entry point: one line for bad input and exit status 2, 1 for a run that failed, 0 only for success."""
    try:
        status = iwax.main(args=arguments, prog_name="iwax", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted; `iwax train --resume RUN` goes on with training, the same command with an evaluation.", 130)
    except NotImplementedError as error:
        what = f": {error}" if str(error) else ""
        _fail(
            "Expected the densities of the model to have what this command asks of them; one raised "
            f"NotImplementedError{what}. Write it for that density, or ask for less.",
            2,
        )
    except FloatingPointError as error:
        _fail(str(error), 1)
    except (ValueError, TypeError, OSError, ImportError) as error:
        _fail(str(error), 2)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int) -> None:
    click.echo("iwax: " + " ".join(message.split()), err=True)
    sys.exit(status)
