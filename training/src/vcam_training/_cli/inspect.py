"""`vcam-train inspect`."""

from pathlib import Path

import click

from vcam_training._cli.quietly import quietly


@click.command()
@click.argument("place", metavar="RUN_OR_MODEL", type=click.Path(path_type=Path))
@click.option(
    "--data", type=click.Path(path_type=Path), help="Folder of the data sets [build/data]."
)
@click.option(
    "--split",
    "split_name",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    help="Whose volumes [test].",
)
@click.option(
    "--volume",
    metavar="N",
    help="Number or name of the volume in its split [the first that is answered rightly and the "
    "first answered wrongly; of a regression the best and the worst answer].",
)
@click.option("--layer", metavar="LAYER", help="Layer to look into [the one maps are read on].")
@click.option(
    "--filter",
    "filter_index",
    type=click.IntRange(min=0),
    metavar="F",
    help="Channel of the layer [the one that adds most to the map].",
)
@click.option("--class", "label", metavar="NAME", help="What is explained [as served].")
@click.option("--method", metavar="METHOD", help="CAM method of the map [the run's or model's].")
@click.option(
    "--channels-above",
    "threshold",
    type=float,
    metavar="T",
    help="Also draw the channels whose activation sums up to more than T.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder; each volume has one in it [build/inspect/NAME].",
)
def inspect(
    place: Path,
    data: Path | None,
    split_name: str,
    volume: str | None,
    layer: str | None,
    filter_index: int | None,
    label: str | None,
    method: str | None,
    threshold: float | None,
    out: Path | None,
) -> None:
    """Look at what a layer and a filter of a network make of a volume.

    RUN_OR_MODEL is a run, an exported model or one version of it. Prints a table and writes
    pictures of features, filter and signed map, and the raw arrays: docs/inspect.md.
    """
    quietly()
    from vcam_training import train
    from vcam_training.inspecting.choosing import class_index, default_volumes, volume_index
    from vcam_training.inspecting.files import write_files
    from vcam_training.inspecting.inspection import Inspection
    from vcam_training.inspecting.look import look
    from vcam_training.inspecting.subject import read_subject

    subject = read_subject(place)
    explained = None if label is None else class_index(subject, label)
    known = subject.data(data or train.DATA_FOLDER, lambda line: click.echo(line, err=True))
    split = known.splits[split_name]
    if volume is None:
        volumes = default_volumes(subject, split)
    else:
        volumes = (volume_index(split, volume, split_name),)
    folder = out or Path("build/inspect") / subject.name
    for index in volumes:
        inspection = Inspection(
            subject=subject,
            split=split,
            split_name=split_name,
            index=index,
            seen=look(
                subject,
                split.volumes[index],
                layer=layer,
                filter_index=filter_index,
                class_index=explained,
                method=method,
            ),
            threshold=threshold,
        )
        if index != volumes[0]:
            click.echo()
        click.echo(inspection.text())
        place_of_files = folder / f"{split_name}-{index}"
        written = write_files(inspection, place_of_files)
        click.echo(f"{'written':<11}{place_of_files}: {', '.join(sorted(written))}")
