"""Whatever the OpenAPI document allows, and some things that it does not: no 500, and answers as described."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from knox.models import AuthToken
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from coaching.actions.backtests import run_backtest, start_backtest
from coaching.actions.correction_packs import create_pack, submit
from coaching.actions.decisions import Answer, decide
from coaching.actions.sessions import start_session
from coaching.models import CorrectionPack, Session, Suggestion, Workflow
from coaching.tests.test_openapi import OPERATIONS

TYPE = {"type": "change", "selectors": [["aria/Amount"], ["#amount"]]}
EXAMPLES = int(os.environ.get("COACHSITE_FUZZ_EXAMPLES", "15"))

CALLS = [(path, method) for path, methods in OPERATIONS.items() for method in sorted(methods)]


@pytest.fixture
def described(owner: User, suggestion: Suggestion) -> Iterator[Any]:
    suggestion.screenshot.save("1.png", ContentFile(b"\x89PNG"))
    # As Django's own test client does: a request must not close the connection of the test's transaction.
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    token = {"Authorization": f"Token {AuthToken.objects.create(owner)[1]}"}
    yield schemathesis.openapi.from_wsgi("/api/v1/schema/", get_wsgi_application(), headers=token)
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


@pytest.mark.parametrize(("path", "method"), CALLS)
def test_the_api_keeps_its_word(  # noqa: PLR0917 - fixtures and a table's columns
    described: Any, path: str, method: str, suggestion: Suggestion, external_session: Session, pack: CorrectionPack
) -> None:
    operation = described[path][method]
    sessions = {True: suggestion.session, False: external_session}
    token = {"Authorization": f"Token {AuthToken.objects.create(User.objects.get(username='olga'))[1]}"}

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(
        case=st.one_of(
            operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
            operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
        ),
        known=st.booleans(),
        in_browser=st.booleans(),
    )
    def call(case: schemathesis.Case[Any], known: bool, in_browser: bool) -> None:
        if known and case.path_parameters:
            # Names that exist lead further in than made-up ones.
            session = sessions[in_browser]
            names = {
                "session_id": session.session_id, "workflow_id": session.workflow.workflow_id, "n": 1,
                "pack_id": pack.pack_id, "number": 1,
            }  # fmt: skip
            case.path_parameters.update({name: names[name] for name in case.path_parameters})
        case.call_and_validate(headers=token, checks=[not_a_server_error, response_schema_conformance])

    call()
