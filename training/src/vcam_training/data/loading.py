"""The data of a run: its source's, or one fold of it."""

from pathlib import Path

from vcam_training.data.dataset import DataSet, Report, Source
from vcam_training.data.folding import fold, parse_fold


def load_data(
    source: Source, folder: Path | str, report: Report, *, fold_text: str = "", seed: int = 0
) -> DataSet:
    """Makes the data set, or reads it.

    Args:
        source: what a config names as its data.
        folder: where data sets lie.
        report: is told what happens.
        fold_text: such as "2/5" for the second of five folds of training and validation; ""
            for the source's own division.
        seed: of the folds.

    Raises:
        ConfigError: the data can't be used.
    """
    data = source.load(Path(folder), report)
    if not fold_text:
        return data
    number, count = parse_fold(fold_text)
    data = fold(data, number, count, seed)
    report(f"Fold {number} of {count}: {len(data.train)} train, {len(data.validation)} validation")
    return data
