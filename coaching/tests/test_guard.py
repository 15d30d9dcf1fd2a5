"""Where the browser of a workflow may go: its own hosts, by link, redirect and new tab alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Error as PlaywrightError
from rest_framework.test import APIClient

from coaching.actions.destinations import checked_hosts
from coaching.actions.sessions import start_session
from coaching.actions.workflow_changes import change_workflow
from coaching.actions.workflows import create_workflow
from coaching.exceptions import InvalidInput
from coaching.execution.browser import SessionBrowser, attach, default_thread
from coaching.execution.chromium import FLAGS, find_chromium, stop_chromium
from coaching.execution.destinations import destinations_of
from coaching.execution.guard import Guard, Places, resolver_rules
from coaching.execution.urls import RESOLVER_RULES, ForbiddenUrl, IPAddress, addresses_of, host_and_port
from coaching.models import AuditEntry, Workflow
from coaching.tests.browser_pages import VIEWPORT, Site, serve

# ---- without a browser


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://Example.org/a?b#c", ("example.org", 443)),
        ("http://example.org:8080", ("example.org", 8080)),
        ("http://user:word@example.org/", ("example.org", 80)),
        ("http:\\\\example.org\\x", ("example.org", 80)),
        ("http://0x7f.1/", ("127.0.0.1", 80)),
        ("http://[::1]:3000/", ("::1", 3000)),
        ("https://bücher.example/", ("xn--bcher-kva.example", 443)),
        ("about:blank", None),
        ("file:///etc/passwd", None),
        ("{{ site }}/claims", None),
        ("", None),
    ],
)
def test_places_are_read_as_a_browser_reads_them(url: str, place: tuple[str, int] | None) -> None:
    assert host_and_port(url) == place


def test_what_entries_allow() -> None:
    places = Places(["example.org:443", "any.example", "*.below.example", "[::1]:8000", "*.ports.example:8443"])
    for place in (("example.org", 443), ("any.example", 1), ("any.example", 443), ("a.below.example", 80),
                  ("a.b.below.example", 80), ("::1", 8000), ("x.ports.example", 8443)):  # fmt: skip
        assert place in places, place
    for place in (("example.org", 80), ("sub.example.org", 443), ("below.example", 80), ("notbelow.example", 80),
                  ("::1", 80), ("x.ports.example", 443), ("any.example.evil", 443)):  # fmt: skip
        assert place not in places, place


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """What names lead to, without asking anybody."""
    known = {"app.corp": "10.1.2.3", "public.example": "93.184.216.34", "trap.example": "169.254.169.254",
             "cdn.example": "93.184.216.35", "inside.example": "192.168.0.9"}  # fmt: skip

    def looked_up(host: str) -> list[IPAddress]:
        if host in known:
            return addresses_of(known[host])
        return addresses_of(host) if ":" in host or host.replace(".", "").isdigit() else []

    monkeypatch.setattr("coaching.execution.guard.addresses_of", looked_up)


@pytest.mark.usefixtures("names")
class TestRules:
    def test_a_tab_shows_the_workflow_s_hosts_alone(self) -> None:
        rules = Guard(["public.example:443"])
        rules.check("https://public.example/deep/path")
        rules.check("about:blank")
        for url in ("https://cdn.example/", "http://public.example/", "https://10.0.0.1/", "http://localhost/",
                    "https://public.example.evil.example/", "https://public.example@evil.example/"):  # fmt: skip
            with pytest.raises(ForbiddenUrl, match="not a place that this workflow may visit"):
                rules.check(url)

    def test_other_schemes_are_never_opened(self) -> None:
        for url in (
            "file:///etc/passwd",
            "ftp://public.example/",
            "chrome://settings",
            "view-source:https://x.example",
        ):
            with pytest.raises(ForbiddenUrl):
                Guard(["public.example"]).check(url)

    def test_a_frame_shows_anything_public_and_nothing_private(self) -> None:
        rules = Guard(["public.example:443"])
        rules.check("https://cdn.example/frame", whole_page=False)
        for url in ("http://10.0.0.1/", "http://inside.example/", "http://127.0.0.1:8000/", "http://[::1]/"):
            with pytest.raises(ForbiddenUrl, match="private"):
                rules.check(url, whole_page=False)

    def test_private_places_are_for_those_whose_they_are(self) -> None:
        rules = Guard(["app.corp:8080"])
        rules.check("http://app.corp:8080/")
        rules.check("http://app.corp:8080/frame", whole_page=False)
        with pytest.raises(ForbiddenUrl):
            rules.check("http://app.corp:22/")

    @pytest.mark.parametrize("host", ["169.254.169.254", "trap.example", "100.100.100.200", "[fe80::1]"])
    def test_metadata_is_never_opened_allowed_or_not(self, host: str) -> None:
        with pytest.raises(ForbiddenUrl, match="never opened"):
            Guard([host]).check(f"http://{host}/latest/meta-data/")
        with pytest.raises(ForbiddenUrl, match="never opened"):
            Guard(["public.example"]).check(f"http://{host}/", whole_page=False)

    def test_a_browser_of_public_sites_resolves_nothing_private(self) -> None:
        strict = resolver_rules(["public.example:443"])
        assert strict.startswith(RESOLVER_RULES)
        for pattern in ("10.*", "localhost.", "100.64.*", "[::ffff:ac1?:*", "[64:ff9b::a??:*"):
            assert f"MAP {pattern} ~NOTFOUND" in strict
        for intranet in (["app.corp:80"], ["127.0.0.1:8000"], ["public.example", "*.corp"], None):
            assert resolver_rules(intranet) == RESOLVER_RULES


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (["Example.ORG", "example.org:8443", "*.example.org"], ["*.example.org", "example.org", "example.org:8443"]),
        (["bücher.example"], ["xn--bcher-kva.example"]),
        (["[::1]:8000", "10.0.0.5"], ["10.0.0.5", "[::1]:8000"]),
        (["a.example", "A.example."], ["a.example"]),
        ([], []),
    ],
)
def test_how_hosts_are_kept(typed: list[str], kept: list[str]) -> None:
    assert checked_hosts(typed) == kept


@pytest.mark.parametrize(
    "typed",
    ["*", "*.org", "*.*", "https://example.org", "example.org/path", "a b", "example.org:0", "example.org:70000",
     "user@example.org", "*.10.0.0.1", "ex*mple.org", "[::1", "", ":80"],
)  # fmt: skip
def test_what_is_no_host_or_too_much(typed: str) -> None:
    with pytest.raises(InvalidInput):
        checked_hosts([typed])


# ---- which hosts are a workflow's own


@pytest.fixture
def workflow(owner: User) -> Workflow:
    steps = [
        {"node_id": "open", "action": {"type": "navigate", "url": "{{ site }}/claims"}},
        {"node_id": "sign-in", "action": {
            "type": "click", "selectors": [["#in"]], "offsetX": 1, "offsetY": 1,
            "assertedEvents": [{"type": "navigation", "url": "https://login.example.org/x"}]}},
        {"node_id": "tab", "action": {
            "type": "click", "selectors": [["#b"]], "offsetX": 1, "offsetY": 1, "target": "https://help.example.org:8443/"}},
        {"node_id": "other", "action": {"type": "navigate", "url": "{{ other }}"}},
    ]  # fmt: skip
    made = create_workflow(workflow_id="claims", name="Claims", executor="browser", steps=steps, by=owner)
    made.variables.create(name="site", label="Site", default="http://app.example.org:8080")
    made.variables.create(name="other", label="Other", default="")
    return made


def test_the_hosts_of_its_steps_and_what_an_owner_adds(workflow: Workflow, owner: User, coach: User) -> None:
    change_workflow(workflow, allowed_hosts=["*.sso.example"], by=owner)
    typed = {"site": "http://evil.example", "other": "http://evil.example"}
    session = start_session(workflow, by=coach, variables=typed)
    places = Places(destinations_of(session))
    for place in (("app.example.org", 8080), ("app.example.org", 443), ("login.example.org", 443),
                  ("help.example.org", 8443), ("a.sso.example", 443)):  # fmt: skip
        assert place in places, place
    # What a coach types into a variable opens nothing.
    assert ("evil.example", 80) not in places


def test_owners_say_it_on_a_page(workflow: Workflow, owner: User, sign_in: Callable[[User], Client]) -> None:
    address = reverse("hosts-edit", args=[workflow.workflow_id])
    client = sign_in(owner)
    assert "may" not in client.get(address).content.decode().partition("<textarea")[2].partition("</textarea>")[0]
    assert client.post(address, {"hosts": "sso.example\n*.intra.example:8443"}).status_code == 302
    workflow.refresh_from_db()
    assert workflow.allowed_hosts == ["*.intra.example:8443", "sso.example"]
    assert "sso.example" in client.get(workflow.get_absolute_url()).content.decode()
    refused = client.post(address, {"hosts": "https://all/of/it"})
    assert refused.status_code == 400
    assert "is no host" in refused.content.decode()
    assert "https://all/of/it" in refused.content.decode()
    entry = AuditEntry.objects.filter(what="workflow_edited").order_by("-pk")[0]
    assert (entry.actor, entry.details["allowed_hosts"]) == ("olga", ["*.intra.example:8443", "sso.example"])


def test_and_over_the_api_and_in_the_admin(
    workflow: Workflow, owner: User, api: Callable[[User], APIClient], sign_in: Callable[[User], Client]
) -> None:
    address = f"/api/v1/workflows/{workflow.workflow_id}/"
    answer = api(owner).patch(address, {"allowed_hosts": ["SSO.example"]})
    assert answer.json()["allowed_hosts"] == ["sso.example"]
    wrong = api(owner).patch(address, {"allowed_hosts": ["*"]})
    assert (wrong.status_code, wrong.json()["errors"][0]["attr"]) == (400, "allowed_hosts")
    User.objects.filter(pk=owner.pk).update(is_staff=True)
    page = f"/admin/coaching/workflow/{workflow.pk}/change/"
    inlines = {f"variables-{name}": "0" for name in ("TOTAL_FORMS", "INITIAL_FORMS")}
    form = {"name": "Claims", "description": "", "allowed_hosts": "one.example\ntwo.example", **inlines}
    assert sign_in(owner).post(page, form).status_code == 302
    workflow.refresh_from_db()
    assert workflow.allowed_hosts == ["one.example", "two.example"]
    assert "would allow too much" in sign_in(owner).post(page, form | {"allowed_hosts": "*.org"}).content.decode()


# ---- in the browser


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as running:
        yield running


@pytest.fixture
def elsewhere() -> Iterator[Site]:
    with serve() as running:
        running.pages |= dict.fromkeys(("/", "/link", "/popup", "/posted", "/late", "/framed"), "<h1>Elsewhere</h1>")
        yield running


@pytest.fixture
def profile(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "profile"
    yield folder
    stop_chromium(folder)


@pytest.fixture
def browser(site: Site, profile: Path) -> Iterator[SessionBrowser]:
    with opened(site, profile) as attached:
        yield attached


def opened(site: Site, profile: Path) -> Any:
    allowed = [site.origin.removeprefix("http://")]
    return attach(profile, chromium=find_chromium(None), viewport=VIEWPORT, allowed=allowed)


def go(browser: SessionBrowser, url: str) -> Any:
    return browser.perform({"type": "navigate", "url": url}, timeout_ms=3000)


def click(browser: SessionBrowser, name: str) -> Any:
    action = {"type": "click", "selectors": [[f"aria/{name}"]], "offsetX": 2, "offsetY": 2}
    return browser.perform(action, browser.locate(action, timeout_ms=3000), timeout_ms=3000)


@pytest.mark.browser
class TestInTheBrowser:
    def test_its_own_hosts_are_opened(self, browser: SessionBrowser, site: Site) -> None:
        site.pages |= {"/": "<a href=/next>Next</a>", "/next": "<h1>There</h1>"}
        assert go(browser, f"{site.origin}/").ok
        assert click(browser, "Next").ok
        assert browser.url == f"{site.origin}/next"

    def test_a_step_leads_nowhere_else(self, browser: SessionBrowser, site: Site, elsewhere: Site) -> None:
        site.pages["/"] = "<h1>Here</h1>"
        go(browser, f"{site.origin}/")
        done = go(browser, f"{elsewhere.origin}/")
        assert not done.ok
        assert "not a place that this workflow may visit" in str(done.reason)
        assert browser.url == f"{site.origin}/"
        assert not elsewhere.visits

    def test_nor_does_a_redirect(self, browser: SessionBrowser, site: Site, elsewhere: Site) -> None:
        site.redirects["/away"] = f"{elsewhere.origin}/link"
        done = go(browser, f"{site.origin}/away")
        assert not done.ok
        assert "may visit" in str(done.reason)
        assert not elsewhere.visits

    @pytest.mark.parametrize(
        "markup",
        [
            "<a href={there}/link>Go</a>",
            "<a href={there}/popup target=_blank>Go</a>",
            "<button onclick=\"window.open('{there}/popup')\">Go</button>",
            "<button onclick=\"location='{there}/link'\">Go</button>",
            "<form method=post action={there}/posted><button>Go</button></form>",
            "<form action=/away><button>Go</button></form>",
        ],
    )
    def test_nor_a_page(self, browser: SessionBrowser, site: Site, elsewhere: Site, markup: str) -> None:
        site.pages["/"] = markup.format(there=elsewhere.origin)
        site.redirects["/away"] = f"{elsewhere.origin}/link"
        go(browser, f"{site.origin}/")
        done = click(browser, "Go")
        default_thread().run(lambda: browser._tabs.pause(300))
        assert not elsewhere.visits
        # The new tab may be refused after its step is done; then the next question tells.
        assert "may visit" in f"{done.reason} {browser.refused()}"
        assert "Elsewhere" not in default_thread().run(
            lambda: " ".join(page.content() for page in browser._tabs.open_pages())
        )

    @pytest.mark.parametrize("how", ["prefetch", "prerender"])
    def test_nor_what_a_page_has_loaded_in_advance(
        self, browser: SessionBrowser, site: Site, elsewhere: Site, how: str
    ) -> None:
        """Chromium shows it without asking for it again."""
        there = f"{elsewhere.origin.replace('127.0.0.1', 'localhost')}/link"
        rules = f'{{"{how}": [{{"source": "list", "urls": ["{there}"], "eagerness": "immediate"}}]}}'
        site.pages["/"] = f"<script type=speculationrules>{rules}</script><a href={there}>Go</a>"
        go(browser, f"{site.origin}/")
        default_thread().run(lambda: browser._tabs.pause(1000))
        assert elsewhere.visits, "nothing was loaded in advance: this shows nothing"
        done = click(browser, "Go")
        default_thread().run(lambda: browser._tabs.pause(300))
        assert "may visit" in f"{done.reason} {browser.refused()}"
        assert browser.url == "about:blank"

    def test_what_comes_from_outside_loads_nothing_from_inside(
        self, site: Site, elsewhere: Site, profile: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By a name that leads there, too, which no pattern holds back: Chromium tells where an answer comes from."""
        outside = f"--ip-address-space-overrides={site.origin.removeprefix('http://')}=public"
        monkeypatch.setattr("coaching.execution.chromium.FLAGS", (*FLAGS, outside))
        there = elsewhere.origin.replace("127.0.0.1", "localhost")
        site.pages["/"] = (
            f"<img src={there}/><script src={there}/></script><iframe src={there}/></iframe><link rel=stylesheet href={there}/>"
            f"<script>fetch('{there}/', {{mode: 'no-cors'}}); navigator.sendBeacon('{there}/', 'x');"
            f"new WebSocket('{there}/'.replace('http', 'ws'))</script>"
        )
        with opened(site, profile) as browser:
            assert go(browser, f"{site.origin}/").ok
            default_thread().run(lambda: browser._tabs.pause(1000))
        assert not elsewhere.visits

    def test_a_private_frame_stays_empty_and_is_no_trouble(
        self, browser: SessionBrowser, site: Site, elsewhere: Site
    ) -> None:
        site.pages["/"] = f"<iframe src={elsewhere.origin}/framed></iframe><h1>Here</h1>"
        assert go(browser, f"{site.origin}/").ok
        assert not elsewhere.visits

    def test_a_tab_that_strayed_unseen_is_emptied_and_told(self, site: Site, elsewhere: Site, profile: Path) -> None:
        site.pages["/"] = f"<script>setTimeout(() => location = '{elsewhere.origin}/late', 700)</script><h1>Here</h1>"
        with opened(site, profile) as browser:
            assert go(browser, f"{site.origin}/").ok
        deadline = 100
        while not elsewhere.visits and deadline:
            deadline -= 1
            time.sleep(0.05)
        with opened(site, profile) as browser:
            assert browser.url == "about:blank"
            assert "may visit" in browser.refused()
            assert browser.refused() == ""

    def test_without_a_list_all_is_as_it_was(self, elsewhere: Site, profile: Path) -> None:
        with attach(profile, chromium=find_chromium(None), viewport=VIEWPORT) as browser:
            assert go(browser, f"{elsewhere.origin}/").ok

    def test_a_public_workflow_s_browser_never_reaches_this_machine(self, elsewhere: Site, profile: Path) -> None:
        """Not even by what its pages load, and not while nobody looks on: Chromium itself resolves nothing private."""
        allowed = ["93.184.216.34:443"]
        with attach(profile, chromium=find_chromium(None), viewport=VIEWPORT, allowed=allowed) as browser:

            def load() -> str:
                page = browser._tabs.main
                try:
                    page.evaluate("url => fetch(url, {mode: 'no-cors'}).then(() => 'loaded')", f"{elsewhere.origin}/")
                except PlaywrightError as error:
                    return str(error)
                return "loaded"

            assert "Failed to fetch" in default_thread().run(load)
            for host in ("localhost", "127.1", "[::ffff:127.0.0.1]", "0.0.0.0", "a.localhost", "localhost.",
                         "a.localhost.", "[::ffff:0.0.0.0]", "2130706433"):  # fmt: skip
                port = elsewhere.origin.rpartition(":")[2]
                default_thread().run(
                    lambda url: browser._tabs.main.evaluate(
                        "url => fetch(url, {mode: 'no-cors'}).then(() => 'loaded', () => 'refused')", url
                    ),
                    f"http://{host}:{port}/",
                )
        assert not elsewhere.visits
