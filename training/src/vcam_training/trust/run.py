"""From an exported model to a report on its maps, and to a version that carries it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from vcam_client.errors import ConfigError
from vcam_client.writing import written_together
from vcam_training.data.dataset import Report
from vcam_training.exporting.export import export
from vcam_training.train import DATA_FOLDER
from vcam_training.trust.loading import load
from vcam_training.trust.measuring import SAMPLES, SEEDS, measure
from vcam_training.trust.page import page
from vcam_training.trust.report import TrustReport

REPORTS_FOLDER = Path("build/trust")
"""Where reports lie unless the caller says otherwise, NAME/VERSION each."""
FIGURES_FILE, PAGE_FILE = "trust.json", "report.html"


@dataclass(frozen=True, kw_only=True, eq=False)
class Trusted:
    """What became of a model.

    Attributes:
        report: what was measured.
        folder: where trust.json and report.html are.
        version: the folder of the version that carries the figures; None if not published.
    """

    report: TrustReport
    folder: Path
    version: Path | None


def trust(
    place: Path | str,
    *,
    data_folder: Path | str = DATA_FOLDER,
    out: Path | str | None = None,
    samples: int = SAMPLES,
    seeds: int = SEEDS,
    publish: bool = True,
    report: Report = lambda line: None,
) -> Trusted:
    """Measures an exported model's maps, writes the report and publishes the next version.

    The version that was measured stays as it is. The report is written whole or not at
    all, and before anything is published.

    Args:
        place: the folder of a model's versions, of which the newest is taken, or of one.
        data_folder: where data sets lie.
        out: folder of the report; by default NAME/VERSION in REPORTS_FOLDER.
        samples, seeds: see `measure`.
        publish: whether to publish a version with the figures in its spec.
        report: is told what happens.

    Raises:
        ConfigError: no such model, or other data.
        OutputError: the report can't be written.
        ServableError: the new version can't be verified or published.
    """
    if out is not None and Path(out).exists() and not Path(out).is_dir():
        raise ConfigError(f"Expected a folder for the report, '{out}' is a file. Name another.")
    loaded = load(place, data_folder, report)
    name = loaded.version.name
    folder = Path(out) if out else REPORTS_FOLDER / loaded.spec.name / name
    measured = measure(
        loaded.model,
        loaded.spec,
        loaded.validation,
        loaded.test,
        samples=samples,
        seeds=seeds,
        report=report,
    )
    write(measured, folder, name)
    version = None
    if publish:
        report("Publishing a version with these figures")
        spec = replace(measured.spec, trust=measured.trust)
        example = loaded.test.volumes[..., None]
        version = export(loaded.model, spec, loaded.version.parent, example=example)
    return Trusted(report=measured, folder=folder, version=version)


def write(report: TrustReport, folder: Path | str, version: str = "") -> None:
    """Writes trust.json and report.html into a folder, both or none.

    Args:
        report: what was measured.
        folder: of the report; made if need be, its report replaced.
        version: of the model, for the page.

    Raises:
        OutputError: it can't be written.
    """
    files = {
        FIGURES_FILE: json.dumps({"version": version, **report.to_json_dict()}, indent=2) + "\n",
        PAGE_FILE: page(report, version),
    }
    with written_together() as together:
        for name, text in files.items():
            together.add(Path(folder) / name, text.encode())
