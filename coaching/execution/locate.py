"""Which element of the page a recorded action means: exactly one, or a question in a coach's words.

`locate.js` decides inside the page, in one call; here are the waiting across navigations and the words. The rules:

* every recorded selector is tried; those that find something must agree (one control, or one inside the other);
* the most trusted selector that finds something must find exactly one element. Trust falls from test id, role and
  name, label, placeholder, text, CSS id to attributes and classes; positions (`nth-child`, bare tags, indices) and ids
  that look generated never suffice alone;
* an element that no longer bears the recorded name is a question, whatever else finds it;
* a count in brackets in a name is live data (`cart (3)` is `cart (4)`); other digits may differ only when a test id
  or CSS id without digits says it is the same element, for `Delete 17` and `Delete 18` are two things.

A candidate's selector, given back alone as `[[selector]]`, is found by the same rules. Where nothing but the position
distinguishes an element, its path ends in `:not(coach-pick)`: always true for any CSS engine, and the sign that a
person chose that path knowingly.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any

from playwright.sync_api import ElementHandle, Frame
from playwright.sync_api import Error as PlaywrightError

from .tabs import HELPERS, TabMissing, Tabs, context_gone
from .text import clean

DEFAULT_TIMEOUT_MS = 5_000
TIMEOUT_BOUNDS_MS = (1, 30_000)
#: A question must have stood this long before it is asked: pages move while they load.
PATIENCE_MS = 1_000
WITHOUT_TARGET = frozenset(
    {
        "navigate",
        "setViewport",
        "close",
        "emulateNetworkConditions",
        "waitForElement",
        "waitForExpression",
        "customStep",
    }
)


@dataclass(frozen=True)
class Box:
    """A rectangle in CSS pixels from the top left corner of the viewport."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Candidate:
    """An element that may be meant; `selector` alone finds it again."""

    selector: str
    description: str
    box: Box


@dataclass(frozen=True)
class Located:
    """Where an action's target is, or the question it raises.

    `certainty` is 0 to 1: the trust of the best selector, lowered by the share of selectors that find nothing; 1 for
    an action that needs no target. The element is at hand only within the attachment that found it.
    """

    found: bool
    selector: str | None = None
    box: Box | None = None
    candidates: tuple[Candidate, ...] = ()
    problem: str | None = None
    certainty: float = 0.0
    name: str = ""
    #: Whether where in the element one clicks makes no difference.
    plain: bool = True
    #: Whether it is a field for passwords, whatever it is called.
    password: bool = False
    #: Whether its label lies over it and takes the clicks meant for it.
    by_label: bool = False
    #: For `change`: what kind of field it is, as `field` of locate.js tells it.
    field: Mapping[str, Any] | None = None
    #: With these the page hands out the element that was found.
    frame: Frame | None = dataclass_field(default=None, repr=False, compare=False)
    token: str | None = dataclass_field(default=None, repr=False, compare=False)

    def as_target(self) -> dict[str, Any]:
        """`{found, selector, box, candidates}` of the contract."""
        return {
            "found": self.found,
            "selector": self.selector,
            "box": vars(self.box) if self.box else None,
            "candidates": [{**vars(one), "box": vars(one.box)} for one in self.candidates],
        }

    @property
    def has_target(self) -> bool:
        return self.frame is not None

    def element(self) -> ElementHandle | None:
        """The element itself; None if it is gone from the page, or the page with it."""
        if self.frame is None:
            return None
        try:
            handle = self.frame.evaluate_handle(f"token => {HELPERS}.keptElement(token)", self.token)
        except PlaywrightError as error:
            # On a new page the helpers are not yet there, or know nothing of the old one.
            if context_gone(error) or "Cannot read properties of undefined" in str(error):
                return None
            raise
        return handle.as_element()


def timeout_in(action: Mapping[str, Any], timeout_ms: int | None = None) -> int:
    """Milliseconds to wait: what the caller says, else the step's own timeout, else 5 000; kept within 1 to 30 000."""
    asked = timeout_ms if timeout_ms is not None else action.get("timeout") or DEFAULT_TIMEOUT_MS
    low, high = TIMEOUT_BOUNDS_MS
    return int(min(max(asked, low), high))


def needs_target(action: Mapping[str, Any]) -> bool:
    """Whether the action is about an element that has to be found first."""
    return action.get("type") not in WITHOUT_TARGET and bool(action.get("selectors"))


def locate(tabs: Tabs, action: Mapping[str, Any], *, timeout_ms: int | None = None) -> Located:
    """Finds the target of `action`, waiting for it up to `timeout_ms`. Raises only when the browser is lost."""
    deadline = time.monotonic() + timeout_in(action, timeout_ms) / 1000
    if not needs_target(action):
        return _without_target(tabs, action)
    query = {"selectors": _chains(action["selectors"]), "type": action["type"], "patience": PATIENCE_MS}
    try:
        while True:
            frame = tabs.frame_for(action, deadline)
            wait = max(0.0, (deadline - time.monotonic()) * 1000)
            try:
                report = clean(tabs.call(frame, "locate", {**query, "wait": wait}))
                return _told(report, frame, query["selectors"])
            except PlaywrightError as error:
                if not context_gone(error) or time.monotonic() >= deadline + 1:
                    raise
                tabs.pause(10)
    except TabMissing as error:
        return Located(found=False, problem=str(error))


def _without_target(tabs: Tabs, action: Mapping[str, Any]) -> Located:
    page = tabs.page_for(action)
    if page is not None:
        tabs.page = page
    return Located(found=True, certainty=1.0)


def _chains(selectors: Any) -> list[list[str]]:
    return [[entry] if isinstance(entry, str) else list(entry) for entry in selectors]


def _told(report: dict[str, Any], frame: Frame, selectors: list[list[str]]) -> Located:
    offset = _offset(frame)
    if report["state"] == "found":
        return Located(
            found=True,
            selector=" ".join(selectors[report["index"]]),
            box=_box(report["box"], offset),
            certainty=round(report["trust"] * (0.7 + 0.3 * report["agreeing"] / report["total"]), 3),
            name=report["name"],
            plain=report["plain"],
            password=report["password"],
            by_label=report["byLabel"],
            field=report.get("field"),
            frame=frame,
            token=report["token"],
        )
    candidates = tuple(
        Candidate(one["selector"], one["description"], _box(one["box"], offset)) for one in report["candidates"]
    )
    return Located(found=False, candidates=candidates, problem=_words(report, selectors), name=report["name"])


def _box(rectangle: Mapping[str, float], offset: tuple[float, float]) -> Box:
    left, top = rectangle["x"] + offset[0], rectangle["y"] + offset[1]
    return Box(round(left, 1), round(top, 1), round(rectangle["width"], 1), round(rectangle["height"], 1))


def _offset(frame: Frame) -> tuple[float, float]:
    """Where the frame's content begins in the main viewport, in CSS pixels."""
    left = top = 0.0
    while frame.parent_frame is not None:
        corner = frame.frame_element().evaluate(
            """frame => {
                const box = frame.getBoundingClientRect(), style = getComputedStyle(frame);
                return [box.x + frame.clientLeft + parseFloat(style.paddingLeft),
                        box.y + frame.clientTop + parseFloat(style.paddingTop)];
            }"""
        )
        left, top = left + corner[0], top + corner[1]
        frame = frame.parent_frame
    return left, top


def _words(report: Mapping[str, Any], selectors: list[list[str]]) -> str:
    name = f"“{report['name']}”" if report["name"] else f"What “{' '.join(selectors[0])}” names"
    page = f" ({report['title']})" if report["title"] else ""
    similar = f" The page has “{report['similar']}”, which is similar." if report["similar"] else ""
    times = "twice" if report.get("count") == 2 else f"{report.get('count')} times"
    found = report["foundName"]
    now = f"is now called “{found}”" if found else "no longer has a name"
    return {
        "ambiguous": f"{name} was found {times}. Which one?",
        "conflict": f"The recorded descriptions of {name} no longer lead to the same element. Which one is meant?",
        "renamed": f"{name} was recorded, but the element in its place {now}. Is it the right one?",
        "weak": f"{name} is known only by its position on the page, which may have changed. Is it the marked one?",
        "hidden": f"{name} is on this page{page}, but it is not visible.{similar}",
        "invalid": f"{name} cannot be looked for: none of the selectors can be read.",
        "missing": f"{name} was not found on this page{page}.{similar}",
    }[report["state"]]
