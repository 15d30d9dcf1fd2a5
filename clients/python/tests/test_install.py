"""The package stands alone: built and installed as anybody would, imported without Django."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .support import EXAMPLES, SOURCE

PACKAGE = SOURCE.parent


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_the_client_needs_only_httpx() -> None:
    needed = {name for path in (SOURCE / "coachsite_client").glob("*.py") for name in imported(path)}
    assert needed - sys.stdlib_module_names == {"httpx"}


def test_examples_use_only_the_client() -> None:
    needed = {name for path in EXAMPLES.glob("*.py") for name in imported(path)}
    assert needed - sys.stdlib_module_names == {"coachsite_client", "langchain", "langchain_core", "langgraph"}


def test_installs_with_pip_and_imports_without_django(tmp_path: Path) -> None:
    target = tmp_path / "target"
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, PACKAGE],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    if "No matching distribution found for hatchling" in done.stderr:
        pytest.skip("the build backend cannot be had here: no package index")
    assert done.returncode == 0, done.stderr
    assert (target / "coachsite_client" / "py.typed").exists()
    look = (
        "import sys, coachsite_client; from coachsite_client import langchain; "
        "assert not {'django', 'coaching', 'langchain'} & set(sys.modules); print(coachsite_client.__file__)"
    )
    seen = subprocess.run(
        [sys.executable, "-c", look],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(target)},
        check=True,
    )
    assert seen.stdout.strip() == str(target / "coachsite_client" / "__init__.py")
