"""Every list of the admin site with every filter: what it offers itself, and what people make up in the address."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.contrib.admin.templatetags.admin_list import date_hierarchy
from django.db import OperationalError, connection
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from coaching.models import Session

from .test_admin import fill_the_tables, page

HUGE = "9" * 23
#: Wrong in as many ways as there are: when it is read, when the query is made, when the database runs it.
LOOKUPS = {
    "": "nonsense", "__exact": HUGE, "__gte": "nonsense", "__lt": HUGE, "__in": HUGE, "__isnull": "nonsense",
    "__year": HUGE, "__range": "nonsense", "__regex": "[", "__no_such": "1",
}  # fmt: skip
WRONG_DAYS = [("2026", "2", "30"), ("2026", "13", "1"), ("9999", "12", "31"), ("0", "1", "1"), ("2026", "x", "y")]


def offered(answer: Any) -> Iterator[str]:
    """What the list itself links to."""
    shown = answer.context["cl"]
    choices = [choice for spec in shown.filter_specs for choice in spec.choices(shown)]
    yield from (choice["query_string"] for choice in choices)
    yield from (choice["link"] for choice in (date_hierarchy(shown) or {}).get("choices", ()) if "link" in choice)
    columns = ".".join(str(number) for number in range(1, len(shown.list_display)))
    yield from (f"?o={columns}&_facets=True", "?all=&p=1")


def made_up(site: ModelAdmin) -> Iterator[str]:  # type: ignore[type-arg]
    names = {one if isinstance(one, str) else one.parameter_name for one in site.list_filter}  # type: ignore[union-attr]
    dates = {site.date_hierarchy} if site.date_hierarchy else set()
    for name, (lookup, value) in itertools.product(sorted(names | dates), LOOKUPS.items()):
        yield "?" + urlencode({f"{name}{lookup}": value})
    for name in sorted(dates):
        for year, month, day in WRONG_DAYS:
            given = {f"{name}__year": year, f"{name}__month": month, f"{name}__day": day}
            yield from ("?" + urlencode(list(given.items())[:parts]) for parts in (1, 3))
    yield from (f"?p=abc&o={HUGE}.-2.zzz&q={HUGE}", f"?p={HUGE}", "?p=-1", "?_to_field=abc", "?e=1&id=abc")
    yield from (f"?id={HUGE}", f"?id__in={HUGE}", "?no_such=1")


@pytest.mark.parametrize("addresses", ["offered", "made up"])
def test_no_address_of_a_list_is_an_error(admin_client: Client, addresses: str) -> None:
    if addresses == "offered":
        fill_the_tables(1)
    admin_client.raise_request_exception = False
    wrong, tried = [], 0
    for model, site in admin.site._registry.items():
        whole = page(model)
        fine = {200} if addresses == "offered" else {200, 302, 400}
        for query in offered(admin_client.get(whole)) if addresses == "offered" else made_up(site):
            status = admin_client.get(whole + query).status_code
            tried += 1
            if status not in fine:
                wrong.append(f"{status} {whole}{query}")
    assert not wrong
    assert tried > 200


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["created_at__year=0", "updated_at__year=9999", "status__range=active"])
def test_a_wrong_filter_leads_back_to_the_list(admin_client: Client, session: Session, query: str) -> None:
    answer = admin_client.get(f"{page(Session)}?{query}", follow=True)
    assert answer.redirect_chain == [(f"{page(Session)}?e=1", 302)]
    assert session.session_id in answer.content.decode()


def test_a_database_in_trouble_is_not_taken_for_a_wrong_filter(admin_client: Client, session: Session) -> None:
    def broken(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        if "coaching_session" in sql:
            raise OperationalError("database is locked")
        return execute(sql, params, many, context)

    admin_client.raise_request_exception = False
    with connection.execute_wrapper(broken):
        assert admin_client.get(f"{page(Session)}?status__exact=active").status_code == 503


@pytest.mark.parametrize("model", list(admin.site._registry), ids=lambda model: model._meta.model_name)
@pytest.mark.parametrize("key", ["nonsense", HUGE])
def test_a_page_of_no_row_leads_away(admin_client: Client, model: type[Model], key: str) -> None:
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[key])
    assert admin_client.get(address).status_code == 302
