"""The OpenAPI document: complete, valid, and true."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from django.contrib.auth.models import User
from django.core.management import call_command
from rest_framework.test import APIClient

METHODS = {"get", "post", "put", "patch", "delete"}
#: The contract's resources of this version; the ones under `docs` and `schema` describe themselves.
OPERATIONS = {
    "/api/v1/workflows/": {"get", "post"},
    "/api/v1/workflows/import/": {"post"},
    "/api/v1/workflows/{workflow_id}/": {"get", "patch", "delete"},
    "/api/v1/workflows/{workflow_id}/export/": {"get"},
    "/api/v1/sessions/": {"get", "post"},
    "/api/v1/sessions/{session_id}/": {"get", "delete"},
    "/api/v1/sessions/{session_id}/pause/": {"post"},
    "/api/v1/sessions/{session_id}/resume/": {"post"},
    "/api/v1/sessions/{session_id}/complete/": {"post"},
    "/api/v1/sessions/{session_id}/abandon/": {"post"},
    "/api/v1/sessions/{session_id}/suggestions/": {"get", "post"},
    "/api/v1/sessions/{session_id}/suggestions/{n}/performing/": {"post"},
    "/api/v1/sessions/{session_id}/suggestions/{n}/outcome/": {"post"},
    "/api/v1/sessions/{session_id}/suggestions/{n}/withdraw/": {"post"},
    "/api/v1/sessions/{session_id}/suggestions/{n}/": {"get"},
    "/api/v1/sessions/{session_id}/suggestions/{n}/screenshot/": {"get"},
    "/api/v1/sessions/{session_id}/decisions/": {"get", "post"},
    "/api/v1/sessions/{session_id}/events/": {"get"},
    "/api/v1/packs/": {"get", "post"},
    "/api/v1/packs/suggested/": {"get"},
    "/api/v1/packs/corrections/": {"get"},
    "/api/v1/packs/import/": {"post"},
    "/api/v1/packs/{pack_id}/": {"get", "patch", "delete"},
    "/api/v1/packs/{pack_id}/corrections/": {"post"},
    "/api/v1/packs/{pack_id}/corrections/{number}/": {"patch"},
    "/api/v1/packs/{pack_id}/revise/": {"post"},
    "/api/v1/packs/{pack_id}/submit/": {"post"},
    "/api/v1/packs/{pack_id}/backtest/": {"get", "post"},
    "/api/v1/packs/{pack_id}/publish/": {"post"},
    "/api/v1/packs/{pack_id}/retire/": {"post"},
    "/api/v1/packs/{pack_id}/rollback/": {"post"},
    "/api/v1/packs/{pack_id}/versions/": {"get"},
    "/api/v1/packs/{pack_id}/changes/": {"get"},
    "/api/v1/packs/{pack_id}/export/": {"get"},
    "/api/v1/packs/{pack_id}/merge/": {"post"},
    "/api/v1/webhooks/": {"get", "post"},
    "/api/v1/webhooks/allowed-hosts/": {"get", "post"},
    "/api/v1/webhooks/allowed-hosts/{allowed_host_id}/": {"delete"},
    "/api/v1/webhooks/{webhook_id}/": {"get", "patch", "delete"},
    "/api/v1/webhooks/{webhook_id}/rotate/": {"post"},
    "/api/v1/webhooks/{webhook_id}/test/": {"post"},
    "/api/v1/webhooks/{webhook_id}/deliveries/": {"get"},
    "/api/v1/webhooks/{webhook_id}/deliveries/{message_id}/": {"get"},
    "/api/v1/webhooks/{webhook_id}/deliveries/{message_id}/resend/": {"post"},
    "/api/v1/export/sessions/": {"get"},
    "/api/v1/export/decisions/": {"get"},
    "/api/v1/export/metrics/": {"get"},
    "/api/v1/workflows/{workflow_id}/metrics/": {"get"},
    "/api/v1/workflows/{workflow_id}/promote/": {"post"},
    "/api/v1/workflows/{workflow_id}/demote/": {"post"},
    "/api/v1/workflows/{workflow_id}/policy/": {"get", "patch"},
    "/api/v1/metrics/": {"get"},
    "/api/v1/statistics/": {"get"},
    "/api/v1/inbox/": {"get"},
}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `manage.py spectacular` writes; it fails on any warning."""
    file: Path = tmp_path_factory.mktemp("openapi") / "schema.json"
    call_command("spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json", "--file", str(file))
    loaded: dict[str, Any] = json.loads(file.read_text())
    return loaded


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, item[method]) for path, item in document["paths"].items() for method in METHODS & set(item)]


def test_every_resource_of_the_contract_is_there(document: dict[str, Any]) -> None:
    described = {path: METHODS & set(item) for path, item in document["paths"].items()}
    assert described == OPERATIONS


def test_every_operation_is_explained(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        place = f"{method} {path}"
        assert operation["summary"], place
        assert len(operation["description"]) > 20, place
        assert operation["tags"] != ["api"], place
        assert {"401", "403"} <= set(operation["responses"]), place
        if "{" in path:
            assert "404" in operation["responses"], place
        if method in {"post", "patch"}:
            assert {"400", "413", "415"} <= set(operation["responses"]), place


def test_every_error_has_the_one_shape(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for path, method, operation in operations(document):
        for status, answer in operation["responses"].items():
            if status < "400":
                continue
            schema = answer["content"]["application/json"]["schema"]
            shape = schemas[schema["$ref"].rsplit("/", 1)[1]]
            assert {"type", "errors"} <= set(shape["properties"]), (path, method, status)


def resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """What a reference within the document refers to; anything else as it is."""
    while "$ref" in part:
        place = document
        for name in part["$ref"].removeprefix("#/").split("/"):
            place = place[name]
        part = place
    return part


def as_json_schema(document: dict[str, Any], part: Any) -> Any:
    """OpenAPI 3.0’s `nullable` in the words of JSON Schema, references followed."""
    if isinstance(part, list):
        return [as_json_schema(document, one) for one in part]
    if not isinstance(part, dict):
        return part
    whole = {name: as_json_schema(document, value) for name, value in resolved(document, part).items()}
    bounds = {"exclusiveMaximum": "maximum", "exclusiveMinimum": "minimum"}
    for exclusive, bound in bounds.items():
        if whole.pop(exclusive, False) is True:
            whole[exclusive] = whole.pop(bound)
    return {"anyOf": [whole, {"type": "null"}]} if whole.pop("nullable", False) is True else whole


def broken_by(document: dict[str, Any], media: dict[str, Any], value: Any) -> list[str]:
    """What is wrong with an example by the document's own schema."""
    schema = as_json_schema(document, media["schema"])
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(value)]


def test_every_request_body_has_an_example_that_is_valid(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {})
        examples = [
            (media, resolved(document, example)["value"])
            for media in content.values()
            for example in media.get("examples", {}).values()
        ]
        assert examples or not content, (path, method)
        for media, value in examples:
            assert broken_by(document, media, value) == [], (path, method)


def test_every_error_has_an_example_that_is_valid(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for status, answer in operation["responses"].items():
            if status < "400":
                continue
            (media,) = answer["content"].values()
            assert media["examples"], (path, method, status)
            for example in media["examples"].values():
                value = resolved(document, example)["value"]
                assert broken_by(document, media, value) == [], (path, method, status)


def test_input_takes_no_field_that_is_not_named(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for kind, media in operation.get("requestBody", {}).get("content", {}).items():
            if "$ref" in media["schema"]:
                schema = resolved(document, media["schema"])
                assert schema["additionalProperties"] is False, (path, method, kind)


def test_answers_name_their_headers(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        place, responses = f"{method} {path}", operation["responses"]
        assert "Retry-After" in responses["429"]["headers"], place
        assert "WWW-Authenticate" in responses["401"]["headers"], place
        if method == "post":
            first = min(responses)
            assert "Idempotency-Replayed" in responses[first]["headers"], place
        known = {parameter["name"] for parameter in operation.get("parameters", [])} & {"If-None-Match"}
        assert bool(known) == ("304" in responses) == ("ETag" in responses["200"]["headers"] if known else False), place


def test_it_is_served_as_json_and_yaml(
    viewer: User, api: Callable[[User], APIClient], document: dict[str, Any]
) -> None:
    client = api(viewer)
    served = client.get("/api/v1/schema/")
    assert served.headers["Content-Type"] == "application/json"
    assert served.json()["paths"].keys() == document["paths"].keys()
    as_yaml = client.get("/api/v1/schema/?format=yaml&version=a%0d%0ab&lang=%00")
    assert as_yaml.status_code == 200
    assert yaml.safe_load(as_yaml.content)["paths"].keys() == document["paths"].keys()
