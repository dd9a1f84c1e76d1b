"""A home folder for libraries that want to write there."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def writable_home() -> Iterator[None]:
    """Makes $HOME a temporary folder where this user has no home folder to write to.

    In a container a user is often a number without one. Keras then makes a folder "~" in the
    current folder, and Matplotlib warns. $KERAS_HOME and $MPLCONFIGDIR count as ever. Enter it
    before either is imported.
    """
    home = os.path.expanduser("~")
    if os.path.isabs(home) and os.access(home, os.W_OK | os.X_OK):
        yield
        return
    try:
        folder = tempfile.TemporaryDirectory(prefix="vcam-", ignore_cleanup_errors=True)
    except OSError:  # nothing can be written anywhere; the libraries do without
        yield
        return
    before = os.environ.get("HOME")
    with folder as path:
        os.environ["HOME"] = path
        try:
            yield
        finally:
            if before is None:
                del os.environ["HOME"]
            else:
                os.environ["HOME"] = before
