"""Which part of the scans one of several machines takes."""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vcam_client.batch._item import ScanItem
from vcam_client.errors import InputError

INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
"""Set by Kubernetes in the pods of an Indexed Job; from 0."""
COUNT_VARIABLE = "VCAM_SHARDS"


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One of `count` parts, from 1.

    A scan's part follows from its key alone: files that come or go meanwhile move no
    other scan from one part to another.

    Raises:
        InputError: a number below 1 or above the count.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise InputError(
                f"Expected a shard from 1/{self.count} to {self.count}/{self.count}, received "
                f"{self.number}/{self.count}. Count from 1, as in --shard 3/16."
            )

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """From "3/16".

        Raises:
            InputError: anything else.
        """
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
        if match is None or int(match[2]) < 1:
            raise InputError(f"Expected a shard such as 3/16, received {text!r}.")
        return cls(number=int(match[1]), count=int(match[2]))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Shard | None":
        """Of an Indexed Job of Kubernetes: $JOB_COMPLETION_INDEX, from 0, of $VCAM_SHARDS.

        Raises:
            InputError: they are no such numbers.
        """
        count = environment.get(COUNT_VARIABLE)
        if not count:
            return None
        index = environment.get(INDEX_VARIABLE, "")
        if not index.isdecimal() or not count.isdecimal():
            raise InputError(
                f"Expected whole numbers in ${COUNT_VARIABLE} and ${INDEX_VARIABLE}, received "
                f"{count!r} and {index!r}. Run it as an Indexed Job, or give --shard."
            )
        return cls(number=int(index) + 1, count=int(count))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def suffix(self) -> str:
        """Of the names of its logs: "-03-of-16"."""
        width = max(2, len(str(self.count)))
        return f"-{self.number:0{width}}-of-{self.count:0{width}}"

    def holds(self, key: str) -> bool:
        """Whether a scan is in this part."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1

    def of(self, items: Iterable[ScanItem]) -> list[ScanItem]:
        """The scans in this part, in their order."""
        return [item for item in items if self.holds(item.key)]
