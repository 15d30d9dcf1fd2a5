"""Waiting for a decision without a thread: on the event loop, woken by the session's news."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from .. import hub
from ..models import Suggestion
from .caller import Caller, in_thread

#: How often a client is told that the call still goes on, so that neither it nor a proxy gives up.
HEARTBEAT_SECONDS = 10.0
#: How often token and role of somebody who waits are looked at again.
RECHECK_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 24 * 60 * 60
PATIENT_SECONDS = 60 * 60
#: Below the 60 seconds after which many clients give up a call of which they hear nothing.
IMPATIENT_SECONDS = 50

Tell = Callable[[float, float, str], Awaitable[None]]


class Call(Protocol):
    """One call of a tool, as the tools see it."""

    @property
    def caller(self) -> Caller: ...

    @property
    def listens(self) -> bool:
        """Whether the client has asked to be told of progress."""

    async def tell(self, progress: float, total: float, message: str) -> None: ...


@dataclass(slots=True)
class Patience:
    """How long one call waits, told to the client and checked again on the way."""

    call: Call
    seconds: float
    _began: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    _checked: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    _told: tuple[str, float] = ("", 0.0)

    @property
    def left(self) -> float:
        return self._began + self.seconds - asyncio.get_running_loop().time()

    async def until_news(self, news: hub.Subscription, words: str) -> bool:
        """True when it is worth looking again, False when the time is up. Raises `ToolError` when the caller may not
        ask any more.
        """
        while (left := self.left) > 0:
            await self._tell(self.seconds - left, words)
            if await news.wait(min(left, HEARTBEAT_SECONDS)) or await self._checked_again():
                return True
        return False

    async def _tell(self, waited: float, words: str) -> None:
        """Says how long it has waited: at first, when the words change, and with each heartbeat."""
        before, when = self._told
        if words != before or waited - when >= HEARTBEAT_SECONDS - 1:
            self._told = words, waited
            await self.call.tell(waited, self.seconds, words)

    async def _checked_again(self) -> bool:
        """Whether it was time to look again: at who asks, and then at the row, should a wake-up have been lost."""
        now = asyncio.get_running_loop().time()
        if now - self._checked < RECHECK_SECONDS:
            return False
        await in_thread(self.call.caller.still_may)
        self._checked = now
        return True


def read_again(suggestion: Suggestion) -> Suggestion:
    """As it is now, with all that an answer is made of. Raises `DoesNotExist`."""
    return Suggestion.objects.select_related("session__workflow", "decision__session").get(pk=suggestion.pk)


async def until_answered(suggestion: Suggestion, news: hub.Subscription, patience: Patience) -> Suggestion:
    """The suggestion once it is not open any more, or as it is when the time is up."""
    words = f"Suggestion {suggestion.n} of {suggestion.session.session_id} waits for a coach."
    while suggestion.is_open and await patience.until_news(news, words):
        suggestion = await in_thread(read_again, suggestion)
    return suggestion
