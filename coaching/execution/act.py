"""One action under way, and why it could not be done, in a coach's words."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import ElementHandle, Frame, Page
from playwright.sync_api import Error as PlaywrightError

from .locate import Located
from .tabs import HELPERS, Tabs, context_gone


class Refused(Exception):
    """The action was not done, or did not lead where it should; the message is for the coach.

    `uncertain`: it may have been done. `gone`: the element vanished before anything was done to it.
    """

    def __init__(self, words: str, *, uncertain: bool = False, gone: bool = False) -> None:
        super().__init__(words)
        self.uncertain = uncertain
        self.gone = gone


@dataclass(frozen=True)
class Act:
    """One action under way. `deadline` is in monotonic seconds."""

    tabs: Tabs
    action: Mapping[str, Any]
    located: Located
    page: Page
    limit_ms: int
    deadline: float

    @property
    def left_ms(self) -> float:
        """Milliseconds until the deadline, at least 1: Playwright reads 0 as “for ever”."""
        return max(1.0, (self.deadline - time.monotonic()) * 1000)

    @property
    def late(self) -> bool:
        return time.monotonic() >= self.deadline

    @property
    def limit_words(self) -> str:
        return f"{self.limit_ms / 1000:g} seconds"

    @property
    def name(self) -> str:
        """The target, as a coach would call it."""
        if self.located.name:
            return f"“{self.located.name}”"
        selectors = self.action.get("selectors") or []
        first = selectors[0] if selectors else ""
        last = first if isinstance(first, str) else first[-1]
        plain = last.partition("/")[2] if last.startswith(("aria/", "text/")) else last
        return f"“{plain.partition('[role=')[0] or plain}”" if last else "The element"

    def frame(self) -> Frame:
        return self.tabs.frame_for(self.action, self.deadline)

    def element(self) -> ElementHandle:
        """The target. Raises `Refused` if there is none, or none any more."""
        if not self.located.has_target:
            raise Refused("The step does not say which element it is about.")
        element = self.located.element()
        if element is None:
            raise Refused(f"{self.name} vanished from the page before it could be used.", gone=True)
        return element


def refusal(act: Act, element: ElementHandle, error: PlaywrightError) -> Refused:
    """Why Playwright could not act on the element; lets `error` through when the page or the browser went away."""
    if "performing" in error.message and "action" in error.message.rpartition("performing")[2][:40]:
        return Refused(f"{act.name} was used, but the page did not answer in {act.limit_words}.", uncertain=True)
    try:
        facts = element.evaluate(f"element => {HELPERS}.diagnose(element)")
    except PlaywrightError as gone:
        if context_gone(gone):
            return Refused(f"The page moved on before {act.name} could be used.", gone=True)
        raise error from None
    if not facts["attached"]:
        return Refused(f"{act.name} vanished from the page before it could be used.", gone=True)
    reasons = {
        "is disabled": facts["disabled"],
        "is not visible any more": not facts["visible"],
        f"is covered by “{facts['cover']}”": facts["cover"] is not None,
        "can only be read, not changed": facts["readonly"],
        f"could not be used within {act.limit_words}: it moves, or does not take input": True,
    }
    return Refused(f"{act.name} {next(words for words, holds in reasons.items() if holds)}.")
