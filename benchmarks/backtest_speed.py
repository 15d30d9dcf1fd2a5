"""How long a back-test takes over a long past.

    python benchmarks/backtest_speed.py [--decisions 100000] [--rounds 3]

Makes a site of its own in a temporary folder, fills it with seeded decisions, replays one pack over them as a worker
does, and prints a Markdown table. With `DATABASE_URL` the tables go there: give it an empty database.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from coaching.models import CorrectionPack, Session, StepVersion, Workflow

CHUNK = 2000
#: Decisions of one session.
LONGEST = 200
PAGE = {"url": "http://127.0.0.1:8000/claims/new", "title": "New claim", "viewport": [1280, 720]}
#: Of 100 decisions on a step that a pack corrects, how many are of each kind.
KINDS = {"accept": 60, "correct": 25, "reject": 5, "manual": 5, "skip": 5}


@dataclass(frozen=True)
class Figures:
    """`seconds` for the whole back-test, as a reviewer waits for it."""

    decisions: int
    seconds: float
    saved: int
    broken: int
    altered: int


def fill(*, by: User, decisions: int, steps: int = 20, corrections: int = 40, seed: int = 4) -> CorrectionPack:
    """A workflow in which each step was decided on equally often, and a draft of a pack that corrects every step.

    Half of the past suggestions are as a correction of the pack expects them.
    """
    from coaching.actions.correction_packs import create_pack  # noqa: PLC0415 - Django may have to be set up first
    from coaching.actions.pack_items import add_entry  # noqa: PLC0415
    from coaching.actions.workflows import create_workflow  # noqa: PLC0415
    from coaching.packs import PackItem  # noqa: PLC0415

    draw = random.Random(seed)
    actions = [{"node_id": f"n{number}", "action": _action(number)} for number in range(steps)]
    workflow = create_workflow(
        workflow_id="replayed", name="Replayed", executor="browser", steps=actions, by=by
    )  # fmt: skip
    pack = create_pack(name="Replayed", pack_id="replayed", by=by)
    if pack.draft is None:
        raise ValueError("a new pack has a draft")
    for number in range(corrections):
        item = PackItem(
            number=1, workflow_id="replayed", node_id=f"n{number % steps}", action_type="change",
            changes=_changes(number % steps, number // steps),
        )  # fmt: skip
        add_entry(pack.draft, item)
    _decide(workflow, decisions, draw)
    return pack


def _action(step: int) -> dict[str, Any]:
    return {
        "type": "change", "target": "main", "value": "{{ amount }}", "offsetX": 10, "offsetY": 10,
        "selectors": [[f"aria/Field {step}"], [f"#field-{step}"], [f"xpath///*[@id='field-{step}']"]],
    }  # fmt: skip


def _changes(step: int, kind: int) -> tuple[Any, ...]:
    from coaching.packs import Change  # noqa: PLC0415

    if kind == 0:
        old = _action(step)["selectors"]
        return (Change("/selectors", old, [[f"aria/Renamed {step}"], *old[1:]]),)
    return (Change("/value", f"{kind}.00", f"{kind}.50"),)


def _decide(workflow: Workflow, many: int, draw: random.Random) -> None:
    """Rows as decisions leave them, without the way there: that is not what is measured."""
    from django.utils import timezone  # noqa: PLC0415

    from coaching.models import Decision, Session, Suggestion  # noqa: PLC0415

    versions = [step.version for step in workflow.current_steps()]
    ended = {"status": Session.Status.COMPLETED, "completed_at": timezone.now()}
    sessions = [Session(workflow=workflow, execution_id=f"r{n}", **ended) for n in range(-(-many // LONGEST))]
    Session.objects.bulk_create(sessions)
    for start in range(0, many, CHUNK):
        rows = [
            _suggestion(sessions[n // LONGEST], versions[n % len(versions)], n, draw)
            for n in range(start, min(start + CHUNK, many))
        ]
        Suggestion.objects.bulk_create(rows)
        Decision.objects.bulk_create(_decision(row, draw) for row in rows)


def _suggestion(session: Session, version: StepVersion, n: int, draw: random.Random) -> Any:
    from coaching.models import Suggestion  # noqa: PLC0415

    step = version.step.step_index or 0
    action = version.action | {"value": f"{draw.randrange(4)}.00"}
    if draw.random() < 0.5:
        action["selectors"] = [[f"aria/Renamed {step}"]]
    return Suggestion(
        session=session, step_version=version, n=n % LONGEST + 1, step_index=step, node_id=version.step.node_id,
        action_type="change", action=action, description=f"Type into “Field {step}”", page=PAGE, status="decided",
        outcome="performed",
    )  # fmt: skip


def _decision(suggestion: Any, draw: random.Random) -> Any:
    from coaching.models import Decision  # noqa: PLC0415

    (kind,) = draw.choices(list(KINDS), list(KINDS.values()))
    old = _action(suggestion.step_index)["selectors"]
    corrected = suggestion.action | {"selectors": [[f"aria/Renamed {suggestion.step_index}"], *old[1:]]}
    return Decision(
        session=suggestion.session, suggestion=suggestion, step=suggestion.step_version.step,
        step_version=suggestion.step_version, step_index=suggestion.step_index, node_id=suggestion.node_id,
        action_type="change", decision=kind, decided_by="somebody", correction=corrected if kind == "correct" else None,
    )  # fmt: skip


def measure(pack: CorrectionPack, *, by: User) -> Figures:
    """One back-test from the asking to the result; the task runs in this process."""
    from coaching.actions.backtests import run_backtest, start_backtest  # noqa: PLC0415

    if pack.draft is None:
        raise ValueError("only a draft is back-tested here")
    started = time.perf_counter()
    backtest = start_backtest(pack.draft, by=by)
    run_backtest(backtest.pk)
    seconds = time.perf_counter() - started
    backtest.refresh_from_db()
    if backtest.status != "done":
        raise ValueError(f"the back-test is {backtest.status}: {backtest.error}")
    return Figures(backtest.done, seconds, backtest.saved, backtest.broken, backtest.altered)


def main() -> None:
    parser = argparse.ArgumentParser(description="How long a back-test takes.")
    parser.add_argument("--decisions", type=int, default=100_000)
    parser.add_argument("--corrections", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COACHSITE_DATA"] = folder
        os.environ["DJANGO_SETTINGS_MODULE"] = "coachsite.settings"
        import django  # noqa: PLC0415
        from django.core.management import call_command  # noqa: PLC0415
        from django.db import connection  # noqa: PLC0415

        django.setup()
        call_command("migrate", verbosity=0)
        from django.contrib.auth.models import User  # noqa: PLC0415

        somebody = User.objects.create_user("somebody")
        pack = fill(by=somebody, decisions=asked.decisions, corrections=asked.corrections)
        print(f"{asked.corrections} corrections of 20 steps, {connection.vendor}, {os.cpu_count()} cores.\n")
        print("| round | decisions | seconds | decisions/s | saved | broken | altered |")
        print("|---:|---:|---:|---:|---:|---:|---:|")
        for number in range(1, asked.rounds + 1):
            figures = measure(pack, by=somebody)
            rate = figures.decisions / figures.seconds
            print(
                f"| {number} | {figures.decisions:,} | {figures.seconds:.1f} | {rate:,.0f} "
                f"| {figures.saved:,} | {figures.broken:,} | {figures.altered:,} |"
            )
        connection.close()


if __name__ == "__main__":
    main()
