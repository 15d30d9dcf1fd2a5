"""The key may change: old values are read, written anew by one command, and the old key is needed no more."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from coaching.actions.reencryption import COLUMNS
from coaching.actions.sessions import start_session
from coaching.actions.webhooks import create_webhook, secret_of
from coaching.models import AuditEntry, GivenAnswer, Session, Workflow
from coaching.secrets import UnreadableSecret, decrypt, encrypt, is_current

OLD, NEW = "the old key, which is long enough to be one", "the new key, which is long enough to be one"


@pytest.fixture
def stored(browser_workflow: Workflow, owner: User, settings: Settings) -> Callable[[], list[str]]:
    """A secret in each column, written under the old key; reads them."""
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = OLD, []
    secret = {"password": "hunter two"}
    browser_workflow.variables.create(name="password", label="Password", secret=True, encrypted_default=encrypt(secret))
    start_session(browser_workflow, by=owner)
    create_webhook(url="https://example.org/", by=owner)
    GivenAnswer.objects.create(user=owner, key="k", fingerprint="f", encrypted_body=encrypt({"": "hunter two"}))

    def columns() -> list[str]:
        return [
            text
            for model, column in COLUMNS
            for text in model._default_manager.exclude(**{column: ""}).values_list(column, flat=True)
        ]

    assert len(columns()) == 4
    settings.SECRET_KEY = NEW
    return columns


def run_command() -> str:
    out = StringIO()
    call_command("reencrypt_secrets", stdout=out)
    return out.getvalue()


def test_every_encrypted_column_is_known() -> None:
    found = {
        (model, field.name)
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if "encrypted" in field.name
    }
    assert found == set(COLUMNS)


def test_the_old_key_reads_until_all_is_written_anew(
    stored: Callable[[], list[str]], settings: Settings, owner: User
) -> None:
    settings.SECRET_KEY_FALLBACKS = [OLD]
    before = [decrypt(text) for text in stored()]
    assert not any(map(is_current, stored()))
    assert "4 encrypted anew, 0 already" in run_command()
    assert all(map(is_current, stored()))
    settings.SECRET_KEY_FALLBACKS = []
    assert [decrypt(text) for text in stored()] == before
    assert AuditEntry.objects.get(what="secrets_reencrypted").details == {"anew": 4, "unreadable": 0}


def test_twice_does_nothing(stored: Callable[[], list[str]], settings: Settings) -> None:
    settings.SECRET_KEY_FALLBACKS = [OLD]
    run_command()
    assert "0 encrypted anew, 4 already" in run_command()


def test_what_no_key_reads_is_named_and_left(stored: Callable[[], list[str]], settings: Settings) -> None:
    before = stored()
    with pytest.raises(CommandError, match=r"4 cannot be read .*variable \d+"):
        run_command()
    assert stored() == before
    with pytest.raises(UnreadableSecret):
        decrypt(stored()[0])
    settings.SECRET_KEY_FALLBACKS = [OLD]
    assert "4 encrypted anew" in run_command()


def test_it_goes_on_as_before(stored: Callable[[], list[str]], settings: Settings, owner: User) -> None:
    settings.SECRET_KEY_FALLBACKS = [OLD]
    run_command()
    settings.SECRET_KEY_FALLBACKS = []
    session = Session.objects.get()
    assert decrypt(session.encrypted_secrets) == {"password": "hunter two"}
    from coaching.models import Webhook  # noqa: PLC0415

    assert secret_of(Webhook.objects.get(), by=owner).startswith("whsec_")
