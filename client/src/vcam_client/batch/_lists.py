"""Lists of paths, as programs on any system write them."""

import codecs
import os
import sys

from vcam_client.errors import InputError


def listed_on_standard_input() -> list[str]:
    """The paths that standard input lists.

    Raises:
        InputError: it is closed.
    """
    if sys.stdin is None:
        raise InputError(
            "Expected a list of paths on standard input, which is closed. Send one, such as "
            "`find scans -name '*.nii.gz' | vcam-client predict - --out results/`."
        )
    binary = getattr(sys.stdin, "buffer", None)
    if binary is not None:
        return listed(binary.read())
    return listed(sys.stdin.read().encode("utf-8", "surrogateescape"))


def listed(content: bytes) -> list[str]:
    """The paths of a list, one in each line; empty lines are none.

    Bytes 0 separate paths where there are any (`find -print0`). A byte order mark is no part
    of a path, and neither is the end of a line as Windows has it. UTF-16 is read where a mark
    says so (PowerShell); else the bytes of a path are what the file system has, text or not.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        content = content.decode("utf-16", "replace").encode()
    content = content.removeprefix(codecs.BOM_UTF8)
    if b"\0" in content:
        paths = content.split(b"\0")
    else:
        paths = [line.removesuffix(b"\r") for line in content.split(b"\n")]
    return [os.fsdecode(path) for path in paths if path.strip()]
