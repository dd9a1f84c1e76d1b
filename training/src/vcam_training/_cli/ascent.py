"""`vcam-train ascent`."""

from pathlib import Path

import click

from vcam_training._cli.quietly import quietly


@click.command()
@click.argument("place", metavar="RUN_OR_MODEL", type=click.Path(path_type=Path))
@click.option("--layer", metavar="LAYER", help="Layer to look into [the one maps are read on].")
@click.option(
    "--filter",
    "filter_index",
    type=click.IntRange(min=0),
    metavar="F",
    help="Channel of the layer [the one that answers most to the noise].",
)
@click.option("--steps", type=click.IntRange(min=1), default=100, help="Of the ascent [100].")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, help="Of the noise to start with [0]."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the files [build/inspect/NAME/ascent-LAYER-F].",
)
def ascent(
    place: Path,
    layer: str | None,
    filter_index: int | None,
    steps: int,
    seed: int,
    out: Path | None,
) -> None:
    """Find the pattern that a filter of a network answers to.

    RUN_OR_MODEL is a run, an exported model or one version of it. Starts with noise inside the
    intensity window and follows the gradient of the filter's mean activation, which never falls.
    Writes the pattern as picture and array, and the activation by step.
    """
    quietly()
    from vcam_training.inspecting.ascent import ascend
    from vcam_training.inspecting.ascent_files import write_ascent
    from vcam_training.inspecting.subject import read_subject

    subject = read_subject(place)
    found = ascend(subject, layer or subject.layer, filter_index, steps=steps, seed=seed)
    name = f"ascent-{found.layer.replace('/', '_')}-{found.filter_index}"
    folder = out or Path("build/inspect") / subject.name / name
    units = subject.contract.intensity.units
    written = write_ascent(found, folder, title=subject.name, units=units)
    first, last = found.activation[[0, -1]]
    click.echo(
        f"Filter {found.filter_index} of {found.layer}: mean activation {first:.4g} at the start, "
        f"{last:.4g} after {steps} steps"
    )
    click.echo(f"Written: {folder}: {', '.join(written)}")
