"""A command that runs code which a run keeps says so, in a line on the standard error."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import click

__all__ = ["code_is_named"]


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"iwax: {record.getMessage()}", err=True)


@contextmanager
def code_is_named() -> Iterator[None]:
    """A context in which what the logger `iwax.code` is told, before code of a run is run, is a line each."""
    logger, lines = logging.getLogger("iwax.code"), _Lines()
    level = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(lines)
        logger.setLevel(level)
