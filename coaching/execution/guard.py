"""Which hosts the browser of a session may visit: those of its workflow, in links, redirects and new tabs too.

While a worker is attached every document that the browser asks for is looked at before it is requested. Chromium's own
resolver holds back what is never allowed also while no worker is attached. No Django.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Collection, Iterable
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page
from playwright.sync_api import Error as PlaywrightError

from .urls import (
    RESOLVER_RULES,
    ForbiddenUrl,
    addresses_of,
    check_destination,
    host_and_port,
    is_private,
    never_opened,
)

#: Written for a person: what to do about it.
ASK_AN_OWNER = "an owner may allow it, on the page of the workflow"
#: What a tab may show that came from no server.
_EMPTY = ("about:", "chrome-error:", "blob:", "data:")
#: An IPv4 address inside an IPv6 one: as such, and as gateways translate it.
_CARRIERS = ("[::ffff:", "[64:ff9b::")
#: Spellings of private addresses for Chromium's resolver, as in `RESOLVER_RULES`.
_PRIVATE_PATTERNS = (
    # With a dot at its end it is the same name, and another pattern.
    "localhost", "localhost.", "*.localhost", "*.localhost.",
    "127.*", "0.*", "10.*", "192.168.*", *(f"172.{part}.*" for part in range(16, 32)),
    *(f"100.{part}.*" for part in range(64, 128)), "198.18.*", "198.19.*",
    "[::1]*", "[::]*", "[fc*", "[fd*", "[fe8*", "[fe9*", "[fea*", "[feb*", "[fec*",
    # The same in IPv6, as Chromium writes it: 0.*, 127.*, 10.*, 172.16.*, 192.168.*, 100.64.*, 198.18.*
    *(f"{carrier}{part}:*" for carrier in _CARRIERS
      for part in ("?", "??", "7f??", "a??", "ac1?", "c0a8", "644?", "645?", "646?", "647?", "c612", "c613")),
)  # fmt: skip


class Places:
    """Hosts as `host`, `host:port` or `*.host`; without a port, any."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._exact: set[tuple[str, int | None]] = set()
        self._below: set[tuple[str, int | None]] = set()
        for entry in entries:
            host, port = split(entry)
            if host.startswith("*."):
                self._below.add((host[1:], port))
            else:
                self._exact.add((host, port))

    def __contains__(self, place: tuple[str, int]) -> bool:
        host, port = place
        if (host, port) in self._exact or (host, None) in self._exact:
            return True
        return any(host.endswith(end) and wanted in {None, port} for end, wanted in self._below)

    @property
    def hosts(self) -> set[str]:
        """The exact ones, without ports."""
        return {host for host, _ in self._exact}


def split(entry: str) -> tuple[str, int | None]:
    """`host`, `host:port`, `[IPv6]` or `[IPv6]:port` as a pair; the host without brackets."""
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = entry.partition(":")
    return host, int(port) if port else None


def resolver_rules(allowed: Collection[str] | None) -> str:
    """Chromium's host rules for a browser that may visit `allowed`.

    A browser whose hosts are all public reaches nothing private, whatever its pages load, also while nobody looks on.
    One that works on an intranet may need its neighbours, so only its navigation is held to its hosts.
    """
    if allowed is None:
        return RESOLVER_RULES
    hosts = Places(allowed).hosts
    if any(_is_private_host(host) for host in hosts) or any(split(entry)[0].startswith("*.") for entry in allowed):
        return RESOLVER_RULES
    return ", ".join([RESOLVER_RULES, *(f"MAP {pattern} ~NOTFOUND" for pattern in _PRIVATE_PATTERNS)])


def _is_private_host(host: str) -> bool:
    return any(is_private(address) for address in addresses_of(host))


class Guard:
    """Looks at every document that the browser asks for. Lives on Playwright's thread only."""

    def __init__(self, allowed: Collection[str], *, closed_ports: Collection[int] = ()) -> None:
        self._allowed = Places(allowed)
        self._closed_ports = closed_ports
        self._natures: dict[str, tuple[bool, bool]] = {}
        #: What was refused and not told yet, in words for a coach.
        self.refused: list[str] = []

    def told(self) -> str:
        """What was refused since it was last told; a new tab may be refused when its step is long done."""
        words = " ".join(dict.fromkeys(self.refused))
        self.refused.clear()
        return words

    def watch(self, browser: Browser) -> None:
        """From now on until the browser is left: of all its tabs, those that open later too, and every redirect."""
        session = browser.new_browser_cdp_session()
        session.on("Fetch.requestPaused", lambda event: self._look(session, event))
        session.send("Fetch.enable", {"patterns": [{"resourceType": "Document", "requestStage": "Request"}]})

    def _look(self, session: CDPSession, event: dict[str, Any]) -> None:
        url = str(event["request"]["url"])
        # The browser went away meanwhile, or the request was given up: nothing is left to answer.
        with contextlib.suppress(PlaywrightError):
            whole_page = self._is_whole_page(session, event)
            try:
                self.check(url, whole_page=whole_page)
            except ForbiddenUrl as error:
                # A frame that stays empty is no trouble of the step's.
                self.refused += [str(error)] if whole_page else []
                # Given up rather than failed: the page stays as it is, for the coach to see.
                session.send("Fetch.failRequest", {"requestId": event["requestId"], "errorReason": "Aborted"})
            else:
                session.send("Fetch.continueRequest", {"requestId": event["requestId"]})

    @staticmethod
    def _is_whole_page(session: CDPSession, event: dict[str, Any]) -> bool:
        """Whether it is for a tab and not for a frame inside of one; frames of other sites are targets too."""
        targets = session.send("Target.getTargets")["targetInfos"]
        return any(each["targetId"] == event["frameId"] and each["type"] == "page" for each in targets)

    def check(self, url: str, *, whole_page: bool = True) -> None:
        """Raises `ForbiddenUrl` unless the browser may open `url`.

        A tab may show the workflow's hosts alone; a frame inside of it anything public, as pages are made today.
        """
        check_destination(url, resolve=False, closed_ports=self._closed_ports)
        place = host_and_port(url)
        if place is None:
            return
        host, port = place
        allowed = place in self._allowed
        if whole_page and not allowed:
            raise ForbiddenUrl(f"{host}:{port} is not a place that this workflow may visit: {ASK_AN_OWNER}.")
        never, private = self._nature_of(host)
        if never:
            raise ForbiddenUrl(f"{host} leads to a link-local or cloud metadata address, which is never opened.")
        if private and not allowed:
            raise ForbiddenUrl(f"{host}:{port} is a private address inside another page: {ASK_AN_OWNER}.")

    def _nature_of(self, host: str) -> tuple[bool, bool]:
        """Whether a host leads to what is never opened, and to what is private; looked up once per attachment."""
        if host not in self._natures:
            found = addresses_of(host)
            self._natures[host] = (any(map(never_opened, found)), any(map(is_private, found)))
        return self._natures[host]

    def clear_strayed(self, pages: Iterable[Page]) -> None:
        """Empties tabs that have gone elsewhere while nobody looked on."""
        for page in pages:
            if self.has_strayed(page.url):
                page.goto("about:blank")

    def has_strayed(self, url: str) -> bool:
        """Whether a tab that shows `url` is to be emptied; then it is told."""
        if url.startswith(_EMPTY):
            return False
        try:
            self.check(url)
        except ForbiddenUrl as error:
            self.refused.append(str(error))
            return True
        return False


def as_entry(host: str, port: int) -> str:
    """A place as an entry of `Places`."""
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).version == 6:
            return f"[{host}]:{port}"
    return f"{host}:{port}"
