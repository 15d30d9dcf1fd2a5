"""Who may do what, everywhere: each address, each page and button of the admin, each socket and each MCP tool.

The tables below say who; the tests walk what there really is. An address, a method, an admin button, a socket or a tool
that is not in a table fails, and so does one that is not there any more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.files.base import ContentFile
from django.db import transaction
from django.http import HttpResponseBase
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver
from knox.models import AuthToken
from pytest_django.fixtures import Settings

from coaching import consumers
from coaching.actions.webhooks import allow_host, create_webhook, send_test
from coaching.mcp.tools import TOOLS
from coaching.models import Correction, Session, Suggestion, Workflow
from coaching.routing import websocket_urlpatterns
from coaching.tests.packing import published_pack, run

from .test_mcp_door import Exchange, base, call
from .test_sockets import HOST, ORIGIN, closed, cookies, socket

#: From least to most; each may what those before it may. Nobody: only a superuser, if anybody.
PEOPLE = ("anonymous", "stranger", "viewer", "coach", "reviewer", "owner")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
ANYBODY, SIGNED_IN, VIEWER, COACH, REVIEWER, OWNER, NOBODY = range(7)


Table = dict[str, dict[str, int]]


def read(*routes: str) -> Table:
    return {route: {"GET": VIEWER} for route in routes}


def form(who: int, *routes: str) -> Table:
    return {route: {"GET": who, "POST": who} for route in routes}


def post(who: int, *routes: str) -> Table:
    return {route: {"POST": who} for route in routes}


W, S, P, H = (
    "workflows/<slug:workflow_id>/", "sessions/<slug:session_id>/", "packs/<slug:pack_id>/",
    "webhooks/<int:webhook_id>/",
)  # fmt: skip

API: Table = {
    "workflows/": {"GET": VIEWER, "POST": OWNER},
    "workflows/import/": {"POST": OWNER},
    W: {"GET": VIEWER, "PATCH": OWNER, "DELETE": OWNER},
    f"{W}policy/": {"GET": VIEWER, "PATCH": OWNER},
    **read(f"{W}export/", f"{W}metrics/", "metrics/", "statistics/", "inbox/", "schema/", "docs/"),
    **post(OWNER, f"{W}promote/", f"{W}demote/"),
    "sessions/": {"GET": VIEWER, "POST": COACH},
    S: {"GET": VIEWER, "DELETE": OWNER},
    **post(COACH, f"{S}pause/", f"{S}resume/", f"{S}complete/", f"{S}abandon/"),
    f"{S}suggestions/": {"GET": VIEWER, "POST": COACH},
    f"{S}decisions/": {"GET": VIEWER, "POST": COACH},
    **read(f"{S}events/", f"{S}suggestions/<int:n>/", f"{S}suggestions/<int:n>/screenshot/"),
    **post(COACH, *(f"{S}suggestions/<int:n>/{verb}/" for verb in ("performing", "outcome", "withdraw"))),
    "packs/": {"GET": VIEWER, "POST": REVIEWER},
    P: {"GET": VIEWER, "PATCH": REVIEWER, "DELETE": REVIEWER},
    f"{P}backtest/": {"GET": VIEWER, "POST": REVIEWER},
    f"{P}corrections/<int:number>/": {"PATCH": REVIEWER},
    **read("packs/suggested/", "packs/corrections/", f"{P}versions/", f"{P}changes/", f"{P}export/"),
    **post(REVIEWER, "packs/import/", f"{P}corrections/"),
    **post(REVIEWER, *(f"{P}{verb}/" for verb in ("revise", "submit", "publish", "retire", "rollback", "merge"))),
    "webhooks/": {"GET": OWNER, "POST": OWNER},
    H: {"GET": OWNER, "PATCH": OWNER, "DELETE": OWNER},
    "webhooks/allowed-hosts/": {"GET": OWNER, "POST": OWNER},
    "webhooks/allowed-hosts/<int:allowed_host_id>/": {"DELETE": OWNER},
    f"{H}deliveries/": {"GET": OWNER},
    f"{H}deliveries/<slug:message_id>/": {"GET": OWNER},
    **post(OWNER, f"{H}rotate/", f"{H}test/", f"{H}deliveries/<slug:message_id>/resend/"),
    **read("export/sessions/", "export/decisions/", "export/metrics/"),
    # Whatever else: there is nothing there, and a stranger is not even told so.
    "": {},
}
PAGES: Table = {
    "healthz": {"GET": ANYBODY},
    "readyz": {"GET": ANYBODY},
    # By its own rule, the address or a token of its own: nobody of these comes from this machine.
    "metrics": {"GET": NOBODY},
    # Whoever is signed in is led on, whatever the method.
    "login/": dict.fromkeys(METHODS, ANYBODY),
    # Whoever signs out, or never was signed in, is asked to sign in.
    "logout/": {"POST": NOBODY},
    **read("", "dashboard/", "workflows/", W, f"{W}export/", f"{W}history/", "sessions/", S, P, f"{P}export/"),
    **read(f"{P}backtest/", f"{S}screenshots/last.png", f"{S}screenshots/<int:n>.png"),
    **form(COACH, f"{W}start/", f"{S}abandon/"),
    **post(COACH, *(f"{S}{verb}/" for verb in ("decide", "pause", "resume", "complete"))),
    **form(OWNER, "workflows/import/", f"{W}steps/<int:pk>/", f"{W}variables/", f"{W}hosts/", f"{W}delete/"),
    **form(OWNER, f"{S}delete/"),
    f"{W}policy/": {"GET": VIEWER, "POST": OWNER},
    **post(OWNER, f"{W}promote/", f"{W}demote/", "connect/workflow/"),
    "connect/": {"GET": VIEWER},
    # Of their own tokens, which may do no more than they themselves.
    **post(VIEWER, "connect/tokens/", "connect/tokens/withdraw/"),
    "packs/": {"GET": VIEWER, "POST": REVIEWER},
    **form(REVIEWER, "packs/import/", f"{P}publish/", f"{P}merge/"),
    **post(REVIEWER, *(f"{P}{verb}/" for verb in ("change", "revise", "submit", "rollback", "retire"))),
    **post(REVIEWER, f"{P}backtest/start/", f"{P}delete/", f"{P}corrections/", f"{P}corrections/<int:number>/reject/"),
    **post(REVIEWER, f"{P}corrections/<int:number>/"),
}
#: A made-up application with a login of its own.
DEMO: Table = {
    "": {"GET": ANYBODY, "POST": ANYBODY},
    "sign-out/": {"POST": ANYBODY},
    "claims/": {"GET": ANYBODY},
    "claims/new/": {"GET": ANYBODY, "POST": ANYBODY},
    "claims/<int:number>/": {"GET": ANYBODY},
}
#: Pages of the admin site itself, for people who may sign in there at all.
ADMIN_SITE: Table = {
    "": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "login/": {"GET": ANYBODY, "POST": ANYBODY},
    "logout/": {"POST": NOBODY},
    "password_change/": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "password_change/done/": {"GET": SIGNED_IN},
    "autocomplete/": {"GET": NOBODY},
    "jsi18n/": {"GET": SIGNED_IN},
    "r/<path:content_type_id>/<path:object_id>/": {"GET": SIGNED_IN},
}
#: Who may see, change, add and delete the rows of a model in the admin.
LOOKED_AT = (VIEWER, NOBODY, NOBODY, NOBODY)
FOR_OWNERS = (OWNER, NOBODY, NOBODY, NOBODY)
SUPERUSERS = (NOBODY, NOBODY, NOBODY, NOBODY)
ADMIN: dict[str, tuple[int, int, int, int]] = {
    **dict.fromkeys(
        ("step", "stepversion", "levelchange", "recording", "session", "suggestion", "decision", "sessionevent",
         "correction", "correctionmade", "correctionpack", "packversion", "packitem", "packentry", "packuse",
         "packconflict", "packchange", "backtest", "backtestfinding", "steptally", "workflowlearningmetrics",
         "dailytally", "calibrationbin", "latencybin"),
        LOOKED_AT,
    ),
    "workflow": (VIEWER, OWNER, NOBODY, NOBODY),
    "variable": (VIEWER, OWNER, NOBODY, NOBODY),
    **dict.fromkeys(("webhookdelivery", "givenanswer", "auditentry", "host"), FOR_OWNERS),
    "webhook": (OWNER, OWNER, OWNER, OWNER),
    "allowedhost": (OWNER, NOBODY, OWNER, OWNER),
    **dict.fromkeys(
        ("user", "group", "authtoken", "dbtaskresult", "accessattempt", "accesslog", "accessfailurelog", "claim"),
        SUPERUSERS,
    ),
}  # fmt: skip
#: Who is offered, and may press, the buttons over the lists of the admin.
BUTTONS: dict[str, dict[str, int]] = {
    "session": {"pause": COACH, "resume": COACH, "abandon": COACH},
    "correctionpack": {
        **dict.fromkeys(("submit", "backtest", "publish", "retire", "roll_back", "export"), REVIEWER),
    },
    "webhook": {**dict.fromkeys(("test", "replace_secret", "show_secret"), OWNER), "delete_selected": OWNER},
    "webhookdelivery": {"send_again": OWNER},
    "allowedhost": {"delete_selected": OWNER},
}
SOCKETS = {
    "ws/inbox/": VIEWER,
    "ws/packs/": VIEWER,
    "ws/sessions/<slug:session_id>/panel/": VIEWER,
    "ws/v1/sessions/<slug:session_id>/events/": VIEWER,
    # Closed at once with “unknown”, whoever asks.
    "": NOBODY,
}
TOOLS_FOR = {
    "list_open_sessions": VIEWER,
    "request_decision": COACH,
    "report_outcome": COACH,
    "take_back": COACH,
    "complete_session": COACH,
    "approve_tool_use": COACH,
}

# ---- what there is


def every_pattern(patterns: list[Any] | None = None, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(pattern, URLResolver):
            yield from every_pattern(pattern.url_patterns, prefix + str(pattern.pattern))
        else:
            yield prefix + str(pattern.pattern), pattern


def admin_table() -> Table:
    table = {f"admin/{route}": methods for route, methods in ADMIN_SITE.items()}
    apps = set()
    for model in admin.site._registry:
        see, change, add, delete = ADMIN[str(model._meta.model_name)]
        at = f"admin/{model._meta.app_label}/{model._meta.model_name}/"
        apps.add(model._meta.app_label)
        table |= {
            at: {"GET": see, "POST": see},
            f"{at}add/": {"GET": add, "POST": add},
            f"{at}<path:object_id>/history/": {"GET": see, "POST": see},
            f"{at}<path:object_id>/delete/": {"GET": delete, "POST": delete},
            # Leads to the page to change it.
            f"{at}<path:object_id>/": {"GET": SIGNED_IN, "POST": SIGNED_IN},
            f"{at}<path:object_id>/change/": {"GET": see, "POST": change},
        }
    table["admin/auth/user/<id>/password/"] = {"GET": NOBODY, "POST": NOBODY}
    # What a person may see of an application; for nothing at all the answer is 404.
    ours = "|".join(apps)
    found = next(route for route, _ in every_pattern() if "app_label" in route)
    assert set(re.findall(r"[a-z_]+", found.partition("P<app_label>")[2])) == set(re.findall(r"[a-z_]+", ours))
    table[found] = {"GET": SIGNED_IN, "POST": SIGNED_IN}
    # The last resort of the admin, which answers 404 or adds a slash.
    table["admin/(?P<url>.*)$"] = {"GET": SIGNED_IN, "POST": SIGNED_IN}
    return table


def whole_table() -> Table:
    return (
        {f"api/v1/{route}": methods for route, methods in API.items()}
        | PAGES
        | {f"demo/{route}": methods for route, methods in DEMO.items()}
        | admin_table()
    )


def test_every_address_is_in_the_table_and_the_table_names_no_other() -> None:
    assert {route for route, _ in every_pattern()} == set(whole_table())


# ---- who gets in


@pytest.fixture
def people(request: pytest.FixtureRequest) -> dict[str, User | None]:
    """All of them may sign in to the admin: what they see there is by their role alone."""
    found: dict[str, User | None] = {"anonymous": None}
    for name in PEOPLE[1:]:
        user: User = request.getfixturevalue(name)
        user.is_staff = True
        user.save(update_fields=["is_staff"])
        found[name] = user
    return found


@pytest.fixture
def values(
    suggestion: Suggestion, browser_workflow: Workflow, people: dict[str, Any], settings: Settings
) -> dict[str, str]:
    """What stands for the names in the routes: rows that are there."""
    settings.COACHSITE_API_RATE = settings.COACHSITE_WRONG_TOKENS = 0
    cache.clear()
    coach, reviewer, owner = (people[name] for name in PEOPLE[3:])
    session = suggestion.session
    suggestion.screenshot.save("1.png", ContentFile(b"\x89PNG"))
    session.last_picture.save("last.png", ContentFile(b"\x89PNG"))
    run(browser_workflow, "correct", by=coach, changes={"value": "45"})
    pack = published_pack(by=reviewer, corrections=Correction.objects.all())
    webhook, _ = create_webhook(url="https://example.org/hook", by=owner)
    allowed = allow_host(host="robot.internal", reason="ours", by=owner)
    return {
        "workflow_id": browser_workflow.workflow_id,
        "session_id": session.session_id,
        "pack_id": pack.pack_id,
        "pk": str(browser_workflow.current_steps()[0].pk),
        "n": "1",
        "number": "1",
        "webhook_id": str(webhook.pk),
        "message_id": send_test(webhook, by=owner).message_id,
        "allowed_host_id": str(allowed.pk),
        "object_id": str(webhook.pk),
        "content_type_id": "1",
        "id": str(owner.pk),
        "app_label": "coaching",
        "url": "nothing-here",
    }


def address(route: str, values: dict[str, str]) -> str:
    path = re.sub(r"\(\?P<(\w+)>.*?\)(?=/|\$|$)", lambda found: values[found[1]], route.replace("^", ""))
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: values[found[1]], path).replace("$", "")


def asked(client: Client, method: str, path: str, key: str) -> HttpResponseBase:
    """The answer to a request without a body, of which nothing remains; `key` is that of who is signed in, if anybody."""
    client.cookies.clear()
    if key:
        client.cookies[settings.SESSION_COOKIE_NAME] = key
    with transaction.atomic():
        answer = client.generic(method, path, b"", content_type="application/x-www-form-urlencoded")
        if answer.streaming:
            # Two exports are read at a time: one that nobody reads to its end would keep its place.
            b"".join(cast("Any", answer).streaming_content)
        transaction.set_rollback(True)
    return answer


def is_in(answer: HttpResponseBase) -> bool:
    """Whether somebody got past the door: not asked to sign in, and not refused."""
    to_login = answer.status_code == 302 and answer["Location"].partition("?")[0] in {"/login/", "/admin/login/"}
    return not (to_login or answer.status_code in {401, 403})


@pytest.mark.parametrize("name", PEOPLE)
@pytest.mark.parametrize("part", ["api", "pages", "demo", "admin"])
def test_who_gets_where(part: str, name: str, people: dict[str, User | None], values: dict[str, str]) -> None:
    prefixes = {"api": ("api/",), "demo": ("demo/",), "admin": ("admin/",)}
    ours = prefixes.get(part)
    others = tuple(prefix for each in prefixes.values() for prefix in each)
    routes = {
        route: methods
        for route, methods in whole_table().items()
        if (route.startswith(ours) if ours else not route.startswith(others))
    }
    client, key = Client(REMOTE_ADDR="203.0.113.9", raise_request_exception=False), ""
    if person := people[name]:
        client.force_login(person)
        key = client.cookies[settings.SESSION_COOKIE_NAME].value
    wrong = []
    for route, methods in routes.items():
        # The admin and the demo take any other method as one of these two.
        for method in METHODS if part in {"api", "pages"} else ("GET", "POST"):
            answer = asked(client, method, address(route, values), key)
            if answer.status_code >= 500:
                wrong.append(f"{method} {route}: {answer.status_code}")
            elif route.endswith("/history/") and answer.headers.get("Location") == "/admin/":
                continue  # there is no such row to tell the history of
            elif method in methods:
                may = PEOPLE.index(name) >= methods[method]
                if is_in(answer) is not may:
                    wrong.append(f"{method} {route}: {answer.status_code}, though {name} may{'' if may else ' not'}")
            elif answer.status_code not in {401, 403, 404, 405} and is_in(answer):
                wrong.append(f"{method} {route}: {answer.status_code} to a method that nobody may use")
            if part != "demo" and "Content-Security-Policy" not in answer:
                wrong.append(f"{method} {route}: no Content-Security-Policy")
    assert not wrong, "\n".join(wrong)


def test_no_policy_allows_inline_code(owner: User, values: dict[str, str], sign_in: Callable[[User], Client]) -> None:
    for path in ("/", "/api/v1/docs/", "/admin/", "/login/", "/nothing/", f"/sessions/{values['session_id']}/"):
        policy = sign_in(owner).get(path)["Content-Security-Policy"]
        assert "unsafe" not in policy, path
        for directive in ("default-src 'self'", "script-src 'self'", "style-src 'self'", "object-src 'none'",
                          "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"):  # fmt: skip
            assert directive in policy, path


# ---- the admin's buttons


def test_every_button_of_the_admin_is_in_the_table(people: dict[str, User | None]) -> None:
    for model, site in admin.site._registry.items():
        table = BUTTONS.get(str(model._meta.model_name), {})
        for rank, name in enumerate(PEOPLE[1:], start=1):
            request = RequestFactory().get("/")
            # Asked anew: permissions are remembered by the object.
            request.user = User.objects.get(pk=people[name].pk)  # type: ignore[union-attr]
            offered = set(site.get_actions(request)) if site.has_view_permission(request) else set()
            assert offered == {button for button, who in table.items() if rank >= who}, (model, name)


def test_a_button_that_is_not_offered_does_nothing(
    viewer: User, session: Session, sign_in: Callable[[User], Client]
) -> None:
    User.objects.filter(pk=viewer.pk).update(is_staff=True)
    pressed = {"action": "abandon", "_selected_action": str(session.pk)}
    sign_in(viewer).post("/admin/coaching/session/", pressed)
    session.refresh_from_db()
    assert session.status == Session.Status.ACTIVE


# ---- what belongs to one person alone


def test_nobody_withdraws_another_s_token(viewer: User, owner: User, sign_in: Callable[[User], Client]) -> None:
    theirs, _ = AuthToken.objects.create(viewer)
    sign_in(owner).post("/connect/tokens/withdraw/", {"digest": theirs.digest})
    assert AuthToken.objects.filter(pk=theirs.pk).exists()
    assert theirs.token_key not in sign_in(owner).get("/connect/").content.decode()


# ---- sockets


def test_every_socket_is_in_the_table() -> None:
    assert {str(pattern.pattern) for pattern in websocket_urlpatterns} == set(SOCKETS)


@pytest.mark.django_db(transaction=True)
async def test_who_opens_which_socket(session: Session, people: dict[str, User | None]) -> None:
    for route, who in SOCKETS.items():
        path = "/" + (address(route, {"session_id": session.session_id})[1:] or "ws/nothing/")
        for rank, name in enumerate(PEOPLE):
            person = people[name]
            headers = [ORIGIN, HOST] if person is None else await sync_to_async(cookies)(person)
            async with socket(path, headers) as communicator:
                if who == NOBODY:
                    assert await closed(communicator) == consumers.UNKNOWN, (route, name)
                elif rank >= who:
                    assert await communicator.receive_from(10), (route, name)
                else:
                    expected = consumers.NO_LOGIN if person is None else consumers.NO_ROLE
                    assert await closed(communicator) == expected, (route, name)


# ---- agents


def test_every_tool_is_in_the_table() -> None:
    assert set(TOOLS) == set(TOOLS_FOR)


@pytest.mark.django_db(transaction=True)
async def test_who_calls_which_tool(session: Session, people: dict[str, User | None]) -> None:
    for rank, name in enumerate(PEOPLE):
        person = people[name]
        headers = base()
        if person:
            _, token = await sync_to_async(AuthToken.objects.create)(person)
            headers |= {b"authorization": f"Bearer {token}".encode()}
        for tool, who in TOOLS_FOR.items():
            # Without arguments nothing is done; but this one looks at them first.
            given = {"tool_name": "x", "input": {}} if tool == "approve_tool_use" and rank < who else {}
            answer = await Exchange("/mcp/", headers, call(tool, given)).answer()
            if person is None:
                assert answer.status == 401
                continue
            refused = "permission" in json.dumps(answer.message) or "role" in json.dumps(answer.message)
            assert refused is (rank < who), (tool, name, answer.message)
