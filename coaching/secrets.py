"""Encryption of secret variables at rest: Fernet, with a key derived from `SECRET_KEY`.

`SECRET_KEY_FALLBACKS` still decrypts, so the key can be rotated.
"""

from __future__ import annotations

import base64
import json
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from .exceptions import DomainError


class UnreadableSecret(DomainError):
    """The stored value was encrypted under a key that is no longer configured."""

    code = "unreadable_secret"


@lru_cache(maxsize=8)
def _fernet(key: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"coachsite secret variables").derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))


def _box() -> MultiFernet:
    return MultiFernet([_fernet(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def encrypt(values: dict[str, str]) -> str:
    """`values` as one opaque text; an empty mapping is the empty text."""
    return _box().encrypt(json.dumps(values).encode()).decode() if values else ""


def decrypt(text: str) -> dict[str, str]:
    """The reverse of `encrypt`. Raises `UnreadableSecret` when no configured key fits."""
    if not text:
        return {}
    try:
        values: dict[str, str] = json.loads(_box().decrypt(text.encode()))
    except InvalidToken as error:
        raise UnreadableSecret(
            "A stored secret cannot be read: SECRET_KEY has changed. Enter the secret anew, or put the old key back."
        ) from error
    return values


def is_current(text: str) -> bool:
    """Whether a stored text was encrypted under the present `SECRET_KEY`."""
    try:
        _fernet(settings.SECRET_KEY).decrypt(text.encode())
    except InvalidToken:
        return False
    return True


def rotate(text: str) -> str:
    """The same under the present key. Raises `UnreadableSecret` when no configured key fits."""
    return encrypt(decrypt(text))
