"""The client without TensorFlow: nothing of it is imported, and it installs alone."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

if TYPE_CHECKING:
    from served.server import ServerUnderTest

ROOT = Path(__file__).resolve().parents[2]


def test_no_module_of_the_client_imports_tensorflow() -> None:
    code = """
import importlib, pkgutil, sys, vcam_client
for module in pkgutil.walk_packages(vcam_client.__path__, "vcam_client."):
    importlib.import_module(module.name)
print(sorted({"tensorflow", "keras", "tensorflow_serving"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_the_client_offers_is_named_and_there() -> None:
    import vcam_client

    assert sorted(vcam_client.__all__) == vcam_client.__all__
    for name in vcam_client.__all__:
        assert getattr(vcam_client, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        vcam_client.nonsense  # noqa: B018


def test_importing_the_client_imports_nothing_heavy() -> None:
    code = "import sys, vcam_client; print({'numpy', 'grpc', 'nibabel'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.fixture(scope="module")
def lonely_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has vcam-client and what it needs, and nothing else of this repository."""
    folder = tmp_path_factory.mktemp("alone")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    # the locked versions, as constraints
    pins = re.findall(
        r"^[a-z0-9-]+==\S+(?: ;[^\\\n]*)?", (ROOT / "requirements.lock").read_text(), re.M
    )
    (folder / "constraints.txt").write_text("\n".join(pins))
    source = folder / "client"
    subprocess.run(["cp", "-r", ROOT / "client", source], check=True)
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "-c", folder / "constraints.txt", source],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and re.search("connection|resolution|No matching", done.stderr, re.I):
        pytest.skip("the package registry can't be reached")
    assert done.returncode == 0, done.stderr
    return python


def test_the_client_installs_alone_and_predicts(
    lonely_python: Path, server: "ServerUnderTest", tmp_path: Path
) -> None:
    installed = subprocess.run(
        [lonely_python, "-m", "pip", "list", "--format=freeze"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "vcam-client==" in installed
    assert not re.search("tensorflow|keras|vcam-serving|vcam-training", installed, re.I)
    volume = np.random.default_rng(0).integers(-1000, 400, (30, 28, 24)).astype(np.int16)
    nib.save(nib.Nifti1Image(volume, np.diag([-2.0, -2, 3, 1])), tmp_path / "scan.nii.gz")
    done = subprocess.run(
        [lonely_python.with_name("vcam-client"), "predict", "scan.nii.gz", "--model", "ct"],
        cwd=tmp_path,
        env={**os.environ, "VCAM_SERVER": server.address},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "abnormal" in done.stdout
    assert nib.load(tmp_path / "scan_heatmap.nii.gz").shape == volume.shape
