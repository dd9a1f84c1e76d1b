"""Cells of tables that people open: text stays text, in spreadsheets and in Markdown.

A spreadsheet takes a cell of a CSV file that begins with "=", "+", "-", "@" and the like for a
formula, and runs it. Names of scans, folders and labels come from others, so every CSV file
is written through `CsvWriter`. https://owasp.org/www-community/attacks/CSV_Injection
"""

import csv
import io
import re
from collections.abc import Iterable
from numbers import Number
from typing import IO, Any

_GUARD = "'"
"""What a spreadsheet takes as the beginning of text."""
_FORMULA = re.compile(r"'*(?:[\t\r\n]|\s*[=+\-@＝＋－＠])")
"""How text begins that could be run; behind guards, so that each can be taken off again."""
_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf|nan)")

_BREAKS = "\r\n"
"""What readers of CSV take for the end of a row unless it is quoted, one or both."""
_LINES = re.compile(r"\s*[\r\n\v\f\x85\u2028\u2029]+\s*")
_TICKS = re.compile("`+")
_MARKUP = re.compile(r"[\\`*\[\]|~]|(?<!\w)_|_(?!\w)")
"""What means something in a line of Markdown; an underscore within a word does not."""


def csv_cell(value: Any) -> Any:
    """A value as a cell of a CSV file that no spreadsheet runs.

    Numbers stay numbers, also those that are text already. Text that begins like a formula
    has an apostrophe in front; `csv_text` takes it off.
    """
    if value is None or isinstance(value, Number):
        return value
    text = str(value)
    harmless = _FORMULA.match(text) is None or _NUMBER.fullmatch(text) is not None
    return text if harmless else _GUARD + text


def csv_text(cell: str) -> str:
    """What was given to `csv_cell`, as text."""
    guarded = cell.startswith(_GUARD) and _FORMULA.match(cell, len(_GUARD))
    return cell[len(_GUARD) :] if guarded else cell


class CsvWriter:
    """Takes the place of `csv.writer`; every cell is a `csv_cell`.

    Args:
        stream: a text file, opened with newline="".
        end: of each line.
    """

    def __init__(self, stream: IO[str], *, end: str = "\r\n") -> None:
        self._stream, self._end = stream, end
        self._row = io.StringIO(newline="")
        # before Python 3.13, csv quotes a line break only where it is in its line terminator
        self._writer = csv.writer(self._row, lineterminator=_BREAKS)

    def writerow(self, values: Iterable[Any]) -> None:
        """Writes one line."""
        self._writer.writerow([csv_cell(value) for value in values])
        self._stream.write(self._row.getvalue().removesuffix(_BREAKS) + self._end)
        self._row.seek(0)
        self._row.truncate()

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        """Writes lines."""
        for row in rows:
            self.writerow(row)


def markdown_cell(text: str) -> str:
    """Text as a cell of a Markdown table, shown as it is: on one line, nothing of it markup."""
    line = _LINES.sub(" ", text).strip()
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(r"\\\g<0>", line)


def markdown_code(text: str) -> str:
    """Text as code in a cell of a Markdown table; "" for none."""
    line = _LINES.sub(" ", text).strip()
    if not line:
        return ""
    longest = max(map(len, _TICKS.findall(line)), default=0)
    fence = "`" * (longest + 1)
    space = " " if longest and (line.startswith("`") or line.endswith("`")) else ""
    # a bar ends a cell even within code; tables take the backslash off before code is read
    return fence + space + line.replace("|", "\\|") + space + fence
