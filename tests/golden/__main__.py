"""PYTHONPATH=tests python -m golden PATH"""

import sys
from pathlib import Path

from golden import build_golden, models_config


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("Usage: PYTHONPATH=tests python -m golden PATH", file=sys.stderr)
        return 2
    base = Path(arguments[0]).resolve()
    built = build_golden(base)
    (base / "models.config").write_text(models_config(base, list(built)), encoding="utf-8")
    for golden in built.values():
        print(f"{golden.path}\t{golden.kind}")
    print(base / "models.config")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
