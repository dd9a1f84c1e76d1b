"""`vcam-client completion`."""

import click

_HINTS = {
    "bash": "echo 'eval \"$(vcam-client completion bash)\"' >> ~/.bashrc",
    "zsh": "echo 'eval \"$(vcam-client completion zsh)\"' >> ~/.zshrc",
    "fish": "vcam-client completion fish > ~/.config/fish/completions/vcam-client.fish",
}


@click.command(epilog="\b\nTo keep it:\n" + "\n".join(f"  {hint}" for hint in _HINTS.values()))
@click.argument("shell", type=click.Choice(sorted(_HINTS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for SHELL."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    root = context.find_root().command
    click.echo(kind(root, {}, "vcam-client", "_VCAM_CLIENT_COMPLETE").source())
