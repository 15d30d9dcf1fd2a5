"""Runs one benchmark in a process of its own: `python -m benchmarks.one NAME FOLDER ANSWER [--quick]`."""

from __future__ import annotations

import importlib
import json
import random
import sys
from pathlib import Path

from .django_here import POSTGRES, set_up
from .timing import SEED, Run


def main() -> None:
    name, folder, answer, *options = sys.argv[1:]
    random.seed(SEED)
    on_postgres = POSTGRES if name == "decisions_postgres" else ""
    set_up(Path(folder), database_url=on_postgres)  # before anything of coachsite is imported
    module = importlib.import_module(f"benchmarks.{name}")
    rows = module.run(Run(Path(folder), quick="--quick" in options))
    Path(answer).write_text(json.dumps([row.as_json() for row in rows]))


if __name__ == "__main__":
    main()
