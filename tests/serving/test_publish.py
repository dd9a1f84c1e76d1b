import os
import threading

import pytest

from vcam_client.errors import ServableError
from vcam_serving import publish as module
from vcam_serving.publish import publish, staging, versions


def write(folder, content="model"):
    """Something that looks like a complete SavedModel."""
    (folder / "variables").mkdir()
    (folder / "variables" / "variables.index").write_text("index")
    (folder / "saved_model.pb").write_text(content)


def published(base, content="model", version=None):
    with staging(base) as staged:
        write(staged, content)
        return publish(staged, base, version)


def test_versions_count_up(tmp_path):
    base = tmp_path / "models" / "ct"
    assert published(base, "a") == base / "1"
    assert published(base, "b") == base / "2"
    assert published(base, "c", version=10) == base / "10"
    assert published(base, "d") == base / "11"
    assert published(base, "e", version=3) == base / "3"
    assert versions(base) == [1, 2, 3, 10, 11]
    assert [(base / str(n) / "saved_model.pb").read_text() for n in versions(base)] == list("abecd")


def test_versions_are_read_as_tensorflow_serving_does(tmp_path):
    for name in ("00007", "v9", "2", "tmp", ".3"):
        (tmp_path / name).mkdir()
    assert versions(tmp_path) == [2, 7]
    assert versions(tmp_path / "nothing") == []
    assert published(tmp_path) == tmp_path / "8"


@pytest.mark.parametrize("taken", ["4", "004"])
def test_a_version_is_never_overwritten(tmp_path, taken):
    base = tmp_path / "ct"
    (base / taken).mkdir(parents=True)
    with pytest.raises(ServableError, match=r"Version 4 of 'ct' exists .* Publish as 5"):
        published(base, version=4)
    assert list((base / taken).iterdir()) == []


@pytest.mark.parametrize("version", [0, -1, 2**63])
def test_versions_must_be_numbers_that_tensorflow_serving_reads(tmp_path, version):
    with pytest.raises(ServableError, match="Expected a version from 1"):
        published(tmp_path / "ct", version=version)


@pytest.mark.parametrize("lost", ["saved_model.pb", "variables/variables.index"])
def test_an_incomplete_servable_is_refused(tmp_path, lost):
    base = tmp_path / "ct"
    with staging(base) as staged:
        write(staged)
        (staged / lost).unlink()
        with pytest.raises(ServableError, match=lost):
            publish(staged, base)
    assert list(tmp_path.iterdir()) == []


def test_staging_lies_beside_the_base_and_goes_away(tmp_path):
    base = tmp_path / "models" / "ct"
    with staging(base) as staged:
        assert staged.parent == base.parent
        assert staged.name.startswith("."), "servers skip names with a dot"
        assert not base.exists()
        write(staged)
        mode = staged.stat().st_mode & 0o777
        assert mode == 0o777 & ~current_umask(), "a server of another user must read it"
        publish(staged, base)
    assert sorted(os.listdir(base.parent)) == ["ct"]

    class StoppedError(Exception):
        pass

    def stopped():
        with staging(base) as staged:
            write(staged)
            raise StoppedError

    with pytest.raises(StoppedError):
        stopped()
    assert sorted(os.listdir(base.parent)) == ["ct"]
    assert versions(base) == [1]


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_nobody_sees_half_a_version(tmp_path):
    """Whenever a version folder is there, it is complete."""
    base = tmp_path / "ct"
    base.mkdir()
    stop = threading.Event()
    incomplete = []

    def watch():
        while not stop.is_set():
            for number in versions(base):
                folder = base / str(number)
                if not (folder / "saved_model.pb").exists() or not (folder / "variables").exists():
                    incomplete.append(folder)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(20):
        published(base)
    stop.set()
    watcher.join()
    assert incomplete == []
    assert len(versions(base)) == 20


def test_publishers_at_once_get_versions_of_their_own(tmp_path):
    base = tmp_path / "ct"
    start = threading.Barrier(8)
    results = []

    def one(number):
        start.wait()
        results.extend((published(base, f"{number}.{n}"), f"{number}.{n}") for n in range(5))

    threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert versions(base) == list(range(1, 41))
    assert len({path for path, _ in results}) == 40
    for path, content in results:
        assert (path / "saved_model.pb").read_text() == content


def test_losing_the_race_for_a_given_version_is_an_error(tmp_path, monkeypatch):
    base = tmp_path / "ct"
    rename = os.rename

    def beaten(source, target):
        monkeypatch.setattr(module.os, "rename", rename)
        published(base, "other", version=2)
        rename(source, target)

    monkeypatch.setattr(module.os, "rename", beaten)
    with pytest.raises(ServableError, match="Version 2 of 'ct' exists"):
        published(base, "mine", version=2)
    assert (base / "2" / "saved_model.pb").read_text() == "other"


def test_losing_the_race_for_the_next_version_takes_the_one_after(tmp_path, monkeypatch):
    base = tmp_path / "ct"
    rename = os.rename

    def beaten(source, target):
        monkeypatch.setattr(module.os, "rename", rename)
        published(base, "other")
        rename(source, target)

    monkeypatch.setattr(module.os, "rename", beaten)
    assert published(base, "mine") == base / "2"
    assert (base / "1" / "saved_model.pb").read_text() == "other"


def test_everything_is_on_disk_before_it_is_renamed(tmp_path, monkeypatch):
    base = tmp_path / "ct"
    events = []
    fsync, rename = os.fsync, os.rename
    names = {}

    def opened(path, flags, _open=os.open):
        descriptor = _open(path, flags)
        names[descriptor] = os.path.basename(path)
        return descriptor

    monkeypatch.setattr(module.os, "open", opened)
    monkeypatch.setattr(module.os, "fsync", lambda d: (events.append(names[d]), fsync(d)))
    monkeypatch.setattr(module.os, "rename", lambda a, b: (events.append("rename"), rename(a, b)))
    published(base)
    before = events[: events.index("rename")]
    assert {"saved_model.pb", "variables.index", "variables"} <= set(before)
    assert before[-1].startswith(".ct.staging")
    assert events[-1] == "ct"


def test_a_base_that_is_a_file_is_explained(tmp_path):
    (tmp_path / "ct").write_text("")
    with pytest.raises(ServableError, match="publish into 'ct'"):
        published(tmp_path / "ct")
    with pytest.raises(ServableError, match="parent is writable"):
        published(tmp_path / "ct" / "deeper" / "still")
    assert [p.name for p in tmp_path.iterdir()] == ["ct"]


def test_a_model_s_name_may_be_as_long_as_the_file_system_allows(tmp_path):
    base = tmp_path / ("é" * 125)
    assert len(os.fsencode(base.name)) == 250
    assert published(base) == base / "1"
    assert os.listdir(tmp_path) == [base.name]
