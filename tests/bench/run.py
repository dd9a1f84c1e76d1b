"""Runs all benchmarks side by side with their peers: run.py --out build/bench.json"""

import argparse
import concurrent.futures
import importlib.util
import json
import multiprocessing
import sys
from pathlib import Path

HERE = Path(__file__).parent
COLUMNS = ("name", "what", "peer", "ratio", "limit", "peak_memory_mb")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="write the rows as JSON")
    parser.add_argument("--only", help="run one module, such as cam_cost")
    options = parser.parse_args(arguments)
    modules = sorted(p for p in HERE.glob("*.py") if p.stem not in ("run", "__init__"))
    if options.only:
        modules = [path for path in modules if path.stem == options.only]
    if not modules:
        parser.error(f"Expected a benchmark module in {HERE.name}, found none. Check --only.")
    rows = [row for path in modules for row in _in_own_process(path)]
    _print(rows)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return int(any(row["ratio"] > row["limit"] for row in rows))


def _in_own_process(path: Path) -> list[dict]:
    """A module's rows; its peak memory is its own."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_rows, path).result()


def _rows(path: Path) -> list[dict]:
    spec = importlib.util.spec_from_file_location(f"bench_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    rows = module.run()
    for row in rows:
        missing = set(COLUMNS) - set(row)
        if missing:
            raise ValueError(f"{path.name}: a row lacks {sorted(missing)}: {row}")
    return rows


def _print(rows: list[dict]) -> None:
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        verdict = "ok" if row["ratio"] <= row["limit"] else "TOO SLOW"
        print(
            f"{row['name']:<{width}}  {row['ratio']:7.3f} ≤ {row['limit']:<6g} {verdict:<9}"
            f" {row['peak_memory_mb']:7.0f} MB  {row['what']}; peer: {row['peer']}"
        )


if __name__ == "__main__":
    sys.exit(main())
