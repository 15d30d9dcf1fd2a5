"""Keeping the values of secret variables out of whatever is stored or shown."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from django.db import transaction

from ..models import Session, Variable, Workflow
from ..recordings import Redactor, mask
from ..secrets import decrypt, encrypt
from .holding import hold


def secret_names(session: Session) -> frozenset[str]:
    """The names of the session's secret variables. Their values stay encrypted."""
    return frozenset(name for name, value in session.variables.items() if value == "***")


def masked_action(action: Any, session: Session) -> Any:
    """`action` as it may be shown: the placeholders of secrets as `***`."""
    return mask(action, secret_names(session))


def with_placeholders(value: Any, session: Session) -> Any:
    """`value`, a text or JSON, with the secrets that stand in it, URL-encoded too, replaced by `{{ name }}`."""
    return Redactor.of(decrypt(session.encrypted_secrets)).value(value)


def without_secrets(value: Any, session: Session) -> Any:
    """`value`, a text or JSON that may hold secrets in the clear, as it may be shown: `***` in their place."""
    return masked_action(with_placeholders(value, session), session) if session.encrypted_secrets else value


def keep_secret(session: Session, names: Collection[str]) -> None:
    """Makes these variables secret, in the session and in its workflow: they turned out to go into a password field."""
    with transaction.atomic():
        for one in (session, *session.workflow.sessions.exclude(pk=session.pk).order_by("pk")):
            _encrypt_in(one, names)
        for variable in session.workflow.variables.filter(name__in=names, secret=False):
            make_secret(variable)


def _encrypt_in(session: Session, names: Collection[str]) -> None:
    """Moves these variables of one session to its secrets, and out of what its suggestions and events say."""
    if not set(names) & (set(session.variables) - secret_names(session)):
        return
    hold(session.pk)
    session.refresh_from_db()
    found = {name: value for name, value in session.variables.items() if name in names and value != "***"}
    session.encrypted_secrets = encrypt(decrypt(session.encrypted_secrets) | found)
    session.variables = session.variables | dict.fromkeys(found, "***")
    session.save(update_fields=["encrypted_secrets", "variables"])
    redactor = Redactor.of(found)
    for suggestion in session.suggestions.all():
        suggestion.action = redactor.value(suggestion.action)
        suggestion.description = mask(redactor.text(suggestion.description), found)
        suggestion.save(update_fields=["action", "description"])
    for event in session.events.all():
        event.data = mask(redactor.value(event.data), found)
        event.save(update_fields=["data"])


def make_secret(variable: Variable) -> None:
    """Encrypts the variable's default and puts placeholders for it into the recordings.

    What was written before, in backups or in pages that the database has not used again, stays as it was.
    """
    with transaction.atomic():
        if variable.default:
            _hide_recorded(variable)
        variable.secret = True
        variable.encrypted_default = encrypt({variable.name: variable.default}) if variable.default else ""
        variable.default = ""
        variable.save(update_fields=["secret", "encrypted_default", "default"])


def _hide_recorded(variable: Variable) -> None:
    redactor = Redactor.of({variable.name: variable.default})
    for recording in variable.workflow.recordings.all():
        recording.document = redactor.value(recording.document)
        recording.save(update_fields=["document"])


def new_secret_variable(workflow: Workflow, wanted: str, value: str) -> Variable:
    """A secret variable named after `wanted`, with this default."""
    name = free_name(
        re.sub(r"[^a-z0-9]+", "_", wanted.lower()).strip("_0123456789") or "secret", workflow_names(workflow)
    )
    return Variable.objects.create(
        workflow=workflow, name=name, label=wanted, secret=True, encrypted_default=encrypt({name: value})
    )


def workflow_names(workflow: Workflow) -> set[str]:
    return set(workflow.variables.values_list("name", flat=True))


def free_name(base: str, taken: Iterable[str]) -> str:
    """`base`, or `base_2`, `base_3` … when it is taken."""
    names, number = set(taken), 1
    name = base
    while name in names:
        number += 1
        name = f"{base}_{number}"
    return name
