"""`vcam-client`: parses, calls the SDK, prints. A module for each command."""

import importlib
import os
import shlex
import sys
from typing import Any

import click

_COMMANDS = {
    "predict": "Score scans and show where the evidence lies.",
    "verify": "Check an explanation: hide what the map marks, and score the scan again.",
    "inspect": "Show what a scan holds: series, geometry, units, storage, quirks.",
    "info": "Show the model spec that the server serves.",
    "status": "Show which versions of a model the server has.",
    "doctor": "Check the way to the server and the model, step by step.",
    "completion": "Print the completion script for a shell.",
}
"""Name of each command and of its module, and its short help."""


class _Commands(click.Group):
    """Imports a command when it is used, and turns a VcamError into a message and exit code 1.

    Whatever reads the output, and in whatever encoding: see `_streams`.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"vcam_client._cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # For an unknown name that begins with a slash click 8.1 printed the help and exited with 0
        if args[0] not in _COMMANDS and not ctx.resilient_parsing:
            advice = ""
            if os.path.exists(args[0]):
                advice = f" To score a scan: vcam-client predict {shlex.quote(args[0])}"
            ctx.fail(f"No such command {args[0]!r}.{advice}")
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        from vcam_client._streams import standard_streams

        with standard_streams("vcam-client"):
            return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        from vcam_client.errors import VcamError

        try:
            return super().invoke(ctx)
        except VcamError as error:
            click.echo(f"vcam-client: {error}", err=True)
            sys.exit(1)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="vcam-client", prog_name="vcam-client")
@click.pass_context
def main(context: click.Context) -> None:
    """Ask a vcam model server about scans: scores, and the evidence for them.

    \b
    Start:    vcam-client predict scan.nii.gz
    Server:   vcam-serve MODELS, on 127.0.0.1:8500 unless --server or $VCAM_SERVER says otherwise
    Trouble:  vcam-client doctor
    Settings: options, then $VCAM_… variables, then the file that `vcam-client doctor` names
    """
    from vcam_client._cli.settings import default_map

    # gRPC writes its own log to the terminal otherwise
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    context.default_map = default_map(list(_COMMANDS))
