"""Commands that take a config name those that come with vcam."""

import pkgutil

import click

from vcam_training import configs


class ListsConfigs(click.Command):
    """Ends its help with the configs that come with vcam."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes them, and where the settings are listed."""
        names = sorted(module.name for module in pkgutil.iter_modules(configs.__path__))
        formatter.write_paragraph()
        formatter.write_text(f"Configs: {', '.join(names)}.")
        formatter.write_paragraph()
        formatter.write_text("Settings for --set: docs/training.md; of the data: docs/data.md.")
