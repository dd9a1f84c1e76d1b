"""Where models and versions lie: what a folder to serve holds."""

from pathlib import Path

from vcam_client.errors import ServableError

DEFAULT_MODEL = "default"
_SAVED_MODEL = "saved_model.pb"


def versions_in(base: Path) -> dict[int, Path] | None:
    """{version: folder} of a model's base path; None when the base path is missing.

    A version is a folder whose name is a number: `00007` is version 7; `v9` and
    staging folders are none.
    """
    try:
        children = sorted(base.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return None
    return {int(child.name): child for child in children if _is_version(child)}


def models_in(root: Path) -> dict[str, Path]:
    """{model name: base path} of a folder to serve.

    A folder of versions is the model `default`; otherwise every folder that
    holds a version is a model of its own name. Files and hidden folders are ignored.
    """
    if versions_in(root):
        return {DEFAULT_MODEL: root}
    try:
        children = sorted(root.iterdir())
    except FileNotFoundError:
        return {}
    return {
        child.name: child
        for child in children
        if not child.name.startswith(".") and versions_in(child)
    }


def check_root(root: Path) -> None:
    """Refuses what can't be served.

    Raises:
        ServableError: there is no such folder, or it is a single version.
    """
    if not root.exists():
        raise ServableError(
            f"Expected a folder of versions or of models, found nothing at '{root}'. "
            "Train and export a model with `make demo`, or correct the path."
        )
    if not root.is_dir():
        raise ServableError(
            f"Expected a folder of versions or of models, '{root}' is a file. "
            "Give the folder that holds the version folders (1, 2, …)."
        )
    if (root / _SAVED_MODEL).exists():
        raise ServableError(
            f"Expected a folder of versions or of models, '{root}' is a single SavedModel. "
            f"Give the folder above it ('{root.absolute().parent}') and name the version "
            "folder with a number, such as 1."
        )


def _is_version(path: Path) -> bool:
    return path.name.isascii() and path.name.isdigit() and path.is_dir()
