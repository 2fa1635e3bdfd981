"""The command line: a thin shell over the library. Heavy imports wait inside the commands, so that --help is quick.

The commands themselves are imported by `main`, once signals are answered: Ctrl-C is one line from the start.
"""

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Entry point: exit status 0 only for success; else one line on the standard error, and a status (`outcome`)."""
    from iwax.interrupts import handled

    with handled():
        from iwax.cli.commands import run

        run(arguments)


def __getattr__(name: str) -> object:
    if name == "iwax":  # the group of commands, for who documents it
        from iwax.cli.commands import iwax

        return iwax
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
