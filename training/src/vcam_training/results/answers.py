"""A model's answers to the volumes of a split."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vcam_training.data.contract import DataContract
from vcam_training.data.dataset import Split
from vcam_training.evaluation.calibration import Fitted, scores_of
from vcam_training.task import Task


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """Logits of a split, and what follows from them.

    Attributes:
        name: of the split.
        contract: what its labels mean.
        split: the volumes.
        logits: float32 [n, K]; two for a model with one logit.
        fitted: temperature and where to decide; None of a regression.
    """

    name: str
    contract: DataContract
    split: Split
    logits: NDArray[np.float32]
    fitted: Fitted | None

    def __len__(self) -> int:
        return len(self.split)

    @property
    def task(self) -> Task:
        """Of the labels."""
        return self.contract.task

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """float64 [n, K], as served: calibrated, or the values of a regression."""
        if self.fitted is None:
            return self.logits.astype(np.float64)
        exclusive = self.task is Task.CLASSES
        return scores_of(self.logits, self.fitted.temperature, exclusive=exclusive)

    @cached_property
    def chosen(self) -> NDArray:
        """What is answered.

        int [n], the class with the highest score; bool [n, K], findings whose score
        reaches their threshold, none without one; float64 [n, K], values.
        """
        if self.task is Task.CLASSES:
            return self.logits.argmax(axis=1)
        if self.task is Task.FINDINGS:
            return self.scores >= self.limits
        return self.scores

    @property
    def limits(self) -> NDArray[np.float64]:
        """float64 [K]: from which score on a finding is decided for; infinite for never."""
        count = len(self.contract.labels)
        return self.fitted.finding_limits(count) if self.fitted else np.full(count, np.inf)
