"""Whatever the OpenAPI document allows is accepted, what it does not is refused, and all answers are as described."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from knox.models import AuthToken
from pytest_django.fixtures import Settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.hypothesis.builder import HypothesisTestConfig, HypothesisTestMode, create_test
from schemathesis.specs.openapi.checks import positive_data_acceptance

from coaching.actions.backtests import run_backtest, start_backtest
from coaching.actions.correction_packs import create_pack, submit
from coaching.actions.decisions import Answer, decide
from coaching.actions.sessions import start_session
from coaching.actions.webhooks import allow_host, create_webhook, send_test
from coaching.models import CorrectionPack, Session, Suggestion, Workflow
from coaching.tests.test_openapi import OPERATIONS

Case = schemathesis.Case[Any]

TYPE = {"type": "change", "selectors": [["aria/Amount"], ["#amount"]]}
#: How many random requests of each operation, beside its examples and the systematic ones.
EXAMPLES = int(os.environ.get("COACHSITE_FUZZ_EXAMPLES", "10"))
SETTINGS = hypothesis_settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
CALLS = [(path, method) for path, methods in OPERATIONS.items() for method in sorted(methods)]
CHECKED = {
    "allow_header_conformance", "content_type_conformance", "ensure_resource_availability", "ignored_auth",
    "missing_required_header", "negative_data_rejection", "not_a_server_error", "object_level_authorization",
    "positive_data_acceptance", "response_headers_conformance", "response_schema_conformance",
    "status_code_conformance", "unsupported_method", "use_after_free",
}  # fmt: skip

_BROWSER_ONLY = {"non_field_errors": "of a browser workflow coachsite itself proposes and performs the steps"}
#: Rules that no schema can tell, so that a request which the document allows may get a 400 after all: by operation,
#: the field that the error names and why. Any other 400 of such a request is a failure.
UNSPEAKABLE: dict[str, dict[str, str]] = {
    "workflows_create": {
        "workflow_id": "names a workflow that exists",
        "steps": "of a browser workflow each action is a step of a recording, and a node_id occurs once",
    },
    "workflows_update": {
        "steps": "each action is a step of a recording, and a node_id occurs once",
        "variables": "names variables that this workflow has",
        "start_url": "is an address that a browser may open",
        "allowed_hosts": "are names or addresses of hosts",
    },
    "workflows_export": {"non_field_errors": "an external workflow has no recording"},
    "workflows_import": {"file": "is a recording", "workflow_id": "is of an external workflow"},
    "workflows_policy_update": {
        "audit_rates": "do not rise",
        "audit_clean_runs": "rise",
    },
    "workflows_promote": {"node_ids": "are of this workflow"},
    "workflows_demote": {"node_ids": "are of this workflow"},
    "sessions_create": {
        "variables": "are of the workflow, texts or numbers, and secrets have a value",
        "total_steps": "a browser workflow knows how many it has",
    },
    "suggestions_create": _BROWSER_ONLY | {"screenshot": "is a PNG or JPEG"},
    "suggestions_performing": _BROWSER_ONLY,
    "suggestions_outcome": _BROWSER_ONLY,
    "suggestions_withdraw": _BROWSER_ONLY,
    "decisions_create": {
        "correction": "differs from what was suggested, and is a step of a recording in a browser workflow",
        "execution_success": "goes only with a decision that was made elsewhere",
        "timestamp": "goes only with a decision that was made elsewhere",
    },
    "packs_create": {"correction_ids": "are of corrections that were made", "pack_id": "names a pack that exists"},
    "packs_corrections_add": {"correction_ids": "are of corrections that were made"},
    "packs_corrections_update": {"new": "names fields that the correction changes"},
    "packs_import": {"file": "is a pack with the checksum of its content", "choices": "is JSON, by numbers"},
    "packs_merge": {"choices": "are by the numbers of corrections"},
    "webhooks_create": {"url": "is a public web address", "workflow_id": "names a workflow that exists"},
    "webhooks_update": {"url": "is a public web address", "workflow_id": "names a workflow that exists"},
    "webhooks_allowed_hosts_create": {"host": "is a name or an address of a host"},
}


def excused(case: Case, response: Any) -> list[Any]:
    """The check to leave out: where a refusal is about nothing but what the document cannot tell of this operation."""
    if response.status_code not in {400, 422}:
        return []
    errors = response.json()["errors"]
    # The same key twice in one sequence of calls.
    untold = errors[0]["code"] == "idempotency_mismatch"
    if response.status_code == 400:
        about = {(error["attr"] or "").split(".")[0] for error in errors}
        untold = about <= set(UNSPEAKABLE.get(case.operation.definition.raw["operationId"], {}))
    return [positive_data_acceptance] if untold else []


def like_a_server(application: Any) -> Callable[[Any, Any], list[bytes]]:
    """Reads each answer to its end and closes it, which the fuzzer's own client leaves undone: exports count on it."""

    def sent(environ: Any, start_response: Any) -> list[bytes]:
        answer = application(environ, start_response)
        try:
            return [b"".join(answer)]
        finally:
            answer.close()

    return sent


@pytest.fixture(scope="module")
def described() -> Any:
    document = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    loaded = schemathesis.openapi.from_dict(json.loads(json.dumps(document, default=str)))
    loaded.app = like_a_server(get_wsgi_application())
    # No text may hold NUL, which the document says of all at once: inside free JSON there is no place to say it.
    loaded.config.generation.update(allow_x00=False)
    return loaded


@pytest.fixture
def token(owner: User, settings: Settings) -> Iterator[dict[str, str]]:
    settings.COACHSITE_API_RATE = 0
    # As Django's own test client does: a request must not close the connection of the test's transaction.
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    yield {"Authorization": f"Token {AuthToken.objects.create(owner)[1]}"}
    request_started.connect(close_old_connections)
    request_finished.connect(close_old_connections)


@pytest.fixture
def pack(browser_workflow: Workflow, ask: Callable[..., Suggestion], coach: User, reviewer: User) -> CorrectionPack:
    """A pack with a correction that a coach has made, back-tested and in review."""
    session = start_session(browser_workflow, by=coach)
    decide(ask(session), Answer(decision="correct", correction=TYPE | {"value": "45"}), by=coach)
    pack = create_pack(name="Amounts", corrections=browser_workflow.corrections.all(), by=reviewer)
    assert pack.draft
    run_backtest(start_backtest(pack.draft, by=reviewer).pk)
    submit(pack, by=reviewer)
    return pack


@pytest.fixture
def names(suggestion: Suggestion, external_session: Session, pack: CorrectionPack, owner: User) -> list[dict[str, Any]]:
    """Names that exist lead further in than made-up ones: those of a browser workflow, and of an external one."""
    suggestion.screenshot.save("1.png", ContentFile(b"\x89PNG"))
    webhook, _ = create_webhook(url="https://example.org/hooks", by=owner)
    host = allow_host(host="10.0.0.1", reason="Ours.", by=owner)
    delivery = send_test(webhook, by=owner)
    return [
        {
            "session_id": session.session_id, "workflow_id": session.workflow.workflow_id, "n": 1,
            "pack_id": pack.pack_id, "number": 1, "webhook_id": webhook.pk, "message_id": delivery.message_id,
            "allowed_host_id": host.pk,
        }
        for session in (suggestion.session, external_session)
    ]  # fmt: skip


def is_right(case: Case, place: ParameterLocation) -> bool:
    """Whether this part of a request is as the document says."""
    assert case.meta
    part = case.meta.components.get(place)
    return part is None or part.mode.is_positive


def lead_to_something(case: Case, names: list[dict[str, Any]]) -> None:
    """Puts names that exist in two thirds of the requests; which, follows from the request itself."""
    text = repr((sorted(case.path_parameters.items()), sorted(case.query.items(), key=str), case.body))
    choice = zlib.crc32(text.encode("utf-8", "replace")) % 3
    if choice < 2 and is_right(case, ParameterLocation.PATH):
        case.path_parameters.update({name: names[choice][name] for name in case.path_parameters})


def begin_somewhere(case: Case, names: list[dict[str, Any]]) -> None:
    """The first call of a sequence is about rows that exist: an external workflow's, which programs may work on."""
    if is_right(case, ParameterLocation.PATH):
        case.path_parameters.update({name: names[1][name] for name in case.path_parameters})
    body: Any = case.body
    if case.path == "/api/v1/sessions/" and case.method == "POST" and is_right(case, ParameterLocation.BODY):
        body["workflow_id"] = names[1]["workflow_id"]
        body.pop("variables", None)


def next_page(operation: Any, token: dict[str, str], names: dict[str, Any]) -> str | None:
    """A cursor that this list gives out itself, if it has a second page."""
    in_path = {parameter.name: names[parameter.name] for parameter in operation.path_parameters}
    answer = operation.Case(path_parameters=in_path, query={"limit": 1}).call(headers=token).json()
    address = answer.get("findings", answer)["next"]
    return parse_qs(urlsplit(address).query)["cursor"][0] if address else None


def take_cursor_from_list(case: Case, cursor: str | None) -> None:
    """Nobody but a list itself can make a cursor: where a request should be right, a made-up one is replaced."""
    if "cursor" in case.query and is_right(case, ParameterLocation.QUERY):
        case.query.pop("cursor")
        case.query |= {"cursor": cursor} if cursor else {}


def ask_and_check(case: Case, token: dict[str, str]) -> None:
    """Sends the request, lets every check look at the answer, and leaves nothing behind."""
    with transaction.atomic():
        try:
            response = case.call(headers=token)
            sent = {"headers": token}
            case.validate_response(
                response, headers=token, transport_kwargs=sent, excluded_checks=excused(case, response)
            )
        finally:
            transaction.set_rollback(True)


def test_all_checks_are_on(described: Any) -> None:
    load_all_checks()
    assert set(CHECKS.get_all_names()) == CHECKED
    checks = described.config.checks_config_for(operation=next(described.get_all_operations()).ok(), phase=None)
    assert all(checks.get_by_name(name=name).enabled for name in CHECKED)


@pytest.mark.parametrize(("path", "method"), CALLS)
def test_the_api_keeps_its_word(
    described: Any, path: str, method: str, token: dict[str, str], names: list[dict[str, Any]]
) -> None:
    """The document's examples, then the bounds of every value one by one, then requests at random, right and wrong."""
    operation = described[path][method]
    pages = "cursor" in operation.get_parameter_set(ParameterLocation.QUERY)
    cursor = next_page(operation, token, names[0]) if pages else None

    def call(case: Case) -> None:
        lead_to_something(case, names)
        take_cursor_from_list(case, cursor)
        ask_and_check(case, token)

    create_test(
        operation=operation,
        test_func=call,
        config=HypothesisTestConfig(project=described.config, modes=list(HypothesisTestMode), settings=SETTINGS),
    )()


@pytest.mark.parametrize("resource", ["workflows", "sessions", "packs", "webhooks"])
def test_one_call_leads_to_the_next(
    described: Any, resource: str, token: dict[str, str], names: list[dict[str, Any]]
) -> None:
    """Sequences of calls: what was made can be used at once, and what was deleted not any more.

    Which answers lead to which calls is worked out from the document. Every sequence starts from the same rows.
    """

    # One resource at a time: of all calls at random, few would have to do with each other.
    calls = described.include(path_regex=f"^/api/v1/{resource}/")

    class Sequence(calls.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            self.rows = transaction.atomic()
            self.rows.__enter__()

        def teardown(self) -> None:
            transaction.set_rollback(True)
            self.rows.__exit__(None, None, None)

        def before_call(self, case: Case) -> None:
            take_cursor_from_list(case, None)
            if self.recorder.find_parent(case_id=case.id) is None:
                begin_somewhere(case, names)

        def get_call_kwargs(self, _case: Case) -> dict[str, Any]:
            return {"headers": token}

        def validate_response(self, response: Any, case: Case, **_: Any) -> None:
            case.validate_response(
                response,
                headers=token,
                transport_kwargs={"headers": token},
                excluded_checks=excused(case, response),
                recorder=self.recorder,
            )

    Sequence.run(settings=hypothesis_settings(SETTINGS, max_examples=2 * EXAMPLES, stateful_step_count=10))
