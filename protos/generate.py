"""Generates client/src/vcam_client/_proto from protos/: `make protos`, `--check` for drift.

protoc is pinned (requirements.in): the code of its 25 series runs on protobuf
4.25 to 7, so that the client can live beside other versions of protobuf.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
GENERATED = PROTOS.parent / "client" / "src" / "vcam_client" / "_proto"
SOURCES = ("vcam/v1/model_spec.proto", "vcam/tfs/v1/prediction_service.proto")


def generate(folder: Path) -> dict[str, bytes]:
    """Runs protoc into `folder` and returns {file name: content}, flattened."""
    protoc = Path(sys.executable).with_name("protoc")
    subprocess.run(
        [protoc, f"-I{PROTOS}", f"--python_out={folder}", f"--pyi_out={folder}", *SOURCES],
        check=True,
    )
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*_pb2.py*"))}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether files drifted")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        files = generate(Path(folder))
    drifted = [n for n, text in files.items() if not _same(GENERATED / n, text)]
    if check:
        if drifted:
            print(f"Out of date: {', '.join(drifted)}. Run `make protos`.", file=sys.stderr)
        return bool(drifted)
    for name in drifted:
        (GENERATED / name).write_bytes(files[name])
    print(f"{len(drifted)} of {len(files)} generated files changed.")
    return 0


def _same(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() == content


if __name__ == "__main__":
    sys.exit(main())
