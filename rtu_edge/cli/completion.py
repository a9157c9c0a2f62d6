"""rtu-edge completion."""

from __future__ import annotations

import click

from rtu_edge.cli import options

_VARIABLE = "_RTU_EDGE_COMPLETE"


@click.command(
    "completion",
    epilog=options.examples(
        "rtu-edge completion bash > ~/.rtu-edge.bash",
        'rtu-edge completion zsh > "${fpath[1]}/_rtu-edge"',
        "rtu-edge completion fish > ~/.config/fish/conf.d/rtu-edge.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the shell completion script for bash, zsh or fish.

    It completes commands, options, plants, ports, configurations and folders of runs. In bash, add `source
    ~/.rtu-edge.bash` to ~/.bashrc. Then start a new shell.
    """
    from click.shell_completion import get_completion_class

    from rtu_edge.cli import cli

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "rtu-edge", _VARIABLE).source())
