"""`vcam-client` on another user's machine: no home, other encodings, closed pipes, odd names."""

import csv
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import nibabel as nib
import numpy as np
import pytest
from another_user import User, another_user, this_user
from PIL import Image

if TYPE_CHECKING:
    from served.server import ServerUnderTest

SHAPE = (30, 28, 24)
FILES = ["scan_heatmap.nii.gz", "scan_overlay.png", "scan_result.json"]
ENCODINGS = [
    {"PYTHONIOENCODING": "cp1252"},
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "C"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.fixture(params=["this user", "another user"])
def user(request: pytest.FixtureRequest) -> User:
    return this_user() if request.param == "this user" else another_user()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can reach and write to, with data/scan.nii.gz in it.

    Those of pytest are closed to other users.
    """
    folder = Path(tempfile.mkdtemp(prefix="vcam-another-"))
    (folder / "data").mkdir(mode=0o755)
    data = np.full(SHAPE, -900, np.int16)
    data[18:24, 6:12, 10:16] = 300
    image = nib.Nifti1Image(data, np.diag([-2.0, -2.0, 3.0, 1.0]))
    nib.save(image, folder / "data" / "scan.nii.gz")
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def env(server: "ServerUnderTest") -> dict[str, str]:
    return {"VCAM_SERVER": server.address, "VCAM_MODEL": "ct"}


def check_files(folder: Path) -> None:
    """The results of scan.nii.gz are there, whole, and nothing else is."""
    assert sorted(p.name for p in folder.iterdir() if p.name != "data") == FILES
    assert nib.load(folder / FILES[0]).get_fdata().shape == SHAPE
    with Image.open(folder / FILES[1]) as picture:
        picture.load()
    assert json.loads((folder / FILES[2]).read_bytes())["scan"] == "scan"


@contextmanager
def forwarding(address: str, server: str) -> Iterator[None]:
    """A server at `address` that hands every call on to `server`."""

    class Forward(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            call = channel.unary_unary(details.method)
            return grpc.unary_unary_rpc_method_handler(lambda request, _: call(request))

    with grpc.insecure_channel(server) as channel:
        front = grpc.server(ThreadPoolExecutor(2), handlers=(Forward(),))
        front.add_insecure_port(address)
        front.start()
        yield
        front.stop(0).wait()


@pytest.mark.parametrize(
    ("who", "home"),
    [
        (this_user, ""),
        (this_user, "/nowhere"),
        (another_user, None),
        (another_user, "closed"),
        (another_user, "/"),
    ],
)
def test_a_home_folder_that_is_not_there_or_not_ones_own(
    who: Callable[[], User], place: Path, env: dict[str, str], home: str | None
) -> None:
    user = who()
    if home == "closed":
        home = str(place / "data" / "closed")
        Path(home).mkdir(mode=0o700)
    variables = env if home is None else {**env, "HOME": home}
    seen = user.run("vcam-client", "inspect", "data/scan.nii.gz", cwd=place, env=variables)
    assert (seen.returncode, seen.stderr) == (0, b"")
    assert "30×28×24" in seen.stdout.decode()
    done = user.run("vcam-client", "predict", "data/scan.nii.gz", cwd=place, env=variables)
    assert (done.returncode, done.stderr) == (0, b"")
    check_files(place)
    doctor = user.run("vcam-client", "doctor", cwd=place, env=variables)
    assert doctor.returncode == 0, doctor.stdout
    assert doctor.stdout.startswith(b"settings    ")
    if not home:
        assert b"this user has no home folder" in doctor.stdout


def test_settings_of_another_user_are_passed_over_with_a_note(
    place: Path, env: dict[str, str]
) -> None:
    user = another_user()
    file = place / ".config" / "vcam" / "client.toml"
    file.parent.mkdir(parents=True)
    file.write_text('model = "mr"\n')
    file.chmod(0o600)
    info = user.run("vcam-client", "info", cwd=place, env={**env, "HOME": str(place)})
    assert info.returncode == 0
    assert "served as 'ct'" in info.stdout.decode()
    assert info.stderr.decode() == (
        f"vcam-client: Goes on without '{file}', which this user may not read.\n"
    )
    named = user.run("vcam-client", "info", cwd=place, env={**env, "VCAM_CONFIG": str(file)})
    assert named.returncode == 1
    assert named.stderr.decode() == (
        f"vcam-client: The configuration file '{file}' can't be read: Permission denied.\n"
    )
    file.parent.chmod(0o700)  # now nobody else knows what is in it
    info = user.run("vcam-client", "info", cwd=place, env={**env, "HOME": str(place)})
    assert (info.returncode, info.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("who", "variables"),
    [(another_user, ENCODINGS[0]), *((this_user, variables) for variables in ENCODINGS)],
)
def test_standard_output_in_any_encoding(
    who: Callable[[], User], place: Path, env: dict[str, str], variables: dict[str, str]
) -> None:
    user = who()
    encoding = variables.get("PYTHONIOENCODING") or (
        "ascii" if "PYTHONUTF8" in variables else "utf-8"
    )
    env = {**env, **variables}
    done = user.run("vcam-client", "predict", "data/scan.nii.gz", cwd=place, env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode(encoding)
    arrow, times = ("←", "×") if encoding == "utf-8" else ("<-", "×")
    assert f"{arrow} explained" in text
    assert ("30x28x24" if encoding == "ascii" else f"30{times}28{times}24") in text
    check_files(place)
    seen = user.run("vcam-client", "inspect", "data/scan.nii.gz", cwd=place, env=env)
    assert (seen.returncode, seen.stderr) == (0, b"")
    assert f"30{'x' if encoding == 'ascii' else '×'}28" in seen.stdout.decode(encoding)
    help_text = user.run("vcam-client", "--help", cwd=place, env=env)
    assert (help_text.returncode, help_text.stderr) == (0, b"")
    ellipsis = "…" if encoding in ("utf-8", "cp1252") else "..."
    assert f"$VCAM_{ellipsis} variables" in help_text.stdout.decode(encoding)


@pytest.mark.parametrize("variables", ENCODINGS, ids=lambda v: ",".join(v.values()))
def test_json_is_utf8_or_ascii_whatever_the_encoding(
    place: Path, env: dict[str, str], variables: dict[str, str]
) -> None:
    name = "Schädel №3.nii.gz"
    (place / "data" / "scan.nii.gz").rename(place / "data" / name)
    env = {**env, **variables}
    done = this_user().run("vcam-client", "predict", f"data/{name}", "--json", cwd=place, env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    content = json.loads(done.stdout.decode("utf-8"))
    assert content == json.loads((place / "Schädel №3_result.json").read_bytes())
    assert content["scan"] == "Schädel №3"
    for command in (
        ["info", "--json"],
        ["inspect", f"data/{name}", "--json"],
        ["status", "--json"],
    ):
        done = this_user().run("vcam-client", *command, cwd=place, env=env)
        assert done.returncode == 0
        json.loads(done.stdout.decode("utf-8"))


def test_a_pipe_that_is_closed_after_the_first_line(
    user: User, place: Path, env: dict[str, str]
) -> None:
    for command, first in (("inspect", b"scan.nii.gz\n"), ("predict", b"scan: ")):
        done = user.run(
            "vcam-client", command, "data/scan.nii.gz", cwd=place, env=env, through="| head -1"
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.startswith(first)
        assert done.stdout.count(b"\n") == 1
    check_files(place)


@pytest.mark.parametrize("command", ["inspect", "predict", "--help", "doctor", "folder"])
def test_a_pipe_that_nobody_reads_changes_neither_files_nor_exit_code(
    place: Path, env: dict[str, str], command: str
) -> None:
    user = this_user()
    arguments = {
        "inspect": ["inspect", "data/scan.nii.gz"],
        "predict": ["predict", "data/scan.nii.gz", "--verbose"],
        "folder": ["predict", "data/scan.nii.gz", "data/copy.nii.gz", "--out", "out"],
    }.get(command, [command])
    shutil.copy(place / "data" / "scan.nii.gz", place / "data" / "copy.nii.gz")
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = user.run("vcam-client", *arguments, cwd=place, env=env, stdout=writer, stderr=writer)
    finally:
        os.close(writer)
    assert done.returncode == 0
    if command == "predict":
        check_files(place)
    if command == "folder":
        records = [json.loads(r) for r in (place / "out/results.jsonl").read_bytes().splitlines()]
        assert [r["status"] for r in records] == ["done", "done"]


def test_no_room_behind_standard_output(place: Path, env: dict[str, str]) -> None:
    user = this_user()
    folder = ["predict", "data/scan.nii.gz", "data/scan.nii.gz", "--out", "data/out"]
    message = (
        "vcam-client: Can't write to standard output: No space left on device. Send it elsewhere, "
        "or free some space.\n"
    )
    for command in (["inspect", "data/scan.nii.gz"], ["predict", "data/scan.nii.gz"], ["--help"]):
        with Path("/dev/full").open("wb") as full:
            done = user.run("vcam-client", *command, cwd=place, env=env, stdout=full)
        assert (done.returncode, done.stderr.decode()) == (1, message)
    check_files(place)
    for unbuffered in ({}, {"PYTHONUNBUFFERED": "1"}):
        with Path("/dev/full").open("wb") as full:
            done = user.run(
                "vcam-client", *folder, cwd=place, env={**env, **unbuffered}, stdout=full
            )
        assert done.returncode == 1
        assert done.stderr.decode().endswith(message)
    assert (place / "data/out/results.jsonl").read_bytes().count(b"done") == 1


def test_no_room_behind_standard_error_is_no_failure(place: Path, env: dict[str, str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = this_user().run(
            "vcam-client", "predict", "data/scan.nii.gz", "-v", cwd=place, env=env, stderr=full
        )
    assert done.returncode == 0
    check_files(place)


def test_standard_streams_that_are_closed(place: Path, env: dict[str, str]) -> None:
    user = this_user()
    done = user.run(
        "vcam-client", "predict", "data/scan.nii.gz", cwd=place, env=env, through="<&- >&- 2>&-"
    )
    assert done.returncode == 0
    check_files(place)
    done = user.run("vcam-client", "predict", "-", cwd=place, env=env, through="<&-")
    assert done.returncode == 1
    assert b"standard input, which is closed" in done.stderr


def test_a_current_folder_that_is_read_only(place: Path, env: dict[str, str]) -> None:
    user = this_user() if os.geteuid() != 0 else another_user()
    out = place / "out"
    out.mkdir()
    out.chmod(0o777)
    here = place / "data"
    here.chmod(0o555)
    seen = user.run("vcam-client", "inspect", "scan.nii.gz", cwd=here, env=env)
    assert (seen.returncode, seen.stderr) == (0, b"")
    refused = user.run("vcam-client", "predict", "scan.nii.gz", cwd=here, env=env)
    assert refused.returncode == 1
    message = refused.stderr.decode()
    assert message.startswith("vcam-client: Can't write ")
    assert "No permission to write into the folder '.'" in message
    assert "--out" in message
    assert "Traceback" not in message
    assert os.listdir(here) == ["scan.nii.gz"]
    done = user.run("vcam-client", "predict", "scan.nii.gz", "--out", out, cwd=here, env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    check_files(out)
    here.chmod(0o755)


def test_folders_and_files_that_are_closed_to_this_user(place: Path, env: dict[str, str]) -> None:
    user = another_user()
    data = place / "data"
    for name in ("closed.nii.gz", "closed.dcm"):
        shutil.copy(data / "scan.nii.gz", data / name)
        (data / name).chmod(0)
    shutil.copy(data / "scan.nii.gz", data / "scan2.nii.gz")
    (data / "away").mkdir()
    shutil.copy(data / "scan.nii.gz", data / "away")
    (data / "away").chmod(0)
    for name in ("closed.nii.gz", "closed.dcm", "away", "away/scan.nii.gz"):
        for command in ("inspect", "predict"):
            done = user.run("vcam-client", command, f"data/{name}", cwd=place, env=env)
            assert done.returncode in (1, 2)
            assert b"Traceback" not in done.stderr
            assert b"Permission denied" in done.stderr or b"is not readable" in done.stderr
    done = user.run("vcam-client", "predict", "data", "--out", "out", cwd=place, env=env)
    assert b"2 done, 1 failed" in done.stdout  # the DICOM can't be known for one
    assert b"1 \xc3\x97 folder that can't be opened (Permission denied)" in done.stderr
    assert b"closed.nii.gz can't be read: Permission denied" in done.stderr
    (data / "away").chmod(0o755)


def test_file_names_that_are_not_text(place: Path, env: dict[str, str]) -> None:
    user, raw = this_user(), b"Sch\xe4del"
    scans = os.fsencode(place) + b"/scans/p\xe9"
    os.makedirs(scans)
    for name in (raw, b"line\nbreak"):
        shutil.copy(place / "data" / "scan.nii.gz", scans + b"/" + name + b".nii.gz")
    seen = user.run("vcam-client", "inspect", scans + b"/" + raw + b".nii.gz", cwd=place, env=env)
    assert (seen.returncode, seen.stderr) == (0, b"")
    assert seen.stdout.startswith(rb"Sch\xe4del.nii.gz")
    one = user.run(
        "vcam-client", "predict", scans + b"/" + raw + b".nii.gz", "--json", cwd=place, env=env
    )
    assert (one.returncode, one.stderr) == (0, b"")
    assert os.fsencode(json.loads(one.stdout)["scan"]) == raw
    written = Path(os.fsdecode(os.fsencode(place) + b"/" + raw + b"_result.json"))
    assert json.loads(written.read_bytes()) == json.loads(one.stdout)

    folder = ["predict", "scans", "--out", "out"]
    first = user.run("vcam-client", *folder, cwd=place, env=env)
    assert first.returncode == 0, first.stderr
    assert b"2 done" in first.stdout
    records = [json.loads(r) for r in (place / "out/results.jsonl").read_bytes().splitlines()]
    keys = {os.fsencode(record["key"]) for record in records}
    assert keys == {b"p\xe9/" + raw + b".nii.gz", b"p\xe9/line\nbreak.nii.gz"}
    for record in records:
        assert (place / "out" / record["result_file"]).is_file()
    with (place / "out/results.csv").open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    assert {row["key"] for row in table} == {
        r"p\udce9/Sch\udce4del.nii.gz",
        "p\\udce9/line\nbreak.nii.gz",
    }
    again = user.run("vcam-client", *folder, cwd=place, env=env)
    assert b"0 done, 2 done before" in again.stdout

    listed = b"\0".join(scans + b"/" + n + b".nii.gz" for n in (raw, b"line\nbreak"))
    done = user.run(
        "vcam-client", "predict", "-", "--out", "listed", cwd=place, env=env, input=listed
    )
    assert done.returncode == 0, done.stderr
    assert b"2 done" in done.stdout


def test_names_that_are_too_long_for_their_results(place: Path, env: dict[str, str]) -> None:
    user = this_user()
    scans = place / "scans"
    scans.mkdir()
    for stem in ("a" * 243, "é" * 121, "good", "fine"):
        shutil.copy(place / "data" / "scan.nii.gz", scans / f"{stem}.nii.gz")
    one = user.run("vcam-client", "predict", scans / f"{'a' * 243}.nii.gz", cwd=place, env=env)
    assert one.returncode == 1
    message = one.stderr.decode()
    assert "of 243 bytes is too long for its results" in message
    assert "Rename the scan: at most 240 bytes" in message
    assert "folder" not in message
    assert sorted(os.listdir(place)) == ["data", "scans"]
    run = user.run("vcam-client", "predict", "scans", "--out", "out", cwd=place, env=env)
    assert run.returncode == 1
    assert b"2 done, 2 failed" in run.stdout
    assert b"fails again until it is fixed" in run.stdout
    assert b"same command again" not in run.stdout
    nobody = user.run("vcam-client", "predict", "b" * 300, cwd=place, env=env)
    assert nobody.returncode == 1
    assert b"File name too long" in nobody.stderr
    assert b"Traceback" not in nobody.stderr


def test_contents_that_git_annex_has_elsewhere(place: Path, env: dict[str, str]) -> None:
    user = this_user()
    objects = place / ".git/annex/objects/x1"
    objects.mkdir(parents=True)
    shutil.copy(place / "data" / "scan.nii.gz", objects / "MD5E-s9--1.nii.gz")
    for n, key in (("1", "1"), ("2", "1"), ("3", "gone")):
        link = place / f"sub-{n}" / "ct.nii.gz"
        link.parent.mkdir()
        link.symlink_to(f"../.git/annex/objects/x1/MD5E-s9--{key}.nii.gz")
    shutil.rmtree(place / "data")
    run = ["predict", ".", "--out", "out"]
    refused = user.run("vcam-client", *run, cwd=place, env=env)
    assert refused.returncode == 1
    assert "2 × link, not followed; --follow-links does" in refused.stderr.decode()
    assert "datalad get" in refused.stderr.decode()
    done = user.run("vcam-client", *run, "--follow-links", cwd=place, env=env)
    assert done.returncode == 0, done.stderr
    assert b"2 done" in done.stdout
    assert b"fetch it with `datalad get` or `git annex get`" in done.stderr
    assert (place / "out/sub-1/ct_result.json").is_file()
    for command in ("inspect", "predict"):
        gone = user.run("vcam-client", command, "sub-3/ct.nii.gz", cwd=place, env=env)
        assert gone.returncode == 1
        assert b"Fetch it with `datalad get` or `git annex get`" in gone.stderr


def test_grpc_over_a_unix_socket(
    server: "ServerUnderTest", place: Path, env: dict[str, str]
) -> None:
    with forwarding(f"unix:{place}/vcam.sock", server.address):
        for address in (f"unix:{place}/vcam.sock", "unix:vcam.sock"):
            done = this_user().run("vcam-client", "doctor", "--server", address, cwd=place, env=env)
            assert done.returncode == 0, done.stdout
            assert f"{address} is open".encode() in done.stdout
    gone = this_user().run(
        "vcam-client", "info", "--server", "unix:gone.sock", "--retries", "1", cwd=place, env=env
    )
    assert gone.returncode == 1
    assert b"No model server answers at unix:gone.sock" in gone.stderr


@pytest.mark.parametrize("command", ["vcam-train", "vcam-serve"])
def test_the_other_commands_have_help_in_any_encoding(place: Path, command: str) -> None:
    user = this_user()
    for variables in ENCODINGS[:3]:
        done = user.run(command, "--help", cwd=place, env=variables)
        assert (done.returncode, done.stderr) == (0, b"")
        assert "Usage: " in done.stdout.decode(variables["PYTHONIOENCODING"])
    headed = user.run(command, "--help", cwd=place, through="| head -1")
    assert (headed.returncode, headed.stderr) == (0, b"")
    with Path("/dev/full").open("wb") as full:
        done = user.run(command, "--help", cwd=place, stdout=full)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{command}: Can't write to standard output".encode())


def test_libraries_of_training_find_a_home_folder(place: Path) -> None:
    user = another_user()
    (place / "home.py").write_text(
        "from pathlib import Path\n"
        "from vcam_serving.home import writable_home\n"
        "with writable_home():\n"
        "    home = Path.home()\n"
        "    (home / 'file').touch()\n"
        "    import matplotlib, keras\n"
        "    matplotlib.get_configdir()\n"
        "print(home.exists())\n"
    )
    done = subprocess.run(
        [user.python, "home.py"], cwd=place, capture_output=True, check=False, **user.options
    )
    assert done.stdout == b"False\n", done.stderr
    assert b"MPLCONFIGDIR" not in done.stderr
    assert sorted(os.listdir(place)) == ["data", "home.py"]
