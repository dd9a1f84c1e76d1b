"""Paths as values of options and arguments."""

from typing import Any

import click


class GivenPath(click.Path):
    """A path that is not empty: as "", an unset variable would mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("expected a path, received an empty one; . is the current folder", param, ctx)
        return super().convert(value, param, ctx)
