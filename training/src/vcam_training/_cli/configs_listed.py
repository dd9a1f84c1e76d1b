"""Commands that take a config name those that come with vcam."""

import click

from vcam_training.configs import names


class ListsConfigs(click.Command):
    """Ends its help with the configs that come with vcam."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes them, and where the settings are listed."""
        formatter.write_paragraph()
        formatter.write_text(f"Configs: {', '.join(names())}.")
        formatter.write_paragraph()
        formatter.write_text("Settings for --set: docs/training.md; of the data: docs/data.md.")
