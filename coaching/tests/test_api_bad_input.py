"""Input that cannot be right is a 4xx with a reason, whatever it is made of, and leaves nothing behind."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from coaching.models import Recording, Session, Suggestion, Workflow

MIB = 1024 * 1024
EVIL_JSON = {
    "not JSON": b"{",
    "not UTF-8": b'{"metadata": {"a": "\xff"}}',
    "UTF-16": '{"metadata": {}}'.encode("utf-16"),
    "NaN": b'{"metadata": {"a": NaN}}',
    "Infinity": b'{"metadata": {"a": -Infinity}}',
    "an infinite exponent": b'{"metadata": {"a": 1e999}}',
    "a number of 5 000 digits": b'{"metadata": {"a": ' + b"9" * 5000 + b"}}",
    "a NUL in a text": b'{"metadata": {"a": "\\u0000"}}',
    "a NUL in a name": b'{"metadata": {"\\u0000": 1}}',
    "half a character": b'{"metadata": {"a": "\\ud800"}}',
    "half a character as a name": b'{"metadata": {"\\udfff": 1}}',
    "a name twice": b'{"metadata": {}, "metadata": {}}',
    "100 000 levels": b'{"metadata": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "60 levels": b'{"metadata": {"a": ' + b"[" * 60 + b"]" * 60 + b"}}",
    "a list": b"[]",
    "a text": b'"workflow"',
    "null": b"null",
    "a number": b"7",
    "spaces": b"   ",
}


@pytest.fixture
def program(owner: User, api: Callable[[User], APIClient]) -> APIClient:
    return api(owner)


def raw(client: APIClient, method: str, address: str, body: bytes, kind: str = "application/json") -> tuple[int, str]:
    answer = client.generic(method, f"/api/v1/{address}", body, kind)  # type: ignore[arg-type]
    assert set(answer.json()) == {"type", "errors"}, answer.content
    assert answer.json()["errors"][0]["detail"]
    return answer.status_code, answer.json()["errors"][0]["code"]


@pytest.mark.parametrize("body", EVIL_JSON.values(), ids=EVIL_JSON.keys())
@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("POST", "workflows/"),
        ("PATCH", "workflows/expense-claim/"),
        ("POST", "workflows/import/"),
        ("POST", "sessions/"),
        ("POST", "sessions/{session}/pause/"),
        ("POST", "sessions/{session}/complete/"),
        ("POST", "sessions/{session}/decisions/"),
    ],
)
def test_evil_json(program: APIClient, suggestion: Suggestion, method: str, address: str, body: bytes) -> None:
    status, _ = raw(program, method, address.format(session=suggestion.session.session_id), body)
    assert status == 400
    assert (Workflow.objects.count(), Session.objects.count()) == (1, 1)
    assert Session.objects.get().status == "active"
    suggestion.refresh_from_db()
    assert suggestion.is_open


@pytest.mark.parametrize(
    ("address", "body", "attr"),
    [
        ("sessions/", {"workflow_id": "expense-claim", "workflow": 1}, "workflow"),
        ("sessions/", {"workflow_id": "expense-claim", "mode": "fast"}, "mode"),
        ("sessions/", {"workflow_id": "expense-claim", "total_steps": -1}, "total_steps"),
        ("sessions/", {"workflow_id": "expense-claim", "total_steps": 10**30}, "total_steps"),
        ("sessions/", {"workflow_id": "expense-claim", "total_steps": 2}, "total_steps"),
        ("sessions/", {"workflow_id": "expense-claim", "execution_id": "x" * 201}, "execution_id"),
        ("sessions/", {"workflow_id": "expense-claim", "execution_id": ""}, "execution_id"),
        ("sessions/", {"workflow_id": "expense-claim", "variables": []}, "variables"),
        ("sessions/", {"workflow_id": "expense-claim", "variables": {"nothing": "1"}}, "variables"),
        ("sessions/", {"workflow_id": "expense-claim", "variables": {"amount": {"a": 1}}}, "variables"),
        ("sessions/", {"workflow_id": "expense-claim", "metadata": "x"}, "metadata"),
        ("sessions/", {"workflow_id": ["expense-claim"]}, "workflow_id"),
        ("sessions/", {}, "workflow_id"),
        ("sessions/{session}/pause/", {"because": "x"}, "because"),
        ("sessions/{session}/abandon/", {"success": True}, "success"),
        ("sessions/{session}/complete/", {"success": "perhaps"}, "success"),
        ("sessions/{session}/complete/", {"success": True, "error_message": "but"}, "error_message"),
        ("sessions/{session}/complete/", {"success": False, "error_message": "x" * 10_001}, "error_message"),
        ("sessions/{session}/decisions/", {"decision": "accept", "n": 0}, "n"),
        ("sessions/{session}/decisions/", {"decision": "accept", "step_index": 2**80}, "step_index"),
        (
            "sessions/{session}/decisions/",
            {"decision": "accept", "timestamp": "0001-01-01T00:00:00+14:00"},
            "timestamp",
        ),
        ("sessions/{session}/decisions/", {"decision": "accept", "by": "olga"}, "by"),
        ("workflows/", {"workflow_id": "not a slug", "name": "W", "executor": "external"}, "workflow_id"),
        ("workflows/", {"workflow_id": "w", "name": "W", "executor": "robot"}, "executor"),
        ("workflows/", {"workflow_id": "w", "name": "   ", "executor": "external"}, "name"),
        ("workflows/", {"workflow_id": "w", "name": "W", "executor": "external", "steps": [7]}, "steps.0"),
        (
            "workflows/",
            {"workflow_id": "w", "name": "W", "executor": "external", "steps": [{"node_id": "n"}] * 10_000},
            "steps",
        ),
        ("workflows/", {"workflow_id": " w ", "name": "W", "executor": "external"}, "workflow_id"),
        ("workflows/", {"workflow_id": "w", "name": 7, "executor": "external"}, "name"),
        ("workflows/", {"workflow_id": "w", "name": "W" + " " * 200, "executor": "external"}, "name"),
        ("sessions/", {"workflow_id": "expense-claim", "total_steps": "3"}, "total_steps"),
        ("sessions/", {"workflow_id": "expense-claim", "total_steps": True}, "total_steps"),
        ("sessions/{session}/complete/", {"success": "yes"}, "success"),
        ("sessions/{session}/complete/", {"success": 1}, "success"),
        ("sessions/{session}/decisions/", {"decision": "accept", "n": "1"}, "n"),
        ("sessions/{session}/decisions/", {"decision": "accept", "n": 1.5}, "n"),
        ("sessions/{session}/decisions/", {"decision": "accept", "feedback": 5}, "feedback"),
        ("sessions/{session}/decisions/", {"decision": "accept", "timestamp": "3000-01-01T00:00:00Z"}, "timestamp"),
        (
            "sessions/{session}/suggestions/",
            {"node_id": "n", "action_type": "t", "action": {}, "confidence": 10**400},
            "confidence",
        ),
        (
            "sessions/{session}/suggestions/",
            {"node_id": "n", "action_type": "t", "action": {}, "confidence": "0.5"},
            "confidence",
        ),
        ("workflows/import/", {"title": "no steps"}, "file"),
        ("workflows/import/", {"title": "T", "steps": [{"type": "navigate", "url": "file:///etc/passwd"}]}, "file"),
        ("workflows/import/?workflow_id=a%20b", {"title": "T", "steps": []}, "workflow_id"),
        ("workflows/import/?nmae=x", {"title": "T", "steps": []}, "nmae"),
    ],
)
def test_what_does_not_fit_names_the_field(
    program: APIClient, suggestion: Suggestion, address: str, body: object, attr: str
) -> None:
    answer = program.post("/api/v1/" + address.format(session=suggestion.session.session_id), body)
    assert answer.status_code == 400, answer.content
    assert answer.json()["type"] == "validation_error"
    assert answer.json()["errors"][0]["attr"].startswith(attr)
    assert (Workflow.objects.count(), Session.objects.count(), Recording.objects.count()) == (1, 1, 1)


@pytest.mark.parametrize(
    "address",
    [
        "sessions/?limit=0",
        "sessions/?limit=501",
        "sessions/?limit=many",
        "sessions/?limit=" + "9" * 5000,
        "sessions/?status=done",
        "sessions/?resumable=perhaps",
        "sessions/?workflow_id=%00",
        "sessions/?execution_id=%ED%A0%80%00",
        "sessions/?cursor=nonsense",
        "sessions/?cursor=%FF",
        "sessions/?cursor=bnVsbA==",  # null
        "sessions/?cursor=WyJ4IiwgMV0=",  # ["x", 1]
        "sessions/?cursor=WyIyMDMxLTAxLTAxVDAwOjAwOjAwIiwgMV0=",  # a moment without a zone
        "sessions/?cursor=WyIyMDMxLTAxLTAxVDAwOjAwOjAwWiIsIDFlMzBd",  # ["2031-01-01T00:00:00Z", 1e30]
        "workflows/?cursor=WzEsIDFd",  # [1, 1]
        "workflows/?cursor=WyJcdTAwMDAiLCAxXQ==",  # ["\u0000", 1]
        "sessions/{session}/suggestions/?limit=-1",
        "sessions/{session}/suggestions/1/?wait=61",
        "sessions/{session}/suggestions/1/?wait=nan",
        "sessions/{session}/suggestions/1/?wait=-1",
        "sessions/{session}/events/?after=-1",
        "sessions/{session}/events/?after=x",
        "sessions/{session}/events/?after=99999999999999999999",
        "sessions/{session}/events/?limit=1001",
        "sessions/{session}/events/?wait=inf",
        "inbox/?limit=501",
    ],
)
def test_bad_query_parameters(program: APIClient, suggestion: Suggestion, address: str) -> None:
    assert raw(program, "GET", address.format(session=suggestion.session.session_id), b"")[0] == 400


@pytest.mark.parametrize(
    "address",
    [
        "sessions/coaching_20310101_000000_deadbeef/",
        "sessions/%00/",
        "sessions/%ED%A0%80/",
        "sessions/" + "x" * 3000 + "/",
        "sessions/../sessions/x/",
        "sessions/{session}/suggestions/2/",
        "sessions/{session}/suggestions/0/",
        "sessions/{session}/suggestions/-1/",
        "sessions/{session}/suggestions/" + "9" * 40 + "/",
        "sessions/{session}/suggestions/" + "9" * 5000 + "/",
        "sessions/{session}/suggestions/1/screenshot/",
        "workflows/nowhere/",
        "workflows/n%C3%B6/export/",
        "",
    ],
)
def test_what_does_not_exist_is_a_404(program: APIClient, suggestion: Suggestion, address: str) -> None:
    found = raw(program, "GET", address.format(session=suggestion.session.session_id), b"")
    assert found == (404, "not_found")


@pytest.mark.parametrize(
    ("address", "size"),
    [
        ("sessions/", MIB),
        ("workflows/", MIB),
        ("sessions/{session}/pause/", MIB),
        ("sessions/{session}/decisions/", MIB),
        ("workflows/import/", 10 * MIB),
    ],
)
def test_bodies_that_are_too_large(program: APIClient, session: Session, address: str, size: int) -> None:
    address = address.format(session=session.session_id)
    too_large = raw(program, "POST", address, b'{"a": "' + b"x" * size + b'"}')
    assert too_large == (413, "too_large")
    just_right = raw(program, "POST", address, b'{"a": "' + b"x" * (size - 9) + b'"}')
    assert just_right[0] == 400


def test_a_recording_that_is_too_large_in_a_form(program: APIClient) -> None:
    for size in (10 * MIB + 1, 11 * MIB):
        file = SimpleUploadedFile("claim.json", b" " * size)
        answer = program.post("/api/v1/workflows/import/", {"file": file}, format="multipart")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (413, "too_large")


def test_forms_that_are_none(program: APIClient) -> None:
    address = "workflows/import/"
    assert raw(program, "POST", address, b"")[0] == 400
    assert raw(program, "POST", address, b"x", "multipart/form-data")[0] == 400
    assert raw(program, "POST", address, b"x", "multipart/form-data; boundary=b")[0] == 400
    assert raw(program, "POST", address, b"", "multipart/form-data; boundary=b")[0] == 400
    assert raw(program, "POST", address, b"a=b", "application/x-www-form-urlencoded")[0] == 415
    fields = b"".join(b'--b\r\nContent-Disposition: form-data; name="f%d"\r\n\r\n1\r\n' % i for i in range(1500))
    assert raw(program, "POST", address, fields + b"--b--\r\n", "multipart/form-data; boundary=b")[0] == 400
    file = SimpleUploadedFile("claim.json", b"{}")
    answer = program.post("/api/v1/" + address, {"file": file, "nmae": "x"}, format="multipart")
    assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, "nmae")


@pytest.mark.parametrize("key", [None, "once"])
def test_a_form_without_a_boundary(program: APIClient, key: str | None) -> None:
    extra = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
    answer = program.generic("POST", "/api/v1/sessions/", b"{}", "multipart/form-data", **extra)  # type: ignore[arg-type]
    assert answer.status_code in {400, 415}
    assert set(answer.json()) == {"type", "errors"}


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "nonsense", "application/x-www-form-urlencoded"])
def test_other_kinds_of_bodies(program: APIClient, kind: str) -> None:
    assert raw(program, "POST", "sessions/", b"{}", kind) == (415, "unsupported_media_type")


def test_a_charset_changes_nothing(program: APIClient, external_session: Session) -> None:
    body = json.dumps({"workflow_id": "invoice-import"})
    for charset in ("utf-16", "bz2_codec", "nonsense"):
        kind = f"application/json; charset={charset}"
        assert program.generic("POST", "/api/v1/sessions/", body, kind).status_code == 201


def test_a_small_body_of_very_many_values_is_refused_before_it_is_read(
    coach: User, api: Callable[[User], APIClient], external_session: Session
) -> None:
    body = '{"node_id": "n", "action_type": "t", "action": {"a": [' + ",".join(["[]"] * 150_000) + "]}}"
    answer = api(coach).post(
        f"/api/v1/sessions/{external_session.session_id}/suggestions/", body, content_type="application/json"
    )
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "parse_error")


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (("", ""), 200),
        (("application/json", ""), 200),
        (("*/*", ""), 200),
        (("text/html, application/json;q=0.5", ""), 200),
        (("application/*", "?format=json"), 200),
        (("text/html", ""), 406),
        (("application/json", "?format=xml"), 404),
    ],
)
def test_what_the_caller_accepts_is_heeded(
    api: Callable[[User], APIClient], viewer: User, session: Session, asked: tuple[str, str], status: int
) -> None:
    accept, query = asked
    headers = {"Accept": accept} if accept else {}
    response = api(viewer).get(f"/api/v1/sessions/{session.session_id}/{query}", headers=headers)
    assert response.status_code == status
    assert response["Content-Type"] == "application/json"
