"""Values that can't be Hounsfield units are doubted, and refused with `strict`; CTs are not."""

import csv
import dataclasses
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner
from client.calling import TRANSPORTS, run
from client.dicom_files import write_series
from client.rest_stand_in import rest_stand_in
from client.stand_in import StandIn, stand_in
from real_scans import ROOT, needs_data

from vcam_client import Client, Volume, read_volume
from vcam_client._cli import main
from vcam_client._hounsfield import not_hounsfield, sample_of
from vcam_client.batch import find_scans, run_batch
from vcam_client.errors import IncompatibleScanError, InputError
from vcam_client.inspection import inspect_scan
from vcam_client.preview import preview
from vcam_client.reading import read_options
from vcam_client.results import explain
from vcam_client.spec import Intensity

AFFINE = np.diag([-2.0, -2.0, 3.0, 1.0])
LUNG, WIDE, SOFT, BRAIN = (-1000.0, 400.0), (-1024.0, 3071.0), (-160.0, 240.0), (0.0, 80.0)
CHEST_MODEL = Intensity(units="HU", dtype="int16", window=LUNG)
SAID = "The values do not look like Hounsfield units: "
LIVER = np.s_[21:27, 20:28, 12:22]
"""A part of `chest` that is all soft tissue."""

Change = Callable[[np.ndarray], np.ndarray]


def chest(noise: float = 15.0, seed: int = 0) -> np.ndarray:
    """float32 [48, 48, 32] HU: a body of fat and muscle in air, with lungs and a spine."""
    rng = np.random.default_rng(seed)
    i, j, _ = np.indices((48, 48, 32)) - np.array([24, 24, 16])[:, None, None, None]
    hu = np.full((48, 48, 32), -1000.0)
    hu[(i / 21) ** 2 + (j / 16) ** 2 < 1] = -100  # fat
    hu[(i / 19) ** 2 + (j / 14) ** 2 < 1] = 45  # muscle
    for side in (-10, 10):
        hu[((i - side) / 7) ** 2 + (j / 10) ** 2 < 1] = -830  # lungs
    hu[(i / 3) ** 2 + ((j - 10) / 3) ** 2 < 1] = 600  # spine
    return np.maximum(hu + rng.normal(0, noise, hu.shape), -1024).astype(np.float32)


def volume(data: np.ndarray, **more: Any) -> Volume:
    return Volume(data=data, affine=AFFINE, name="scan", **more)


def doubts(data: np.ndarray, window: tuple[float, float] | None = LUNG, **more: Any) -> str:
    return not_hounsfield(volume(data, **more), Intensity(units="HU", window=window))


def between(low: float, high: float) -> Change:
    """The whole range of a scan squeezed into another."""

    def change(hu: np.ndarray) -> np.ndarray:
        return low + (hu - hu.min()) / (hu.max() - hu.min()) * (high - low)

    return change


def of_window(low: float, high: float) -> Change:
    """What preprocessing for another model leaves: the window squeezed into another range."""
    return lambda hu: low + np.clip((hu + 1000) / 1400, 0, 1) * (high - low)


WRONG: dict[str, Change] = {
    "0 to 1": between(0, 1),
    "the window as 0 to 1": of_window(0, 1),
    "the window as -1 to 1": of_window(-1, 1),
    "0 to 255": lambda hu: np.rint(between(0, 255)(hu)),
    "the window as 0 to 255": lambda hu: np.rint(of_window(0, 255)(hu)),
    "1024 too high": lambda hu: hu + 1024,
    "1000 too high": lambda hu: hu + 1000,
    "a slope of 45": lambda hu: (hu + 1024) * 45 - 1024,
    "HU times 45": lambda hu: hu * 45,
    "a slope of 10": lambda hu: (hu + 1024) * 10 - 1024,
    "HU times 10": lambda hu: hu * 10,
}


@pytest.mark.parametrize("window", [LUNG, WIDE, None])
@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("units", ["", "HU"])
def test_other_values_are_doubted_whatever_the_file_says(
    kind: str, window: tuple[float, float] | None, units: str
) -> None:
    assert doubts(chest(), window, units=units) == ""
    assert doubts(WRONG[kind](chest()), window, units=units) != ""


@pytest.mark.parametrize("noise", [0, 5, 30])
def test_noise_does_not_hide_them_and_is_not_doubted(noise: float) -> None:
    assert doubts(chest(noise)) == ""
    for kind, change in WRONG.items():
        assert doubts(change(chest(noise))) != "", kind


@pytest.mark.parametrize("window", [SOFT, BRAIN])
def test_a_window_that_does_not_begin_at_air_needs_none(window: tuple[float, float]) -> None:
    """Of a head without its background, values from 0 on are all that is left."""
    stripped = np.where(chest() > 0, np.minimum(chest(), 80), 0)
    assert doubts(stripped, window) == ""
    assert doubts(between(0, 1)(chest()), window).startswith(
        "the values sampled span 1 HU (0 to 1), "
    )
    assert "more than the 16 bits of CT hold" in doubts(WRONG["a slope of 45"](chest()), window)


def test_the_reason_says_what_was_seen() -> None:
    assert doubts(WRONG["the window as 0 to 255"](chest())) == (
        "none of the values sampled is near air (-1000 HU), where the window begins: "
        "they run from 0 to 255"
    )
    assert doubts(np.rint(chest(0) + 1024)) == (
        "none of the values sampled is near air (-1000 HU), where the window begins: "
        "they run from 24 to 1624"
    )
    assert doubts(WRONG["HU times 45"](np.rint(chest(0)))) == (
        "the values sampled run from -45000 to 27000, more than the 16 bits of CT hold"
    )
    assert doubts(WRONG["HU times 10"](chest())).endswith(
        "% of the values sampled are below -1200 HU, as nothing is"
    )
    assert doubts(between(0, 1)(chest())) == (
        "the values sampled span 1 HU (0 to 1), 0.1% of the model's window"
    )


def test_a_range_is_said_to_be_that_of_the_values_sampled() -> None:
    values = np.repeat(np.repeat(of_window(0, 255)(chest()), 2, axis=0), 2, axis=1)
    values[1, 1, 1] = -4000  # beside the sample
    assert sample_of(volume(values)).min() == 0
    assert "of the values sampled is near air" in doubts(values)


def test_models_of_other_units_take_any_values() -> None:
    for units in ("", "mm", "normalised"):
        for change in WRONG.values():
            given = volume(change(chest()))
            assert not_hounsfield(given, Intensity(units=units, window=LUNG)) == ""


def with_metal(hu: np.ndarray, value: float) -> np.ndarray:
    changed = hu.copy()
    changed[22:26, 30:33, 10:20] = value
    return changed


REAL: dict[str, tuple[np.ndarray, tuple[float, float] | None]] = {
    "metal in 12 bits": (with_metal(chest(), 3071), None),
    "metal in 16 bits": (with_metal(chest(), 24_000), None),
    "padding": (np.where(chest() < -900, np.float32(-3024), chest()), (-3024, -3024)),
    "padding that nothing states": (np.pad(chest(), 12, constant_values=-3024), None),
    "lossy padding": (
        np.pad(chest(), 12, constant_values=-3024)
        + np.random.default_rng(3).normal(0, 40, (72, 72, 56)),
        None,
    ),
    "without lungs": (chest()[14:34, 32:], None),
    "soft tissue and fat": (np.where(chest() < -400, -100, chest()), None),
    "one tissue": (chest()[LIVER], None),
    "a single slice": (chest()[:, :, 16:17], None),
    "lungs alone": (chest()[31:38, 20:28], None),
    "one value": (np.full((8, 8, 8), -900), None),
}


@pytest.mark.parametrize("name", REAL)
def test_what_ct_holds_is_not_doubted(name: str) -> None:
    data, padding = REAL[name]
    assert doubts(np.asarray(data, np.float32), padding=padding) == ""


def test_padding_is_no_air() -> None:
    data = np.where(chest() < -400, np.float32(-1000), chest() + 1024)
    assert doubts(data) != doubts(data, padding=(-1000, -1000))
    assert "is near air" in doubts(data, padding=(-1000, -1000))
    assert doubts(np.full((8, 8, 8), -2000.0), padding=(-2000, -2000)) == ""


def test_values_that_are_not_finite_are_left_to_the_reader() -> None:
    data = chest()
    data[:3] = np.nan
    assert doubts(data) == ""


def cts() -> Iterator[Path]:
    """Every file and folder of the real data that may hold a CT."""
    folders = [ROOT / "nifti", ROOT / "dicom", *(ROOT / "dicom").glob("*")]
    for folder in folders:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if folder.name in ("nifti", "transfer_syntax_ct", "odd", "multiframe") or (
                path.is_dir() and path.name.startswith("series_ct")
            ):
                yield path


NO_HU = {"CT_AVM.nii.gz", "legacy_converted_ct_3f.dcm", "ct_perfusion_rgb24.nii.gz"}
"""Of CT, but their manifest says that their values are not Hounsfield units."""


@functools.cache
def real_cts() -> list[tuple[str, Volume]]:
    found = []
    for path in cts():
        named = path.name.lower().startswith("ct") and path.name not in NO_HU
        try:
            read = read_volume(path)
        except InputError:
            continue
        if (named and path.suffix != ".dcm") or (read.units == "HU"):
            found.append((path.name, read))
    return found


@needs_data
def test_no_real_ct_is_doubted_whole_or_cropped() -> None:
    scans = real_cts()
    assert len(scans) >= 15
    for name, scan in scans:
        for window in (LUNG, WIDE, SOFT, None):
            assert not_hounsfield(scan, Intensity(units="HU", window=window)) == "", name
        thirds = [slice(n // 6, n - n // 6) if n > 6 else slice(None) for n in scan.shape]
        middle = dataclasses.replace(scan, data=scan.data[tuple(thirds)])
        assert not_hounsfield(middle, CHEST_MODEL) == "", name


@needs_data
@pytest.mark.parametrize("kind", ["0 to 1", "0 to 255", "the window as 0 to 255", "1024 too high"])
def test_every_real_ct_in_other_units_is_doubted(kind: str) -> None:
    for name, scan in real_cts():
        data = scan.data.astype(np.float32)
        if scan.padding is not None:  # as its values would be stored, padding aside
            inside = (data >= scan.padding[0]) & (data <= scan.padding[1])
            data[inside] = data[~inside].min()
        changed = dataclasses.replace(scan, data=WRONG[kind](data), padding=None)
        assert not_hounsfield(changed, CHEST_MODEL) != "", name


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as state:
        yield state


def save(path: Path, data: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(data.astype(np.float32), AFFINE), path)
    return path


ASKED: dict[str, Callable[[Any, Any], Any]] = {
    "predict": lambda client, scan: client.predict(scan, strict=True),
    "predict_all": lambda client, scan: client.predict_all(scan, strict=True),
    "scores": lambda client, scan: client.scores(scan, strict=True),
    "verify": lambda client, scan: client.verify(scan, strict=True, blocks=8),
}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", ASKED)
def test_strict_refuses_before_anything_is_sent(transport: str, name: str, tmp_path: Path) -> None:
    path = save(tmp_path / "scan.nii.gz", between(0, 255)(chest()))
    rest = "rest" in transport
    with rest_stand_in() if rest else stand_in() as to:
        for scan in (path, volume(between(0, 1)(chest())), between(0, 1)(chest())):
            with pytest.raises(IncompatibleScanError, match=r"Hounsfield units.*--strict"):
                run(transport, to.address, [lambda client, s=scan: ASKED[name](client, s)])
        if isinstance(to, StandIn):
            assert {r.model_spec.signature_name for r in to.requests} == {"spec"}


def test_strict_takes_what_can_be_hounsfield_units(server: StandIn, tmp_path: Path) -> None:
    path = save(tmp_path / "scan.nii.gz", chest())
    with Client(server.address) as client:
        assert client.predict(path, strict=True).label == "lesion"
        assert client.predict(path).remarks == [
            "The file does not state its units; its values are taken as HU."
        ]


def test_the_remark_reaches_the_sdk_and_the_json(server: StandIn, tmp_path: Path) -> None:
    path = save(tmp_path / "scan.nii.gz", between(0, 255)(chest()))
    with Client(server.address) as client:
        prediction = client.predict(path)
        (found,) = explain(client, path)
        with pytest.raises(IncompatibleScanError):
            explain(client, volume(between(0, 1)(chest())), reading=STRICT)
        served = client.spec()
    (remark,) = [r for r in prediction.remarks if r.startswith(SAID)]
    assert "they run from 0 to 255" in remark
    assert remark in found.to_dict()["remarks"]
    content = json.loads(prediction.write(tmp_path).result.read_text())
    assert remark in content["remarks"]
    shown = preview(read_volume(path), served)
    assert remark in shown.remarks
    with pytest.raises(IncompatibleScanError, match="leave --strict out"):
        preview(read_volume(path), served, strict=True)


STRICT = read_options(strict=True)


def test_a_folder_run_logs_the_remark_and_strict_fails_the_scan_alone(
    server: StandIn, tmp_path: Path
) -> None:
    save(tmp_path / "good.nii.gz", chest())
    save(tmp_path / "wrong.nii.gz", chest() + 1024)
    with Client(server.address) as client:
        items = find_scans([tmp_path])
        assert run_batch(client, items, tmp_path / "out").exit_code == 0
        summary = run_batch(client, items, tmp_path / "strict", reading=STRICT)
    records = [json.loads(r) for r in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    said = {r["key"]: any(s.startswith(SAID) for s in r["remarks"]) for r in records}
    assert said == {"good.nii.gz": False, "wrong.nii.gz": True}
    with (tmp_path / "out" / "results.csv").open(newline="") as stream:
        rows = {row["key"]: SAID in row["remarks"] for row in csv.DictReader(stream)}
    assert rows == said
    assert (summary.done, summary.failed, summary.unfit) == (1, 1, 1)
    log = (tmp_path / "strict" / "results.jsonl").read_text().splitlines()
    (failed,) = [r for r in map(json.loads, log) if r["status"] == "failed"]
    assert failed["key"] == "wrong.nii.gz"
    assert failed["error"]["type"] == "IncompatibleScanError"


def test_the_command_says_it_and_strict_refuses(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VCAM_SERVER", server.address)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = str(save(tmp_path / "scan.nii.gz", between(0, 1)(chest())))
    out = ["--out", str(tmp_path / "out")]
    invoke = CliRunner().invoke
    done = invoke(main, ["predict", path, *out])
    assert done.exit_code == 0, done.output
    assert SAID in " ".join(done.output.split())
    shown = invoke(main, ["predict", path, "--dry-run"])
    assert shown.exit_code == 0
    assert SAID in " ".join(shown.output.split())
    for more in (["--dry-run"], [*out, "--all-classes"], out):
        refused = invoke(main, ["predict", path, "--strict", *more])
        assert refused.exit_code != 0
        assert "Expected values in Hounsfield units" in " ".join(refused.output.split())
    checked = invoke(main, ["verify", path, "--strict", *out])
    assert "Expected values in Hounsfield units" in " ".join(checked.output.split())


def test_dicom_that_states_hu_is_doubted_by_its_values(server: StandIn, tmp_path: Path) -> None:
    stored = np.rint(chest() + 1024).astype(np.int16).transpose(2, 1, 0)
    good, steep, shifted = tmp_path / "good", tmp_path / "steep", tmp_path / "shifted"
    write_series(good, stored, RescaleIntercept=-1024, RescaleType="HU")
    write_series(steep, stored, RescaleIntercept=-1024, RescaleSlope=45, RescaleType="HU")
    write_series(shifted, stored, RescaleIntercept=0, RescaleType="HU")
    with Client(server.address) as client:
        said = {p.name: client.predict(p).remarks for p in (good, steep, shifted)}
    assert said["good"] == []
    assert said["steep"][0].startswith(SAID + "the values sampled run from -1024 to ")
    assert said["shifted"][0].startswith(SAID + "none of the values sampled is near air")
    stated = "The file states HU, but its values do not look like it: "
    for folder in (steep, shifted):
        found = inspect_scan(folder)
        (warning,) = found.to_dict()["volume"]["warnings"]
        assert warning.startswith(stated)
        shown = CliRunner().invoke(main, ["inspect", str(folder)])
        assert stated in shown.output
    assert inspect_scan(good).to_dict()["volume"]["warnings"] == []


def test_inspect_says_nothing_of_files_without_units(tmp_path: Path) -> None:
    """They may be MR: only a model says what their values should be."""
    found = inspect_scan(save(tmp_path / "scan.nii.gz", between(0, 255)(chest())))
    assert found.to_dict()["volume"]["warnings"] == []


def test_the_judgement_is_of_a_sample() -> None:
    """Some tens of thousands of voxels, however many there are."""
    large = np.broadcast_to(np.float32(-1000), (512, 512, 300))
    assert sample_of(volume(large)).size < 100_000
