"""The command line as tests run it: in their own process."""

import pytest

from iwax.cli import main


def run_command(capsys, *arguments):
    """`iwax ARGUMENTS`: its exit status, and what it printed on the standard output and the standard error."""
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return exit_.value.code, captured.out, captured.err
