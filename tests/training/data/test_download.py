"""Downloads from a server on this machine: resumed, checked, and asked for once."""

import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vcam_client.errors import ConfigError, OutputError
from vcam_training.data.alone import alone
from vcam_training.data.download import RemoteFile, download

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Web(ThreadingHTTPServer):
    """Serves one file; what it does can be changed, what it was asked is kept."""

    content = CONTENT
    tag = '"first"'
    breaks_after: int | None = None
    ranges = True
    status: int | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/scans.zip"


class _Handler(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        web, wanted = self.server, self.headers.get("Range", "")
        web.asked.append(wanted)
        if web.status is not None:
            self.send_error(web.status)
            return
        first = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0
        if not web.ranges or self.headers.get("If-Range", web.tag) != web.tag:
            first = 0
        if first >= len(web.content):
            self.send_error(416)
            return
        body = web.content[first:]
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(web.content) - 1}/*")
        self.send_header("ETag", web.tag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        sent = body if web.breaks_after is None else body[: web.breaks_after]
        self.wfile.write(sent)
        if len(sent) < len(body):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def quiet(line: str) -> None:
    pass


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_arrives_whole_and_is_asked_for_once(web: Web, tmp_path: Path) -> None:
    path, told = tmp_path / "data" / "scans.zip", []
    file = RemoteFile(url=web.url, size=len(CONTENT), sha256=SHA256)
    assert download(file, path, told.append) == SHA256
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == {"scans.zip", "scans.zip.sha256"}
    assert told == ["Downloading scans.zip: 0.0 MB of 1.0 MB"]
    assert download(file, path, quiet) == SHA256
    assert web.asked == [""]


def test_a_connection_that_breaks_is_taken_up_again(web: Web, tmp_path: Path) -> None:
    web.breaks_after = 300_000
    told: list[str] = []
    file = RemoteFile(url=web.url, size=len(CONTENT), sha256=SHA256)
    assert download(file, tmp_path / "scans.zip", told.append) == SHA256
    assert web.asked == ["", "bytes=300000-", "bytes=600000-", "bytes=900000-"]
    assert "The connection broke at 0.3 MB; going on from there" in told


def test_an_interrupted_download_goes_on_with_the_next_call(web: Web, tmp_path: Path) -> None:
    def stop(line: str) -> None:
        if "broke" in line:
            raise KeyboardInterrupt

    web.breaks_after = 400_000
    file = RemoteFile(url=web.url, sha256=SHA256)
    with pytest.raises(KeyboardInterrupt):
        download(file, tmp_path / "scans.zip", stop)
    assert not (tmp_path / "scans.zip").exists()
    web.breaks_after = None
    download(file, tmp_path / "scans.zip", quiet)
    assert web.asked == ["", "bytes=400000-"]
    assert (tmp_path / "scans.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("reason", ["changed", "no ranges"])
def test_another_file_on_the_server_is_begun_again(web: Web, tmp_path: Path, reason: str) -> None:
    """Half of one file and half of another would be nothing."""

    def stop(line: str) -> None:
        if "broke" in line:
            raise KeyboardInterrupt

    web.breaks_after = 400_000
    with pytest.raises(KeyboardInterrupt):
        download(RemoteFile(url=web.url), tmp_path / "scans.zip", stop)
    web.breaks_after = None
    if reason == "changed":
        web.content, web.tag = CONTENT[::-1], '"second"'
    else:
        web.ranges = False
    download(RemoteFile(url=web.url), tmp_path / "scans.zip", quiet)
    assert (tmp_path / "scans.zip").read_bytes() == web.content


def test_a_whole_file_that_was_not_renamed_is_not_asked_for(web: Web, tmp_path: Path) -> None:
    (tmp_path / "scans.zip.part").write_bytes(CONTENT)
    file = RemoteFile(url=web.url, size=len(CONTENT), sha256=SHA256)
    assert download(file, tmp_path / "scans.zip", quiet) == SHA256
    assert web.asked == []


def test_more_than_the_server_has_is_begun_again(web: Web, tmp_path: Path) -> None:
    (tmp_path / "scans.zip.part").write_bytes(CONTENT + b"more")
    (tmp_path / "scans.zip.part.json").write_text('{"validator": "\\"first\\""}')
    download(RemoteFile(url=web.url, sha256=SHA256), tmp_path / "scans.zip", quiet)
    assert web.asked == [f"bytes={len(CONTENT) + 4}-", ""]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ({"sha256": "0" * 64}, f"SHA-256 {'0' * 64}, received {SHA256}"),
        ({"size": 12}, "12 bytes, received 1,048,576"),
    ],
)
def test_the_wrong_file_is_refused_and_not_kept(
    web: Web, tmp_path: Path, file: dict, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        download(RemoteFile(url=web.url, **file), tmp_path / "scans.zip", quiet)
    assert names(tmp_path) == set()


def test_the_first_download_is_believed_and_later_ones_compared_with_it(
    web: Web, tmp_path: Path
) -> None:
    file, path = RemoteFile(url=web.url, size=len(CONTENT)), tmp_path / "scans.zip"
    assert download(file, path, quiet) == SHA256
    assert (tmp_path / "scans.zip.sha256").read_text() == f"{SHA256}  scans.zip\n"
    path.write_bytes(CONTENT[::-1])
    with pytest.raises(ConfigError, match=f"SHA-256 {SHA256}.*Move '.*' away and run again"):
        download(file, path, quiet)
    assert path.exists()
    path.unlink()
    web.content = CONTENT[::-1]
    with pytest.raises(ConfigError, match=f"SHA-256 {SHA256}.*It was deleted"):
        download(file, path, quiet)


def test_a_file_put_there_by_hand_is_checked(web: Web, tmp_path: Path) -> None:
    path = tmp_path / "scans.zip"
    path.write_bytes(b"a page that says: log in")
    with pytest.raises(ConfigError, match=r"1,048,576 bytes, received 24\. Move"):
        download(RemoteFile(url=web.url, size=len(CONTENT)), path, quiet)
    path.write_bytes(CONTENT)
    assert download(RemoteFile(url=web.url, size=len(CONTENT)), path, quiet) == SHA256
    assert web.asked == []


def test_without_a_network_the_message_says_what_to_do_by_hand(tmp_path: Path) -> None:
    with socket.socket() as closed:  # a port that nobody listens on
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/scans.zip"
        file = RemoteFile(url=url, size=2_000_000, by_hand="(from the archive)")
        with pytest.raises(ConfigError) as caught:
            download(file, tmp_path / "scans.zip", quiet)
    said = str(caught.value)
    assert said.startswith(f"Can't download scans.zip from {url} (")
    assert "bring the file (2.0 MB) from elsewhere (from the archive)" in said
    assert str(tmp_path / "scans.zip") in said


def test_a_connection_that_never_lasts_gives_up_and_keeps_what_came(
    web: Web, tmp_path: Path
) -> None:
    web.breaks_after = 1000
    with pytest.raises(ConfigError, match="the same command goes on from there"):
        download(RemoteFile(url=web.url), tmp_path / "scans.zip", quiet)
    assert (tmp_path / "scans.zip.part").stat().st_size == 1000 * len(web.asked)


@pytest.mark.parametrize("status", [404, 503])
def test_an_error_of_the_server_is_named(web: Web, tmp_path: Path, status: int) -> None:
    web.status = status
    with pytest.raises(ConfigError, match=f"the server answered {status}"):
        download(RemoteFile(url=web.url), tmp_path / "scans.zip", quiet)
    assert len(web.asked) == 1


def test_other_addresses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="http or https address, received 'file:"):
        download(RemoteFile(url="file:///etc/hosts"), tmp_path / "x", quiet)


def test_a_place_that_can_not_be_written(web: Web, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"Can't write .* is a file, not a folder.* with --data"):
        download(RemoteFile(url=web.url), tmp_path / "file" / "scans.zip", quiet)


def test_a_file_is_on_disk_before_it_has_its_name(
    web: Web, tmp_path: Path, disk_steps: list[str]
) -> None:
    download(RemoteFile(url=web.url), tmp_path / "scans.zip", quiet)
    at = disk_steps.index("rename scans.zip.part scans.zip")
    assert "sync scans.zip.part" in disk_steps[:at]


def test_two_runs_download_a_file_once(web: Web, tmp_path: Path) -> None:
    place, told, lines = tmp_path / "scans.zip", threading.Event(), []

    def report(line: str) -> None:
        lines.append(line)
        told.set()

    with ThreadPoolExecutor(1) as pool:
        with alone(tmp_path / ".scans.zip.lock", quiet, "waits"):
            waiting = pool.submit(download, RemoteFile(url=web.url), place, report)
            assert told.wait(60)
            place.write_bytes(CONTENT)
        assert waiting.result(60) == SHA256
    assert lines == ["Waiting for another run that downloads the same file"]
    assert web.asked == []
    assert [path.name for path in tmp_path.iterdir()] == ["scans.zip"]
