"""Requests that may come twice and must happen once: the second gets the answer that the first got.

The answer is kept in the transaction that does what was asked, so neither can be there without the other, whatever
dies in between. Of two at once, the second waits for the first. An answer that tells of an error is not kept: nothing
was done, and the same request may succeed later.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from .exceptions import IdempotencyMismatch, InvalidInput
from .models import GivenAnswer
from .models.idempotency import KEPT_FOR, KEY_LENGTH
from .secrets import decrypt, encrypt

Response = TypeVar("Response")

HEADER = "Idempotency-Key"
#: On an answer that was given before.
REPLAYED = "Idempotency-Replayed"
FIRST_ERROR = 400
_VALID_KEY = re.compile(rf"[\x21-\x7e]{{1,{KEY_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a response says, as far as it must be said again."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)


class _NotKept(Exception):
    """Rolls back what led to a response that tells of an error."""


def key_of(text: str) -> str:
    """The checked key. Raises `InvalidInput`: a key that is not understood must not be ignored."""
    if not _VALID_KEY.fullmatch(text):
        raise InvalidInput(f"A key is 1 to {KEY_LENGTH} visible ASCII characters.", field=HEADER)
    return text


def once(
    user: User,
    key: str,
    fingerprint: str,
    act: Callable[[], Response],
    keep: Callable[[Response], Answer],
    *,
    within: timedelta = KEPT_FOR,
) -> Response | HttpResponse:
    """The response of `act`, which is called at most once `within` this time (24 h at most) for a user's key.

    Whoever comes with the key again gets what `keep` made of the response. `fingerprint` tells the request from
    others: raises `IdempotencyMismatch` when the key was used for another. What `act` raises is raised, and nothing
    has happened.
    """
    # Rolled back where nothing was done, and told all the same.
    with contextlib.suppress(_NotKept), transaction.atomic():
        given, first = _claim(user, key, fingerprint, within)
        if not first:
            return _again(given, fingerprint)
        response = act()
        answer = keep(response)
        if answer.status >= FIRST_ERROR:
            raise _NotKept
        given.status, given.headers = answer.status, answer.headers
        given.encrypted_body = encrypt({"": answer.body})
        given.save(update_fields=["status", "headers", "encrypted_body"])
    return response


def _claim(user: User, key: str, fingerprint: str, within: timedelta) -> tuple[GivenAnswer, bool]:
    """The row of a key, and whether it is new. Whoever comes second waits here until the first has committed."""
    GivenAnswer.objects.filter(user=user, key=key, at__lt=timezone.now() - within).delete()
    try:
        with transaction.atomic():
            return GivenAnswer.objects.create(user=user, key=key, fingerprint=fingerprint), True
    except IntegrityError:
        return GivenAnswer.objects.get(user=user, key=key), False


def _again(given: GivenAnswer, fingerprint: str) -> HttpResponse:
    if given.fingerprint != fingerprint:
        raise IdempotencyMismatch(f"The {HEADER} “{given.key}” was used for another request before.")
    body = decrypt(given.encrypted_body)[""]
    return HttpResponse(body, status=given.status, headers={**given.headers, REPLAYED: "true"})


def fingerprint_of(request: HttpRequest, *, leave_out: Iterable[str] = ()) -> str:
    """Tells a request from others: method, address and body; of a form its fields and files, but those left out."""
    digest = hashlib.sha256(f"{request.method} {request.get_full_path()}\n".encode())
    if request.content_type in {"multipart/form-data", "application/x-www-form-urlencoded"}:
        # A form that is sent again has another boundary.
        fields = sorted((name, request.POST.getlist(name)) for name in request.POST if name not in leave_out)
        digest.update(json.dumps(fields).encode())
        for name, content in sorted(_digests_of_files(request)):
            digest.update(f"{name}\n".encode() + content)
    else:
        digest.update(request.body)
    return digest.hexdigest()


def _digests_of_files(request: HttpRequest) -> list[tuple[str, bytes]]:
    found = []
    for name in request.FILES:
        for file in request.FILES.getlist(name):
            found.append((name, hashlib.sha256(file.read()).digest()))
            file.seek(0)
    return found


def forget_outdated() -> int:
    """Removes the answers that are not given again any more; returns how many."""
    removed, _ = GivenAnswer.objects.filter(at__lt=timezone.now() - KEPT_FOR).delete()
    return removed
