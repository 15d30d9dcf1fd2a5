"""The rules of the house, read off the source: who may write a status, who may import whom, what templates may hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("coachsite", "coaching", "metrics")
LONGEST_FUNCTION = 60

#: Which packages a part of the site never imports. `coaching.pages` means the package and all below it.
DOORS = (
    "coaching.pages",
    "coaching.api",
    "coaching.admin",
    "coaching.admin_audit",
    "coaching.admin_packs",
    "coaching.admin_webhooks",
    "coaching.mcp",
    "coaching.tasks",
    "coaching.management",
)
FORBIDDEN = {
    "coaching": ("metrics", "coachsite"),
    "coaching.models": (*DOORS, "coaching.consumers", "coaching.actions", "coaching.execution", "coaching.events"),
    "coaching.actions": (*DOORS, "coaching.consumers", "coaching.routing", "coaching.execution", "rest_framework"),
    "coaching.packs": ("django", "rest_framework", "channels", "playwright", "coaching.models", "coaching.actions"),
    "coaching.recordings": ("django", "rest_framework", "channels", "playwright"),
    "coaching.events": (*DOORS, "coaching.consumers", "coaching.actions", "coaching.execution"),
    "coaching.hub": (*DOORS, "coaching.consumers", "coaching.actions", "coaching.execution", "coaching.events"),
    "coaching.execution": (*DOORS, "coaching.consumers"),
    "coaching.pages": ("coaching.api", "coaching.admin", "coaching.tasks", "coaching.consumers", "coaching.execution"),
    "coaching.api": ("coaching.pages", "coaching.admin", "coaching.tasks", "coaching.consumers", "coaching.execution"),
    "coaching.admin": ("coaching.pages", "coaching.api", "coaching.tasks", "coaching.consumers", "coaching.execution"),
    "coaching.admin_packs": ("coaching.pages", "coaching.api", "coaching.tasks", "coaching.consumers"),
    "coaching.admin_webhooks": ("coaching.pages", "coaching.api", "coaching.tasks", "coaching.consumers"),
    "coaching.webhooks": ("django", "rest_framework", "channels", "playwright", "coaching.models", "coaching.actions"),
    "coaching.mcp": ("coaching.pages", "coaching.admin", "coaching.tasks", "coaching.consumers", "coaching.execution"),
    "coaching.tasks": ("coaching.pages", "coaching.api", "coaching.admin", "coaching.consumers"),
    # Sockets send what the pages render, and write nothing.
    "coaching.consumers": (*DOORS[1:], "coaching.actions", "coaching.execution"),
}  # fmt: skip
#: Models and recordings know nothing of ours but themselves.
SELF_CONTAINED = ("coaching.models", "coaching.recordings")
#: Where it must stand against the letter of the rule, with the reason.
ALLOWED = {
    # A policy is a value of pure Python, as a date is.
    ("coaching.models.workflow", "coaching.policy"),
    # `serve` is the program that starts the site: it drives the supervisor.
    ("coaching.management.commands.serve", "coachsite.supervisor"),
}


@dataclass(frozen=True)
class Module:
    name: str
    path: Path
    tree: ast.Module

    @property
    def package(self) -> str:
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]

    def imports(self) -> Iterator[tuple[int, str]]:
        """`(line, absolute dotted name)` of all that is imported anywhere in the module, for types too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._absolute(node)
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.package.split(".")
        above = parts[: len(parts) - node.level + 1]
        return ".".join([*above, *([node.module] if node.module else [])])


@cache
def modules() -> tuple[Module, ...]:
    """All modules of ours that are neither tests nor migrations."""
    found = []
    for folder in OURS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if {"tests", "migrations"} & set(parts):
                continue
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found.append(Module(name, path, ast.parse(path.read_text())))
    return tuple(found)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def place(module: Module, line: int) -> str:
    return f"{module.path.relative_to(ROOT)}:{line}"


def test_the_walk_finds_the_source() -> None:
    names = {module.name for module in modules()}
    assert {"coaching.models.session", "coaching.actions.decisions", "coaching.events", "coachsite.settings"} <= names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_run_one_way(package: str) -> None:
    wrong = [
        f"{place(module, line)} imports {name}"
        for module in modules()
        if within(module.name, package)
        for line, name in module.imports()
        for forbidden in FORBIDDEN[package]
        if within(name, forbidden) and (module.name, name.rpartition(".")[0]) not in ALLOWED
    ]
    assert not wrong


@pytest.mark.parametrize("package", SELF_CONTAINED)
def test_imports_nothing_of_ours_but_itself(package: str) -> None:
    wrong = [
        f"{place(module, line)} imports {name}"
        for module in modules()
        if within(module.name, package)
        for line, name in module.imports()
        if name.partition(".")[0] in OURS
        and not within(name, package)
        and (module.name, name.rpartition(".")[0]) not in ALLOWED
    ]
    assert not wrong


WRITES = {"update", "create", "bulk_create", "get_or_create", "update_or_create"}
WITH_A_STATUS = {"Session", "Suggestion"}


def status_writes(module: Module) -> Iterator[int]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Attribute) and target.attr == "status" for target in targets):
                yield node.lineno
        elif isinstance(node, ast.Call) and any(keyword.arg == "status" for keyword in node.keywords):
            called = node.func
            if (isinstance(called, ast.Attribute) and called.attr in WRITES) or (
                isinstance(called, ast.Name) and called.id in WITH_A_STATUS
            ):
                yield node.lineno


def test_only_actions_write_a_status() -> None:
    wrong = [
        place(module, line)
        for module in modules()
        if not within(module.name, "coaching.actions")
        for line in status_writes(module)
    ]
    assert not wrong
    assert any(list(status_writes(module)) for module in modules()), "the search finds the writes there are"


def test_only_events_send_to_groups() -> None:
    naming = {
        module.name
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr == "group_send"
    }
    assert naming == {"coaching.events"}


def test_annotations_are_never_evaluated() -> None:
    def has_it(module: Module) -> bool:
        return any(
            isinstance(node, ast.ImportFrom)
            and node.module == "__future__"
            and any(alias.name == "annotations" for alias in node.names)
            for node in module.tree.body
        )

    assert not [place(module, 1) for module in modules() if module.tree.body and not has_it(module)]


def test_functions_stay_readable() -> None:
    long = [
        f"{place(module, node.lineno)} {node.name}: {node.end_lineno - node.lineno + 1} lines"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno
        and node.end_lineno - node.lineno >= LONGEST_FUNCTION
    ]
    assert not long


def test_no_error_is_swallowed() -> None:
    wrong = [
        place(module, node.lineno)
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and all(isinstance(line, ast.Pass) for line in node.body)
    ]
    assert not wrong


def files(*suffixes: str) -> list[Path]:
    folders = [ROOT / "templates", ROOT / "static", *(ROOT / folder for folder in OURS)]
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in suffixes]


def found(pattern: str, *suffixes: str, vendored: bool = True) -> list[str]:
    """Every match of `pattern` in our files with these suffixes, as `path:line text`."""
    return [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1} {match[0][:80]}"
        for path in files(*suffixes)
        if vendored or "vendor" not in path.parts
        for text in [path.read_text()]
        for match in re.finditer(pattern, text, re.IGNORECASE)
    ]


def test_templates_hold_no_code_and_no_style() -> None:
    """A strict Content-Security-Policy holds: nothing would run, and nothing may need to."""
    assert not found(r"""<[^>]*\sstyle\s*=""", ".html")
    assert not found(r"<style\b", ".html")
    assert not found(r"""<[^>]*\son[a-z]+\s*=|\shx-on[:\-]|javascript:""", ".html")
    assert not found(r"""<script\b(?![^>]*(\ssrc=|\stype="application/json"))[^>]*>""", ".html")


def test_nothing_is_loaded_from_elsewhere() -> None:
    assert not found(r"""<(script|link|img|iframe|source|use)\b[^>]*\s(src|href)\s*=\s*["']?(https?:)?//""", ".html")
    assert not found(r"""url\(\s*["']?(https?:)?//|@import\s+["']?(https?:)?//""", ".css")
    assert not found(r"""(import|from|importScripts|fetch)\s*\(?\s*["'](https?:)?//""", ".js", vendored=False)
    assert not found(r"sourceMappingURL=https?:", ".js", ".css")
