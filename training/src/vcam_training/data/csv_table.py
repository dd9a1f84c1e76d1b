"""CSV files as people have them: from scripts, from Excel of any country, with or without a BOM."""

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from vcam_client.errors import ConfigError
from vcam_client.table_cells import csv_text

_SEPARATORS = ",;\t"
_HINT = "sep="
"""First line of some files of Excel, with the separator behind it."""
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
"""Byte order marks, the longer ones first."""
_LONGEST_FIELD = 2**31 - 1
"""Characters; run lengths of a mask may be long."""


@dataclass(frozen=True, kw_only=True)
class CsvTable:
    """A table whose first line names its columns.

    Attributes:
        columns: their names, without blanks around them.
        rows: the fields of each line that has any, likewise; as many as there were.
        lines: where each row is in the file, from 1.
        separator: of fields.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    separator: str

    @property
    def too_long(self) -> tuple[bool, ...]:
        """Of each row, whether it has more fields than there are columns, such as 1,5 for 1.5."""
        return tuple(any(row[len(self.columns) :]) for row in self.rows)

    def column(self, name: str) -> int | None:
        """Where a column is; small and capital letters are alike unless two differ in them.

        Raises:
            ConfigError: several columns have the name.
        """
        exact = [at for at, one in enumerate(self.columns) if one == name]
        alike = [at for at, one in enumerate(self.columns) if one.casefold() == name.casefold()]
        found = exact or alike
        if len(found) > 1:
            raise ConfigError(
                f"Expected one column {name!r}, found {len(found)}: "
                f"{', '.join(repr(self.columns[at]) for at in found)}. Rename the others."
            )
        return found[0] if found else None


def read_csv(path: Path, expected: str, advice: str) -> CsvTable:
    """Reads a CSV file.

    Fields are separated by what the first line has most of: commas, semicolons or tabs.

    Args:
        path: UTF-8, or UTF-16 as Excel saves "Unicode text".
        expected: what should be there, for the message.
        advice: what helps, a sentence.

    Raises:
        ConfigError: there is no such file, or it is no text or no CSV.
    """
    text = read_text(path, expected, advice)
    skipped, separator = 0, ""
    first = text.partition("\n")[0].strip()
    if first.lower().startswith(_HINT) and len(first) == len(_HINT) + 1:
        separator, skipped = first[-1], 1
        text = text.partition("\n")[2]
    if not separator:
        head = text.partition("\n")[0]
        separator = max(_SEPARATORS, key=head.count)
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        read = [
            (reader.line_num + skipped, tuple(csv_text(cell.strip()) for cell in row))
            for row in reader
        ]
    except csv.Error as error:
        raise ConfigError(f"{expected}, received a damaged one: {error}. {advice}") from error
    finally:
        csv.field_size_limit(before)
    filled = [(line, row) for line, row in read if any(row)]
    return CsvTable(
        columns=filled[0][1] if filled else (),
        rows=tuple(row for _, row in filled[1:]),
        lines=tuple(line for line, _ in filled[1:]),
        separator=separator,
    )


def read_text(path: Path, expected: str, advice: str) -> str:
    """The text of a file, whatever its byte order mark; arguments and errors as `read_csv`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{expected}, received: {error.strerror or error}. {advice}") from error
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{expected}, received bytes that are no {encoding.removesuffix('-sig').upper()} text. "
            "Save it again as UTF-8; Excel calls that 'CSV UTF-8'."
        ) from error
    if "\0" in text:
        raise ConfigError(
            f"{expected}, received bytes that are no text. Save it again as UTF-8; Excel calls "
            "that 'CSV UTF-8'."
        )
    return text


def place_of(folder: Path, text: str) -> Path:
    """The file or folder that a table names, absolute or relative to the folder of the table.

    Backslashes of Windows separate folders too, unless there is a file whose name has them. A
    path that begins with the name of the table's own folder, as in CheXpert, is also looked for
    beside that folder.
    """
    plain = folder / text
    if os.path.exists(plain):  # False for a name that is too long
        return plain
    path = Path(text.replace("\\", "/"))
    own = folder.absolute()
    if path.parts[:1] == (own.name,) and not os.path.exists(folder / path):
        beside = own.parent / path
        if os.path.exists(beside):
            return beside
    return folder / path


def is_of_windows(text: str) -> bool:
    """Whether it is an absolute path of Windows, which no other system has."""
    return os.name != "nt" and bool(PureWindowsPath(text).drive)


def number_of(text: str, *, decimal_comma: bool = False) -> float | None:
    """The number that a field holds; None where it is none.

    Args:
        text: with a point, or a comma where these are allowed; not with both.
        decimal_comma: whether they are.
    """
    plain = text.strip().replace("\N{MINUS SIGN}", "-")
    if "_" in plain:  # Python's own, in no table
        return None
    if decimal_comma and plain.count(",") == 1 and "." not in plain:
        plain = plain.replace(",", ".")
    try:
        return float(plain)
    except ValueError:
        return None
