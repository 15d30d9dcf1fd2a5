"""Wrong tokens and wrong passwords, counted by where they come from: whoever guesses is told to wait.

Of tokens only failures are counted, so what is right costs nothing: a robot with an old token never locks out its
neighbours behind the same address, and a token has more than 200 bits that nobody guesses in any number of tries.

Passwords are guessed, and looking at one costs half a second: past the limit none from that address is looked at. The
limit is far above what people mistype, and whoever is signed in already notices nothing. It bounds what anybody can
write into the audit log and into the log of attempts, too, however many names they make up.
"""

from __future__ import annotations

import ipaddress
import logging
import time

from django.conf import settings

from .actions.audit import What, note
from .counting import counted

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 300
#: Whoever has one IPv6 address has as many as they like with the same first 64 bits.
IPV6_PREFIX = 64


def failed(address: str) -> float:
    """Counts a wrong token from `address` and says how long to wait: 0 while it is not one of too many."""
    limit = settings.COACHSITE_WRONG_TOKENS
    count = _counted(_key("token", address)) if limit else 0
    if count <= limit:
        return 0.0
    if count == limit + 1:
        note(What.TOKENS_GUESSED, address, by="", in_seconds=WINDOW_SECONDS, more_than=limit)
    return _until_the_next_window()


def failed_sign_in(address: str) -> None:
    """Counts a wrong password from `address`."""
    limit = settings.COACHSITE_WRONG_PASSWORDS
    if limit and _counted(_key("password", address)) == limit:
        note(What.LOCKED_OUT, address, by="", in_seconds=WINDOW_SECONDS, wrong=limit)


def seconds_until_sign_in(address: str) -> float:
    """How long no password from `address` is looked at; 0 while there were not too many wrong ones."""
    limit = settings.COACHSITE_WRONG_PASSWORDS
    if not limit or _counted(_key("password", address), by=0) < limit:
        return 0.0
    return _until_the_next_window()


def _until_the_next_window() -> float:
    return WINDOW_SECONDS - time.time() % WINDOW_SECONDS


def _key(kind: str, address: str) -> str:
    return f"wrong-{kind}:{_neighbourhood(address)}:{int(time.time() // WINDOW_SECONDS)}"


def _neighbourhood(address: str) -> str:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    return str(found.ipv4_mapped or ipaddress.ip_network((found, IPV6_PREFIX), strict=False))


def _counted(key: str, *, by: int = 1) -> int:
    """The count of `key`, this one included; only this one while the cache does not answer."""
    try:
        return counted(key, seconds=WINDOW_SECONDS * 2, by=by)
    except Exception:  # whatever the cache's own library raises
        # Redis is gone. Names are locked from the database as ever; a wrong token stays wrong.
        logger.warning("Wrong tokens and passwords are not counted: the cache does not answer.", exc_info=True)
        return by
