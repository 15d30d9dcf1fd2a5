"""A database as an early version left it becomes one of today: nothing is lost, all is readable, and it goes on."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any, cast

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper as PostgreSQL
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from rest_framework.test import APIClient

from coaching.actions.suggestions import Proposal, open_suggestion
from coaching.actions.workflows import change_step
from coaching.models import Decision, Session, Step, Workflow
from coaching.secrets import decrypt, encrypt
from coaching.tests.domain import assert_consistent
from conftest import CLICK, OPEN, PASSWORD
from metrics.models import StepTally

# Real transactions: the database that is upgraded here is another one than the tests have.
pytestmark = pytest.mark.django_db(transaction=True)

#: The first version that ran sessions, and one in which steps could run alone and packs corrected them.
FIRST = {"coaching": "0002_roles", "metrics": None}
WITH_PACKS = {"coaching": "0008_roles_manage_webhooks", "metrics": "0002_roles_see_metrics"}

BEGUN = datetime(2026, 3, 1, 9, tzinfo=UTC)
PICTURE = b"\x89PNG\r\n\x1a\n of then"
AMOUNT = {"type": "change", "selectors": [["aria/Amount"], ["#amount"]], "value": "42.50"}
WORD = {"type": "change", "selectors": [["aria/Password"]], "value": "{{ password }}"}
STEPS: dict[str, dict[str, Any]] = {"open": OPEN, "change-amount": AMOUNT, "change-password": WORD, "click-save": CLICK}
#: What carl said in each run, step by step: the second run stops at its third step, and waits.
SAID = {"run-1": ["accept", "correct", "accept", "reject"], "run-2": ["accept", "accept"]}
COUNTERS = {"accept": "accepted", "correct": "corrected", "reject": "rejected"}


@pytest.fixture
def another_database(tmp_path: Path) -> Iterator[None]:
    """The connection leads to an empty database, until the end of the test."""
    known, name = connection.settings_dict["NAME"], f"coachsite_old_{secrets.token_hex(6)}"
    on_sqlite = connection.vendor == "sqlite"
    if not on_sqlite:
        _execute(f"CREATE DATABASE {name}")
    _lead_to(tmp_path / "old.sqlite3" if on_sqlite else name)
    yield
    _lead_to(known)
    if not on_sqlite:
        _execute(f"DROP DATABASE {name} WITH (FORCE)")


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _lead_to(name: Any) -> None:
    connection.close()
    if connection.vendor == "postgresql":
        cast("PostgreSQL", connection).close_pool()
    connection.settings_dict["NAME"] = name
    # Of the other database.
    ContentType.objects.clear_cache()


class Then:
    """The database of a version of then, and its models."""

    def __init__(self, versions: dict[str, str | None]) -> None:
        leaves = dict(MigrationExecutor(connection).loader.graph.leaf_nodes())
        targets = [(app, name) for app, name in (leaves | versions).items() if name]
        MigrationExecutor(connection).migrate(targets)
        self.apps = MigrationExecutor(connection).loader.project_state(targets).apps
        self.counts_facts = versions != FIRST

    def __call__(self, model: str) -> Any:
        return self.apps.get_model(*(model.split(".") if "." in model else ("coaching", model))).objects

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        """All rows of ours, as far as the models of then know them."""
        models = [*self.apps.get_app_config("coaching").get_models(), self.apps.get_model("auth", "User")]
        return {model.__name__: list(model.objects.order_by("pk").values()) for model in models}


def _person(then: Then, name: str, role: str) -> Any:
    person = then("auth.User").create(username=name, password=make_password(PASSWORD))
    person.groups.add(then("auth.Group").get(name=role))
    return person


def _facts(then: Then, step: Any, **names: int) -> dict[str, int]:
    """The next numbers among the facts of a step, if that version numbered them."""
    if not then.counts_facts:
        return {}
    numbers = {}
    for name in names:
        step.last_fact += 1
        numbers[name] = step.last_fact
    step.save()
    return numbers


def _workflow(then: Then, owner: Any) -> Any:
    workflow = then("Workflow").create(
        workflow_id="expense-claim", name="Expense claim", header={"title": "Expense claim"}, created_by=owner
    )
    then("Variable").create(
        workflow=workflow, name="password", label="Password", secret=True,
        encrypted_default=encrypt({"password": "geheim"}),
    )  # fmt: skip
    then("Recording").create(workflow=workflow, format="chrome-recorder", title="Expense claim", document={})
    for index, (node_id, action) in enumerate(STEPS.items()):
        step = then("Step").create(workflow=workflow, node_id=node_id, step_index=index, level="COACHING")
        _version(then, step, 1, action)
    return workflow


def _version(then: Then, step: Any, number: int, action: dict[str, Any]) -> None:
    step.current = then("StepVersion").create(
        step=step, number=number, action_type=action["type"], action=action, description=f"Do {step.node_id}",
        **_facts(then, step, fact=1),
    )  # fmt: skip
    step.save()


class Log:
    """The events of a session of then."""

    def __init__(self, then: Then, session: Any, by: str) -> None:
        self.then, self.session, self.by = then, session, by

    def add(self, kind: str, **data: Any) -> None:
        self.session.last_seq += 1
        self.then("SessionEvent").create(
            session=self.session, seq=self.session.last_seq, type=kind, data=data,
            at=BEGUN + timedelta(seconds=self.session.last_seq),
        )  # fmt: skip


def _run(then: Then, workflow: Any, carl: Any, execution_id: str) -> Any:
    steps = list(then("Step").filter(workflow=workflow).select_related("current").order_by("step_index"))
    session = then("Session").create(
        workflow=workflow, execution_id=execution_id, started_by=carl, plan=[step.current_id for step in steps],
        total_steps=len(steps), variables={"password": "***"}, encrypted_secrets=encrypt({"password": "geheim"}),
        started_at=BEGUN, updated_at=BEGUN, session_id=f"coaching_20260301_090000_0000000{len(execution_id)}{execution_id[-1]}",
    )  # fmt: skip
    log = Log(then, session, carl.username)
    log.add("session.created", workflow_id="expense-claim", execution_id=execution_id, mode="coaching", by="carl")
    for step, kind in zip(steps, SAID[execution_id], strict=False):
        _decided(then, log, step, kind, carl)
    if len(SAID[execution_id]) == len(steps):
        session.status, session.completed_at = "completed", BEGUN + timedelta(minutes=2)
        log.add("session.completed", by="policy")
    else:
        _asked(then, log, steps[session.current_step_index])
    session.save()
    return session


def _asked(then: Then, log: Log, step: Any, **more: Any) -> Any:
    n = log.session.current_step_index + 1
    suggestion = then("Suggestion").create(
        session=log.session, n=n, step_index=n - 1, step_version=step.current, node_id=step.node_id,
        action_type=step.current.action_type, action=step.current.action, description=step.current.description,
        confidence=0.9, opened_at=BEGUN + timedelta(seconds=log.session.last_seq),
        provenance={"source": "workflow", "pack": None, "version": 1, "correction": None, "changed": []},
        page={"url": "http://127.0.0.1:1/", "title": "Claims", "viewport": [1280, 800]}, **more,
    )  # fmt: skip
    log.add(
        "suggestion.opened", n=n, step_index=n - 1, node_id=step.node_id, attempt=1, description=suggestion.description,
        asked_because="coaching", error="",
    )  # fmt: skip
    return suggestion


def _decided(then: Then, log: Log, step: Any, kind: str, carl: Any) -> None:
    session, performed = log.session, kind != "reject"
    picture = default_storage.save(f"screenshots/{session.session_id}/{step.step_index}.png", ContentFile(PICTURE))
    suggestion = _asked(
        then, log, step, status="decided", outcome="performed" if performed else "not_performed", screenshot=picture
    )
    known = {"step": step, "step_version": step.current} if then.counts_facts else {}
    known |= _facts(then, step, fact=1, **({"outcome_fact": 1} if performed else {}))
    then("Decision").create(
        session=session, suggestion=suggestion, step_index=step.step_index, node_id=step.node_id,
        action_type=suggestion.action_type, decision=kind, user=carl, decided_by="carl", latency_ms=4000,
        correction=AMOUNT | {"value": "43.00"} if kind == "correct" else None,
        difference=[{"op": "replace", "path": "/value", "value": "43.00"}] if kind == "correct" else [],
        execution_success=True if performed else None, timestamp=suggestion.opened_at + timedelta(seconds=4), **known,
    )  # fmt: skip
    step_words = {"n": suggestion.n, "step_index": step.step_index, "node_id": step.node_id, "description": "Do it"}
    log.add("decision.recorded", **step_words, decision=kind, decided_by="carl", latency_ms=4000)
    if performed:
        log.add("step.performing", **step_words)
        log.add("step.performed", **step_words, took_ms=1200)
    setattr(session, COUNTERS[kind], getattr(session, COUNTERS[kind]) + 1)
    session.current_step_index += 1
    if then.counts_facts:
        session.coaching_ms += 4000


def _outside(then: Then, owner: Any) -> None:
    """What a program recorded that asked nobody, in a workflow of its own; its step has changed meanwhile."""
    workflow = then("Workflow").create(workflow_id="invoices", name="Invoices", executor="external", created_by=owner)
    step = then("Step").create(workflow=workflow, node_id="pay", step_index=0, level="COACHING")
    _version(then, step, 1, {"type": "pay", "iban": "DE1"})
    session = then("Session").create(
        workflow=workflow, execution_id="night", session_id="coaching_20260301_200000_0f0f0f0f"
    )
    log = Log(then, session, "olga")
    log.add("session.created", workflow_id="invoices", execution_id="night", mode="coaching", by="olga")
    known = {"step": step, "step_version": step.current} if then.counts_facts else {}
    then("Decision").create(
        session=session, step_index=0, node_id="pay", action_type="pay", decision="accept", decided_by="olga",
        user=owner, execution_success=True, timestamp=BEGUN, **known, **_facts(then, step, fact=1, outcome_fact=1),
    )  # fmt: skip
    log.add(
        "decision.recorded", n=None, step_index=0, node_id="pay", decision="accept", decided_by="olga",
        description="pay", latency_ms=None,
    )  # fmt: skip
    session.accepted, session.current_step_index = 1, 1
    session.save()
    _version(then, step, 2, {"type": "pay", "iban": "DE2"})


def _pack(then: Then, olga: Any) -> None:
    """What carl corrected, gathered and published."""
    workflow, decision = then("Workflow").get(workflow_id="expense-claim"), then("Decision").get(decision="correct")
    changes = [{"path": "/value", "old": "42.50", "new": "43.00"}]
    correction = then("Correction").create(
        workflow=workflow, node_id="change-amount", action_type="change", digest="d" * 64, action_fingerprint="f" * 64,
        original=AMOUNT, corrected=decision.correction, difference=decision.difference, changes=changes,
    )  # fmt: skip
    then("CorrectionMade").create(correction=correction, decision=decision)
    pack = then("CorrectionPack").create(pack_id="release-2", name="Release 2", status="published", created_by=olga)
    version = then("PackVersion").create(pack=pack, number=1, published_at=BEGUN, published_by="olga")
    item = then("PackItem").create(pack=pack, number=1, correction=correction)
    then("PackEntry").create(
        version=version, item=item, workflow_id="expense-claim", node_id="change-amount", action_type="change",
        changes=changes,
    )  # fmt: skip
    pack.active = version
    pack.save()
    then("PackChange").create(pack=pack, by="olga", what="published", version_number=1)
    then("Webhook").create(
        url="https://hooks.example.org/", created_by=olga, encrypted_secrets=encrypt({"1": "whsec_x"})
    )


def _fill(then: Then) -> None:
    olga, carl = _person(then, "olga", "owner"), _person(then, "carl", "coach")
    workflow = _workflow(then, olga)
    for execution_id in SAID:
        _run(then, workflow, carl, execution_id)
    _outside(then, olga)
    if then.counts_facts:
        _pack(then, olga)


@pytest.fixture(params=[FIRST, WITH_PACKS], ids=["first", "with-packs"])
def then(request: pytest.FixtureRequest, another_database: None) -> Then:
    old = Then(request.param)
    _fill(old)
    return old


def _upgrade() -> str:
    said = StringIO()
    call_command("migrate", interactive=False, stdout=said)
    ContentType.objects.clear_cache()
    return said.getvalue()


def _lost(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> list[str]:
    """What is not as it was; where a decision belongs, and how long it took in all, may be known only now."""
    learnt = {"fact", "last_fact", "step_id", "step_version_id", "coaching_ms"}
    return [
        f"{model}.{name}: {row[name]!r} became {now.get(name)!r}"
        for model, rows in before.items()
        for row, now in zip(rows, after[model], strict=True)
        for name in row.keys() - learnt
        if row[name] != now[name]
    ]


def _pages_of(session: Session) -> list[str]:
    return [
        "/", "/sessions/", "/workflows/", "/dashboard/", "/packs/", "/connect/",
        session.get_absolute_url(), session.workflow.get_absolute_url(), "/workflows/expense-claim/history/",
        f"{session.get_absolute_url()}screenshots/1.png",
    ]  # fmt: skip


def _tallies() -> dict[str, tuple[int, ...]]:
    rows = StepTally.objects.select_related("step").order_by("step")
    return {
        row.step.node_id: (row.accepted, row.rejected, row.corrected, row.epoch_accepted, row.epoch_refused)
        for row in rows
    }


def test_nothing_is_lost_all_is_counted_and_it_goes_on(
    then: Then, sign_in: Callable[[User], Client], api: Callable[[User], APIClient]
) -> None:
    before = then.everything()
    assert "Counted all metrics anew" in _upgrade()
    assert not _lost(before, then.everything())
    _is_counted()
    olga, carl = User.objects.get(username="olga"), User.objects.get(username="carl")
    assert carl.check_password(PASSWORD)
    _is_read_on_pages(sign_in(olga))
    _is_read_by_programs(api(carl), with_packs=then.counts_facts)
    _decide_what_waits(api(carl))
    _run_a_new_one(api(carl), api(olga))
    call_command("rebuild_metrics", check=True, stdout=StringIO())
    assert "No migrations to apply" in _upgrade()


def test_a_step_about_which_more_is_known_since_keeps_its_evidence(another_database: None) -> None:
    old = Then(FIRST)
    _outside(old, _person(old, "olga", "owner"))
    later = Then({"coaching": "0012_what_lists_and_sweep_look_for", "metrics": "0003_unanswered"})
    later("Step").update(last_fact=1)
    later("metrics.StepTally").create(
        step=later("Step").get(), rejected=1, epoch_refused=1, base_fact=1, base={"rejected": 1}
    )
    _upgrade()
    decision = Decision.objects.select_related("step", "step_version").get()
    assert decision.step
    assert decision.step_version
    assert (decision.step.node_id, decision.step_version.number, decision.fact) == ("pay", 1, None)
    assert (decision.step.last_fact, StepTally.objects.get().rejected, StepTally.objects.get().accepted) == (1, 1, 0)


def _is_counted() -> None:
    for session in Session.objects.all():
        assert_consistent(session)
    call_command("rebuild_metrics", check=True, stdout=StringIO())
    assert _tallies() == {
        "open": (2, 0, 0, 2, 0),
        "change-amount": (1, 0, 1, 1, 1),
        "change-password": (1, 0, 0, 1, 0),
        "click-save": (0, 1, 0, 0, 1),
        # Of its first version: what it does now is another thing.
        "pay": (1, 0, 0, 0, 0),
    }
    thought = set(Session.objects.values_list("execution_id", "coaching_ms"))
    assert thought == {("run-1", 16_000), ("run-2", 8_000), ("night", 0)}


def _is_read_on_pages(owner: Client) -> None:
    finished = Session.objects.get(execution_id="run-1")
    assert decrypt(finished.encrypted_secrets) == {"password": "geheim"}
    for path in _pages_of(finished):
        assert owner.get(path).status_code == 200, path
    picture: Any = owner.get(f"{finished.get_absolute_url()}screenshots/1.png")
    assert b"".join(picture) == PICTURE


def _is_read_by_programs(program: APIClient, *, with_packs: bool) -> None:
    finished = Session.objects.get(execution_id="run-1")
    at = f"/api/v1/sessions/{finished.session_id}/"
    assert [decision["decision"] for decision in program.get(at).json()["decisions"]] == SAID["run-1"]
    assert len(program.get(f"{at}suggestions/").json()["results"]) == 4
    events = program.get(f"{at}events/", {"after": 2}).json()["results"]
    assert [event["seq"] for event in events] == list(range(3, finished.last_seq + 1))
    assert program.get("/api/v1/workflows/expense-claim/metrics/").json()["decisions"]["total"] == 6
    if with_packs:
        assert program.get("/api/v1/packs/release-2/").json()["status"] == "published"


def _decide_what_waits(program: APIClient) -> None:
    session = Session.objects.get(execution_id="run-2")
    answer = program.post(f"/api/v1/sessions/{session.session_id}/decisions/", {"decision": "accept"})
    assert answer.status_code == 201, answer.content
    assert_consistent(session)
    assert _tallies()["change-password"] == (2, 0, 0, 2, 0)


def _run_a_new_one(program: APIClient, owner: APIClient) -> None:
    started = program.post("/api/v1/sessions/", {"workflow_id": "expense-claim"}).json()
    session = Session.objects.get(session_id=started["session_id"])
    # As the runner asks: there is no browser here.
    step = Step.objects.select_related("current").get(workflow=session.workflow, node_id="open")
    version = step.version
    open_suggestion(
        session,
        Proposal(
            step_index=0, node_id="open", action_type=version.action_type, action=version.action,
            description=version.description, step_version=version,
        ),
    )  # fmt: skip
    assert program.post(f"/api/v1/sessions/{session.session_id}/decisions/", {"decision": "accept"}).status_code == 201
    assert_consistent(session)
    assert _tallies()["open"] == (3, 0, 0, 3, 0)
    # What the step does now is another thing: numbered after all that was known of it.
    change_step(step, by=User.objects.get(username="olga"), action=OPEN | {"url": "http://127.0.0.1:2/"})
    assert _tallies()["open"] == (3, 0, 0, 0, 0)
    assert owner.delete(f"/api/v1/sessions/{session.session_id}/").status_code == 204
    assert Workflow.objects.count() == 2
