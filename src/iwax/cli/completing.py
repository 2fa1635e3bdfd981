"""`iwax completion`: what a shell reads to complete commands, options, choices and files by tab."""

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]

WHERE = {
    "bash": 'eval "$(iwax completion bash)"        # in ~/.bashrc',
    "zsh": 'eval "$(iwax completion zsh)"         # in ~/.zshrc, after compinit',
    "fish": "iwax completion fish | source        # in ~/.config/fish/config.fish",
}


@click.command(epilog="Put one line where your shell starts:\n\n\b\n" + "\n".join(WHERE.values()))
@click.argument("shell", type=click.Choice(list(WHERE)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what SHELL reads to complete commands, options and choices by tab."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, "iwax", "_IWAX_COMPLETE").source())
