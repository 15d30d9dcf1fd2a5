"""The demo by itself: what it accepts, what its releases serve, that it leaves coachsite's login alone."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from coaching.demo.models import Claim

RECORDINGS = Path(__file__).parent.parent / "recordings"
ACCOUNT = {"user_name": "pat", "password": "expenses-2026"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def pat(client: Client) -> Client:
    client.post("/demo/", ACCOUNT)
    return client


def filled(**changes: str) -> dict[str, str]:
    today = timezone.localdate().isoformat()
    form = {"title": "Train", "amount": "42.50", "category": "travel", "date": today, "project": "AUR-26"}
    return form | changes


def text(response: Any) -> str:
    return str(response.content.decode())


def steps(name: str) -> list[dict[str, Any]]:
    recording = json.loads((RECORDINGS / name).read_text())
    assert set(recording) == {"title", "steps"}
    return list(recording["steps"])


def test_signing_in_leads_to_the_claims_and_signing_out_ends_it(client: Client) -> None:
    assert "expenses-2026" in text(client.get("/demo/"))
    assert client.post("/demo/", ACCOUNT).headers["Location"] == "/demo/claims/"
    assert "No claims yet" in text(client.get("/demo/claims/"))
    assert client.get("/demo/").headers["Location"] == "/demo/claims/"
    client.post("/demo/sign-out/")
    assert client.get("/demo/claims/").headers["Location"] == "/demo/"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"user_name": "pat", "password": "guess"}, "do not belong together"),
        ({"user_name": "kim", "password": "expenses-2026"}, "do not belong together"),
        ({"user_name": "", "password": ""}, "This field is required"),
    ],
)
def test_a_wrong_sign_in_is_told_and_keeps_no_cookie(client: Client, given: dict[str, str], message: str) -> None:
    response = client.post("/demo/", given)
    assert response.status_code == 422
    assert message in text(response)
    assert "demo_user" not in client.cookies


@pytest.mark.parametrize("path", ["/demo/claims/", "/demo/claims/new/", "/demo/claims/1/"])
def test_nothing_is_shown_before_signing_in(client: Client, path: str) -> None:
    client.cookies["demo_user"] = "pat:forged:signature"
    assert client.get(path).headers["Location"] == "/demo/"
    client.post("/demo/claims/new/", filled())
    assert not Claim.objects.exists()


def test_a_claim_is_filed_and_shown(pat: Client) -> None:
    response = pat.post("/demo/claims/new/", filled())
    claim = Claim.objects.get()
    assert response.headers["Location"] == f"/demo/claims/{claim.number}/"
    assert (claim.claimant, claim.amount, claim.project, claim.release) == (
        "pat",
        Decimal("42.50"),
        "AUR-26",
        1,
    )
    assert f"Claim {claim.number} submitted" in text(pat.get(response.headers["Location"]))
    assert f"/demo/claims/{claim.number}/" in text(pat.get("/demo/claims/"))
    assert pat.get(f"/demo/claims/{claim.number + 1}/").status_code == 404
    assert pat.get(f"/demo/claims/{10**30}/").status_code == 404


def test_a_form_sent_twice_is_two_claims(pat: Client) -> None:
    pat.post("/demo/claims/new/", filled())
    pat.post("/demo/claims/new/", filled())
    assert Claim.objects.count() == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", "ab"),
        ("title", "x" * 81),
        ("title", "a\0bc"),
        ("amount", ""),
        ("amount", "0"),
        ("amount", "-1"),
        ("amount", "NaN"),
        ("amount", "10000.01"),
        ("amount", "1.005"),
        ("amount", "forty"),
        ("category", "yachts"),
        ("date", "23.11.2026"),
        ("date", "9999-01-01"),
        ("project", ""),
        ("project", "AUR-25"),
    ],
)
def test_bad_input_is_answered_beside_its_field(pat: Client, field: str, value: str) -> None:
    response = pat.post("/demo/claims/new/", filled(**{field: value}))
    assert response.status_code == 422
    assert f'id="{field}_error"' in text(response)
    assert not Claim.objects.exists()


def test_a_receipt_from_today_or_before_is_accepted(pat: Client) -> None:
    yesterday = (timezone.localdate() - timedelta(days=1)).isoformat()
    assert pat.post("/demo/claims/new/", filled(date=yesterday)).status_code == 302


def test_the_database_itself_refuses_a_claim_over_nothing() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Claim.objects.create(amount=0, date=timezone.localdate(), release=1)


def test_release_2_renames_the_amount_and_moves_the_button(pat: Client) -> None:
    first = text(pat.get("/demo/claims/new/"))
    assert '<label for="amount">Amount</label>' in first
    assert first.index("Submit claim") > first.index("project-1")
    pat.get("/demo/?release=2")
    second = text(pat.get("/demo/claims/new/"))
    assert '<label for="total_incl_vat">Total incl. VAT</label>' in second
    assert "Amount" not in second
    assert 'id="amount"' not in second
    assert second.index("Submit claim") < second.index("project-1")
    assert "actions" not in second
    pat.get("/demo/?release=1")
    assert text(pat.get("/demo/claims/new/")).split("<fieldset")[1] == first.split("<fieldset")[1]


def test_an_unknown_release_changes_nothing(pat: Client) -> None:
    pat.get("/demo/?release=2")
    pat.get("/demo/?release=3")
    assert "Total incl. VAT" in text(pat.get("/demo/claims/new/"))


def test_release_2_has_a_look_alike_in_the_first_row_that_really_charges_another_project(pat: Client) -> None:
    pat.get("/demo/?release=2")
    page = text(pat.get("/demo/claims/new/"))
    assert re.findall(r'<label for="(project-\d)">(\w+)</label>', page) == [
        ("project-1", "Aurora"),
        ("project-2", "Aurora"),
        ("project-3", "Borealis"),
        ("project-4", "Cirrus"),
    ]
    assert re.findall(r'id="project-\d" value="([\w-]+)"', page) == ["AUR-25", "AUR-26", "BOR-26", "CIR-26"]
    assert page.count("closed 2025") == 1
    form = filled(project="AUR-25", total_incl_vat="42.50")
    form.pop("amount")
    pat.post("/demo/claims/new/", form)
    claim = Claim.objects.get()
    assert (claim.project, claim.release) == ("AUR-25", 2)
    assert "AUR-25, closed 2025" in text(pat.get(claim.get_absolute_url()))


def test_the_field_of_one_release_is_not_accepted_by_the_other(pat: Client) -> None:
    pat.get("/demo/?release=2")
    response = pat.post("/demo/claims/new/", filled())
    assert 'id="total_incl_vat_error"' in text(response)
    assert not Claim.objects.exists()


def test_coachsites_login_is_never_touched(client: Client) -> None:
    user = User.objects.create_user("someone")
    client.force_login(user)
    session = client.cookies["sessionid"].value
    client.get("/demo/?release=2")
    answers = [
        client.post("/demo/", ACCOUNT),
        client.get("/demo/claims/new/"),
        client.post("/demo/sign-out/"),
    ]
    assert all("sessionid" not in answer.cookies for answer in answers)
    assert client.cookies["sessionid"].value == session
    assert client.session["_auth_user_id"] == str(user.pk)
    for name in ("demo_user", "demo_release"):
        assert client.cookies[name]["path"] == "/demo/"


def test_forms_want_their_csrf_token() -> None:
    client = Client(enforce_csrf_checks=True)
    assert client.post("/demo/", ACCOUNT).status_code == 403
    token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', text(client.get("/demo/")))
    assert token is not None
    assert client.post("/demo/", ACCOUNT | {"csrfmiddlewaretoken": token[1]}).status_code == 302


def test_pages_keep_to_the_content_security_policy(pat: Client) -> None:
    for path in ("/demo/claims/", "/demo/claims/new/"):
        response = pat.get(path)
        assert "Content-Security-Policy" in response.headers
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=", text(response))


def test_the_list_costs_one_query_however_long_it_is(pat: Client, django_assert_num_queries: Any) -> None:
    for _ in range(101):
        pat.post("/demo/claims/new/", filled())
    with django_assert_num_queries(1):
        page = text(pat.get("/demo/claims/"))
    assert page.count("<tr>") == 101  # a heading and the latest hundred
    assert "The latest 100 claims are shown" in page


def test_reset_demo_removes_every_claim(pat: Client) -> None:
    pat.post("/demo/claims/new/", filled())
    said = StringIO()
    call_command("reset_demo", stdout=said)
    assert said.getvalue() == "1 demo claim deleted.\n"
    assert not Claim.objects.exists()


@pytest.mark.parametrize("name", ["file-an-expense-claim.json", "file-an-expense-claim-2.json"])
def test_the_bundled_recordings_fit_the_pages(client: Client, name: str) -> None:
    recorded = steps(name)
    assert " ".join(step["type"] for step in recorded) == (
        "setViewport navigate change change click click change change change click click"
    )
    assert recorded[1]["url"] == "http://127.0.0.1:8000/demo/"
    pages = text(client.get("/demo/"))
    client.post("/demo/", {"user_name": recorded[2]["value"], "password": recorded[3]["value"]})
    pages += text(client.get("/demo/claims/")) + text(client.get("/demo/claims/new/"))
    ids = [alternative[0] for step in recorded[2:] for alternative in step["selectors"] if alternative[0][0] == "#"]
    assert len(ids) == 6
    for step in recorded[2:]:
        aria, css, xpath, pierce, *_ = (alternative[0] for alternative in step["selectors"])
        assert aria.startswith("aria/")
        assert xpath.startswith('xpath///*[@id="')
        assert pierce == f"pierce/{css}"
    assert all(pages.count(f'id="{css[1:]}"') == 1 for css in ids)
    title, amount, category = (step["value"] for step in recorded[6:9])
    response = client.post("/demo/claims/new/", filled(title=title, amount=amount, category=category))
    assert response.status_code == 302


def test_the_two_demonstrations_differ_only_in_what_was_typed() -> None:
    first, second = steps("file-an-expense-claim.json"), steps("file-an-expense-claim-2.json")
    differing = [index for index, pair in enumerate(zip(first, second, strict=True)) if pair[0] != pair[1]]
    # The last one is the address of the claim that came out of it.
    assert differing == [6, 7, 8, 10]
