"""`vcam-train phases`."""

import re
from pathlib import Path

import click


class Range(click.ParamType):
    """`a:b`, from a on, b left out; a list of them separated by commas."""

    name = "range"

    def __init__(self, count: int) -> None:
        self._count = count

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """The numbers of all ranges, one after the other."""
        parts = str(value).split(",")
        if len(parts) != self._count or not all(re.fullmatch(r"\d+:\d+", part) for part in parts):
            form = ",".join(["a:b", "c:d"][: self._count])
            self.fail(f"Expected {form} in whole numbers, received {value!r}.", param, ctx)
        return tuple(int(number) for part in parts for number in part.split(":"))


class Spacing(click.ParamType):
    """Millimetres above 0, one number or three."""

    name = "spacing"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """The numbers."""
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) not in (1, 3) or not all(0 < n < float("inf") for n in numbers):
            self.fail(
                "Expected millimetres above 0, one number or three separated by commas, such as "
                f"0.02 or 0.02,0.02,0.05, received {value!r}.",
                param,
                ctx,
            )
        return numbers


class Numbers(click.ParamType):
    """Whole numbers separated by commas."""

    name = "numbers"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """The numbers."""
        if not re.fullmatch(r"\d+(,\d+)*", str(value)):
            self.fail(f"Expected numbers such as 1,2, received {value!r}.", param, ctx)
        return tuple(int(number) for number in str(value).split(","))


@click.command()
@click.argument("scan", required=False, type=click.Path(path_type=Path))
@click.option(
    "--phases",
    "shown",
    type=Numbers(),
    default="1",
    metavar="N[,N…]",
    help="Phases whose surfaces are drawn, 1 for the darkest [1].",
)
@click.option("--together", is_flag=True, help="One surface around all of them, not one each.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder [build/phases/NAME].")
@click.option("--slices", type=Range(1), metavar="A:B", help="From slice A on, B left out [all].")
@click.option(
    "--crop", type=Range(2), metavar="A:B,C:D", help="Rows A:B and columns C:D alone [all]."
)
@click.option(
    "--spacing",
    type=Spacing(),
    metavar="MM[,MM,MM]",
    help="Distance of voxels, for files that state none: columns, rows, slices.",
)
@click.option("--series", help="Which of several DICOM series: its row in `vcam-client inspect`.")
@click.option(
    "--frames",
    type=click.IntRange(min=0),
    help="Of the turning GIF; 0 for none [36].",
)
@click.option(
    "--cells",
    type=click.IntRange(min=1),
    default=48,
    help="Voxels are merged until a surface has no more than this number cubed [48].",
)
def phases(
    scan: Path | None,
    shown: tuple[int, ...],
    together: bool,
    out: Path | None,
    slices: tuple[int, ...] | None,
    crop: tuple[int, ...] | None,
    spacing: tuple[float, ...] | None,
    series: str | None,
    frames: int | None,
    cells: int,
) -> None:
    """Cut the histogram of SCAN into phases, and draw them.

    There are six of equal width, and each voxel is in exactly one. SCAN is what `vcam-client
    predict` reads: a folder of DICOM, a TIFF stack, …; without it, a made-up porous medium is
    taken. Writes the histogram, the fractions by slice, and the surfaces of some phases.
    """
    from vcam_training.data.soil.porous_media import PorousMedium
    from vcam_training.data.soil.soil_cube import made_up_cube, read_cube
    from vcam_training.phases.report import phase_report
    from vcam_training.phases.surface_picture import FRAMES

    part = {"slices": slices or (), "crop": crop or ()}
    if scan is None:
        cube = made_up_cube(PorousMedium(), 0, **part)
    else:
        cube = read_cube(scan, spacing_mm=spacing, series=series, **part)
    report = phase_report(cube.volume, cube.values)
    report.phases.check(shown)
    click.echo(report.text())
    folder = out or Path("build/phases") / cube.volume.name.replace(" ", "-")
    files = report.write(
        folder,
        shown,
        together=together,
        frames=FRAMES if frames is None else frames,
        cells=cells,
    )
    for file in files:
        click.echo(file)
