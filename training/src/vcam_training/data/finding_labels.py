"""What tables say about a finding: there, not there, uncertain, or nothing.

CheXpert's labels (J. Irvin et al., CheXpert, AAAI 2019) are 1.0, 0.0, -1.0 where the report is
uncertain, and empty where it does not mention the finding.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from vcam_client.errors import ConfigError
from vcam_training.data.csv_table import number_of

_WORDS = {"true": 1.0, "false": 0.0}
_EMPTY = ("", "nan")
IGNORED = -1
"""Stands for a label that is left out of the loss and of all figures."""
_MEANINGS = {"ignore": IGNORED, "positive": 1, "negative": 0}


@dataclass(frozen=True, kw_only=True)
class FindingLabels:
    """How the labels of a table are read.

    Attributes:
        uncertain: what -1 counts as: "ignore", "positive" or "negative"; "" to refuse it.
        unmentioned: what an empty field counts as: "ignore" or "negative"; "" for "ignore" where
            uncertain labels are ignored, for "negative" where they have another meaning, and
            to refuse it where these are refused.

    Raises:
        ConfigError: other words.
    """

    uncertain: str = ""
    unmentioned: str = ""

    def __post_init__(self) -> None:
        for name, value, known in (
            ("uncertain", self.uncertain, ("", "ignore", "positive", "negative")),
            ("unmentioned", self.unmentioned, ("", "ignore", "negative")),
        ):
            if value not in known:
                raise ConfigError(
                    f"Expected data.{name} to be one of {', '.join(known[1:])}, received {value!r}."
                )

    def read(self, text: str) -> int | None:
        """1, 0, IGNORED, or None for a value that these labels don't have.

        Args:
            text: 0 or 1, also as 1.0 or true; -1 and nothing as the settings say.
        """
        plain = text.strip().lower()
        if plain in _EMPTY:
            default = {"": None, "ignore": IGNORED}.get(self.uncertain, 0)
            return _MEANINGS[self.unmentioned] if self.unmentioned else default
        value = _WORDS.get(plain, number_of(plain, decimal_comma=True))
        if value == -1:
            return _MEANINGS.get(self.uncertain)
        return int(value) if value in (0, 1) else None

    def advice(self, refused: Iterable[str]) -> str:
        """What helps where one of the texts was refused; "" where no setting does."""
        texts = {text.strip().lower() for text in refused}
        found = []
        if not self.uncertain and any(number_of(text, decimal_comma=True) == -1 for text in texts):
            found.append("Set data.uncertain=ignore, positive or negative for labels of -1.")
        if not self.uncertain and not self.unmentioned and texts.intersection(_EMPTY):
            found.append("Set data.unmentioned=ignore or negative for empty labels.")
        return " ".join(found)
