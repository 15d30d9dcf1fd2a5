"""How rows and events name who did it."""

from __future__ import annotations

from django.contrib.auth.models import User

POLICY = "policy"


def name_of(user: User | None) -> str:
    """The user name; without a user it was coachsite itself."""
    return user.get_username() if user else POLICY
