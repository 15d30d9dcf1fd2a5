"""The examples as their README tells to run them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from coaching.tests.live import LiveSite

from .support import EXAMPLES, Answer, Decider, environment

pytestmark = pytest.mark.live

Deciding = Callable[..., Decider]


def run(*command: str | Path, cwd: Path, token: str, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment(COACHSITE_TOKEN=token, COACHSITE_URL=url),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_invoices(site: LiveSite, token: str, workflow: str, deciding: Deciding, tmp_path: Path) -> None:
    command: list[str | Path] = [
        EXAMPLES / "invoice_import.py",
        "--count",
        "3",
        "--execution-id",
        "may",
        "--workflow-id",
        workflow,
    ]
    with deciding("accept", "skip", {"decision": "correct", "correction": {"number": 3, "amount": "1.00"}}):
        done = run(*command, cwd=tmp_path, token=token, url=site.url)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ledger.txt").read_text() == "1 27.33\n3 1.00\n"
    assert "invoice 2: owner said skip" in done.stdout


def test_a_ledger_that_cannot_be_written_is_asked_about_again(
    site: LiveSite, token: str, workflow: str, deciding: Deciding, tmp_path: Path
) -> None:
    command: list[str | Path] = [
        EXAMPLES / "invoice_import.py",
        "--count",
        "1",
        "--workflow-id",
        workflow,
        "--ledger",
        tmp_path,
    ]
    with deciding("accept", "reject") as decider:
        done = run(*command, cwd=tmp_path, token=token, url=site.url)
    assert done.returncode == 0, done.stderr
    assert "directory" in decider.seen[1]["error"]


def test_without_a_token(site: LiveSite, tmp_path: Path) -> None:
    done = run(EXAMPLES / "invoice_import.py", cwd=tmp_path, token="", url=site.url)
    assert done.returncode == 2
    assert "issue_token" in done.stderr


def test_agent(site: LiveSite, token: str, tmp_path: Path) -> None:
    edited = {"name": "send_email", "args": {"to": "bob@example.org", "text": "The report is late."}}
    answers: list[Answer] = [
        {"decision": "correct", "correction": edited},
        {"decision": "reject", "feedback": "keep the draft"},
        {"decision": "manual", "feedback": "Friday"},
    ]
    with Decider(site, token, "langchain-agent", answers):
        done = run(EXAMPLES / "langchain_agent.py", "--scripted", cwd=tmp_path, token=token, url=site.url)
    assert done.returncode == 0, done.stderr
    results = [line.strip() for line in done.stdout.splitlines() if "->" in line]
    assert results == [
        "-> sent to bob@example.org: The report is late.",
        "-> refused: keep the draft",
        "-> done by a person: Friday",
    ]
