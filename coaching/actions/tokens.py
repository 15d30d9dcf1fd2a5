"""API tokens: made, shown once, withdrawn. Only their hash is kept."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from knox.models import AuthToken

from ..exceptions import InvalidInput
from .audit import What, note

MAX_DAYS = 3650
#: Each may ask as often as the limit says.
MOST_TOKENS = 50


def issue_token(user: User, *, days: int) -> tuple[AuthToken, str]:
    """A token that may do what the user may, for so many days: its row, and its text, which nobody sees again.

    Raises `InvalidInput` for days that are not from 1 to 3 650, or an account that is disabled.
    """
    if not 1 <= days <= MAX_DAYS:
        raise InvalidInput(f"From 1 to {MAX_DAYS} days.", field="days")
    if AuthToken.objects.filter(user=user, expiry__gt=timezone.now()).count() >= MOST_TOKENS:
        raise InvalidInput(f"{MOST_TOKENS} tokens are valid already: withdraw one that nobody uses.")
    if not user.is_active:
        raise InvalidInput(f"The account of “{user.get_username()}” is disabled.")
    with transaction.atomic():
        stored, text = AuthToken.objects.create(user, expiry=timedelta(days=days))
        note(What.TOKEN_MADE, user.get_username(), token=stored.token_key, days=days)
    return stored, text


def withdraw_token(user: User, digest: str) -> bool:
    """Ends one of a user's tokens at once; False when there is no such token of theirs."""
    with transaction.atomic():
        token = AuthToken.objects.filter(user=user, digest=digest).first()
        if token is None:
            return False
        note(What.TOKEN_WITHDRAWN, user.get_username(), by=user, token=token.token_key)
        token.delete()
    return True
