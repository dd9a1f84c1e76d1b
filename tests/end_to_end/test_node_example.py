"""examples/node: the program in another language, against the embedded server."""

import hashlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from end_to_end.test_maps_agree import volume_on_grid

from vcam_client import Client, place

if TYPE_CHECKING:
    from golden import Golden
    from served.server import ServerUnderTest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "node"
SERVER = "127.0.0.1:8500"
OLDEST_NODE = (18, 3)
UNREACHABLE = {
    *("EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "ENETUNREACH", "ENOTFOUND"),
    *("ERR_SOCKET_TIMEOUT", "ETIMEDOUT", "EIDLETIMEOUT", "ERESPONSETIMEOUT"),
}
TIMEOUT_SECONDS = 60
SCORES = 1e-5

Run = Callable[..., subprocess.CompletedProcess[str]]


def node_modules() -> Path:
    """What package-lock.json names, installed once for each state of that file; skips offline."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node or npm is not installed")
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(int(n) for n in said.strip().lstrip("v").split(".")[:2]) < OLDEST_NODE:
        pytest.skip(f"node {said.strip()} is too old")
    lock = hashlib.sha256((EXAMPLE / "package-lock.json").read_bytes()).hexdigest()[:16]
    installed = ROOT / "build" / "node-example" / lock
    modules = installed / "node_modules"  # Node finds a package's own packages by this name
    if not modules.exists():
        installed.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=installed.parent, prefix=".") as staged:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(EXAMPLE / name, staged)
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(
                [*command, "--fetch-retries=0", "--fetch-timeout=20000"],
                cwd=staged,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                code = re.search(r"^npm (?:error|ERR!) code (\S+)", done.stderr, re.M)
                if code and code[1] in UNREACHABLE:
                    pytest.skip(f"npm can't install here ({code[1]})")
                pytest.fail(f"npm ci failed:\n{done.stderr}")
            try:
                os.rename(Path(staged) / "node_modules", modules)
            except OSError:
                assert modules.exists()  # another run was quicker
    return modules


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs the program in a copy of its folder that lies beside protos/, as in the repository."""
    modules = node_modules()
    root = tmp_path_factory.mktemp("node")
    folder = root / "examples" / "node"
    folder.mkdir(parents=True)
    shutil.copy(EXAMPLE / "predict.mjs", folder)
    shutil.copytree(ROOT / "protos", root / "protos")
    (folder / "node_modules").symlink_to(modules, target_is_directory=True)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["node", "predict.mjs", *map(str, arguments)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )

    return run


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a call that failed."""
    assert done.returncode == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def printed_cell(said: str) -> list[float]:
    found = re.search(r"^strongest cell: at \[(.*?)\]", said, re.M)
    assert found, said
    return [float(number) for number in found[1].split(", ")]


@pytest.mark.parametrize("name", ["ct", "mr", "radiograph", "findings", "regression"])
def test_it_prints_what_the_client_says(
    name: str, run: Run, golden: "dict[str, Golden]", server: "ServerUnderTest", tmp_path: Path
) -> None:
    spec = golden[name].spec
    volume = volume_on_grid(golden[name], 0)
    placement = place(volume, spec.grid, spec.slice_aggregation)
    tensor = placement.to_model(volume.data, spec.intensity.dtype).reshape(spec.grid.shape)
    np.save(tmp_path / "volume.npy", np.ascontiguousarray(tensor))
    with Client(server.address) as client:
        prediction = client.predict(volume, model=name)

    done = run("--server", server.address, "--model", name, "--volume", tmp_path / "volume.npy")

    assert (done.returncode, done.stderr) == (0, "")
    for label, score in prediction.scores_by_label.items():
        if prediction.percentages is None:
            [line] = re.findall(rf"^{label}: (\S+) {spec.unit}$", done.stdout, re.M)
            assert float(line) == pytest.approx(score, abs=SCORES, rel=SCORES)
        else:
            pattern = rf"^{label}: (\S+) % \(score (\S+)\)$"
            [(percentage, printed)] = re.findall(pattern, done.stdout, re.M)
            assert float(printed) == pytest.approx(score, abs=SCORES)
            assert float(percentage) == pytest.approx(prediction.percentages[label], abs=0.011)
    assert f"\nexplained: {prediction.label}\n" in done.stdout
    if prediction.evidence.found:
        layer = spec.cam_layers[0]
        cell = prediction.evidence.cell[-spec.grid.ndim :]
        where = np.add(layer.offset, np.multiply(layer.stride, cell))
        assert printed_cell(done.stdout) == pytest.approx(list(where))
    else:
        assert "no evidence" in done.stdout


def test_the_box_of_its_own_volume_is_where_the_evidence_lies(
    run: Run, golden: "dict[str, Golden]", server: "ServerUnderTest"
) -> None:
    done = run("--server", server.address, "--model", "bright")
    assert (done.returncode, done.stderr) == (0, "")
    shape = golden["bright"].spec.grid.shape
    for where, size in zip(printed_cell(done.stdout), shape, strict=True):
        assert size / 3 - 0.5 <= where <= 2 * size / 3 - 0.5


def test_a_map_without_evidence_is_said_so(
    run: Run, golden: "dict[str, Golden]", server: "ServerUnderTest", tmp_path: Path
) -> None:
    grid = golden["bright"].spec.grid
    np.save(tmp_path / "volume.npy", np.full(grid.shape, grid.padding_value, np.int16))
    arguments = ("--model", "bright", "--volume", tmp_path / "volume.npy")
    done = run("--server", server.address, *arguments)
    assert done.returncode == 0
    assert "no evidence" in done.stdout
    assert "strongest cell" not in done.stdout


def test_it_reads_tensor_content(
    run: Run, golden: "dict[str, Golden]", server: "ServerUnderTest"
) -> None:
    from vcam_serving import EmbeddedServer

    base = golden["ct"].path.parents[1]
    with EmbeddedServer(base, port=0, rest_port=None, tensor_content=True) as packed:
        packed.wait_until_available("ct")
        one, two = (run("--server", at.address, "--model", "ct") for at in (packed, server))
    assert (one.returncode, one.stderr) == (0, "")
    assert one.stdout == two.stdout


def test_without_a_server_it_says_so(run: Run) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound and not listening: refused
        address = f"127.0.0.1:{free.getsockname()[1]}"
        assert f"no gRPC server answers at {address}" in refusal(run("--server", address))


def test_an_unknown_model_is_named(run: Run, server: "ServerUnderTest") -> None:
    line = refusal(run("--server", server.address, "--model", "nobody"))
    assert f"{server.address} serves no model nobody" in line


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (np.zeros((12, 16, 21), np.int16), "the volume is 12×16×21; the model's grid is 12×16×20"),
        (np.zeros((12, 16, 20)), "holds <f8; expected int16"),
        (np.zeros((12, 16, 20), np.int16, order="F"), "in Fortran order"),
        (np.full((12, 16, 20), np.nan, np.float32), "NaN"),
    ],
    ids=["another grid", "float64", "Fortran order", "NaN"],
)
def test_a_volume_that_does_not_fit_is_refused(
    array: np.ndarray, why: str, run: Run, server: "ServerUnderTest", tmp_path: Path
) -> None:
    np.save(tmp_path / "volume.npy", array)
    arguments = ("--model", "ct", "--volume", tmp_path / "volume.npy")
    assert why in refusal(run("--server", server.address, *arguments))


def test_the_readme_s_python_makes_a_volume_for_it(
    run: Run,
    golden: "dict[str, Golden]",
    server: "ServerUnderTest",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    volume = volume_on_grid(golden["ct"], 1)
    nib.Nifti1Image(volume.data, volume.affine).to_filename(tmp_path / "scan.nii.gz")
    [code] = re.findall(r"^```python\n(.*?)^```", (EXAMPLE / "README.md").read_text(), re.M | re.S)
    assert SERVER in code
    monkeypatch.chdir(tmp_path)
    exec(code.replace(SERVER, server.address).replace(".spec()", '.spec("ct")'), {})
    done = run("--server", server.address, "--model", "ct", "--volume", tmp_path / "volume.npy")
    assert (done.returncode, done.stderr) == (0, "")
    with Client(server.address) as client:
        scores = client.predict(tmp_path / "scan.nii.gz", model="ct").scores
    printed = [float(score) for score in re.findall(r"\(score (\S+)\)", done.stdout)]
    assert printed == pytest.approx(list(scores), abs=SCORES)


def test_the_lock_file_names_no_registry() -> None:
    lock = (EXAMPLE / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert lock.count('"integrity"') == lock.count('"node_modules/')
