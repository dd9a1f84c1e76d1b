"""Tables of chest radiographs in the layout of ChestX-ray14: images, findings, folds, patients.

Two forms are read:

    Image Index,Patient ID,fold,Atelectasis,Cardiomegaly,…    (nih_labels.csv)
    00000001_000.png,1,train,0,1,…

    Image Index,Finding Labels,Patient ID,…                   (Data_Entry_2017.csv)
    00000001_000.png,Cardiomegaly|Emphysema,1,…

Names of images may have folders before them, which are left out. Findings may be uncertain or
empty, see `finding_labels`.

A fold is train, val or test. Tables without that column have test_list.txt beside them, and
train_val_list.txt if there are images in neither; patients for validation are then drawn
from those that are not in the test list. Patients are in the column "Patient ID", else in
the names of the images, if all of these are such as 00000001_000.png.

X. Wang et al., ChestX-ray8, CVPR 2017.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcam_client.errors import ConfigError
from vcam_training.data.csv_table import read_csv, read_text
from vcam_training.data.finding_labels import IGNORED, FindingLabels
from vcam_training.data.splitting import split

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
"""The findings of ChestX-ray14, in the order of its tables."""
FOLDS = ("train", "validation", "test")
ANY = ""
"""The finding of a filter that lets all images through."""

_IMAGE, _PATIENT, _FOLD, _LABELS = "image index", "patient id", "fold", "finding labels"
_FOLD_NAMES = {"train": 0, "val": 1, "valid": 1, "validation": 1, "test": 2}
_TEST_LIST, _REST_LIST = "test_list.txt", "train_val_list.txt"
_NONE = "no finding"
_NIH_NAME = re.compile(r"(\d{8})_\d{3}\.\w+")
_NAMED = 3
"""Values that a message names."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ChestXrayTable:
    """Images and what is known about them.

    Attributes:
        names: [n], file names of images.
        findings: bool [n, 14], columns as FINDINGS.
        folds: int [n], index into FOLDS.
        patients: [n]; None if nobody knows.
        known: bool [n, 14], which findings are known, the others are False; None for all.

    Raises:
        ConfigError: an image twice, or a patient in two folds.
    """

    names: tuple[str, ...]
    findings: NDArray[np.bool_]
    folds: NDArray[np.intp]
    patients: NDArray[np.str_] | None
    known: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        unique, counts = np.unique(self.names, return_counts=True)
        if len(unique) != len(self.names):
            raise ConfigError(
                f"Expected each image once in the table, found {unique[counts.argmax()]} "
                f"{counts.max()} times. Leave the other rows out."
            )
        if self.patients is None:
            return
        patients, index = np.unique(self.patients, return_inverse=True)
        there = np.zeros((len(patients), len(FOLDS)), bool)
        there[index, self.folds] = True
        shared = there.sum(axis=1) > 1
        if shared.any():
            first = int(shared.argmax())
            folds = [FOLDS[fold] for fold in np.flatnonzero(there[first])]
            raise ConfigError(
                f"Expected each patient in one fold, found {shared.sum()} in more, such as "
                f"{patients[first]} in {' and '.join(folds)}. Put all images of a patient "
                "into the same fold."
            )

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, chosen: NDArray[np.intp]) -> "ChestXrayTable":
        """Some images, in the order given."""
        return ChestXrayTable(
            names=tuple(self.names[at] for at in chosen),
            findings=self.findings[chosen],
            folds=self.folds[chosen],
            patients=None if self.patients is None else self.patients[chosen],
            known=None if self.known is None else self.known[chosen],
        )

    def filtered(
        self,
        *,
        fold: str = "",
        finding: str = ANY,
        starter: Sequence[str] | None = None,
        sample: int = 0,
        seed: int = 0,
    ) -> "ChestXrayTable":
        """The images that pass all filters, in the order of the table.

        Args:
            fold: out of FOLDS; "" for all.
            finding: only images with it.
            starter: only images of this list of names.
            sample: so many of the images left, at random; 0, or more than there are, for all.
            seed: of the sample.

        Raises:
            ConfigError: no such fold or finding, names that are not in the table, or
                nothing is left.
        """
        kept = np.ones(len(self), bool)
        if fold:
            kept &= self.folds == _index_of(fold, FOLDS, "fold")
        if finding != ANY:
            kept &= self.findings[:, _index_of(finding, FINDINGS, "finding")]
        if starter is not None:
            unknown = sorted(set(starter) - set(self.names))
            if unknown:
                raise ConfigError(
                    f"Expected images of the table in the starter list, found {len(unknown)} "
                    f"others, such as {unknown[0]}. Take them out of the list."
                )
            kept &= np.isin(self.names, list(starter))
        chosen = np.flatnonzero(kept)
        if not len(chosen):
            raise ConfigError(
                f"Expected images that pass the filters (fold {fold or 'any'}, finding "
                f"{finding or 'any'}, {'all' if starter is None else len(starter)} names), found "
                f"none among {len(self)}. Set other filters."
            )
        if sample and sample < len(chosen):
            rng = np.random.default_rng(seed)
            chosen = np.sort(rng.choice(chosen, sample, replace=False))
        return self.rows(chosen)


def read_table(
    path: Path,
    *,
    validation: float = 0.125,
    seed: int = 0,
    labels: FindingLabels = FindingLabels(),  # noqa: B008  frozen
) -> ChestXrayTable:
    """Reads a table of either form.

    Args:
        path: CSV file, see `csv_table.read_csv`.
        validation: share of the patients outside the test list that are for validation,
            where the table has no column "fold".
        seed: of these patients.
        labels: how columns of findings are read.

    Raises:
        ConfigError: no such file, or columns or values are missing or unknown.
    """
    rows = _read_rows(path)
    names = [row[_IMAGE] for row in rows]
    findings, known = _findings(rows, path, labels)
    patients = _patients(rows, names)
    if _FOLD in rows[0]:
        folds = np.array([_fold(row[_FOLD], path) for row in rows], np.intp)
        kept = np.arange(len(rows))
    else:
        folds, kept = _listed_folds(path, names, findings, patients, validation, seed)
    return ChestXrayTable(
        names=tuple(names[at] for at in kept),
        findings=findings[kept],
        known=None if known.all() else known[kept],
        folds=folds[kept],
        patients=None if patients is None else patients[kept],
    )


def read_names(path: Path) -> tuple[str, ...]:
    """The names of a list: one a line, or the column "Image Index" of a CSV file.

    Raises:
        ConfigError: no such file, or an empty one.
    """
    text = read_text(path, f"Expected a text file in '{path}'", "Check the path.")
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if names and _IMAGE in map(_key, re.split(r"[,;\t]", names[0])):
        return tuple(row[_IMAGE] for row in _read_rows(path))
    if not names:
        raise ConfigError(f"Expected names of images in '{path}', one a line, found none.")
    return names


def _read_rows(path: Path) -> list[dict[str, str]]:
    """Rows by column, names of columns in small letters with blanks."""
    table = read_csv(path, f"Expected a CSV file in '{path}'", "Check the path and the first line.")
    header = [_key(name) for name in table.columns]
    # the original table has a line that ends with an empty column
    rows = [dict(zip(header, row, strict=False)) for row in table.rows]
    if _IMAGE not in header or not rows:
        raise ConfigError(
            f"Expected a table with a column 'Image Index' and at least one image in '{path}', "
            f"found {len(rows)} rows of {', '.join(header)[:80] or 'nothing'}."
        )
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise ConfigError(
            f"Expected each column of '{path}' once, found {', '.join(twice)} more often. Rename "
            "the others."
        )
    for what, wrong in (
        ("fewer", [len(row) < len(set(header)) for row in rows]),
        ("more", table.too_long),
    ):
        if any(wrong):
            line = table.lines[list(wrong).index(True)]
            raise ConfigError(
                f"Expected {len(header)} values in each line of '{path}', line {line} "
                f"has {what}. Copy the table again."
            )
    return [{**row, _IMAGE: row[_IMAGE].replace("\\", "/").rpartition("/")[2]} for row in rows]


def _findings(
    rows: list[dict[str, str]], path: Path, labels: FindingLabels
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Bool [n, 14] each: what is there, and what is known."""
    if _LABELS in rows[0]:
        found = np.zeros((len(rows), len(FINDINGS)), bool)
        for at, row in enumerate(rows):
            for name in filter(None, row[_LABELS].split("|")):
                if _key(name) != _NONE:
                    found[at, _index_of(name, FINDINGS, f"finding of {row[_IMAGE]}")] = True
        return found, np.ones_like(found)
    missing = [name for name in FINDINGS if _key(name) not in rows[0]]
    if missing:
        raise ConfigError(
            f"Expected a column for each of the 14 findings, or one 'Finding Labels', in '{path}', "
            f"found none for {', '.join(missing)}."
        )
    texts = [[row[_key(name)] for name in FINDINGS] for row in rows]
    values = [[labels.read(text) for text in row] for row in texts]
    refused = dict.fromkeys(
        text
        for row, read in zip(texts, values, strict=True)
        for text, value in zip(row, read, strict=True)
        if value is None
    )
    if refused:
        raise ConfigError(
            f"Expected 0 or 1 for each finding in '{path}', received "
            f"{', '.join(map(repr, list(refused)[:_NAMED]))}. {labels.advice(refused)}".strip()
        )
    codes = np.array(values)
    return codes == 1, codes != IGNORED


def _patients(rows: list[dict[str, str]], names: list[str]) -> NDArray[np.str_] | None:
    if _PATIENT in rows[0]:
        return np.array([row[_PATIENT] for row in rows])
    matches = [_NIH_NAME.fullmatch(name) for name in names]
    known = [match.group(1) for match in matches if match]
    return np.array(known) if len(known) == len(names) else None


def _listed_folds(
    path: Path,
    names: list[str],
    findings: NDArray[np.bool_],
    patients: NDArray[np.str_] | None,
    validation: float,
    seed: int,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The fold of each image, and the images that are in a list."""
    if not (path.parent / _TEST_LIST).exists():
        raise ConfigError(
            f"Expected a column 'fold' in '{path}', or a file {_TEST_LIST} beside it with the "
            "images to test on. Put one there."
        )
    is_test = np.isin(names, read_names(path.parent / _TEST_LIST))
    rest = path.parent / _REST_LIST
    is_rest = ~is_test
    if rest.exists():
        is_rest &= np.isin(names, read_names(rest))
    others = np.flatnonzero(is_rest)
    _, held = split(
        findings[others],
        None if patients is None else patients[others],
        (1 - validation, validation),
        seed,
    )
    folds = np.where(is_test, FOLDS.index("test"), FOLDS.index("train")).astype(np.intp)
    folds[others[held]] = FOLDS.index("validation")
    return folds, np.flatnonzero(is_test | is_rest)


def _fold(text: str, path: Path) -> int:
    try:
        return _FOLD_NAMES[text.lower()]
    except KeyError:
        raise ConfigError(
            f"Expected folds train, val and test in '{path}', received {text!r}."
        ) from None


def _index_of(name: str, known: Sequence[str], what: str) -> int:
    keys = [_key(one) for one in known]
    if _key(name) not in keys:
        raise ConfigError(f"Expected a {what} out of {', '.join(known)}, received {name!r}.")
    return keys.index(_key(name))


def _key(name: str) -> str:
    return name.strip().lower().replace("_", " ")
