"""Where the executor may go, and whether it arrived where the recording says. No Django, no browser."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import unicodedata
from collections.abc import Collection
from urllib.parse import unquote, urlsplit

from coaching.exceptions import InvalidInput

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

METADATA_NAMES = frozenset({"metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"})
FORBIDDEN_NETWORKS = (
    ipaddress.ip_network("169.254.0.0/16"),
    ipaddress.ip_network("100.100.100.200/32"),
    ipaddress.ip_network("fd00:ec2::254/128"),
    ipaddress.ip_network("fe80::/10"),
)
NAT64 = ipaddress.ip_network("64:ff9b::/96")

# The same places as patterns for Chromium's own resolver, which also sees redirects, links and subresources.
RESOLVER_RULES = ", ".join(
    f"MAP {pattern} ~NOTFOUND"
    for pattern in (
        "169.254.*",
        "100.100.100.200",
        # An exact pattern in brackets matches nothing in Chromium; one that ends in a star does.
        "[fd00:ec2::254]*",
        "[fe80:*",
        "[::ffff:a9fe:*",
        "[::ffff:6464:64c8]*",
        *(spelling for name in sorted(METADATA_NAMES) for spelling in (name, f"{name}.")),
    )
)

_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*):(.*)$", re.IGNORECASE | re.DOTALL)
_IDENTIFIER = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|(?=[0-9a-f]*\d)[0-9a-f]{12,}", re.IGNORECASE)


class ForbiddenUrl(InvalidInput):
    """An address the executor refuses; the message says why in words for a coach."""


def check_destination(url: str, *, resolve: bool = True, closed_ports: Collection[int] = ()) -> None:
    """Raises `ForbiddenUrl` unless `url` is `about:blank` or an http(s) address that is no cloud metadata service.

    The host is read as a browser reads it (backslashes, escapes, numbers for addresses). With `resolve` its name is
    looked up too, and every address it stands for is checked; a name that does not resolve passes, for the browser
    to report. Localhost and private networks are allowed: self-hosted tools live there, but for `closed_ports` of
    this machine.
    """
    cleaned = re.sub(r"[\t\r\n]", "", url).strip("".join(map(chr, range(0x21))))
    if cleaned.lower() == "about:blank":
        return
    parts = _SCHEME.match(cleaned)
    if parts is None:
        raise ForbiddenUrl(f"“{_short(cleaned)}” is not a full address: it must start with http:// or https://.")
    scheme = parts[1].lower()
    if scheme not in ("http", "https"):
        raise ForbiddenUrl(f"Addresses that start with “{scheme}:” are not allowed, only http: and https:.")
    authority = _authority(parts[2])
    host = _host(authority)
    if not host:
        raise ForbiddenUrl(f"“{_short(cleaned)}” names no host.")
    if host in METADATA_NAMES:
        raise ForbiddenUrl(f"{host} is a cloud metadata service and is never opened.")
    literal = _address(host)
    addresses = [literal] if literal is not None else (_resolve(host) if resolve else [])
    for address in addresses:
        if any(_forbidden(form) for form in _embedded(address)):
            raise ForbiddenUrl(f"{host} is a link-local or cloud metadata address and is never opened.")
    here = host == "localhost" or host.endswith(".localhost") or any(_is_here(address) for address in addresses)
    if here and _port(authority, scheme) in closed_ports:
        raise ForbiddenUrl(f"{host} is never opened at this port: coachsite drives its browsers there.")


def host_and_port(url: str) -> tuple[str, int] | None:
    """Host and port of an http(s) address, read as a browser reads them; None for `about:blank` and the like."""
    cleaned = re.sub(r"[\t\r\n]", "", url).strip("".join(map(chr, range(0x21))))
    parts = _SCHEME.match(cleaned)
    if parts is None or parts[1].lower() not in ("http", "https"):
        return None
    authority = _authority(parts[2])
    host = _host(authority)
    literal = _address(host)
    if literal is None:
        # As Chromium writes it; a name that cannot be written so is no host anyway.
        with contextlib.suppress(UnicodeError):
            host = host.encode("idna").decode()
    return (str(literal) if literal else host, _port(authority, parts[1].lower())) if host else None


def addresses_of(host: str) -> list[IPAddress]:
    """What a host stands for: itself where it is an address, else what its name leads to, if anything."""
    literal = _address(host)
    return [literal] if literal is not None else _resolve(host)


def never_opened(address: IPAddress) -> bool:
    """Whether it is link-local or a cloud's metadata service."""
    return any(_forbidden(form) for form in _embedded(address))


def is_private(address: IPAddress) -> bool:
    """Whether it is of this machine or of a private network."""
    return any(not form.is_global for form in _embedded(address))


def place(url: str) -> str:
    """The path of `url`, with the route of a single-page application: what a coach calls “the page”."""
    parts = urlsplit(url)
    route = f"#{parts.fragment}" if parts.fragment.startswith(("/", "!/")) else ""
    return (parts.path or "/") + route


def same_place(url: str, asserted: str) -> bool:
    """Whether both lead to the same page: equal paths, where digits and long identifiers stand for any others."""
    return _pattern(url) == _pattern(asserted)


def _pattern(url: str) -> str:
    path = unquote(place(url)).rstrip("/")
    return re.sub(r"\d+", "0", _IDENTIFIER.sub("0", path))


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"


def _authority(after_scheme: str) -> str:
    # Browsers take any number of slashes of either kind after http:, and read what is before the last @ as a login.
    written = re.split(r"[/\\?#]", after_scheme.lstrip("/\\"), maxsplit=1)[0].rpartition("@")[2]
    return unicodedata.normalize("NFKC", unquote(written)).replace("。", ".").lower()


def _host(authority: str) -> str:
    if authority.startswith("["):
        return authority[1:].partition("]")[0].partition("%")[0]
    return authority.partition(":")[0].rstrip(".")


def _port(authority: str, scheme: str) -> int:
    written = re.search(r":(\d+)$", authority)
    return int(written[1]) if written else {"http": 80, "https": 443}[scheme]


def _is_here(address: IPAddress) -> bool:
    return any(form.is_loopback or form.is_unspecified for form in _embedded(address))


def _address(host: str) -> IPAddress | None:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host)
    if not re.fullmatch(r"[0-9a-fx.]+", host):
        return None
    try:
        # inet_aton reads every spelling a browser reads: decimal, octal, hexadecimal, fewer than four parts.
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _resolve(host: str) -> list[IPAddress]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _embedded(address: IPAddress) -> list[IPAddress]:
    """The address and the IPv4 addresses it carries inside."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    forms: list[IPAddress] = [address]
    forms += [inner for inner in (address.ipv4_mapped, address.sixtofour) if inner is not None]
    if address.teredo is not None:
        forms += address.teredo
    if address in NAT64 or int(address) >> 32 == 0:
        forms.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return forms


def _forbidden(address: IPAddress) -> bool:
    return any(address in network for network in FORBIDDEN_NETWORKS)
