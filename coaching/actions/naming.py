"""Names: who did it, and ids that are free."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import User
from django.utils.text import slugify

POLICY = "policy"


def name_of(user: User | None) -> str:
    """The user name; without a user it was coachsite itself."""
    return user.get_username() if user else POLICY


def free_name(base: str, taken: Iterable[str], *, joiner: str = "_") -> str:
    """`base`, or `base_2`, `base_3` … when it is taken."""
    names, number = set(taken), 1
    name = base
    while name in names:
        number += 1
        name = f"{base}{joiner}{number}"
    return name


def slug_of(title: str, *, otherwise: str) -> str:
    """What an id begins with that is made from a title; `otherwise` where the title has no letter for it."""
    return slugify(title)[:80] or otherwise
