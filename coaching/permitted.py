"""What a user may do, read by one statement that is built once."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import connection

_PERMISSIONS = """
SELECT content_type.app_label, permission.codename
FROM auth_permission permission
JOIN django_content_type content_type ON content_type.id = permission.content_type_id
WHERE permission.id IN (
    SELECT permission_id FROM auth_user_user_permissions WHERE user_id = %s
    UNION
    SELECT group_permissions.permission_id
    FROM auth_user_groups user_groups
    JOIN auth_group_permissions group_permissions ON group_permissions.group_id = user_groups.group_id
    WHERE user_groups.user_id = %s
)
"""


def with_permissions(user: User) -> User:
    """The same user, knowing what it may do, as if it had been asked for that before (`User.has_perm`).

    Django asks the permissions of a user and of its groups apart, each by a statement that it builds anew.
    """
    if user.is_active and not user.is_superuser:
        with connection.cursor() as cursor:
            cursor.execute(_PERMISSIONS, (user.pk, user.pk))
            permissions = {f"{app}.{name}" for app, name in cursor.fetchall()}
        user._perm_cache = permissions  # type: ignore[attr-defined]  # noqa: SLF001 - where Django's backend keeps them
    return user
