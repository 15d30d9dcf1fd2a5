"""The audit log: what is written down, by whom, that it only grows, who reads it, and that it holds no secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from io import StringIO

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from coaching.actions.audit import What, note
from coaching.actions.autonomy import demote, set_policy
from coaching.actions.correction_packs import create_pack, delete_pack, export, import_pack, retire, revise, rollback
from coaching.actions.sessions import abandon_session, delete_session
from coaching.actions.tokens import issue_token, withdraw_token
from coaching.actions.webhooks import (
    allow_host,
    change_webhook,
    create_webhook,
    delete_webhook,
    forbid_host,
    rotate_secret,
    secret_of,
)
from coaching.actions.workflow_changes import change_workflow
from coaching.actions.workflows import change_step, delete_workflow, import_recording
from coaching.models import AuditEntry, Correction, NeverChanged, Session, Workflow
from coaching.tests.domain import make_auto
from coaching.tests.packing import publish_draft, published_pack, run
from conftest import PASSWORD

SignIn = Callable[[User], Client]
Line = tuple[str, str, str]

FLOW = {"title": "Claim", "steps": [{"type": "navigate", "url": "https://example.org/"}]}


def lines(*kinds: str) -> list[Line]:
    """`(actor, what, about)` of the entries of these kinds, the oldest first."""
    return [(each.actor, each.what, each.about) for each in AuditEntry.objects.filter(what__in=kinds).order_by("pk")]


def latest(what: str) -> AuditEntry:
    found = AuditEntry.objects.filter(what=what).order_by("-pk").first()
    assert found, what
    return found


class TestItOnlyGrows:
    @pytest.fixture
    def entry(self, owner: User) -> AuditEntry:
        note(What.SIGNED_IN, "olga", by=owner)
        return latest(What.SIGNED_IN)

    def test_the_models_refuse(self, entry: AuditEntry) -> None:
        entry.actor = "somebody else"
        for change in (
            entry.save, entry.delete, AuditEntry.objects.all().delete, lambda: AuditEntry.objects.update(actor="x"),
        ):  # fmt: skip
            with pytest.raises(NeverChanged):
                change()

    def test_the_database_refuses_whoever_asks(self, entry: AuditEntry) -> None:
        migration = import_module("coaching.migrations.0011_audit_only_grows")
        changes = ["UPDATE coaching_auditentry SET actor = 'x'", "DELETE FROM coaching_auditentry"]
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                changes.append("TRUNCATE coaching_auditentry")
                made = migration.POSTGRESQL
            else:
                columns = "id, at, actor, what, about, details, address"
                changes.append(
                    f"INSERT OR REPLACE INTO coaching_auditentry ({columns}) "
                    "SELECT id, at, 'x', what, about, details, address FROM coaching_auditentry"
                )
                made = migration.SQLITE
            for statement in made:
                cursor.execute(statement)
            for change in changes:
                with pytest.raises(DatabaseError, match="only ever added to"), transaction.atomic():
                    cursor.execute(change)
        assert AuditEntry.objects.get(pk=entry.pk).actor == "olga"

    def test_it_outlives_whom_it_speaks_of(self, entry: AuditEntry, owner: User) -> None:
        owner.delete()
        assert AuditEntry.objects.get(pk=entry.pk).actor == "olga"
        assert ("coachsite", "account_deleted", "olga") in lines("account_deleted")


@pytest.mark.usefixtures("coach")
class TestSigningIn:
    def test_in_and_out(self, client: Client) -> None:
        client.post(reverse("login"), {"username": "carl", "password": PASSWORD}, REMOTE_ADDR="203.0.113.7")
        client.post(reverse("logout"))
        assert lines("signed_in", "signed_out") == [("carl", "signed_in", "carl"), ("carl", "signed_out", "carl")]
        assert latest("signed_in").address == "203.0.113.7"

    def test_failures_and_the_lock(self, client: Client, settings: Settings) -> None:
        settings.AXES_FAILURE_LIMIT = 3
        answers = [
            client.post(reverse("login"), {"username": "carl", "password": f"no {n}"}, REMOTE_ADDR="203.0.113.7")
            for n in range(4)
        ]
        assert answers[-1].status_code == 429
        assert lines("sign_in_failed")[:3] == [("", "sign_in_failed", "carl")] * 3
        assert ("", "locked_out", "203.0.113.7") in lines("locked_out")

    def test_a_password_typed_as_a_name_is_not_kept(self, client: Client) -> None:
        client.post(reverse("login"), {"username": "my secret password", "password": "x"})
        assert lines("sign_in_failed") == [("", "sign_in_failed", "(unknown)")]
        assert "my secret password" not in json.dumps([each.as_json() for each in AuditEntry.objects.all()])


class TestWhatIsWrittenDown:
    def test_tokens(self, coach: User) -> None:
        stored, text = issue_token(coach, days=3)
        assert withdraw_token(coach, stored.digest)
        assert lines("token_made", "token_withdrawn") == [
            ("coachsite", "token_made", "carl"),
            ("carl", "token_withdrawn", "carl"),
        ]
        assert latest("token_made").details == {"token": stored.token_key, "days": 3}
        assert text not in json.dumps(latest("token_made").as_json())

    def test_who_asked_is_known_without_being_told(self, coach: User, sign_in: SignIn) -> None:
        sign_in(coach).post("/connect/tokens/", {"days": "7"}, REMOTE_ADDR="198.51.100.4")
        entry = latest("token_made")
        assert (entry.actor, entry.address) == ("carl", "198.51.100.4")

    def test_and_so_it_is_of_programs(self, owner: User, session: Session, api: Callable[[User], APIClient]) -> None:
        api(owner).delete(f"/api/v1/sessions/{session.session_id}/", REMOTE_ADDR="198.51.100.4")
        entry = latest("session_deleted")
        assert (entry.actor, entry.about, entry.address) == ("olga", session.session_id, "198.51.100.4")
        assert entry.details == {"workflow": "expense-claim", "status": "active"}

    def test_roles_and_accounts(self, owner: User, coach: User, sign_in: SignIn) -> None:
        User.objects.filter(pk=owner.pk).update(is_superuser=True, is_staff=True)
        group = Group.objects.get(name="owner")
        form = {"username": "carl", "groups": [group.pk], "is_active": "on", "is_staff": "on",
                "date_joined_0": "2026-01-01", "date_joined_1": "00:00"}  # fmt: skip
        answer = sign_in(User.objects.get(pk=owner.pk)).post(f"/admin/auth/user/{coach.pk}/change/", form)
        assert answer.status_code == 302
        assert latest("account_changed").details == {"changed": ["is_staff"], "is_staff": True}
        given = [each.details for each in AuditEntry.objects.filter(what="roles_changed", actor="olga")]
        assert {"what_was": "given", "of": ["owner"], "reverse": False} in given
        assert {"what_was": "taken", "of": ["coach"], "reverse": False} in given
        assert ("olga", "admin_changed", "user carl") in lines("admin_changed")

    def test_several_deleted_at_once_are_several(self, owner: User, sign_in: SignIn) -> None:
        """Of which Django's own log tells nobody."""
        User.objects.filter(pk=owner.pk).update(is_superuser=True, is_staff=True)
        doomed = [Group.objects.create(name=name) for name in ("first", "second")]
        pressed = {"action": "delete_selected", "_selected_action": [group.pk for group in doomed]}
        client = sign_in(User.objects.get(pk=owner.pk))
        assert client.post("/admin/auth/group/", pressed).status_code == 200
        assert not lines("admin_changed")
        assert client.post("/admin/auth/group/", pressed | {"post": "yes"}).status_code == 302
        assert not Group.objects.filter(name__in=("first", "second")).exists()
        assert sorted(lines("admin_changed")) == [
            ("olga", "admin_changed", "group first"),
            ("olga", "admin_changed", "group second"),
        ]
        assert latest("admin_changed").details == {"how": "Deletion"}

    def test_a_new_password_without_the_password(self, coach: User) -> None:
        coach.set_password("something entirely new")
        coach.save()
        assert latest("account_changed").details == {"changed": ["password"]}

    def test_signing_in_alone_changes_no_account(self, coach: User, sign_in: SignIn) -> None:
        sign_in(coach)
        assert not lines("account_changed")

    def test_workflows(self, owner: User) -> None:
        imported = import_recording(json.dumps(FLOW).encode(), workflow_id="claim", by=owner).workflow
        change_step(imported.current_steps()[0], description="Start", by=owner)
        change_workflow(imported, name="New", allowed_hosts=["login.example.org"], by=owner)
        delete_workflow(imported)
        assert lines("workflow_imported", "workflow_edited", "workflow_deleted") == [
            ("olga", "workflow_imported", "claim"),
            ("olga", "workflow_edited", "claim"),
            ("olga", "workflow_edited", "claim"),
            ("coachsite", "workflow_deleted", "claim"),
        ]
        assert latest("workflow_edited").details["allowed_hosts"] == ["login.example.org"]

    def test_a_default_by_its_name_alone(self, browser_workflow: Workflow, owner: User, sign_in: SignIn) -> None:
        address = reverse("variables-edit", args=[browser_workflow.workflow_id])
        sign_in(owner).post(address, {"variable-amount": "99.99"})
        entry = latest("workflow_edited")
        assert (entry.actor, entry.details) == ("olga", {"variable": "amount"})

    def test_levels_and_policy(self, browser_workflow: Workflow, owner: User) -> None:
        make_auto(browser_workflow, by=owner, accepts=1)
        demote(browser_workflow, node_ids=["open"], reason="It went wrong.", by=owner)
        set_policy(browser_workflow, {"min_decisions": 30})
        assert {each[2] for each in lines("promoted")} == {f"expense-claim {node}" for node in
            ("open", "change-amount", "click-save")}  # fmt: skip
        assert lines("demoted") == [("olga", "demoted", "expense-claim open")]
        assert latest("demoted").details["reason"] == "It went wrong."
        assert latest("policy_changed").details == {"overrides": {"min_decisions": 30}}

    def test_packs(self, browser_workflow: Workflow, coach: User, reviewer: User) -> None:
        run(browser_workflow, "correct", by=coach, changes={"value": "45"})
        pack = published_pack(by=reviewer, corrections=Correction.objects.all())
        first = pack.active
        assert first
        revise(pack, by=reviewer)
        publish_draft(pack, by=reviewer)
        rollback(pack, by=reviewer)
        import_pack(json.dumps(export(first)).encode(), by=reviewer)
        delete_pack(create_pack(name="Not needed", by=reviewer), by=reviewer)
        retire(pack, by=reviewer)
        kinds = ("pack_published", "pack_rolled_back", "pack_imported", "pack_deleted", "pack_retired")
        assert [(actor, what) for actor, what, _ in lines(*kinds)] == [
            ("rita", what) for what in ("pack_published", *kinds)
        ]

    def test_webhooks_and_hosts(self, owner: User) -> None:
        webhook, secret = create_webhook(url="https://example.org/hook?key=in-the-address", by=owner)
        change_webhook(webhook, enabled=False, by=owner)
        assert secret_of(webhook, by=owner) == secret
        fresh = rotate_secret(webhook, by=owner)
        delete_webhook(webhook, by=owner)
        allowed = allow_host(host="robot.internal", reason="ours", by=owner)
        forbid_host(allowed, by=owner)
        kinds = ("webhook_made", "webhook_changed", "webhook_secret_shown", "webhook_secret_replaced",
                 "webhook_deleted", "host_allowed", "host_forbidden")  # fmt: skip
        assert [what for _, what, _ in lines(*kinds)] == list(kinds)
        assert {actor for actor, _, _ in lines(*kinds)} == {"olga"}
        said = json.dumps([each.as_json() for each in AuditEntry.objects.all()])
        assert not any(word in said for word in (secret, fresh, "in-the-address"))

    def test_what_is_undone_was_not_done(self, session: Session) -> None:
        with transaction.atomic():
            delete_session(session)
            transaction.set_rollback(True)
        assert not lines("session_deleted")

    def test_deciding_writes_nothing_here(self, session: Session, browser_workflow: Workflow, coach: User) -> None:
        before = AuditEntry.objects.count()
        run(browser_workflow, "accept", by=coach)
        abandon_session(session, by=coach)
        assert AuditEntry.objects.count() == before


class TestReadingIt:
    def test_owners_see_and_search_it(self, owner: User, sign_in: SignIn) -> None:
        User.objects.filter(pk=owner.pk).update(is_staff=True)
        note(What.HOST_ALLOWED, "robot.internal", by=owner, reason="<b>ours</b>")
        client = sign_in(User.objects.get(pk=owner.pk))
        listed = client.get("/admin/coaching/auditentry/", {"what": "host_allowed", "q": "robot"})
        assert "robot.internal" in listed.content.decode()
        shown = client.get(f"/admin/coaching/auditentry/{latest('host_allowed').pk}/change/")
        assert "&lt;b&gt;ours" in shown.content.decode()
        assert "Save" not in shown.content.decode()

    def test_a_superuser_cannot_delete_it_either(self, owner: User, sign_in: SignIn) -> None:
        User.objects.filter(pk=owner.pk).update(is_staff=True, is_superuser=True)
        note(What.SIGNED_IN, "olga", by=owner)
        client = sign_in(User.objects.get(pk=owner.pk))
        address = f"/admin/coaching/auditentry/{latest('signed_in').pk}/"
        assert client.post(f"{address}delete/", {"post": "yes"}).status_code == 403
        assert client.post(f"{address}change/", {"actor": "x"}).status_code == 403
        assert client.get("/admin/coaching/auditentry/add/").status_code == 403

    def test_as_json_lines(self, owner: User) -> None:
        note(What.HOST_ALLOWED, "robot.internal", by=owner, reason="ours")
        out = StringIO()
        call_command("export_audit", stdout=out)
        exported = [json.loads(line) for line in out.getvalue().splitlines()]
        assert [each["id"] for each in exported] == sorted(each["id"] for each in exported)
        assert set(exported[-1]) == {"id", "at", "actor", "what", "about", "details", "address"}
        assert exported[-1]["what"] == "host_allowed"
        later = StringIO()
        call_command("export_audit", since="2999-01-01", stdout=later)
        assert later.getvalue() == ""
        with pytest.raises(CommandError, match="no ISO 8601 date"):
            call_command("export_audit", since="yesterday")
