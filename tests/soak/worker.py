"""Reads mutated files, in a process that may not allocate more than 4 GiB.

    worker.py SEED FIRST COUNT

One line of JSON before each case and one after it. An alarm that nothing catches ends
the process where a case hangs, even within a C library; whoever started it sees which.
"""

import contextlib
import gc
import io
import json
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from soak.mutations import mutated
from soak.seeds import SECRET, Seed, seeds

from vcam_client import read_volume
from vcam_client._dicom.header import PREFIX_BYTES
from vcam_client.errors import VcamError

ADDRESS_SPACE = 4 * 2**30
SECONDS = 10
_EXCEPTION = re.compile(r"\b[A-Z]\w*(Error|Exception|Warning)\b")


def main(seed: int, first: int, count: int) -> None:
    kinds = seeds()
    _warm(kinds)
    gc.collect()  # pydicom's FileSet leaves a temporary folder to the collector
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    with tempfile.TemporaryDirectory() as name:
        for case in range(first, first + count):
            rng = random.Random(f"{seed}/{case}")
            chosen = kinds[case % len(kinds)]
            say(case=case, input=chosen.name)
            path = _written(chosen, mutated(chosen.data, chosen.kind, rng), Path(name))
            say(case=case, **outcome(path), peak_mb=peak_mb())


def outcome(path: Path) -> dict[str, object]:
    """What reading gives: an error of vcam's, a volume, or what must not be."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    start = time.perf_counter()
    wrong = text = ""
    printed = io.StringIO()
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stderr(printed):
        warnings.simplefilter("always")
        try:
            volume = read_volume(path, **_options(path))
            what, text = "Volume", f"{volume!r} {volume.warnings}"
        except VcamError as error:
            what, text = type(error).__name__, str(error)
            if named := _EXCEPTION.search(text):
                wrong = f"an exception of Python's is named: {named[0]}"
        except BaseException:
            what, wrong = "escaped", traceback.format_exc(limit=-6)
    signal.setitimer(signal.ITIMER_REAL, 0)
    if caught:
        wrong += f"\nwarning escaped: {caught[0].category.__name__}: {caught[0].message}"
    if printed.getvalue():
        wrong += f"\nprinted: {printed.getvalue()[:200]}"
    if SECRET in text:
        wrong += f"\nsecret told: {text[:300]}"
    return {"what": what, "wrong": wrong, "seconds": round(time.perf_counter() - start, 3)}


def _options(path: Path) -> dict[str, Any]:
    """What a sound file of this name needs to be read."""
    if path.suffix in (".tif", ".npy"):
        return {"spacing": 1.0}
    return {"volume_index": 0} if path.name == "d.nii.gz" else {}


def _written(seed: Seed, data: bytes, folder: Path) -> Path:
    """The input on disk; the file or folder to be read."""
    for name, content in seed.beside if seed.packed != "zip" else ():
        file = folder / seed.name.replace("/", "_") / name
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    path = folder / seed.name.replace("/", "_") / seed.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if seed.packed == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in (("s/first.dcm", data), *seed.beside):
                archive.writestr(name, content)
        return path
    if seed.packed == "gzip":
        # raw deflate within a gzip frame whose checksum fits what was damaged
        packer = zlib.compressobj(1, wbits=31)
        data = packer.compress(data) + packer.flush()
    elif seed.packed == "deflate":
        data = _deflated(data)
    path.write_bytes(data)
    return path.parent if seed.packed == "folder" else path


def _deflated(data: bytes) -> bytes:
    """The same instance in the deflated transfer syntax, where its meta header is whole."""
    at = data.find(b"1.2.840.10008.1.2.1\0")
    if at < 0 or data[PREFIX_BYTES + 4 : PREFIX_BYTES + 8] != b"\2\0\0\0":
        return data
    length = int.from_bytes(data[PREFIX_BYTES + 12 : PREFIX_BYTES + 16], "little")
    end = PREFIX_BYTES + 16 + length
    head = data[: at - 2] + b"\x16\0" + b"1.2.840.10008.1.2.1.99" + data[at + 20 : end]
    new = (len(head) - PREFIX_BYTES - 16) % 2**32
    head = head[: PREFIX_BYTES + 12] + new.to_bytes(4, "little") + head[PREFIX_BYTES + 16 :]
    packer = zlib.compressobj(1, wbits=-15)
    return head + packer.compress(data[end:]) + packer.flush()


def _warm(kinds: list[Seed]) -> None:
    """Every seed is sound: it is read as it is, so that mutations say something."""
    with tempfile.TemporaryDirectory() as name:
        for seed in kinds:
            path = _written(seed, seed.data, Path(name))
            read_volume(path, **_options(path))


def peak_mb() -> float:
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def say(**line: object) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
