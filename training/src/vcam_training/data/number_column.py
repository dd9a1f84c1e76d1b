"""Numbers of a column of a table, with the decimal separator that the column shows."""

import math
import re
from collections.abc import Sequence

from vcam_training.data.csv_table import number_of

_AMBIGUOUS = {",": "", "\t": ",", ";": ",."}
"""What may separate thousands as well as decimals, by what separates fields.

Points are decimal where commas separate fields, and in tables of programs, which are separated
by tabs; Excel has semicolons where its decimal separator is the comma.
"""
_THOUSANDS = {
    mark: re.compile("[+\N{MINUS SIGN}-]?[1-9]\\d{0,2}" + re.escape(mark) + "\\d{3}")
    for mark in ",."
}
"""Numbers that are a thousand times as large where the mark separates thousands."""


class NumberColumn:
    """The texts of a column as numbers.

    Args:
        texts: of each line, without blanks around them.
        separator: of the table's fields.

    Attributes:
        may_be_thousands: of each line, whether its number is one such as 1,234, and no
            other one of the column, such as 1,5 or 0,125, shows that its commas are decimal.
    """

    def __init__(self, texts: Sequence[str], separator: str) -> None:
        self._texts = texts
        marks = [mark for mark in ",." if any(mark in text for text in texts)]
        self._has_decimal_commas = separator != "," and "." not in marks
        self.may_be_thousands = [False] * len(texts)
        if len(marks) == 1 and marks[0] in _AMBIGUOUS.get(separator, ","):
            (mark,) = marks
            thousands = [_THOUSANDS[mark].fullmatch(text) is not None for text in texts]
            if all(one or mark not in text for one, text in zip(thousands, texts, strict=True)):
                self.may_be_thousands = thousands

    def read(self, text: str) -> float | None:
        """One of the texts as a finite number; None where it is not one.

        Commas are decimal only in a column without points, whose fields commas don't separate.
        """
        value = number_of(text, decimal_comma=self._has_decimal_commas)
        return value if value is not None and math.isfinite(value) else None

    @property
    def doubt(self) -> str:
        """What the first number that may be a thousand could be; "" where none may be."""
        if not any(self.may_be_thousands):
            return ""
        text = self._texts[self.may_be_thousands.index(True)]
        whole = re.sub("[,.]", "", text)
        return (
            f"that may be thousands or decimals, where {text!r} is {whole} or "
            f"{text.replace(',', '.')} (write {whole}, or {text}0 for the other)"
        )
