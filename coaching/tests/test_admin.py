from __future__ import annotations

from collections.abc import Callable

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.db import connection, transaction
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from coaching.actions.autonomy import change_level
from coaching.actions.backtests import run_backtest, start_backtest
from coaching.actions.correction_packs import create_pack, publish, revise, submit
from coaching.actions.decisions import Answer, decide
from coaching.actions.pack_items import edit_entry
from coaching.actions.pack_use import with_packs
from coaching.actions.sessions import abandon_session, pause_session, start_session
from coaching.actions.suggestions import Proposal, open_suggestion
from coaching.actions.webhooks import allow_host, create_webhook, send_test
from coaching.actions.workflows import change_step, create_workflow, set_variable_default
from coaching.models import (
    AllowedHost,
    CorrectionPack,
    Decision,
    GivenAnswer,
    Host,
    Level,
    Recording,
    Session,
    Step,
    StepVersion,
    Suggestion,
    Variable,
    Webhook,
    Workflow,
)
from coaching.packs import Situation

from .domain import event_types

MODELS = [model for app in ("coaching", "metrics") for model in apps.get_app_config(app).get_models()]
CLICK = {"type": "click", "selectors": [["#save"]], "offsetX": 1, "offsetY": 1}
SECRET = "swordfish-4711"


def page(model: type[Model], name: str = "changelist", *arguments: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=arguments)


def fill_the_tables(rows: int) -> None:
    """`rows` workflows, each by another person with a recording and a session; the newest of each has `rows` parts."""
    for number in range(rows):
        coach = User.objects.create(username=f"coach-{rows}-{number}")
        workflow = create_workflow(
            workflow_id=f"w-{rows}-{number}",
            name=f"Workflow {number}",
            executor="browser",
            steps=[{"node_id": "save", "action": CLICK}],
            by=coach,
        )
        Recording.objects.create(
            workflow=workflow, format="chrome-recorder", title="Demonstration", document={}, imported_by=coach
        )
        parts = rows if number == rows - 1 else 1
        fill_a_session(start_session(workflow, by=coach), parts)
        fill_packs(workflow, coach, parts)
        for part in range(parts):
            Host.objects.create(name=f"host-{workflow.pk}-{part}", key_print="k")
            GivenAnswer.objects.create(user=coach, key=f"key-{part}", fingerprint="f", status=201)
        address = f"https://example.org/save/{rows}/{number}"
        webhook, _ = create_webhook(url=address, event_types=["session.created"], by=coach)
        for _ in range(parts):
            send_test(webhook, by=coach)
        allow_host(host=f"robot-{rows}-{number}.internal", reason="To fill a row.", by=coach)


def fill_a_session(session: Session, rows: int) -> None:
    step, coach = session.workflow.steps.get(), session.started_by
    for number in range(rows):
        session.workflow.variables.create(name=f"v{number}", label=f"Variable {number}")
        version = change_step(step, by=coach, description=f"Save {number}")
        proposal = Proposal(
            step_index=0,
            node_id="save",
            action_type="click",
            action=CLICK | {"offsetX": number},
            description="Click",
            step_version=version,
            confidence=0.7,
        )
        answer = Answer(decision="correct", correction=CLICK | {"offsetX": 1000 + number})
        decide(open_suggestion(session, proposal), answer, by=coach)
        with transaction.atomic():
            change_level(step, [Level.AUTO, Level.COACHING][number % 2], by=coach, reason="To fill a row.", evidence={})


def fill_packs(workflow: Workflow, by: User, rows: int) -> None:
    """Two packs that contradict each other in `rows` corrections; the newer has `rows` versions, each back-tested."""
    packs = [
        create_pack(name=f"Pack of {workflow}", corrections=workflow.corrections.all(), by=by)
        for _ in ("older", "newer")
    ]
    assert packs[0].draft
    for entry in packs[0].draft.entries.select_related("item__pack", "version"):
        edit_entry(entry, new={"/offsetX": 9000 + entry.item.number}, by=by)
    for _ in range(rows):
        publish_next(packs[1], by)
    use_packs(workflow, by, rows)
    publish_next(packs[0], by)
    use_packs(workflow, by, rows)
    assert packs[1].active
    run_backtest(start_backtest(revise(packs[1], by=by), by=by).pk)


def publish_next(pack: CorrectionPack, by: User) -> None:
    """Publishes the draft, or a new version where there is none."""
    run_backtest(start_backtest(revise(pack, by=by), by=by).pk)
    submit(pack, by=by)
    publish(pack, confirmed=True, by=by)


def use_packs(workflow: Workflow, by: User, rows: int) -> None:
    """Published packs change `rows` suggestions, which are accepted; or contradict each other about them."""
    session = start_session(workflow, by=by)
    situation = Situation(workflow_id=workflow.workflow_id, node_id="save", action_type="click")
    for number in range(rows):
        packs = with_packs(CLICK | {"offsetX": number}, situation)
        proposal = Proposal(
            step_index=0, node_id="save", action_type="click", action=packs.applied.action, description="Click",
            step_version=workflow.steps.get().current, packs=packs,
        )  # fmt: skip
        decide(open_suggestion(session, proposal), Answer(decision="accept"), by=by)


@pytest.fixture
def staff(owner: User) -> User:
    """An owner who may enter the admin site, and has no other right there than an owner's."""
    owner.is_staff = True
    owner.save()
    return owner


@pytest.fixture
def visitor(staff: User, sign_in: Callable[[User], Client]) -> Client:
    return sign_in(staff)


def queries(visitor: Client, addresses: Callable[[type[Model]], str]) -> dict[str, int]:
    """How many queries each model's page takes, by the model's name."""
    counts = {}
    for model in MODELS:
        address = addresses(model)
        visitor.get(address)  # once before, for what is kept between requests
        with CaptureQueriesContext(connection) as captured:
            assert visitor.get(address).status_code == 200
        counts[model.__name__] = len(captured)
    return counts


def newest(model: type[Model]) -> str:
    return page(model, "change", model._default_manager.latest("pk").pk)


def test_every_model_is_registered() -> None:
    assert not [model for model in MODELS if model not in admin.site._registry]
    assert admin.site.site_header == "coachsite"


@pytest.mark.parametrize("addresses", [page, newest], ids=["list", "page"])
def test_20_of_everything_take_as_many_queries_as_2(visitor: Client, addresses: Callable[[type[Model]], str]) -> None:
    fill_the_tables(2)
    with_few = queries(visitor, addresses)
    few = {model: model._default_manager.count() for model in MODELS}
    fill_the_tables(20)
    assert all(model._default_manager.count() >= few[model] + 20 for model in MODELS)
    assert queries(visitor, addresses) == with_few
    assert max(with_few.values()) <= 16


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.model_name)
def test_every_list_can_be_searched_and_filtered(visitor: Client, model: type[Model]) -> None:
    fill_the_tables(2)
    assertContains(visitor.get(page(model), {"q": "save"}), "searchbar")
    for one in admin.site._registry[model].list_filter:
        assert visitor.get(page(model), {f"{one}__exact": "x"}).status_code in {200, 302}


@pytest.mark.parametrize(
    "model",
    [model for model in MODELS if model not in {Webhook, AllowedHost}],
    ids=lambda model: model._meta.model_name,
)
def test_nothing_is_added_or_deleted_here_by_anybody(
    admin_client: Client, session: Session, suggestion: Suggestion, model: type[Model]
) -> None:
    assert admin_client.get(page(model, "add")).status_code == 403
    row = model._default_manager.first()
    if row:
        assert admin_client.get(page(model, "delete", row.pk)).status_code == 403
        assert admin_client.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize(
    "model",
    [model for model in MODELS if model not in {Workflow, Variable, Webhook}],
    ids=lambda model: model._meta.model_name,
)
def test_what_verbs_write_is_only_looked_at(admin_client: Client, model: type[Model]) -> None:
    fill_the_tables(1)
    row = model._default_manager.first()
    assert row
    address = page(model, "change", row.pk)
    assertNotContains(admin_client.get(address), 'name="_save"')
    assert admin_client.post(address, {"status": "completed", "accepted": "99"}).status_code == 403


class TestWorkflow:
    FORM = {
        "variables-TOTAL_FORMS": "0", "variables-INITIAL_FORMS": "0", "name": "New name", "description": "Why",
        "executor": "external", "workflow_id": "other",
    }  # fmt: skip

    def test_name_and_description_are_changed_and_nothing_else(
        self, visitor: Client, browser_workflow: Workflow
    ) -> None:
        answer = visitor.post(page(Workflow, "change", browser_workflow.pk), self.FORM)
        assert answer.status_code == 302
        browser_workflow.refresh_from_db()
        assert (browser_workflow.name, browser_workflow.description) == ("New name", "Why")
        assert (browser_workflow.executor, browser_workflow.workflow_id) == ("browser", "expense-claim")

    def test_a_coach_may_only_look(
        self, coach: User, sign_in: Callable[[User], Client], browser_workflow: Workflow
    ) -> None:
        coach.is_staff = True
        coach.save()
        address = page(Workflow, "change", browser_workflow.pk)
        assertContains(sign_in(coach).get(address), "Expense claim")
        assert sign_in(coach).post(address, self.FORM).status_code == 403

    def test_leads_to_its_sessions(self, visitor: Client, session: Session, external_session: Session) -> None:
        address = f"{page(Session)}?workflow__id__exact={session.workflow_id}"
        assertContains(visitor.get(page(Workflow, "change", session.workflow_id)), f'href="{address}"')
        assertContains(visitor.get(address), session.session_id)
        assertNotContains(visitor.get(address), external_session.session_id)


class TestVariable:
    def test_only_the_label_is_changed(self, visitor: Client, browser_workflow: Workflow) -> None:
        variable = browser_workflow.variables.get()
        form = {"label": "Sum", "name": "sum", "default": "1", "secret": "on"}
        assert visitor.post(page(Variable, "change", variable.pk), form).status_code == 302
        variable.refresh_from_db()
        assert (variable.label, variable.name, variable.default, variable.secret) == ("Sum", "amount", "42.50", False)

    def test_a_secret_is_shown_nowhere(self, visitor: Client, browser_workflow: Workflow, coach: User) -> None:
        password = browser_workflow.variables.create(name="password", label="Password", secret=True)
        set_variable_default(password, SECRET)
        session = start_session(browser_workflow, by=coach)
        assert len(password.encrypted_default) > 20
        assert len(session.encrypted_secrets) > 20
        addresses = [
            page(Variable), page(Variable, "change", password.pk), page(Workflow, "change", browser_workflow.pk),
            page(Session), page(Session, "change", session.pk),
        ]  # fmt: skip
        for address in addresses:
            answer = visitor.get(address)
            for hidden in (SECRET, password.encrypted_default, session.encrypted_secrets):
                assertNotContains(answer, hidden)


class TestSession:
    @pytest.fixture
    def three(
        self, session: Session, external_session: Session, external_workflow: Workflow, coach: User
    ) -> list[Session]:
        """One active, one paused, one ended."""
        ended = start_session(external_workflow, by=coach)
        pause_session(external_session, by=coach)
        abandon_session(ended, by=coach)
        return [session, external_session, ended]

    def press(self, visitor: Client, action: str, sessions: list[Session]) -> list[str]:
        """What the site says after the action on `sessions`."""
        form = {"action": action, "_selected_action": [session.pk for session in sessions]}
        answer = visitor.post(page(Session), form)
        for session in sessions:
            session.refresh_from_db()
        return [str(message) for message in get_messages(answer.wsgi_request)]

    @pytest.mark.parametrize(
        ("action", "statuses", "refused"),
        [
            ("pause", ["paused", "paused", "abandoned"], 2),
            ("resume", ["active", "active", "abandoned"], 1),
            ("abandon", ["abandoned", "abandoned", "abandoned"], 1),
        ],
    )
    def test_the_buttons_call_the_verbs(  # noqa: PLR0917 - fixtures and a table's columns
        self, visitor: Client, staff: User, three: list[Session], action: str, statuses: list[str], refused: int
    ) -> None:
        said = self.press(visitor, action, three)
        assert [session.status for session in three] == statuses
        assert said[-1] == ("1 session changed." if refused == 2 else "2 sessions changed.")
        assert len([text for text in said if "cannot become" in text]) == refused
        assert event_types(three[2])[-1] == "session.abandoned"
        by = [event.data["by"] for one in three for event in one.events.order_by("-seq")[:1]]
        assert staff.username in by

    def test_a_refusal_names_the_session(self, visitor: Client, three: list[Session]) -> None:
        (said,) = self.press(visitor, "resume", three[2:])
        assert said == f"{three[2]}: A session that is abandoned cannot become active."

    def test_a_viewer_has_no_buttons(
        self, viewer: User, sign_in: Callable[[User], Client], three: list[Session]
    ) -> None:
        viewer.is_staff = True
        viewer.save()
        visitor = sign_in(viewer)
        assertContains(visitor.get(page(Session)), three[0].session_id)
        self.press(visitor, "abandon", three)
        assert [session.status for session in three] == ["active", "paused", "abandoned"]

    @pytest.mark.usefixtures("suggestion")
    def test_leads_to_what_belongs_to_it(self, visitor: Client, session: Session) -> None:
        shown = visitor.get(page(Session, "change", session.pk))
        for model in ("suggestion", "decision", "sessionevent"):
            address = f"{reverse(f'admin:coaching_{model}_changelist')}?session__id__exact={session.pk}"
            assertContains(shown, f'href="{address}"')
            assert visitor.get(address).status_code == 200


class TestDecision:
    @pytest.fixture
    def decision(self, suggestion: Suggestion, coach: User) -> Decision:
        correction = {"type": "change", "selectors": [["aria/Amount"]], "value": "<b>45</b>", "timeout": 900}
        return decide(suggestion, Answer(decision="correct", correction=correction), by=coach)

    def test_shows_the_difference_readably(self, visitor: Client, decision: Decision) -> None:
        answer = visitor.get(page(Decision, "change", decision.pk))
        assertContains(
            answer,
            "<b>replace</b> <code>/value</code> &quot;42.50&quot; → &quot;&lt;b&gt;45&lt;/b&gt;&quot;",
        )
        assertContains(answer, "<b>add</b> <code>/timeout</code> 900")
        assertContains(answer, "<b>remove</b> <code>/selectors/1</code> [&quot;#amount&quot;]")

    def test_session_suggestion_and_decision_lead_to_each_other(self, visitor: Client, decision: Decision) -> None:
        assert decision.suggestion
        session = page(Session, "change", decision.session_id)
        suggestion = page(Suggestion, "change", decision.suggestion.pk)
        shown = visitor.get(page(Decision, "change", decision.pk))
        assertContains(shown, f'href="{session}"')
        assertContains(shown, f'href="{suggestion}"')
        shown = visitor.get(suggestion)
        assertContains(shown, f'href="{session}"')
        assertContains(shown, f'href="{page(Decision, "change", decision.pk)}"')


class TestWhoMayEnter:
    def test_not_without_the_staff_flag(self, owner: User, sign_in: Callable[[User], Client]) -> None:
        answer = sign_in(owner).get(page(Session))
        assert answer.status_code == 302
        assert "/admin/login/" in answer["Location"]

    @pytest.mark.django_db
    def test_not_without_a_login(self, client: Client) -> None:
        assert client.get(page(Session)).status_code == 302

    def test_staff_without_a_role_sees_nothing(self, stranger: User, sign_in: Callable[[User], Client]) -> None:
        stranger.is_staff = True
        stranger.save()
        visitor = sign_in(stranger)
        for model in MODELS:
            assert visitor.get(page(model)).status_code == 403

    def test_one_permission_opens_one_list(self, stranger: User, sign_in: Callable[[User], Client]) -> None:
        stranger.is_staff = True
        stranger.save()
        stranger.user_permissions.add(Permission.objects.get(codename="view_step"))
        visitor = sign_in(stranger)
        assert visitor.get(page(Step)).status_code == 200
        assert visitor.get(page(StepVersion)).status_code == 403
