"""`python -m benchmarks [names] [--quick]`: measures, and writes the tables to `benchmarks/results.md`.

Each benchmark runs in a process of its own, on a folder of its own that is removed afterwards. A run of some of them
leaves the others' tables as they are.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from .timing import Row, table

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = PROJECT / "benchmarks" / "results.md"
#: The benchmarks by name (a module with `run`), and what their tables are headed with.
BENCHMARKS = {
    "decisions": "Recording decisions in process",
    "decisions_postgres": "Recording decisions in process, on PostgreSQL",
    "http_decisions": "Recording decisions over HTTP",
    "reads": "Reading",
    "delivery": "From a decision to who watches",
    "standing_by": "Doing nothing: CPU and memory",
    "browser_runs": "In the browser",
}
INTRODUCTION = """# Results

Written by `bin/benchmark` (see README.md). Contestants take turns, round by round; a ratio is the median of the rounds'
ratios, and figures are medians of the rounds. Machines differ and are noisy: trust the ratios.
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmark", description="Measures coachsite beside its peers.")
    parser.add_argument("names", nargs="*", help=f"which: {', '.join(BENCHMARKS)} (all)")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, for a first look")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.names) - set(BENCHMARKS)):
        parser.error(f"there is no benchmark “{unknown[0]}”; there are {', '.join(BENCHMARKS)}")
    sections = _read()
    for name in asked.names or BENCHMARKS:
        began = time.monotonic()
        print(f"{name} …", flush=True)
        rows = _measured(name, quick=asked.quick)
        text = f"{_circumstances(time.monotonic() - began, quick=asked.quick)}\n\n{table(rows)}"
        print(f"{text}\n", flush=True)
        sections[BENCHMARKS[name]] = text
        _write(sections)


def _measured(name: str, *, quick: bool) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="coachsite-benchmark.") as folder:
        answer = Path(folder) / "rows.json"
        data = Path(folder) / "data"
        data.mkdir()
        command = [sys.executable, "-m", "benchmarks.one", name, str(data), str(answer)]
        subprocess.run([*command, *(["--quick"] if quick else [])], cwd=PROJECT, check=True)
        return [Row(**row) for row in json.loads(answer.read_text())]


def _circumstances(seconds: float, *, quick: bool) -> str:
    import os  # noqa: PLC0415

    size = "quick sizes" if quick else "full sizes"
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {size}, took {seconds:.0f} s. {os.cpu_count()} cores, "
        f"{platform.system()}, Python {platform.python_version()}, load when it ended {os.getloadavg()[0]:.1f}."
    )


def _read() -> dict[str, str]:
    """The sections that are there, by heading."""
    if not RESULTS.exists():
        return {}
    parts = RESULTS.read_text().split("\n## ")[1:]
    return {heading: body.strip() for heading, _, body in (part.partition("\n") for part in parts)}


def _write(sections: dict[str, str]) -> None:
    known = [heading for heading in BENCHMARKS.values() if heading in sections]
    body = "".join(f"\n## {heading}\n\n{sections[heading]}\n" for heading in known)
    RESULTS.write_text(INTRODUCTION + body)


if __name__ == "__main__":
    main()
