"""Files and folders are there whole or not at all, whatever happens meanwhile."""

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from client.writer_process import SIZE, write_many

from vcam_client import folder_writing
from vcam_client.errors import InputError, OutputError
from vcam_client.folder_writing import recover_folder, replace_folder
from vcam_client.writing import (
    remove_unfinished,
    replace_file,
    write_atomically,
    written_together,
)

WRITER = Path(__file__).parent / "writer_process.py"
WRITES, PROCESSES = 240, 4


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def fill(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for name in ("a", "b"):
            (folder / name).write_text(text)

    return write


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.fixture(params=[True, False], ids=["exchange", "rename-aside"])
def exchange(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With renameat2, and as on systems without it."""
    if not request.param:
        monkeypatch.setattr(folder_writing, "_exchange", lambda one, other: False)
    return bool(request.param)


# whole files


def test_files_appear_with_the_permissions_of_the_umask(tmp_path: Path) -> None:
    write_atomically(tmp_path / "new" / "folder" / "a.json", b"content")
    replace_file(tmp_path / "b.txt", lambda part: part.write_text("text"))
    replace_folder(tmp_path / "c", fill("text"))
    assert (tmp_path / "new" / "folder" / "a.json").read_bytes() == b"content"
    for path in (tmp_path / "new" / "folder" / "a.json", tmp_path / "b.txt"):
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask()
    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o777 & ~umask()
    assert names(tmp_path) == ["b.txt", "c", "new"]


def test_unfinished_files_are_hidden_and_end_as_the_file_does(tmp_path: Path) -> None:
    seen = []
    for name in ("a.keras", "scan.nii.gz", "1.2.840.10008.1.2.3.4.5.6.7.8.9012345678901234567"):
        replace_file(tmp_path / name, lambda part: (seen.append(part), part.touch()))
    assert all(part.name.startswith(".") and part.parent == tmp_path for part in seen)
    assert [part.name.partition(".part")[2] for part in seen] == [".keras", ".nii.gz", ""]
    assert len({part.name for part in seen}) == 3


@pytest.mark.parametrize("length", [250, 255])
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path, length: int) -> None:
    name = "é" * ((length - 5) // 2) + "x" * ((length - 5) % 2) + ".json"
    assert len(os.fsencode(name)) == length
    write_atomically(tmp_path / name, b"content")
    replace_file(tmp_path / name, lambda part: part.write_text("more"))
    assert (tmp_path / name).read_text() == "more"
    replace_folder(tmp_path / ("f" * length), fill("x"))
    replace_folder(tmp_path / ("f" * length), fill("y"))
    assert contents(tmp_path / ("f" * length)) == {"a": "y", "b": "y"}


def test_what_is_written_is_on_disk_before_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is synced, then renamed, then its folder is synced."""
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        steps.append(f"sync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        fsync(descriptor)

    def renamed(source: Path, target: Path) -> None:
        steps.append(f"{Path(source).name} → {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    replace_file(tmp_path / "folder" / "a.txt", lambda part: part.write_text("x"))
    part = steps[1].removeprefix("sync ")
    assert steps == [f"sync {tmp_path.name}", f"sync {part}", f"{part} → a.txt", "sync folder"]


@pytest.mark.usefixtures("exchange")
def test_a_folder_is_on_disk_before_it_takes_the_place_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files, itself, and after the swap the folder above; the old one stays until then."""
    place = tmp_path / "folder"
    replace_folder(place, fill("x"))
    steps: list[tuple[str, str]] = []
    fsync = os.fsync

    def synced(descriptor: int) -> None:
        steps.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")).name, contents(place)["a"]))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    replace_folder(place, fill("y"))
    before = [name for name, content in steps if content == "x"]
    assert sorted(before[:2]) == ["a", "b"]
    assert before[2].startswith(".vcam-")
    assert before[3:] == []
    assert set(steps[3:]) == {(tmp_path.name, "y")}


# who is at work at the same time


def test_writers_of_one_file_do_not_get_in_each_other_s_way(tmp_path: Path) -> None:
    """240 writes from threads of several processes: none fails, none is mixed with another."""
    place, stop, torn = tmp_path / "results.csv", threading.Event(), []
    write_many(place, 0, 1)

    def watch() -> None:
        while not stop.is_set():
            content = place.read_bytes()
            if content != content[:2] * SIZE:
                torn.append(content)

    watcher = threading.Thread(target=watch)
    watcher.start()
    each = WRITES // (PROCESSES + 1)
    others = [
        subprocess.Popen([sys.executable, WRITER, "many", place, str(n * each), str(each)])
        for n in range(PROCESSES)
    ]
    write_many(place, PROCESSES * each, each)
    codes = [other.wait() for other in others]
    stop.set()
    watcher.join()
    assert codes == [0] * PROCESSES
    assert torn == []
    assert names(tmp_path) == ["results.csv"]


def test_writers_of_one_folder_do_not_get_in_each_other_s_way(tmp_path: Path) -> None:
    place = tmp_path / "errors"

    def replace(number: int) -> None:
        replace_folder(place, fill(str(number)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(replace, range(80)))
    found = contents(place)
    assert found.keys() == {"a", "b"}
    assert found["a"] == found["b"]
    assert names(tmp_path) == ["errors"]


def test_an_exchanged_folder_is_never_missing(tmp_path: Path) -> None:
    place, stop, missing = tmp_path / "errors", threading.Event(), []
    replace_folder(place, fill("first"))

    def watch() -> None:
        while not stop.is_set():
            try:
                if os.listdir(place) not in (["a", "b"], ["b", "a"]):
                    missing.append("incomplete")
            except FileNotFoundError:
                missing.append("absent")

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(100):
        replace_folder(place, fill(str(number)))
    stop.set()
    watcher.join()
    # listing goes on in a folder that has been replaced and is being emptied
    assert "absent" not in missing


# who is killed


def _kill(mode: str, place: Path, step: int) -> int:
    done = subprocess.run(
        [sys.executable, str(WRITER), mode, str(place), str(step)], capture_output=True
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode


def test_a_writer_that_is_killed_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    place, seen = tmp_path / "a.json", []
    for step in range(1, 20):
        place.write_bytes(b"old")
        code = _kill("file", place, step)
        content = place.read_bytes()
        assert content in (b"old", b"new" * 1000)
        seen.append(content[:3])
        others = [name for name in names(tmp_path) if name != "a.json"]
        assert all(name.startswith(".vcam-") for name in others)
        remove_unfinished(tmp_path)
        assert names(tmp_path) == ["a.json"]
        if code == 0:
            break
    assert code == 0
    assert len(seen) > 4
    assert seen == sorted(seen, reverse=True)  # old up to the rename, new from then on


@pytest.mark.parametrize("mode", ["exchange", "aside"])
def test_a_writer_that_is_killed_leaves_the_old_folder_or_the_new(
    tmp_path: Path, mode: str
) -> None:
    place, seen = tmp_path / "errors", []
    for step in range(1, 40):
        replace_folder(place, fill("old"))
        code = _kill(mode, place, step)
        if mode == "exchange":
            assert place.is_dir()  # without any help
        recover_folder(place)
        found = contents(place)
        assert found in ({"a": "old", "b": "old"}, {"a": "new", "b": "new"})
        seen.append(found["a"])
        remove_unfinished(tmp_path)
        assert names(tmp_path) == ["errors"]
        if code == 0:
            break
    assert code == 0
    assert seen == sorted(seen, reverse=True)
    assert {"old", "new"} == set(seen)


def test_the_next_writer_brings_back_what_a_killed_one_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "errors"
    replace_folder(place, fill("old"))
    os.rename(place, folder_writing._aside(place))

    def failing(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OutputError, match="No space left"):
        replace_folder(place, failing)
    assert contents(place) == {"a": "old", "b": "old"}
    assert names(tmp_path) == ["errors"]


# what goes wrong

_STEPS = ["open", "write", "fsync", "replace"]


def _break(monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    if step == "open":
        monkeypatch.setattr(Path, "open", failing)
    elif step == "write":

        class Full:
            def __init__(self, path: Path) -> None:
                path.touch()

            def __enter__(self) -> "Full":
                return self

            def __exit__(self, *_: object) -> None:
                pass

            write = failing

        monkeypatch.setattr(Path, "open", lambda path, mode: Full(path))
    else:
        monkeypatch.setattr(os, step, failing)


@pytest.mark.parametrize("step", _STEPS)
@pytest.mark.parametrize("kind", [KeyboardInterrupt, OSError, RuntimeError])
def test_what_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, kind: type[BaseException]
) -> None:
    (tmp_path / "a.json").write_bytes(b"old")
    error = kind(errno.ENOSPC, os.strerror(errno.ENOSPC)) if kind is OSError else kind("stop")
    with monkeypatch.context() as patch:
        _break(patch, step, error)
        with pytest.raises(OutputError if kind is OSError else kind) as caught:
            write_atomically(tmp_path / "a.json", b"new")
    if kind is OSError:
        assert str(caught.value).endswith(
            "No space left on the disk. Free some space, or choose another disk with --out."
        )
    assert (tmp_path / "a.json").read_bytes() == b"old"
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError])
def test_a_folder_that_is_not_finished_leaves_the_old_one(
    tmp_path: Path, exchange: bool, kind: type[BaseException]
) -> None:
    replace_folder(tmp_path / "errors", fill("old"))

    def failing(folder: Path) -> None:
        (folder / "a").write_text("half")
        raise kind("stop")

    with pytest.raises(kind):
        replace_folder(tmp_path / "errors", failing)
    assert contents(tmp_path / "errors") == {"a": "old", "b": "old"}
    assert names(tmp_path) == ["errors"]


def test_an_interrupt_between_two_renames_brings_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_folder(tmp_path / "errors", fill("old"))
    monkeypatch.setattr(folder_writing, "_exchange", lambda one, other: False)
    rename, done = os.rename, []

    def interrupted(source: Path, target: Path) -> None:
        done.append(target)
        if len(done) == 2:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_folder(tmp_path / "errors", fill("new"))
    assert contents(tmp_path / "errors") == {"a": "old", "b": "old"}
    assert names(tmp_path) == ["errors"]


def test_none_of_several_files_appears_if_the_last_fails(tmp_path: Path) -> None:
    def write() -> None:
        with written_together() as files:
            files.add(tmp_path / "first", b"1")
            files.add(tmp_path / "second", lambda part: part.write_text("2"))
            assert all(name.startswith(".") for name in names(tmp_path))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert names(tmp_path) == []


def test_a_full_disk_is_named_also_where_a_library_hides_it(tmp_path: Path) -> None:
    def hidden(part: Path) -> None:
        try:
            raise OSError(errno.ENOSPC, "full")
        finally:
            raise ValueError("Can't close the archive")

    with pytest.raises(OutputError, match="No space left on the disk"):
        replace_file(tmp_path / "a", hidden)


def test_errors_that_are_not_about_writing_stay(tmp_path: Path) -> None:
    def wrong(part: Path) -> None:
        raise InputError("the scan")

    with pytest.raises(InputError, match="the scan"):
        replace_file(tmp_path / "a", wrong)
    with pytest.raises(ZeroDivisionError):
        replace_file(tmp_path / "a", lambda part: 1 / 0)
    assert names(tmp_path) == []


def test_a_limit_on_the_size_of_files_is_named(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OutputError, match="larger than the disk or a limit allows"):
            write_atomically(tmp_path / "a", b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == []


# what is to blame


def test_the_name_is_blamed_where_it_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        write_atomically(tmp_path / ("n" * 251 + ".json"), b"x")
    assert "The name is too long, 256 bytes of at most 255. Choose a shorter one." in str(
        caught.value
    )
    assert "folder" not in str(caught.value).partition(": ")[2]
    with pytest.raises(OutputError, match=r"The folder's name 'f+…' is too long, 300 bytes"):
        write_atomically(tmp_path / ("f" * 300) / "a.json", b"x")
    with pytest.raises(OutputError, match="The path as a whole is too long"):
        write_atomically(tmp_path / "/".join(["d" * 200] * 25) / "a.json", b"x")
    with pytest.raises(OutputError, match="name is too long, 300 bytes"):
        replace_folder(tmp_path / ("f" * 300), fill("x"))
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EACCES, "No permission to write into the folder '{folder}'"),
        (errno.EROFS, "The disk is read-only that holds the folder '{folder}'"),
        (errno.EDQUOT, "No space left in your quota of the disk"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_the_folder_or_the_disk_is_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    _break(monkeypatch, "open", OSError(number, os.strerror(number)))
    with pytest.raises(OutputError) as caught:
        write_atomically(tmp_path / "a.json", b"x")
    assert reason.format(folder=tmp_path) in str(caught.value)


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file" / "a.json", tmp_path / "file" / "b" / "c" / "a.json"):
        with pytest.raises(OutputError, match=r"'\S*/file' is a file, not a folder"):
            write_atomically(place, b"x")
    with pytest.raises(OutputError, match="It is a file"):
        replace_folder(tmp_path / "file", fill("x"))
    assert (tmp_path / "file").read_text() == "mine"


def test_folders_devices_and_pipes_are_not_replaced_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="A folder has this name"):
        write_atomically(tmp_path / "folder", b"x")
    with pytest.raises(OutputError, match="A folder has this name"):
        write_atomically(Path(), b"x")
    streams = (Path("/dev/stdout"), Path("/dev/fd/1"), Path("/proc/self/fd/1"))
    for place in (Path(os.devnull), tmp_path / "pipe", *streams):
        with pytest.raises(OutputError, match="It is a device or a pipe"):
            write_atomically(place, b"x")
    assert not Path(os.devnull).is_file()
    assert names(tmp_path) == ["folder", "pipe"]


def test_a_folder_behind_a_link_is_replaced_where_it_is(tmp_path: Path, exchange: bool) -> None:
    replace_folder(tmp_path / "there", fill("old"))
    (tmp_path / "link").symlink_to("there")
    replace_folder(tmp_path / "link", fill("new"))
    assert (tmp_path / "link").is_symlink()
    assert contents(tmp_path / "there") == {"a": "new", "b": "new"}
    assert names(tmp_path) == ["link", "there"]


def test_folders_on_file_systems_that_can_t_sync_them_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def limited(descriptor: int) -> None:
        if Path(os.readlink(f"/proc/self/fd/{descriptor}")).is_dir():
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", limited)
    write_atomically(tmp_path / "a", b"x")
    assert (tmp_path / "a").read_bytes() == b"x"
