"""`workflows/{id}/metrics/`, `promote/`, `demote/`, `policy/` and `metrics/`, as other programs rely on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from coaching.actions.decisions import Answer, decide
from coaching.models import LevelChange, Session, Suggestion, Workflow
from coaching.tests.domain import make_auto

Api = Callable[[User], APIClient]
Ask = Callable[..., Suggestion]

WORKFLOW = {
    "workflow_id", "level", "ready", "acceptance_rate", "correction_rate", "expected_clean_run_rate",
    "unattended_share", "coaching_minutes_per_run", "decisions", "blocking", "steps",
}  # fmt: skip
STEP = {
    "node_id", "version", "level", "risk", "lifetime", "epoch", "acceptance_rate", "wilson_low", "wilson_high",
    "confidence", "ready", "accepts_needed", "unmet", "audit", "execution_score", "last_change",
}  # fmt: skip
KINDS = {"accepted", "rejected", "corrected", "manual", "skipped"}


def address(workflow: Workflow, what: str = "metrics") -> str:
    return f"/api/v1/workflows/{workflow.workflow_id}/{what}/"


def decided(session: Session, ask: Ask, kind: str, *, by: User, **proposal: Any) -> None:
    correction = {"type": "change", "selectors": [["#other"]], "value": "1"} if kind == "correct" else None
    decide(ask(session, **proposal), Answer(decision=kind, correction=correction), by=by)


def test_the_shape_of_a_workflow_before_anything_was_decided(
    api: Api, viewer: User, browser_workflow: Workflow
) -> None:
    body = api(viewer).get(address(browser_workflow)).json()
    assert set(body) == WORKFLOW
    assert (body["level"], body["ready"], body["blocking"]) == (
        "COACHING",
        False,
        ["click-save", "open", "change-amount"],
    )
    assert [body[name] for name in ("acceptance_rate", "correction_rate", "expected_clean_run_rate")] == [None] * 3
    assert [body[name] for name in ("unattended_share", "coaching_minutes_per_run")] == [None] * 2
    assert body["decisions"] == dict.fromkeys({"total", *KINDS}, 0)
    step = body["steps"][2]
    assert set(step) == STEP
    assert (step["node_id"], step["version"], step["level"], step["risk"]) == (
        "click-save",
        1,
        "COACHING",
        "irreversible",
    )
    assert step["lifetime"] == dict.fromkeys(KINDS, 0)
    assert step["epoch"] == {"accepted": 0, "refused": 0}
    assert (step["acceptance_rate"], step["wilson_low"], step["wilson_high"]) == (None, None, None)
    assert (step["ready"], step["accepts_needed"]) == (False, 28)
    assert step["confidence"] == pytest.approx(0.15)
    assert step["unmet"] == ["min_decisions", "acceptance_rate", "confidence"]
    assert step["audit"] == {"rate": 0.2, "clean": 0, "score": 0}
    assert step["execution_score"] == 0
    assert set(step["last_change"]) == {"from", "to", "at", "by", "reason"}
    assert (step["last_change"]["from"], step["last_change"]["to"]) == ("OBSERVATION", "COACHING")
    assert step["last_change"]["at"].endswith("Z")


def test_what_people_decided_shows_in_the_figures(
    api: Api, viewer: User, session: Session, ask: Ask, coach: User
) -> None:
    for kind in ["accept"] * 3 + ["reject", "correct", "manual", "skip"]:
        decided(session, ask, kind, by=coach)
    body = api(viewer).get(address(session.workflow)).json()
    assert body["decisions"] == {
        "total": 7, "accepted": 3, "rejected": 1, "corrected": 1, "manual": 1, "skipped": 1
    }  # fmt: skip
    assert (body["acceptance_rate"], body["correction_rate"]) == (0.6, 0.2)
    step = body["steps"][1]
    assert step["lifetime"] == {"accepted": 3, "rejected": 1, "corrected": 1, "manual": 1, "skipped": 1}
    assert (step["epoch"], step["acceptance_rate"]) == ({"accepted": 3, "refused": 2}, 0.6)
    assert 0 < step["wilson_low"] < 0.6 < step["wilson_high"] < 1


def test_promotion_is_refused_with_what_is_missing_and_then_done(
    api: Api, owner: User, browser_workflow: Workflow
) -> None:
    client = api(owner)
    refused = client.post(address(browser_workflow, "promote"))
    assert refused.status_code == 409
    assert refused.json()["errors"][0]["code"] == "not_ready"
    conditions = ["min_decisions", "acceptance_rate", "confidence"]
    assert refused.json()["unmet"] == dict.fromkeys(["open", "change-amount", "click-save"], conditions)
    make_auto(browser_workflow, by=owner, but=["click-save"], accepts=1)
    half = client.post(address(browser_workflow, "promote"), {"node_ids": ["open", "click-save"]})
    assert list(half.json()["unmet"]) == ["click-save"]
    back = client.post(address(browser_workflow, "demote"), {"node_ids": ["open"], "reason": "The page is new."})
    assert back.status_code == 200
    assert [step["level"] for step in back.json()["steps"]] == ["COACHING", "AUTO", "COACHING"]
    assert back.json()["steps"][0]["last_change"]["reason"] == "The page is new."
    assert back.json()["steps"][0]["epoch"] == {"accepted": 0, "refused": 0}


def test_a_ready_step_waits_for_an_owner_alone(api: Api, owner: User, coach: User, session: Session, ask: Ask) -> None:
    for _ in range(20):
        decided(session, ask, "accept", by=coach)
    step = api(owner).get(address(session.workflow)).json()["steps"][1]
    assert (step["ready"], step["accepts_needed"], step["unmet"]) == (True, 0, ["owner_confirmation"])
    answer = api(owner).post(address(session.workflow, "promote"), {"node_ids": ["change-amount"]})
    assert answer.json()["steps"][1]["level"] == "AUTO"
    assert answer.json()["steps"][1]["unmet"] == []


@pytest.mark.parametrize("what", ["promote", "demote"])
@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({"node_ids": ["nothing"]}, "node_ids"), ({"node_ids": []}, "node_ids"), ({"node_ids": "open"}, "node_ids"),
        ({"steps": ["open"]}, "steps"), ({"node_ids": [["open"]]}, "node_ids"), ({"node_ids": [None]}, "node_ids"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    api: Api, owner: User, browser_workflow: Workflow, *, what: str, body: Any, attr: str
) -> None:
    answer = api(owner).post(address(browser_workflow, what), body)
    assert answer.status_code == 400, answer.content
    assert answer.json()["errors"][0]["attr"].startswith(attr)
    assert not LevelChange.objects.filter(to_level="AUTO").exists()


def test_the_policy_is_the_default_until_it_is_changed(api: Api, owner: User, browser_workflow: Workflow) -> None:
    client, here = api(owner), address(browser_workflow, "policy")
    default = {
        "target": 0.85, "min_decisions": 20, "confidence": 0.95, "confidence_irreversible": 0.99,
        "min_demonstrations": 1, "audit_rates": [0.2, 0.1, 0.05], "audit_clean_runs": [20, 40], "auto_promote": False,
    }  # fmt: skip
    assert client.get(here).json() == default
    changed = client.patch(here, {"target": 0.9, "audit_rates": [0.5, 0.25, 0]})
    assert changed.json() == default | {"target": 0.9, "audit_rates": [0.5, 0.25, 0.0]}
    assert client.patch(here, {"target": None}).json() == default | {"audit_rates": [0.5, 0.25, 0.0]}
    browser_workflow.refresh_from_db()
    assert browser_workflow.policy == {"audit_rates": [0.5, 0.25, 0.0]}


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({"target": 1}, "target"), ({"target": "x"}, "target"), ({"target": [0.9]}, "target"),
        ({"min_decisions": 0}, "min_decisions"), ({"min_decisions": 10**30}, "min_decisions"),
        ({"min_decisions": 1.5}, "min_decisions"), ({"confidence": -0.1}, "confidence"),
        ({"confidence_irreversible": 1}, "confidence_irreversible"), ({"audit_rates": [0.1]}, "audit_rates"),
        ({"audit_rates": [0.1, 0.2, 0.3]}, "audit_rates"), ({"audit_clean_runs": [40, 20]}, "audit_clean_runs"),
        ({"confidence_irreversible": False}, "confidence_irreversible"), ({"min_decisions": True}, "min_decisions"),
        ({"audit_rates": [False] * 3}, "audit_rates"), ({"auto_promote": "maybe"}, "auto_promote"), ({"targets": 0.9}, "targets"),
    ],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_refused_whole(
    api: Api, owner: User, browser_workflow: Workflow, body: Any, attr: str
) -> None:
    answer = api(owner).patch(address(browser_workflow, "policy"), {"confidence": 0.5} | body)
    assert answer.status_code == 400, answer.content
    assert answer.json()["errors"][0]["attr"].startswith(attr)
    browser_workflow.refresh_from_db()
    assert browser_workflow.policy == {}


GLOBAL = {
    "sessions", "decisions", "acceptance_rate", "correction_rate", "workflows_by_level", "unattended_share",
    "median_decision_ms", "coaching_minutes_per_run", "calibration", "per_day",
}  # fmt: skip


def test_the_shape_of_the_whole_site(api: Api, viewer: User, session: Session, ask: Ask, coach: User) -> None:
    for kind, confidence in (("accept", 0.95), ("accept", 0.95), ("reject", 0.15), ("skip", 0.5)):
        decided(session, ask, kind, by=coach, confidence=confidence)
    body = api(viewer).get("/api/v1/metrics/").json()
    assert set(body) == GLOBAL
    statuses = {"active": 1, "paused": 0, "completed": 0, "failed": 0, "abandoned": 0}
    assert body["sessions"] == {"total": 1, "by_status": statuses}
    assert body["decisions"]["total"] == 4
    assert body["acceptance_rate"] == pytest.approx(2 / 3)
    assert body["workflows_by_level"] == {"OBSERVATION": 0, "COACHING": 1, "AUTO": 0}
    assert body["unattended_share"] == 0.0
    assert isinstance(body["median_decision_ms"], int)
    bins = body["calibration"]["bins"]
    assert [(one["low"], one["high"]) for one in bins][::9] == [(0.0, 0.1), (0.9, 1.0)]
    assert [(one["count"], one["accepted"]) for one in bins if one["count"]] == [(1, 0), (2, 2)]
    assert body["calibration"]["brier"] == pytest.approx((2 * 0.05**2 + 0.15**2) / 3)
    [day] = body["per_day"]
    assert set(day) == {"date", "sessions", *KINDS}
    assert (day["sessions"], day["accepted"], day["rejected"], day["skipped"]) == (1, 2, 1, 1)


@pytest.mark.parametrize("query", ["days=0", "days=367", "days=x", "days=1e3"])
def test_days_out_of_reach_are_refused(api: Api, viewer: User, query: str) -> None:
    assert api(viewer).get(f"/api/v1/metrics/?{query}").status_code == 400


class TestWhoMay:
    def test_viewers_read(self, api: Api, viewer: User, browser_workflow: Workflow) -> None:
        for here in (address(browser_workflow), address(browser_workflow, "policy"), "/api/v1/metrics/"):
            assert api(viewer).get(here).status_code == 200

    @pytest.mark.parametrize("role", ["viewer", "coach", "reviewer"])
    def test_only_owners_change_levels_and_policy(
        self, request: pytest.FixtureRequest, api: Api, browser_workflow: Workflow, role: str
    ) -> None:
        client = api(request.getfixturevalue(role))
        assert client.post(address(browser_workflow, "promote")).status_code == 403
        assert client.post(address(browser_workflow, "demote")).status_code == 403
        assert client.patch(address(browser_workflow, "policy"), {"target": 0.5}).status_code == 403

    def test_strangers_get_nothing(self, api: Api, stranger: User, browser_workflow: Workflow) -> None:
        for client, status in ((api(stranger), 403), (APIClient(), 401)):
            for here in (address(browser_workflow), address(browser_workflow, "policy"), "/api/v1/metrics/"):
                assert client.get(here).status_code == status

    def test_unknown_workflows_are_not_there(self, api: Api, owner: User) -> None:
        client = api(owner)
        assert client.get("/api/v1/workflows/nothing/metrics/").status_code == 404
        assert client.get("/api/v1/workflows/nothing/policy/").status_code == 404
        assert client.post("/api/v1/workflows/nothing/promote/").status_code == 404
