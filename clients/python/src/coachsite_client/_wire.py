"""One request and its retries, without any input or output of its own.

All logic of this library is written as generators that yield what is to be done (a `Request`, a `Sleep`) and are sent
what came of it. `Coach` drives them with blocking calls and `AsyncCoach` with awaited ones, so nothing is written
twice, and tests drive them with neither.
"""

from __future__ import annotations

import json
import logging
import random
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .errors import CoachError, StillWaiting, Unreachable, api_error

JSON = dict[str, Any]
T = TypeVar("T")

logger = logging.getLogger("coachsite_client")

#: Answers that say "not now": a proxy without its server behind it, a server that starts or is too busy.
NOT_NOW = frozenset({429, 502, 503, 504})
#: Seconds that an answer may take beyond the time that a long poll was asked to wait.
ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Request:
    """`path` is below `/api/v1/`; `content` is JSON; `timeout` in seconds."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    key: str | None = None
    timeout: float = ANSWER_SECONDS

    @property
    def headers(self) -> dict[str, str]:
        found = {"Accept": "application/json"}
        if self.content is not None:
            found["Content-Type"] = "application/json"
        if self.key:
            found["Idempotency-Key"] = self.key
        return found


@dataclass(frozen=True, slots=True)
class Sleep:
    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """`headers` with lower-case names."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def body(self) -> JSON:
        """The answer as a JSON object, `{}` when it is none."""
        try:
            found = json.loads(self.content)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace").strip()


@dataclass(frozen=True, slots=True)
class Trouble:
    """No answer came. Whether the request arrived is not known."""

    words: str


Effect = Request | Sleep

#: What came of an effect: of a request an answer or none, of a sleep nothing.
Answer = Reply | Trouble | None
Steps = Generator[Effect, Answer, T]


@dataclass(frozen=True, slots=True)
class Policy:
    """How trouble with the connection is borne. All times in seconds.

    `patience`: how long no answer may come in a row; None: for ever. Waits grow from `first_wait` to `longest_wait`.
    """

    patience: float | None = None
    first_wait: float = 0.2
    longest_wait: float = 5.0
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random

    def wait(self, failures: int, answer: Answer) -> float:
        """How long to wait after so many failures in a row (from 1 on): what the server says, or growing with chance.

        Chance spreads the callers that a restarted server would otherwise meet all at once.
        """
        asked = answer.headers.get("retry-after", "") if isinstance(answer, Reply) else ""
        if asked.isdecimal():
            return min(float(asked), 60.0)
        ceiling = min(self.longest_wait, self.first_wait * 2.0 ** min(failures - 1, 20))
        return ceiling * (0.5 + 0.5 * self.chance())


def encode(value: Any, what: str) -> bytes:
    """JSON, once: a retry must carry the very same bytes. Raises `CoachError` for what JSON cannot hold."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise CoachError(f"{what} is not JSON: {error}. Turn dates, decimals and the like into text.") from None


def new_key() -> str:
    return uuid.uuid4().hex


def send(policy: Policy, request: Request, *, deadline: float | None = None) -> Steps[JSON]:
    """The body of the answer to `request`, asked again through trouble. `deadline` is in the policy's clock.

    Raises `ApiError` for a refusal, `Unreachable` when patience ends, `StillWaiting` when the deadline passes first.
    """
    failures, since = 0, 0.0
    while True:
        answer = yield request
        if isinstance(answer, Reply) and answer.status not in NOT_NOW:
            if failures:
                logger.info("coachsite answers again")
            return _body(answer)
        words = f"the server answered {answer.status}" if isinstance(answer, Reply) else _words(answer)
        now = policy.clock()
        failures, since = failures + 1, since if failures else now
        if policy.patience is not None and now - since >= policy.patience:
            raise Unreachable(f"No answer from coachsite for {now - since:.0f} s: {words}.")
        if deadline is not None and now >= deadline:
            raise StillWaiting(f"The time is up, and coachsite does not answer: {words}.")
        logger.log(logging.WARNING if failures in {1, 10} else logging.DEBUG, "coachsite: %s; trying again", words)
        wait = policy.wait(failures, answer)
        yield Sleep(wait if deadline is None else max(0.0, min(wait, deadline - now)))


def _words(answer: Trouble | None) -> str:
    return answer.words if answer else "no answer"


def _body(reply: Reply) -> JSON:
    if 200 <= reply.status < 300:
        return reply.body
    raise api_error(reply.status, reply.body, reply.text)
