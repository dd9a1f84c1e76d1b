"""Standard output in every encoding, and what a failure to write does."""

import contextlib
import errno
import io
import sys
from typing import TextIO

import click
import pytest

from vcam_client._streams import StandardStream, as_written, standard_streams, takes_utf8
from vcam_client.errors import OutputError


@pytest.mark.parametrize(
    ("text", "encoding", "written"),
    [
        ("30×28 – 0.3° …", "utf-8", "30×28 – 0.3° …"),
        ("30×28 – 0.3° …", "cp1252", "30×28 – 0.3° …"),
        ("30×28 – 0.3° …", "latin-1", "30×28 - 0.3° ..."),
        ("30×28 – 0.3° …", "ascii", "30x28 - 0.3 deg ..."),
        ("50 % ← explained, 3 mm³, 4·c, ✗", "cp1252", "50 % <- explained, 3 mm³, 4·c, x"),
        ("Müller, Dvořák", "ascii", "Muller, Dvorak"),
        ("Dvořák", "latin-1", "Dvorák"),
        ("病变 ½", "ascii", "\\u75c5\\u53d8 \\xbd"),
        ("Sch\udce4del", "utf-8", "Sch\\xe4del"),
        ("Sch\udce4del", "cp1252", "Sch\\xe4del"),
    ],
)
def test_what_an_encoding_lacks_is_written_plainly(text: str, encoding: str, written: str) -> None:
    assert as_written(text, encoding) == written
    raw = io.BytesIO()
    stream = StandardStream(io.TextIOWrapper(raw, encoding=encoding), needed=True)
    click.echo(text, file=stream, nl=False)
    assert raw.getvalue().decode(encoding) == written


class Failing(io.StringIO):
    """A stream that can't be written."""

    encoding = "utf-8"

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, "why")


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ECONNRESET])
def test_a_reader_that_went_away_is_no_error(number: int) -> None:
    stream = StandardStream(Failing(number), needed=True)
    assert stream.write("text") == 4
    stream.write("more")
    stream.flush()


def test_no_room_is_an_error_on_standard_output_alone() -> None:
    StandardStream(Failing(errno.ENOSPC), needed=False).write("text")
    stream = StandardStream(Failing(errno.ENOSPC), needed=True)
    with pytest.raises(OutputError, match=r"Can't write to standard output: why\."):
        stream.write("text")
    stream.write("what follows fails no more")


def test_streams_are_put_back_and_a_failure_at_the_end_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before: tuple[TextIO, TextIO] = sys.stdout, sys.stderr
    with standard_streams("command"):
        assert isinstance(sys.stdout, StandardStream)
        assert takes_utf8(sys.stdout)
        print("text")
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr().out == "text\n"
    monkeypatch.setattr(sys, "stdout", Failing(errno.ENOSPC))
    with pytest.raises(SystemExit) as ended, standard_streams("command"):
        print("text")
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("command: Can't write to standard output: why.")


@pytest.mark.parametrize("code", [None, 0, 3])
def test_a_failure_that_somebody_swallowed_is_still_one(
    code: int | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", Failing(errno.ENOSPC))

    @standard_streams("command")
    def command() -> None:
        with contextlib.suppress(OutputError):
            print("text")
        sys.exit(code)

    with pytest.raises(SystemExit) as ended:
        command()
    assert ended.value.code == (code or 1)
    assert ("Can't write" in capsys.readouterr().err) == (not code)
