"""Encrypting all stored secrets anew, under the key that is configured now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from django.db import transaction

from ..models import GivenAnswer, Session, Variable, Webhook
from ..secrets import UnreadableSecret, is_current, rotate
from .audit import What, note

Stored: TypeAlias = type[Variable] | type[Session] | type[Webhook] | type[GivenAnswer]

#: Every column that holds what `coaching.secrets` encrypts. A test finds those that are missing here.
COLUMNS: tuple[tuple[Stored, str], ...] = (
    (Variable, "encrypted_default"),
    (Session, "encrypted_secrets"),
    (Webhook, "encrypted_secrets"),
    (GivenAnswer, "encrypted_body"),
)
CHUNK = 500


@dataclass(slots=True)
class Reencrypted:
    """How many were encrypted anew, how many stood under the present key already, and what could not be read."""

    anew: int = 0
    current: int = 0
    unreadable: list[str] = field(default_factory=list)


def reencrypt_secrets() -> Reencrypted:
    """Goes through all rows in small steps; may run beside the site, and again after it was broken off.

    What changes meanwhile is not overwritten: whoever changed it has used the present key.
    """
    done = Reencrypted()
    for model, column in COLUMNS:
        _reencrypt(model, column, done)
    note(What.SECRETS_REENCRYPTED, anew=done.anew, unreadable=len(done.unreadable))
    return done


def _reencrypt(model: Stored, column: str, done: Reencrypted) -> None:
    last = 0
    while True:
        rows = model.objects.exclude(**{column: ""}).filter(pk__gt=last).order_by("pk")
        chunk = list(rows.values_list("pk", column)[:CHUNK])
        if not chunk:
            return
        last = chunk[-1][0]
        with transaction.atomic():
            for pk, text in chunk:
                if is_current(text):
                    done.current += 1
                    continue
                try:
                    fresh = rotate(text)
                except UnreadableSecret:
                    done.unreadable.append(f"{model._meta.verbose_name} {pk}")
                    continue
                done.anew += model.objects.filter(pk=pk, **{column: text}).update(**{column: fresh})
