"""What a run does with each scan, from reading to writing."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vcam_client.batch import _record
from vcam_client.batch._item import ScanItem
from vcam_client.client import Client
from vcam_client.results import explain, write_results
from vcam_client.volume import Volume


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is done with each scan.

    Attributes:
        client: where the model is.
        out: the folder of results.
        asked: model, choices and reading options.
        version, version_label: of the model.
    """

    client: Client
    out: Path
    asked: _record.Asked
    version: int | None
    version_label: str | None

    def read(self, item: ScanItem) -> tuple[Volume, float]:
        """The volume, and the seconds that reading took; errors as for `ScanItem.read`."""
        start = time.perf_counter()
        return item.read(self.asked.reading), time.perf_counter() - start

    def is_served(self) -> bool:
        """Whether a version of the model is there; errors as those of `Client.status`."""
        return any(s.available for s in self.client.status(self.asked.model))

    def record(self, item: ScanItem, volume: Volume, seconds: float) -> dict[str, Any]:
        """Asks the server, writes the results; says what came of it."""
        choices = self.asked.choices
        predictions = explain(
            self.client,
            volume,
            model=self.asked.model,
            version=self.version,
            version_label=self.version_label,
            choices=choices,
            reading=self.asked.reading,
        )
        start = time.perf_counter()
        folder, _, stem = item.name.rpartition("/")
        files = write_results(predictions, self.out / folder, choices, stem=stem)
        timings = {**predictions[0].timings, "read": seconds}
        timings["write"] = time.perf_counter() - start
        asked = self.asked.to_dict()
        return _record.done(item, asked, predictions, files, self.out, timings)
