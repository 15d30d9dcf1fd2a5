"""Where the executor may go, and when two addresses are the same page."""

from __future__ import annotations

import pytest

from coaching.execution.urls import ForbiddenUrl, check_destination, same_place


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/claims?x=1",
        "http://localhost:8000/",
        "http://127.0.0.1:9/",
        "http://10.1.2.3/",
        "http://192.168.0.10:8080/a",
        "http://[::1]:3000/",
        "HTTP://Example.ORG",
        "about:blank",
        "http://user:pass@example.org/",
    ],
)
def test_ordinary_and_private_addresses_are_allowed(url: str) -> None:
    check_destination(url, resolve=False)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "chrome://settings",
        "javascript:alert(1)",
        " java\tscript:alert(1)",
        "data:text/html,hi",
        "view-source:http://example.org/",
        "about:config",
        "ftp://example.org/",
        "blob:http://example.org/1",
        "devtools://x",
        "",
        "example.org/claims",
        "http://",
        "https:///",
    ],
)
def test_other_schemes_and_broken_addresses_are_refused(url: str) -> None:
    with pytest.raises(ForbiddenUrl):
        check_destination(url, resolve=False)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.1.1",
        "2852039166",
        "0xA9FEA9FE",
        "0xa9.0xfe.0xa9.0xfe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "169.254.169.254.",
        "user@169.254.169.254",
        "%31%36%39.254.169.254",
        "１６９.254.169.254",
        "169。254。169。254",
        "100.100.100.200",
        "[fd00:ec2::254]",
        "[fd00:0ec2:0:0:0:0:0:254]",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[::169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::]",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "metadata.google.internal",
        "METADATA.google.internal.",
    ],
)
@pytest.mark.parametrize("form", ["http://{}/latest/meta-data", "http:\\\\{}\\", "https:/{}:80", "http:{}"])
def test_metadata_services_are_refused_in_every_spelling(host: str, form: str) -> None:
    with pytest.raises(ForbiddenUrl):
        check_destination(form.format(host), resolve=False)


def test_a_name_is_looked_up() -> None:
    check_destination("http://localhost/", resolve=True)
    check_destination("http://no-such-host.invalid/", resolve=True)


def test_a_refusal_says_why() -> None:
    with pytest.raises(ForbiddenUrl, match="start with “file:”"):
        check_destination("file:///etc/passwd")


@pytest.mark.parametrize(
    ("url", "asserted", "same"),
    [
        ("http://a/claims/17/", "http://b:8000/claims/4", True),
        ("http://a/claims/?page=2", "http://a/claims/", True),
        ("http://a", "http://a/", True),
        ("http://a/login", "http://a/claims/", False),
        ("http://a/#/inbox/3", "http://a/#/inbox/12", True),
        ("http://a/#/inbox", "http://a/#/sent", False),
        ("http://a/#top", "http://a/", True),
        ("http://a/f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "http://a/00000000-7dec-11d0-a765-00a0c91e6bf6", True),
        ("http://a/new", "http://a/1", False),
    ],
)
def test_same_place_ignores_live_numbers(url: str, asserted: str, same: bool) -> None:
    assert same_place(url, asserted) is same
