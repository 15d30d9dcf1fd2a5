"""The peer of the decisions in process: sessions in JSON files, as small tools keep them.

One file per session and one index of all sessions, both rewritten at each save, pretty-printed, without a lock, a
temporary file or a flush to the disk: as such stores usually are, and to their advantage here, where coachsite waits
for the disk at each decision.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

COUNTERS = {
    "accept": "accepted", "reject": "rejected", "correct": "corrected", "manual": "manual_executions",
    "skip": "skipped",
}  # fmt: skip


class JsonStore:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = folder / "sessions_index.json"
        folder.mkdir(parents=True, exist_ok=True)

    def fill(self, sessions: int) -> list[str]:
        """Makes so many sessions with one decision each and returns their ids."""
        names = [f"coaching_20260101_000000_{number:08x}" for number in range(sessions)]
        entries = {}
        for name in names:
            session = new_session(name)
            add(session, some_decision(0))
            self._write(self._file(name), session)
            entries[name] = entry(session)
        self._write(self.index, {"sessions": entries})
        return names

    def record(self, name: str, decision: dict[str, Any]) -> None:
        """Loads the session, adds the decision, and saves session and index."""
        session = json.loads(self._file(name).read_text())
        add(session, decision)
        self._write(self._file(name), session)
        index = json.loads(self.index.read_text())
        index["sessions"][name] = entry(session)
        self._write(self.index, index)

    def decisions_of(self, name: str) -> int:
        return len(json.loads(self._file(name).read_text())["decisions"])

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    @staticmethod
    def _write(path: Path, content: dict[str, Any]) -> None:
        path.write_text(json.dumps(content, indent=2))


def new_session(name: str) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return {
        "session_id": name, "workflow_id": "invoice-import", "execution_id": name, "status": "active",
        "current_step_index": 0, "total_steps": 0, "decisions": [], "variables": {}, "metadata": {},
        "stats": dict.fromkeys(["suggestions_made", *COUNTERS.values()], 0),
        "started_at": now, "updated_at": now, "completed_at": None, "error_message": None,
    }  # fmt: skip


def some_decision(step_index: int) -> dict[str, Any]:
    return {
        "step_index": step_index, "node_id": f"step-{step_index}", "action_type": "click", "decision": "accept",
        "correction": None, "feedback": None, "timestamp": datetime.now(UTC).isoformat(), "execution_success": True,
    }  # fmt: skip


def add(session: dict[str, Any], decision: dict[str, Any]) -> None:
    session["decisions"].append(decision)
    session["stats"]["suggestions_made"] += 1
    session["stats"][COUNTERS[decision["decision"]]] += 1
    session["current_step_index"] = decision["step_index"] + 1
    session["updated_at"] = decision["timestamp"]


def entry(session: dict[str, Any]) -> dict[str, Any]:
    return {name: session[name] for name in ("session_id", "workflow_id", "status", "started_at", "updated_at")}
