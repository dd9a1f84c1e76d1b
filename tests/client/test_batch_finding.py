"""Which scans are found, what they are called, and what is left out."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
from client.dicom_files import write_series, write_slice
from PIL import Image

from vcam_client._options import ReadOptions
from vcam_client.batch import Shard, find_scans
from vcam_client.batch._lists import listed
from vcam_client.errors import InputError, ScanNotFoundError, UnsupportedFormatError
from vcam_client.inspection import inspect_scan
from vcam_client.reading import read_volume

VOXELS = np.random.default_rng(0).integers(-1000, 400, (6, 5, 4)).astype(np.int16)

LINK = "link, not followed; --follow-links does"


def write_nifti(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(VOXELS, np.eye(4)), path)


def keys(*arguments: str | Path) -> list[str]:
    return [item.key for item in find_scans(arguments)]


def test_a_folder_gives_each_scan_once_in_a_fixed_order(tmp_path: Path) -> None:
    write_nifti(tmp_path / "b" / "scan.nii.gz")
    write_nifti(tmp_path / "a" / "scan.nii.gz")
    np.save(tmp_path / "array.npy", VOXELS)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "picture.png")
    write_series(tmp_path / "ct", VOXELS)
    (tmp_path / "notes.txt").write_text("no scan")
    (tmp_path / ".hidden.nii").write_text("x")
    (tmp_path / "empty.nii").touch()
    found = find_scans([tmp_path])
    assert [item.key for item in found] == [
        "a/scan.nii.gz",
        "array.npy",
        "b/scan.nii.gz",
        "ct",
        "picture.png",
    ]
    assert [item.name for item in found] == ["a/scan", "array", "b/scan", "ct", "picture"]
    assert found.left_out == {"hidden file": 1, "empty file": 1, "not DICOM": 1}


def test_names_of_results_never_meet(tmp_path: Path) -> None:
    for name in ("scan.nii", "scan.nii.gz", "Scan.nii.gz", "x/scan.nii"):
        write_nifti(tmp_path / name)
    names = [item.name.casefold() for item in find_scans([tmp_path])]
    assert len(set(names)) == len(names) == 4


def test_series_of_a_folder_are_scans_of_their_own_and_read_as_such(tmp_path: Path) -> None:
    for n in (1, 2):
        for k in range(3 + n):
            name = tmp_path / "all" / f"{n}-{k}.dcm"
            name.parent.mkdir(exist_ok=True)
            uid = f"1.2.{n}"
            write_slice(name, VOXELS[n], (0, 0, k), SeriesInstanceUID=uid, SeriesNumber=n)
    items = find_scans([tmp_path])
    assert [(item.key, item.series, item.name) for item in items] == [
        ("all#series1", 1, "all_series1"),
        ("all#series2", 2, "all_series2"),
    ]
    assert [item.read(ReadOptions()).shape for item in items] == [(4, 5, 4), (4, 5, 5)]
    with pytest.raises(InputError, match="Leave out --series"):
        items[0].read(ReadOptions(series="1"))


def test_a_series_spread_over_folders_is_one_scan_and_copies_are_two(tmp_path: Path) -> None:
    for k in range(6):
        folder = tmp_path / "spread" / f"part{k // 3}"
        folder.mkdir(parents=True, exist_ok=True)
        write_slice(folder / f"{k}.dcm", VOXELS[0], (0, 0, k), SeriesInstanceUID="1.2.7")
    write_series(tmp_path / "copies" / "one", VOXELS)
    write_series(tmp_path / "copies" / "two", VOXELS)
    items = find_scans([tmp_path])
    assert [item.key for item in items] == ["copies/one", "copies/two", "spread"]
    assert items[2].read(ReadOptions()).shape == (4, 5, 6)


def test_radiographs_in_one_folder_go_by_their_files(tmp_path: Path) -> None:
    for name in ("p", "q"):
        write_slice(tmp_path / f"{name}.dcm", VOXELS[0], (0, 0, 0), Modality="CR",
                    SOPClassUID="1.2.840.10008.5.1.4.1.1.1")  # fmt: skip
    items = find_scans([tmp_path])
    assert [(item.key, item.name) for item in items] == [("p.dcm", "p"), ("q.dcm", "q")]
    assert items[1].read(ReadOptions()).data.shape == (4, 5, 1)


def test_numbered_tiff_slices_are_one_scan_and_others_are_not(tmp_path: Path) -> None:
    for folder, numbers in (("slices", (1, 2, 3)), ("gap", (1, 2, 4))):
        (tmp_path / folder).mkdir()
        for n in numbers:
            tifffile.imwrite(tmp_path / folder / f"s{n}.tif", VOXELS[0])
    items = find_scans([tmp_path])
    assert [i.key for i in items] == ["gap/s1.tif", "gap/s2.tif", "gap/s4.tif", "slices"]
    assert items[-1].read(ReadOptions(spacing=(1, 1, 1))).shape == (4, 5, 3)


def test_patterns_lists_and_several_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patient in ("p1", "p2"):
        write_nifti(tmp_path / patient / "ct.nii.gz")
        write_nifti(tmp_path / patient / "mr.nii.gz")
    assert keys(f"{tmp_path}/*/ct.nii.gz") == ["p1/ct.nii.gz", "p2/ct.nii.gz"]
    two = [str(tmp_path / "p1" / "mr.nii.gz"), str(tmp_path / "p2" / "mr.nii.gz")]
    assert keys(*two) == ["p1/mr.nii.gz", "p2/mr.nii.gz"]
    assert keys(*two, *two) == keys(*two)
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(two) + "\n\n"))
    assert keys("-") == keys(*two)
    assert keys(two[0]) == ["mr.nii.gz"]
    with pytest.raises(ScanNotFoundError, match="Nothing fits"):
        find_scans([f"{tmp_path}/*/pet.nii"])
    with pytest.raises(ScanNotFoundError, match="no file or folder"):
        find_scans([tmp_path / "absent"])


@pytest.mark.parametrize("read", [read_volume, inspect_scan, lambda path: find_scans([path])])
def test_an_empty_path_is_not_the_current_folder(
    read: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a variable that is not set: `predict "$SCAN"`."""
    write_nifti(tmp_path / "scan.nii.gz")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"received an empty one.*\. is the current folder"):
        read("")
    with pytest.raises(InputError, match="received an empty one"):
        find_scans(["scan.nii.gz", ""])


def test_links_are_not_followed_and_results_of_earlier_runs_left_out(tmp_path: Path) -> None:
    write_nifti(tmp_path / "scan.nii.gz")
    (tmp_path / "loop").symlink_to(tmp_path)
    for name in ("scan_heatmap.nii.gz", "scan_lesion_heatmap.nii.gz", "listed.nii.gz"):
        write_nifti(tmp_path / name)
    (tmp_path / "scan_result.json").write_text("{}")
    record = {"key": "x", "status": "done", "files": ["listed.nii.gz"]}
    (tmp_path / "results.jsonl").write_text(json.dumps(record) + '\n{"torn')
    (tmp_path / "results.csv").write_text("key\n")
    found = find_scans([tmp_path])
    assert [item.key for item in found] == ["scan.nii.gz"]
    assert found.left_out == {LINK: 1, "result of an earlier run": 6}


def test_links_are_followed_where_that_is_wanted_and_each_scan_is_found_once(
    tmp_path: Path,
) -> None:
    top, elsewhere = tmp_path / "top", tmp_path / "elsewhere"
    write_nifti(top / "m" / "real.nii")
    write_nifti(elsewhere / "deep" / "away.nii")
    write_nifti(elsewhere / "file.nii")
    (top / "a_link").symlink_to(top / "m")  # comes before the folder that it leads to
    (top / "again.nii").symlink_to("m/real.nii")
    (top / "x").symlink_to(elsewhere)
    (top / "y").symlink_to(elsewhere / "deep")
    (top / "p.nii").symlink_to(elsewhere / "file.nii")
    (top / "gone.nii").symlink_to("nowhere")
    plain = find_scans([top])
    assert [item.key for item in plain] == ["m/real.nii"]
    assert plain.left_out == {LINK: 6}
    found = find_scans([top], follow_links=True)
    assert [item.key for item in found] == [
        "m/real.nii",
        "p.nii",
        "x/deep/away.nii",
        "x/file.nii",
    ]
    assert found.left_out == {"link to what is found without it": 3, "link to nothing": 1}
    assert [item.read(ReadOptions()).shape for item in found] == [VOXELS.shape] * 4


def test_links_round_in_a_circle_end(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a" / "b" / "scan.nii")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to("self")
    (tmp_path / "c.nii").symlink_to("d.nii")
    (tmp_path / "d.nii").symlink_to("c.nii")
    found = find_scans([tmp_path / "a"], follow_links=True)
    assert [item.key for item in found] == ["b/scan.nii"]
    assert found.left_out["can't be opened (Too many levels of symbolic links)"] == 3
    with pytest.raises(InputError, match="lead round in a circle"):
        find_scans([tmp_path / "c.nii"])


def test_a_series_of_links_is_one_scan(tmp_path: Path) -> None:
    write_series(tmp_path / "store", VOXELS)
    (tmp_path / "study" / "ct").mkdir(parents=True)
    for n, file in enumerate(sorted((tmp_path / "store").iterdir())):
        (tmp_path / "study" / "ct" / f"{n}.dcm").symlink_to(file)
    (tmp_path / "linked").symlink_to(tmp_path / "study")
    (item,) = find_scans([tmp_path / "study"], follow_links=True)
    assert item.read(ReadOptions()).shape == (4, 5, 6)
    (item,) = find_scans([tmp_path / "linked"], follow_links=True)  # an argument is followed
    assert item.key == "ct"


def test_where_links_are_all_that_was_found_the_option_is_named(tmp_path: Path) -> None:
    write_nifti(tmp_path / "store" / "scan.nii")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "scan.nii").symlink_to(tmp_path / "store" / "scan.nii")
    with pytest.raises(InputError, match=r"1 × link, not followed; --follow-links does"):
        find_scans([tmp_path / "study"])
    (tmp_path / "study" / "scan.nii").unlink()
    key = "../.git/annex/objects/aa/bb/MD5E-s9--1.nii/MD5E-s9--1.nii"
    (tmp_path / "study" / "scan.nii").symlink_to(key)
    for follow_links in (False, True):
        with pytest.raises(InputError, match=r"fetch it with `datalad get` or `git annex get`"):
            find_scans([tmp_path / "study"], follow_links=follow_links)
    with pytest.raises(ScanNotFoundError, match="Fetch it with `datalad get`"):
        find_scans([tmp_path / "study" / "scan.nii"])


def test_a_pointer_in_place_of_a_content_is_named(tmp_path: Path) -> None:
    for start, program, command in (
        ("/annex/objects/MD5E-s9--1.nii.gz\n", "git-annex", "datalad get"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS", "git lfs pull"),
    ):
        for name in ("scan.nii.gz", "slice.dcm", "picture.png"):
            (tmp_path / name).write_text(start)
            with pytest.raises(UnsupportedFormatError, match=f"{program} pointer.*{command}"):
                read_volume(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [
        b"a.nii\nb.nii\n",
        b"\xef\xbb\xbfa.nii\r\nb.nii",
        b"a.nii\r\n\r\n \r\nb.nii\r\n\r\n",
        b"a.nii\0b.nii\0",
        b"\xef\xbb\xbfa.nii\0b.nii",
        "\ufeffa.nii\r\nb.nii\r\n".encode("utf-16-le"),
        "\ufeffa.nii\nb.nii".encode("utf-16-be"),
    ],
)
def test_lists_of_every_system_name_the_same_files(content: bytes) -> None:
    assert listed(content) == ["a.nii", "b.nii"]


def test_a_list_holds_names_as_they_are_on_disk() -> None:
    assert listed(b"p\xe9/ct.nii\n") == [os.fsdecode(b"p\xe9/ct.nii")]
    assert listed(b"two\nlines.nii\0 spaced .nii\0") == ["two\nlines.nii", " spaced .nii"]
    assert listed(b"") == listed(b"\xef\xbb\xbf\r\n") == []


def test_a_damaged_file_is_a_scan_that_fails_and_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "broken.tif").write_bytes(b"nothing like a TIFF")
    assert keys(tmp_path) == ["broken.tif"]
    (tmp_path / "broken.tif").unlink()
    (tmp_path / "office.docx").write_bytes(b"PK\x03\x04" + bytes(200))
    with pytest.raises(InputError, match=r"Found no scans .*1 × not a scan"):
        find_scans([tmp_path])


def test_a_pair_counts_once(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(VOXELS, np.eye(4)), tmp_path / "pair.img")
    assert keys(tmp_path) == ["pair.hdr"]


@pytest.mark.parametrize("count", [1, 3, 16])
def test_shards_cover_all_scans_exactly_once(count: int) -> None:
    names = [f"patient{n}/scan.nii.gz" for n in range(500)]
    shares = [
        [name for name in names if Shard(number=n, count=count).holds(name)]
        for n in range(1, count + 1)
    ]
    assert sorted(name for share in shares for name in share) == sorted(names)
    assert min(map(len, shares)) > 0.5 * len(names) / count


def test_a_shard_comes_from_text_or_from_an_indexed_job() -> None:
    assert Shard.parse("3/16") == Shard(number=3, count=16)
    assert Shard.parse("3/16").suffix == "-03-of-16"
    assert Shard.from_environment({}) is None
    assert Shard.from_environment({"JOB_COMPLETION_INDEX": "3"}) is None
    environment = {"JOB_COMPLETION_INDEX": "0", "VCAM_SHARDS": "16"}
    assert Shard.from_environment(environment) == Shard(number=1, count=16)
    for text in ("0/4", "5/4", "3", "a/b", "1/0"):
        with pytest.raises(InputError):
            Shard.parse(text)
    with pytest.raises(InputError, match="Indexed Job"):
        Shard.from_environment({"VCAM_SHARDS": "16"})


@pytest.mark.parametrize("off", ["early", "late"])
def test_a_slice_that_begins_one_byte_off_belongs_to_its_series(tmp_path: Path, off: str) -> None:
    paths = write_series(tmp_path / "ct", VOXELS)
    content = paths[2].read_bytes()
    paths[2].write_bytes(b"\0" + content if off == "early" else content[1:])
    (item,) = find_scans([tmp_path])
    assert (item.key, len(item.files)) == ("ct", 6)
    np.testing.assert_array_equal(item.read(ReadOptions()).data.transpose(2, 1, 0), VOXELS)


def test_slices_without_a_preamble_that_begin_one_byte_early_are_a_scan(tmp_path: Path) -> None:
    for path in write_series(tmp_path / "ct", VOXELS):
        content = path.read_bytes()
        path.write_bytes(b"\0" + content[144 + int.from_bytes(content[140:144], "little") :])
    (item,) = find_scans([tmp_path])
    assert len(item.files) == 6
    np.testing.assert_array_equal(item.read(ReadOptions()).data.transpose(2, 1, 0), VOXELS)


def test_dicom_named_img_makes_a_series_and_pairs_stay_nifti(tmp_path: Path) -> None:
    for n, path in enumerate(write_series(tmp_path / "ct", VOXELS)):
        path.rename(tmp_path / "ct" / f"slice{n}.img")
    (tmp_path / "pair").mkdir()
    nib.save(nib.Nifti1Pair(VOXELS, np.eye(4)), tmp_path / "pair" / "a.hdr")
    assert keys(tmp_path) == ["ct", "pair/a.hdr"]
    (item, _) = find_scans([tmp_path])
    np.testing.assert_array_equal(item.read(ReadOptions()).data.transpose(2, 1, 0), VOXELS)
