"""Keeping the values of secret variables out of whatever is stored or shown."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.db import transaction
from django.db.models import Model

from ..models import BackTestFinding, PackEntry, Session, Variable, Workflow
from ..recordings import Redactor, mask
from ..secrets import decrypt, encrypt
from .holding import hold
from .naming import free_name


def secret_names(session: Session) -> frozenset[str]:
    """The names of the session's secret variables. Their values stay encrypted."""
    return frozenset(name for name, value in session.variables.items() if value == "***")


def secret_names_of(workflow_ids: Collection[str]) -> dict[str, frozenset[str]]:
    """The names of the secret variables of these workflows, by `workflow_id`: one query."""
    names: dict[str, set[str]] = {workflow_id: set() for workflow_id in workflow_ids}
    secret = Variable.objects.filter(workflow__workflow_id__in=names, secret=True)
    for workflow_id, name in secret.values_list("workflow__workflow_id", "name"):
        names[workflow_id].add(name)
    return {workflow_id: frozenset(found) for workflow_id, found in names.items()}


def masked_action(action: Any, session: Session) -> Any:
    """`action` as it may be shown: the placeholders of secrets as `***`."""
    return mask(action, secret_names(session))


def with_placeholders(value: Any, session: Session) -> Any:
    """`value`, a text or JSON, with the secrets that stand in it, URL-encoded too, replaced by `{{ name }}`."""
    return Redactor.of(decrypt(session.encrypted_secrets)).value(value)


def without_secrets(value: Any, session: Session) -> Any:
    """`value`, a text or JSON that may hold secrets in the clear, as it may be shown: `***` in their place."""
    return masked_action(with_placeholders(value, session), session) if session.encrypted_secrets else value


def keep_secret(workflow: Workflow, names: Collection[str]) -> None:
    """Makes these variables of the workflow secret: their defaults, and what its sessions and recordings hold of them.

    What was written before, in backups or in pages that the database has not used again, stays as it was.
    """
    with transaction.atomic():
        # In the order of their keys, as everywhere where more than one session is held.
        for session in workflow.sessions.order_by("pk"):
            if set(names) & (set(session.variables) - secret_names(session)):
                _encrypt_in(session, names)
        for variable in workflow.variables.filter(name__in=names, secret=False):
            _encrypt_default(variable)


def _encrypt_in(session: Session, names: Collection[str]) -> None:
    """Moves these variables of one session to its secrets, and out of all that its rows say."""
    hold(session.pk)
    session.refresh_from_db()
    found = {name: value for name, value in session.variables.items() if name in names and value != "***"}
    session.encrypted_secrets = encrypt(decrypt(session.encrypted_secrets) | found)
    session.variables = session.variables | dict.fromkeys(found, "***")
    session.browser = Redactor.of(found).value(session.browser)
    session.save(update_fields=["encrypted_secrets", "variables", "browser"])
    words = ["description", "error", "target", "page"]
    _rewrite(session.suggestions.all(), found, actions=["action", "unchanged_action"], words=words)
    _rewrite(session.decisions.all(), found, actions=["correction", "difference"], words=["feedback"])
    _rewrite(session.events.all(), found, actions=[], words=["data"])
    # What was captured from its decisions, and went into packs.
    corrections = session.workflow.corrections.all()
    _rewrite(corrections, found, actions=["original", "corrected", "difference", "changes"], words=["target"])
    entries = PackEntry.objects.filter(workflow_id=session.workflow.workflow_id)
    _rewrite(entries, found, actions=["changes"], words=["target", "note"])
    findings = BackTestFinding.objects.filter(decision__session=session)
    _rewrite(findings, found, actions=["now"], words=[])


def _rewrite(rows: Iterable[Model], found: Mapping[str, str], *, actions: list[str], words: list[str]) -> None:
    """Puts placeholders into columns that are performed or exported, and `***` into those that are only read."""
    redactor = Redactor.of(found)
    for row in rows:
        for column in actions:
            setattr(row, column, redactor.value(getattr(row, column)))
        for column in words:
            setattr(row, column, mask(redactor.value(getattr(row, column)), found))
        row.save(update_fields=[*actions, *words])


def _encrypt_default(variable: Variable) -> None:
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
    base = re.sub(r"[^a-z0-9]+", "_", wanted.lower()).strip("_0123456789") or "secret"
    name = free_name(base, workflow.variables.values_list("name", flat=True))
    return Variable.objects.create(
        workflow=workflow, name=name, label=wanted, secret=True, encrypted_default=encrypt({name: value})
    )
