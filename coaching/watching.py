"""What Django, its admin and the login guard do by themselves, written into the audit log."""

from __future__ import annotations

from typing import Any

from axes.signals import user_locked_out
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models.signals import m2m_changed, post_save, pre_delete, pre_save
from django.dispatch import receiver
from django.http import HttpRequest

from . import acting
from .actions.audit import What, note
from .client_address import of_request
from .guessing import failed_sign_in

#: What of an account is worth an entry; the last login is not.
_FIELDS = ("username", "password", "is_active", "is_staff", "is_superuser", "email")
_LINES = {"post_add": "given", "post_remove": "taken", "pre_clear": "all taken"}
#: What was typed as a user name is sometimes a password.
UNKNOWN = "(unknown)"


@receiver(user_logged_in)
def _signed_in(user: User, **_more: Any) -> None:
    note(What.SIGNED_IN, user.get_username(), by=user)


@receiver(user_logged_out)
def _signed_out(user: User | None, **_more: Any) -> None:
    if user is not None:
        note(What.SIGNED_OUT, user.get_username(), by=user)


@receiver(user_login_failed)
def _sign_in_failed(credentials: dict[str, Any], **_more: Any) -> None:
    name = str(credentials.get("username") or "")
    known = User.objects.filter(username=name).exists()
    note(What.SIGN_IN_FAILED, name if known else UNKNOWN, by="")
    failed_sign_in(acting.address())


@receiver(user_locked_out)
def _locked_out(request: HttpRequest, **_more: Any) -> None:
    note(What.LOCKED_OUT, of_request(request), by="")


@receiver(pre_save, sender=User)
def _account_changing(instance: User, update_fields: Any = None, **_more: Any) -> None:
    """Before it is saved: afterwards nobody knows what it was."""
    if instance.pk is None or (update_fields is not None and not set(update_fields) & set(_FIELDS)):
        return
    before = User.objects.filter(pk=instance.pk).values(*_FIELDS).first()
    if before is None:
        return
    changed = [field for field in _FIELDS if before[field] != getattr(instance, field)]
    if changed:
        flags = {field: getattr(instance, field) for field in changed if field.startswith("is_")}
        note(What.ACCOUNT_CHANGED, before["username"], changed=changed, **flags)


@receiver(post_save, sender=User)
def _account_made(instance: User, created: bool, **_more: Any) -> None:
    if created:
        note(What.ACCOUNT_MADE, instance.get_username(), is_superuser=instance.is_superuser, is_staff=instance.is_staff)


@receiver(pre_delete, sender=User)
def _account_deleted(instance: User, **_more: Any) -> None:
    note(What.ACCOUNT_DELETED, instance.get_username())


@receiver(m2m_changed, sender=User.groups.through)
@receiver(m2m_changed, sender=User.user_permissions.through)
@receiver(m2m_changed, sender=Group.permissions.through)
def _roles_changed(
    instance: User | Group, action: str, model: Any, pk_set: set[int] | None, reverse: bool, **_more: Any
) -> None:
    if action in _LINES and (pk_set or action == "pre_clear"):
        names = sorted(map(str, model.objects.filter(pk__in=pk_set or ())))
        about = f"{instance._meta.model_name} {instance}"
        note(What.ROLES_CHANGED, about, what_was=_LINES[action], of=names, reverse=reverse)


@receiver(post_save, sender=LogEntry)
def _changed_in_the_admin(instance: LogEntry, created: bool, **_more: Any) -> None:
    if created:
        about = f"{instance.content_type.model if instance.content_type else ''} {instance.object_repr}"
        note(What.ADMIN_CHANGED, about, by=instance.user, how=instance.get_action_flag_display())
