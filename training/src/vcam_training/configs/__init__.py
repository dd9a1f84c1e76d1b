"""One small module for each experiment; `vcam_training.config` says what is in it."""

import pkgutil


def names() -> tuple[str, ...]:
    """The configs that come with vcam."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))
