"""What `vcam-train phases` tells of a volume and writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcam_client.table_cells import CsvWriter
from vcam_client.volume import Volume
from vcam_client.writing import replace_file
from vcam_training.phases.histogram_picture import draw_histogram
from vcam_training.phases.partition import PHASES, Partition, partition
from vcam_training.phases.surface import phase_surface
from vcam_training.phases.surface_picture import FRAMES, Scene, draw_surfaces, draw_turning


@dataclass(frozen=True, kw_only=True, eq=False)
class PhaseReport:
    """The phases of one volume.

    Attributes:
        volume: whose phases they are.
        values: float32 [slices, rows, columns], of that volume.
        phases: equal parts of its range.
        counts: [slices, phases], voxels.
    """

    volume: Volume
    values: NDArray[np.float32]
    phases: Partition
    counts: NDArray[np.int64]

    def text(self) -> str:
        """A table: a line for each phase, and one for all."""
        edges, voxels = self.phases.edges, self.counts.sum(axis=0)
        units = f" {self.volume.units}" if self.volume.units else ""
        slices, rows, columns = self.values.shape
        lines = [
            f"{self.volume.name}: {slices} slices of {rows}×{columns} voxels, "
            f"{edges[0]:g} to {edges[-1]:g}{units}",
            f"{'phase':>5}  {'from':>10}  {'up to':>10}  {'fraction':>9}  {'voxels':>12}",
        ]
        for phase, count in enumerate(voxels, start=1):
            low, high, share = edges[phase - 1], edges[phase], count / voxels.sum()
            lines.append(f"{phase:>5}  {low:>10.6g}  {high:>10.6g}  {share:>9.3%}  {count:>12,}")
        lines.append(f"{'all':>5}  {'':>10}  {'':>10}  {1:>9.3%}  {voxels.sum():>12,}")
        return "\n".join(lines)

    def write_table(self, path: Path) -> None:
        """A CSV file: one row for each slice, its fractions of the phases."""
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = CsvWriter(stream)
            writer.writerow(["slice", *(f"phase {n}" for n in range(1, self.phases.count + 1))])
            shares = self.counts / self.counts.sum(axis=1, keepdims=True)
            for number, row in enumerate(shares):
                writer.writerow([number, *row.tolist()])

    def write(
        self,
        folder: Path,
        shown: Sequence[int],
        *,
        together: bool = False,
        frames: int = FRAMES,
        cells: int = 48,
    ) -> list[Path]:
        """Writes the histogram, the fractions by slice, and the surfaces of some phases.

        Args:
            folder: made if need be.
            shown: phases whose surfaces are drawn.
            together: one surface around all of them instead of one around each.
            frames: of the turning GIF; 0 for none.
            cells: see `surface.phase_surface`.

        Returns:
            The files.

        Raises:
            ConfigError: there are no such phases.
            OutputError: a file can't be written.
        """
        chosen = tuple(sorted(set(shown)))
        self.phases.check(chosen)
        title, units = self.volume.name, self.volume.units
        histogram, table = folder / "histogram.png", folder / "fractions.csv"
        replace_file(
            histogram,
            lambda part: draw_histogram(part, self.values, self.phases, units=units, title=title),
        )
        replace_file(table, self.write_table)
        scene = self._scene(chosen, together=together, cells=cells)
        stem = f"phases-{('+' if together else '-').join(map(str, chosen))}"
        files = [histogram, table, folder / f"{stem}.png"]
        replace_file(files[-1], lambda part: draw_surfaces(part, scene))
        if frames:
            files.append(folder / f"{stem}.gif")
            replace_file(files[-1], lambda part: draw_turning(part, scene, frames=frames))
        return files

    def _scene(self, chosen: tuple[int, ...], *, together: bool, cells: int) -> Scene:
        phase = self.phases.phase_of(self.values)
        share = np.isin(phase, chosen).mean()
        groups = (chosen,) if together else tuple((one,) for one in chosen)
        return Scene(
            shape=self.volume.shape,
            spacing=self.volume.spacing,
            surfaces={group: phase_surface(np.isin(phase, group), cells=cells) for group in groups},
            title=f"{self.volume.name}: {share:.2%} of the voxels",
        )


def phase_report(
    volume: Volume, values: NDArray[np.float32], *, phases: int = PHASES
) -> PhaseReport:
    """Cuts a volume into phases and counts them.

    Args:
        volume: whose phases they are.
        values: float32 [slices, rows, columns], of that volume.
        phases: how many.

    Raises:
        ConfigError: the volume has a single value.
    """
    found = partition(values, phases)
    return PhaseReport(volume=volume, values=values, phases=found, counts=found.counts(values))
