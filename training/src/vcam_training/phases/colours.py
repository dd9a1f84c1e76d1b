"""The colours of phases, the same in all pictures."""

from matplotlib.colors import to_rgb

COLOURS = ("#3f7fcf", "#2ca089", "#a9b43c", "#f2a33a", "#d9534f", "#8e7cc3")
"""From the darkest phase on; further ones begin again."""


def colour_of(phase: int) -> tuple[float, float, float]:
    """RGB in [0, 1] of a phase, counted from 1."""
    return to_rgb(COLOURS[(phase - 1) % len(COLOURS)])
