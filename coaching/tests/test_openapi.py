"""The OpenAPI document: complete, valid, and true."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    "/api/v1/sessions/{session_id}/suggestions/": {"get"},
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
    assert OPERATIONS.items() <= described.items()


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


def test_requests_refuse_nothing_that_they_name(document: dict[str, Any]) -> None:
    """Examples are valid by the document itself: each names only fields that the request has."""
    schemas = document["components"]["schemas"]
    examples = 0
    for path, method, operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            fields = schemas.get(content["schema"].get("$ref", "").rsplit("/", 1)[-1], {}).get("properties")
            for example in content.get("examples", {}).values():
                examples += 1
                assert fields is None or set(example["value"]) <= set(fields), (path, method)
    assert examples >= 8


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
