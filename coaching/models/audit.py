"""Who did what to the site: written once, never changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, NoReturn

from django.db import models
from django.utils import timezone


class NeverChanged(Exception):
    """The audit log is only ever added to."""


class AuditQuerySet(models.QuerySet["AuditEntry"]):
    def since(self, moment: datetime) -> AuditQuerySet:
        return self.filter(at__gte=moment)

    def update(self, **_changes: Any) -> NoReturn:
        raise NeverChanged("Entries of the audit log are never changed.")

    def delete(self) -> NoReturn:
        raise NeverChanged("Entries of the audit log are never deleted.")


class AuditEntry(models.Model):
    """One thing that somebody did. A trigger of the database refuses to change or delete it, whoever asks.

    It points to no other row: what it speaks of may be deleted, and the entry stays as it is.
    """

    class What(models.TextChoices):
        SIGNED_IN = "signed_in", "signed in"
        SIGN_IN_FAILED = "sign_in_failed", "could not sign in"
        LOCKED_OUT = "locked_out", "was locked out"
        SIGNED_OUT = "signed_out", "signed out"
        TOKENS_GUESSED = "tokens_guessed", "sent too many wrong tokens"
        TOKEN_MADE = "token_made", "made a token"
        TOKEN_WITHDRAWN = "token_withdrawn", "withdrew a token"
        ACCOUNT_MADE = "account_made", "made an account"
        ACCOUNT_CHANGED = "account_changed", "changed an account"
        ACCOUNT_DELETED = "account_deleted", "deleted an account"
        ROLES_CHANGED = "roles_changed", "changed roles or permissions"
        WORKFLOW_MADE = "workflow_made", "made a workflow"
        WORKFLOW_IMPORTED = "workflow_imported", "imported a recording"
        WORKFLOW_EDITED = "workflow_edited", "edited a workflow"
        WORKFLOW_DELETED = "workflow_deleted", "deleted a workflow"
        POLICY_CHANGED = "policy_changed", "changed an autonomy policy"
        PROMOTED = "promoted", "let a step run alone"
        DEMOTED = "demoted", "took a step back to coaching"
        PACK_IMPORTED = "pack_imported", "imported a pack"
        PACK_PUBLISHED = "pack_published", "published a pack"
        PACK_ROLLED_BACK = "pack_rolled_back", "rolled a pack back"
        PACK_RETIRED = "pack_retired", "retired a pack"
        PACK_DELETED = "pack_deleted", "deleted a pack"
        WEBHOOK_MADE = "webhook_made", "made a webhook"
        WEBHOOK_CHANGED = "webhook_changed", "changed a webhook"
        WEBHOOK_DELETED = "webhook_deleted", "deleted a webhook"
        WEBHOOK_SECRET_REPLACED = "webhook_secret_replaced", "replaced the secret of a webhook"
        WEBHOOK_SECRET_SHOWN = "webhook_secret_shown", "looked at the secret of a webhook"
        HOST_ALLOWED = "host_allowed", "allowed a host"
        HOST_FORBIDDEN = "host_forbidden", "no longer allows a host"
        SESSION_DELETED = "session_deleted", "deleted a session"
        SECRETS_REENCRYPTED = "secrets_reencrypted", "encrypted all secrets anew"
        ADMIN_CHANGED = "admin_changed", "changed something in the admin"

    at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)
    actor = models.CharField(
        max_length=150, editable=False, help_text="The user name; “policy” or “coachsite” where it was no person."
    )
    what = models.CharField(max_length=30, choices=What, editable=False)
    about = models.CharField(max_length=200, blank=True, editable=False, help_text="What it was done to, by its id.")
    details = models.JSONField(default=dict, editable=False)
    address = models.CharField(
        max_length=64, blank=True, editable=False, help_text="Where the request came from, if it was one."
    )

    objects: ClassVar[AuditQuerySet] = AuditQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "audit log"
        default_permissions = ()
        permissions = [("see_audit", "Can read the audit log")]
        indexes = [
            models.Index(fields=["actor", "-id"], name="audit_by_actor"),
            models.Index(fields=["what", "-id"], name="audit_by_what"),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.get_what_display()} {self.about}".strip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise NeverChanged("An entry of the audit log is never changed.")
        super().save(*args, **kwargs)

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise NeverChanged("An entry of the audit log is never deleted.")

    def as_json(self) -> dict[str, Any]:
        """As it is exported: `{id, at, actor, what, about, details, address}`."""
        return {
            "id": self.pk,
            "at": f"{self.at:%Y-%m-%dT%H:%M:%S.%f}Z",
            "actor": self.actor,
            "what": self.what,
            "about": self.about,
            "details": self.details,
            "address": self.address,
        }
