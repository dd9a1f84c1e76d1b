"""The main job, end to end: train, export, serve, explain held-out scans. `make demo`.

Uses what a user would: a config, the export, the embedded server and the client.
What is finished is left as it is, so a second run takes seconds.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vcam_client import Client, Prediction, read_volume
from vcam_client._streams import standard_streams
from vcam_client.errors import InputError, VcamError
from vcam_serving.home import writable_home
from vcam_serving.quiet import import_tensorflow

if TYPE_CHECKING:
    from vcam_training.config import Config
    from vcam_training.data.phantoms.ct_phantom import Entry

MODEL = "ct-phantom"
_PHANTOMS = 4
"""Held-out phantoms that are predicted: lesions and none, in turn."""
_REAL_SCANS = "VCAM_TEST_DATA"
"""Environment variable with a folder of real scans; ../shared/data is looked at, too."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo; an error of vcam becomes one message and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m vcam_training.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/demo"), help="folder of all files")
    parser.add_argument("--tiny", action="store_true", help="seconds; the model learns nothing")
    options = parser.parse_args(arguments)
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    with standard_streams("demo"), writable_home():
        import_tensorflow()
        from vcam_training.config import load

        try:
            demo(options.out, load(MODEL, tiny=options.tiny))
        except VcamError as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1
    return 0


def demo(out: Path, config: "Config") -> list[Path]:
    """Trains, exports, serves and predicts into `out`.

    Returns:
        The pictures of the predictions.
    """
    started = time.monotonic()
    run, models, results = out / "run", out / "models", out / "results"
    _headline(1, f"Train {config.name} on made-up chest CTs")
    _train(config, run, out / "data")
    _headline(2, "Export: Grad-CAM in the graph, verified as TensorFlow Serving loads it")
    _export(run, models)
    _headline(3, "Serve and ask, as `vcam-serve` and `vcam-client predict` do")
    pictures = _serve_and_predict(config, models, out / "data", results)
    minutes, seconds = divmod(int(time.monotonic() - started), 60)
    print(f"\nDone in {minutes} min {seconds} s. Open, in this order:")
    for picture in pictures:
        print(f"  {picture}")
    print(f"  {results}/*_heatmap.nii.gz  on the grids of the scans in {out / 'data'}")
    print(f"  {run / 'curves.png'}")
    print(f"\nServe the model yourself:  vcam-serve {models}")
    print("and ask it:                vcam-client predict scan.nii.gz")
    return pictures


def _train(config: "Config", run: Path, data: Path) -> None:
    from vcam_training import train

    train.run(config, run, data_folder=data, report=print)


def _export(run: Path, models: Path) -> None:
    from vcam_training.exporting.export_run import export_run

    exported = sorted(models.glob("[0-9]*"))
    trained = (run / "metrics.json").stat().st_mtime
    if exported and exported[-1].stat().st_mtime >= trained:
        print(f"Exported already: {exported[-1]}")
        return
    print(f"Exported and verified: {export_run(run, models, name=MODEL)}")


def _serve_and_predict(config: "Config", models: Path, data: Path, results: Path) -> list[Path]:
    from vcam_serving import EmbeddedServer

    pictures = []
    folder = data / config.data.folder_name()
    with EmbeddedServer(models, port=0, rest_port=0) as server:
        server.wait_until_available("default")
        print(f"Serving {models} on {server.address}")
        with Client(server.address) as client:
            for entry in _held_out(folder):
                prediction = client.predict(folder / entry.path)
                pictures.append(prediction.write(results).overlay)
                _print_phantom(prediction, entry)
            for scan in _real_cts():
                prediction = client.predict(scan)
                pictures.append(prediction.write(results).overlay)
                _print_real(prediction)
    return pictures


def _held_out(folder: Path) -> "list[Entry]":
    """Some test phantoms, with and without a lesion."""
    from vcam_training.data.phantoms import ct_phantom

    entries = [e for e in ct_phantom.read_index(folder / ct_phantom.INDEX) if e.split == "test"]
    with_lesion = [e for e in entries if e.label == 1][: _PHANTOMS // 2]
    without = [e for e in entries if e.label == 0][: _PHANTOMS // 2]
    return [*with_lesion, *without]


def _print_phantom(prediction: Prediction, entry: "Entry") -> None:
    truth = "no lesion"
    if entry.centre_mm is not None:
        x, y, z = entry.centre_mm
        truth = f"a lesion of radius {entry.radius_mm:.0f} mm at RAS ({x:.0f}, {y:.0f}, {z:.0f}) mm"
    print(f"\n{entry.path}, held out. Truth: {truth}")
    print(f"  {_answer(prediction)}")
    if entry.centre_mm is not None and prediction.evidence.found:
        distance = np.linalg.norm(np.subtract(prediction.evidence.world, entry.centre_mm))
        cell = max(prediction.layer.stride) * max(prediction.spec.grid.spacing_mm)
        print(
            f"  The strongest cell's centre is {distance:.0f} mm from the lesion's "
            f"(radius {entry.radius_mm:.0f} mm, a cell is {cell:.0f} mm wide)"
        )


def _print_real(prediction: Prediction) -> None:
    print(
        f"\n{prediction.volume.name}, a real CT. The model has only seen made-up ones: its answer"
    )
    print("  means nothing here. What to look at: the map lies on the scan's own grid.")
    print(f"  {_answer(prediction)}")


def _answer(prediction: Prediction) -> str:
    percent = (prediction.percentages or {})[prediction.label]
    evidence = prediction.evidence
    if not evidence.found:
        return f"{percent:.2f} % {prediction.label}; no evidence in the map"
    x, y, z = evidence.world
    where = f"strongest at RAS ({x:.0f}, {y:.0f}, {z:.0f}) mm"
    return f"{percent:.2f} % {prediction.label}; evidence {where}"


def _real_cts() -> list[Path]:
    """One real chest CT, where there is any at hand."""
    root = Path(os.environ.get(_REAL_SCANS) or Path("..") / "shared" / "data")
    for path in sorted((root / "nifti").glob("ct_*.nii*"), key=lambda p: "thorax" not in p.name):
        try:
            volume = read_volume(path)
        except InputError:
            continue
        if 1 not in volume.shape:
            return [path]
    return []


def _headline(number: int, text: str) -> None:
    print(f"\n[{number}/3] {text}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
