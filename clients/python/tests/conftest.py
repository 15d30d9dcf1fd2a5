"""One live site for all tests of the client: each test has a workflow of its own in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from coachsite_client import Coach

from coaching.tests.live import LiveSite

from .support import Answer, Decider, client_site, token_of


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    with client_site(tmp_path_factory.mktemp("client-site")) as site:
        yield site


@pytest.fixture(scope="session")
def token(site: LiveSite) -> str:
    return token_of(site)


@pytest.fixture
def coach(site: LiveSite, token: str) -> Iterator[Coach]:
    with Coach(site.url, token) as coach:
        yield coach


@pytest.fixture
def workflow(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[:100].strip("-").lower()


@pytest.fixture
def deciding(site: LiveSite, token: str, workflow: str) -> Callable[..., Decider]:
    """`with deciding("accept", {"decision": "reject", …}):` answers the questions of this test's workflow in order."""

    def decider(*answers: Answer) -> Decider:
        return Decider(site, token, workflow, answers)

    return decider
