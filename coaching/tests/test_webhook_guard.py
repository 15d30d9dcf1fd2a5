"""Where webhooks may go: public addresses, and what an owner has allowed. No database, and nothing outside is reached."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coaching.webhooks import (
    METADATA,
    AllowedHosts,
    BadAddress,
    Letter,
    Limits,
    Refused,
    check_url,
    host_of,
    is_private_name,
    origin_of,
    refuse_address,
    send,
)
from coaching.webhooks.addresses import is_public

from .webhook_receiver import webhook_receiver

NOBODY = AllowedHosts()
LIMITS = Limits(connect=2, whole=4)

PUBLIC = [
    "8.8.8.8", "1.1.1.1", "93.184.216.34", "172.32.0.1", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e",
    "::ffff:8.8.8.8", "64:ff9b::808:808",
]  # fmt: skip
PRIVATE = [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "0.0.0.0",
    "0.1.2.3", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "240.0.0.1", "255.255.255.255", "224.0.0.1",
    "239.255.255.250", "192.88.99.1", "::1", "::", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "2001:db8::1",
    "2001:0:4136:e378::1", "2002:7f00:1::1", "2002:808:808::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::808:808",
]  # fmt: skip
INSIDE = ["169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"]
INSIDE += sorted(map(str, METADATA))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached(address: str) -> None:
    refuse_address("example.org", 443, address, NOBODY)


@pytest.mark.parametrize("address", [*PRIVATE, *INSIDE])
def test_all_others_are_refused(address: str) -> None:
    with pytest.raises(Refused):
        refuse_address("example.org", 443, address, NOBODY)


@pytest.mark.parametrize("address", PRIVATE)
def test_an_allowed_name_may_be_private(address: str) -> None:
    refuse_address("robot.internal", 8443, address, AllowedHosts([("robot.internal", 8443)]))
    refuse_address("robot.internal", 8443, address, AllowedHosts([("robot.internal", None)]))
    for other in (("robot.internal", 80), ("other.internal", None)):
        with pytest.raises(Refused):
            refuse_address("robot.internal", 8443, address, AllowedHosts([other]))


@pytest.mark.parametrize("address", INSIDE)
def test_an_allowed_name_never_leads_to_credentials(address: str) -> None:
    with pytest.raises(Refused, match="inside of a cloud"):
        refuse_address("metadata.internal", 80, address, AllowedHosts([("metadata.internal", None)]))


def test_an_address_may_be_allowed_as_such() -> None:
    allowed = AllowedHosts([("169.254.169.254", 80), ("10.0.0.7", None)])
    refuse_address("169.254.169.254", 80, "169.254.169.254", allowed)
    refuse_address("metadata.internal", 80, "::ffff:169.254.169.254", allowed)
    refuse_address("robot.internal", 8443, "10.0.0.7", allowed)
    for address, port in (("169.254.169.254", 81), ("169.254.170.2", 80), ("10.0.0.8", 80)):
        with pytest.raises(Refused):
            refuse_address(address, port, address, allowed)


@given(st.ip_addresses())
def test_what_counts_as_public_is_never_special(address: Any) -> None:
    if is_public(address):
        mapped = getattr(address, "ipv4_mapped", None) or address
        assert mapped.is_global or mapped in ipaddress.ip_network("64:ff9b::/96")
        assert not (mapped.is_private and mapped not in ipaddress.ip_network("64:ff9b::/96"))
        assert not mapped.is_multicast


@pytest.mark.parametrize(
    "host",
    ["localhost", "a.localhost", "intranet", "printer.local", "db.internal", "127.0.0.1", "10.1.1.1", "::1", "fd00::1"],
)
def test_names_that_say_themselves_that_they_are_private(host: str) -> None:
    assert is_private_name(host)


@pytest.mark.parametrize("host", ["example.org", "hooks.example.co.uk", "8.8.8.8", "2606:4700::1111"])
def test_names_that_do_not(host: str) -> None:
    assert not is_private_name(host)


class TestUrl:
    @pytest.mark.parametrize(
        ("url", "origin"),
        [
            ("https://Example.ORG/hook?x=1", ("https", "example.org", 443)),
            ("http://example.org.:8080", ("http", "example.org", 8080)),
            ("https://[FD00:0::1]:99/", ("https", "fd00::1", 99)),
            ("http://127.0.0.1/", ("http", "127.0.0.1", 80)),
        ],
    )
    def test_leads_to(self, url: str, origin: tuple[str, str, int]) -> None:
        assert origin_of(url) == origin

    @pytest.mark.parametrize(
        "url",
        [
            "", "example.org", "//example.org/", "ftp://example.org/", "file:///etc/passwd", "https://", "https:///x",
            "https://user@example.org/", "https://user:word@example.org/", "https://example.org/#part",
            "https://exa mple.org/", "https://example.org/\n", "https://example.org\\@127.0.0.1/", "https://exämple.org/",
            "https://example.org:0/", "https://example.org:99999/", "https://example.org:x/", "https://[::1/",
            "https://[fe80::1%25eth0]/", "https://exa$mple.org/", "https://" + "a" * 300 + ".org/",
            "https://example.org/" + "a" * 2000, "https://.../", "gopher://127.0.0.1:6379/_x",
        ],
    )  # fmt: skip
    def test_cannot_be(self, url: str) -> None:
        with pytest.raises(BadAddress):
            check_url(url)

    def test_hosts_have_one_form(self) -> None:
        assert host_of(" [FD00:0:0::1] ") == "fd00::1"
        assert host_of("Robot.Internal.") == "robot.internal"
        assert host_of("bücher.example") == "xn--bcher-kva.example"

    @given(st.text())
    def test_any_text_is_an_address_or_refused(self, text: str) -> None:
        for candidate in (text, f"https://{text}", f"http://{text}/x"):
            try:
                host = origin_of(candidate).host
            except BadAddress:
                continue
            assert host == host_of(host)


class TestConnecting:
    """What is looked up, checked and connected to is one and the same."""

    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"]
    )
    def test_this_machine_is_never_reached_by_any_spelling(self, host: str) -> None:
        with webhook_receiver() as receiver:
            answer = send(Letter(f"http://{host}:{receiver.port}/", {}, b"{}"), NOBODY, LIMITS)
        assert not receiver.received
        assert answer.status is None
        assert answer.refused
        assert "is not a public address" in answer.error

    def test_an_allowed_host_is_reached(self) -> None:
        with webhook_receiver() as receiver:
            allowed = AllowedHosts([("localhost", receiver.port)])
            answer = send(Letter(f"http://localhost:{receiver.port}/", {}, b"{}"), allowed, LIMITS)
            assert answer.delivered
        assert receiver.received[0].headers["host"] == f"localhost:{receiver.port}"

    def test_one_private_address_among_public_ones_is_enough(self, monkeypatch: pytest.MonkeyPatch) -> None:
        names = Names({"two-faced.example": [["93.184.216.34", "127.0.0.1"]]}, monkeypatch)
        with webhook_receiver() as receiver:
            answer = send(Letter(f"http://two-faced.example:{receiver.port}/", {}, b"{}"), NOBODY, LIMITS)
        assert answer.refused
        assert not receiver.received
        assert names.asked == ["two-faced.example"]

    def test_a_name_is_looked_up_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A name that changes its address between the check and the connection (DNS rebinding) gains nothing."""
        names = Names({"turning.example": [["127.0.0.1"], ["169.254.169.254"]]}, monkeypatch)
        with webhook_receiver() as receiver:
            allowed = AllowedHosts([("turning.example", None)])
            url = f"http://turning.example:{receiver.port}/"
            assert send(Letter(url, {}, b"{}"), allowed, LIMITS).delivered
            assert names.asked == ["turning.example"]
            assert send(Letter(url, {}, b"{}"), allowed, LIMITS).refused
        assert len(receiver.received) == 1

    def test_the_next_address_is_tried_when_one_does_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Names({"many.example": [["127.0.0.9", "127.0.0.1"]]}, monkeypatch)
        with webhook_receiver() as receiver:
            url = f"http://many.example:{receiver.port}/"
            assert send(Letter(url, {}, b"{}"), AllowedHosts([("many.example", None)]), LIMITS).delivered

    def test_a_name_that_nobody_knows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Names({}, monkeypatch)
        answer = send(Letter("https://nobody.example/", {}, b"{}"), NOBODY, LIMITS)
        assert not answer.refused
        assert answer.error.startswith("It could not be sent: ")

    def test_proxies_of_the_environment_are_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with webhook_receiver() as proxy, webhook_receiver() as receiver:
            for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            assert send(Letter(receiver.url, {}, b"{}"), AllowedHosts([("127.0.0.1", None)]), LIMITS).delivered
        assert not proxy.received


class Names:
    """What the machine's resolver answers: to each question about a name the next list of addresses."""

    def __init__(self, known: dict[str, list[list[str]]], monkeypatch: pytest.MonkeyPatch) -> None:
        self.known, self.asked, self.real = known, list[str](), socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self.answer)

    def answer(self, host: str, port: int, *arguments: Any, **options: Any) -> Any:
        if not host.endswith(".example"):
            return self.real(host, port, *arguments, **options)
        self.asked.append(host)
        if not self.known.get(host):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        addresses = self.known[host].pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]
