"""The demo at a tiny size: trains, exports, serves, predicts, and names files that exist."""

import json
import re
from pathlib import Path

import nibabel as nib
import pytest

from vcam_training.demo import main


def test_the_demo_ends_by_naming_files_that_exist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VCAM_TEST_DATA", str(tmp_path / "nothing here"))
    out = tmp_path / "demo"
    assert main(["--tiny", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    for figure in ("accuracy", "pointing", "by chance", "Truth: a lesion", "Truth: no lesion"):
        assert figure in said
    named = re.findall(r"^  (\S+\.png)$", said.split("Open, in this order:")[1], re.M)
    assert len(named) == 5
    assert all(Path(name).stat().st_size > 0 for name in named)
    for heatmap in (out / "results").glob("*_heatmap.nii.gz"):
        scan = heatmap.name.replace("_heatmap", "")
        (source,) = (out / "data").rglob(scan)
        assert nib.load(heatmap).shape == nib.load(source).shape
        assert (nib.load(heatmap).affine == nib.load(source).affine).all()
        result = json.loads(Path(str(heatmap).replace("heatmap.nii.gz", "result.json")).read_text())
        assert sum(result["percentages"].values()) == pytest.approx(100)

    # again: nothing is trained or exported twice
    assert main(["--tiny", "--out", str(out)]) == 0
    assert "is finished; nothing to do" in capsys.readouterr().out
    assert [path.name for path in (out / "models").iterdir()] == ["1"]


def test_a_demo_that_can_t_write_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["--tiny", "--out", str(tmp_path / "file")]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("demo: ")
    assert "Traceback" not in said.err
