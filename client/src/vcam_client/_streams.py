"""Standard output and standard error that no character and no reader breaks.

Characters that the encoding of a stream lacks are written plainly: × as x, … as ....
A reader that closes its pipe has read enough: the rest is dropped, and the work goes on.
"""

import codecs
import errno
import io
import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TextIO, cast

from vcam_client.errors import OutputError

_PLAIN = {
    "×": "x",
    "·": "*",
    "•": "*",
    "–": "-",
    "—": "-",
    "−": "-",
    "±": "+/-",
    "≈": "~",
    "≤": "<=",
    "≥": ">=",
    "←": "<-",
    "→": "->",
    "✓": "ok",
    "✗": "x",
    "°": " deg",
    "µ": "u",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
}
"""ASCII for characters of messages that have no decomposition into it."""

_ESCAPED_BYTES = range(0xDC80, 0xDD00)
"""What Python's file names have in place of bytes that are not text (PEP 383)."""

_READ_ENOUGH = (errno.EPIPE, errno.ECONNRESET, errno.ESHUTDOWN)


class StandardStream:
    """A text stream in place of sys.stdout or sys.stderr; click and print write to it.

    Args:
        stream: where text goes.
        needed: whether text that can't be written is an error; a closed pipe never is.

    Attributes:
        encoding: "utf-8", as every character is taken.
        written_as: the encoding in which characters leave.
        failure: why nothing is written any more; None while all is well.
    """

    encoding = "utf-8"
    errors = "strict"

    def __init__(self, stream: TextIO, *, needed: bool) -> None:
        self._stream = stream
        self._needed = needed
        self.failure: OutputError | None = None
        self.written_as = codecs.lookup(stream.encoding or "utf-8").name

    def write(self, text: str) -> int:
        """Writes text, plainly where it has to be.

        Raises:
            OutputError: standard output can't be written.
        """
        plain = as_written(text, self.written_as)
        if plain:  # click tries streams with empty text, and takes failures for an answer
            try:
                self._stream.write(plain)
            except OSError as error:
                self._end(error)
        return len(text)

    def flush(self) -> None:
        """Passes on what was written; errors as for `write`."""
        try:
            self._stream.flush()
        except OSError as error:
            self._end(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _end(self, error: OSError) -> None:
        """Writes nothing from now on."""
        try:
            number = self._stream.fileno()
        except (OSError, ValueError):  # in memory
            self._stream = io.StringIO()
        else:
            # what is buffered would fail once more when the interpreter ends
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)
        if self._needed and error.errno not in _READ_ENOUGH:
            self.failure = OutputError(
                f"Can't write to standard output: {error.strerror or error}. Send it elsewhere, "
                "or free some space."
            )
            raise self.failure from error


@contextmanager
def standard_streams(command: str) -> Iterator[None]:
    """Standard output and standard error as `StandardStream`, while a command runs.

    Standard output that can't be written, as on a full disk, becomes a message and exit
    code 1; a closed pipe changes no exit code.

    Args:
        command: its name, for the message.
    """
    _open_those_that_are_closed()
    before = sys.stdout, sys.stderr
    out = StandardStream(before[0], needed=True)
    sys.stdout = cast(TextIO, out)
    sys.stderr = cast(TextIO, StandardStream(before[1], needed=False))
    try:
        try:
            yield
        finally:
            out.flush()
    except OutputError as error:
        _end_with(error, command)
    except SystemExit as end:
        if out.failure is not None and not end.code:
            _end_with(out.failure, command)
        raise
    else:
        if out.failure is not None:
            _end_with(out.failure, command)
    finally:
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def as_written(text: str, encoding: str) -> str:
    """`text` with what `encoding` lacks in plain characters, else as \\x, \\u and numbers."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.encode(encoding, _HANDLER).decode(encoding)
    return text


def takes_utf8(stream: TextIO) -> bool:
    """Whether what is written to a stream leaves as UTF-8."""
    name = getattr(stream, "written_as", None) or stream.encoding or "utf-8"
    return codecs.lookup(name).name == "utf-8"


def _end_with(error: OutputError, command: str) -> NoReturn:
    sys.stderr.write(f"{command}: {error}\n")
    sys.exit(1)


def _open_those_that_are_closed() -> None:
    """Else the next file that is opened would be standard output to others in this process."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stdout is None:
        sys.stdout = _nowhere()
    if sys.stderr is None:
        sys.stderr = _nowhere()


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def _plainly(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join(map(_plain, text)), error.end


def _plain(character: str) -> str:
    if character in _PLAIN:
        return _PLAIN[character]
    if ord(character) in _ESCAPED_BYTES:
        return f"\\x{ord(character) - 0xDC00:02x}"
    parts = unicodedata.normalize("NFKD", character)
    letters = "".join(part for part in parts if not unicodedata.combining(part))
    if letters and letters.isascii():
        return letters
    return character.encode("ascii", "backslashreplace").decode()


_HANDLER = "vcam_client.plain"
codecs.register_error(_HANDLER, _plainly)
