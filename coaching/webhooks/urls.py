"""Addresses of receivers as people write them."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

MAX_URL = 2000
_PORTS = {"http": 80, "https": 443}


class BadAddress(ValueError):
    """Not an address that a message could be sent to; the text says why, for people."""


class Origin(NamedTuple):
    """Where to connect to: `host` in ASCII and lower case, without the brackets of IPv6."""

    scheme: str
    host: str
    port: int


def check_url(url: str) -> None:
    """Raises `BadAddress` unless it is a plain http or https address."""
    origin_of(url)


def origin_of(url: str) -> Origin:
    """Raises `BadAddress`."""
    if len(url) > MAX_URL:
        raise BadAddress(f"An address has at most {MAX_URL} characters.")
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise BadAddress("An address is plain ASCII without spaces; encode other characters (%20, xn--…).")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadAddress("This is not an address.") from None
    if parts.scheme not in _PORTS:
        raise BadAddress("An address begins with https:// or http://.")
    if parts.username is not None or parts.password is not None:
        raise BadAddress("An address holds no user name or password: receivers check the signature.")
    if parts.fragment:
        raise BadAddress("An address has no fragment (#…).")
    if port == 0:
        raise BadAddress("There is no port 0.")
    return Origin(parts.scheme, host_of(_host(parts)), port or _PORTS[parts.scheme])


def _host(parts: SplitResult) -> str:
    if not parts.hostname:
        raise BadAddress("This address names no host.")
    return parts.hostname


def host_of(text: str) -> str:
    """A host name or IP address in the one form that is compared: lower case, no brackets, no dot at the end.

    Raises `BadAddress`.
    """
    host = text.strip().lower().removeprefix("[").removesuffix("]").removesuffix(".")
    try:
        return _ipv6(host) if ":" in host else _name(host)
    except ValueError:
        raise BadAddress("This is not the name of a host.") from None


def _ipv6(host: str) -> str:
    address = ipaddress.IPv6Address(host)
    if address.scope_id is not None:
        raise ValueError(host)
    return str(address)


def _name(host: str) -> str:
    name = host.encode("idna").decode()
    if not name or len(name) > 253 or not all(letter.isalnum() or letter in "-._" for letter in name):
        raise ValueError(name)
    return name
