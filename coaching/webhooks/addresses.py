"""Which addresses a message may be sent to: public ones, and those whose host an owner has allowed."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

#: Where clouds answer their machines with credentials, wherever these addresses count as.
METADATA = frozenset(
    map(
        ipaddress.ip_address,
        (
            "169.254.169.254",  # most clouds
            "169.254.170.2",  # containers
            "169.254.170.23",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "100.100.100.200",
            "168.63.129.16",  # looks public, and is the host of the machine
            "192.0.0.192",
        ),
    )
)
_LINK_LOCAL = (ipaddress.ip_network("169.254.0.0/16"), ipaddress.ip_network("fe80::/10"))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: Between IPv6 and IPv4 by way of somebody else's machine. Nobody serves from these any more.
_TUNNELS = tuple(map(ipaddress.ip_network, ("2002::/16", "2001::/32", "::/96", "64:ff9b:1::/48", "192.88.99.0/24")))
_PRIVATE_NAMES = ("localhost", ".localhost", ".local", ".internal", ".home.arpa", ".lan", ".intranet", ".corp")


class Refused(Exception):
    """Nothing is sent there; the text says why, for people."""


class AllowedHost(NamedTuple):
    """A host as it stands in an address, in the form of `host_of`; any port where `port` is None."""

    host: str
    port: int | None


class AllowedHosts:
    """The hosts that an owner has allowed."""

    def __init__(self, hosts: Collection[tuple[str, int | None]] = ()) -> None:
        self._hosts = {AllowedHost(*host) for host in hosts}

    def __contains__(self, place: tuple[str, int]) -> bool:
        host, port = place
        return AllowedHost(host, None) in self._hosts or AllowedHost(host, port) in self._hosts


def refuse_address(host: str, port: int, address: str, allowed: AllowedHosts) -> None:
    """Raises `Refused` unless a message to `host`, which resolves to the IP address `address`, may be sent there.

    A name that was allowed may lead to a private address, but never to one by which clouds hand out credentials, nor
    to a neighbour on the link: such an address must be allowed as such.
    """
    reached = _unwrapped(ipaddress.ip_address(address))
    if (str(reached), port) in allowed or (address, port) in allowed:
        return
    if reached in METADATA or any(reached in network for network in _LINK_LOCAL):
        raise Refused(
            f"{_named(host, address)} is for the inside of a cloud or of a network link: nothing is sent there."
        )
    if (host, port) not in allowed and not is_public(reached):
        raise Refused(
            f"{_named(host, address)} is not a public address. An owner may allow the host “{host}” for webhooks."
        )


def is_public(address: Address) -> bool:
    """Whether anybody on the internet could be meant by this address."""
    address = _unwrapped(address)
    if any(address in network for network in _TUNNELS) or address in METADATA:
        return False
    special = (
        address.is_private, address.is_loopback, address.is_link_local, address.is_multicast, address.is_reserved,
        address.is_unspecified, isinstance(address, IPv6Address) and address.is_site_local,
    )  # fmt: skip
    return address.is_global and not any(special)


def is_private_name(host: str) -> bool:
    """Whether the name alone says that it is not public: a private IP address, `localhost`, a name without a dot."""
    try:
        return not is_public(ipaddress.ip_address(host))
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE_NAMES)


def _unwrapped(address: Address) -> Address:
    """The address that packets arrive at: that of IPv4 where an IPv6 address only stands for it."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        if address.scope_id is not None:
            return IPv6Address(int(address))
    return address


def _named(host: str, address: str) -> str:
    return address if host == address else f"{host} ({address})"
