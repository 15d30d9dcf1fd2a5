"""The screenshot of a suggestion with its target marked: geometry in CSS pixels of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..models import Suggestion

DEFAULT_VIEWPORT = (1280, 720)
LABEL = 22
MARGIN = 3
NOWHERE = (-1.0, -1.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Mark:
    """One outlined element, and where its number stands: inside the picture, whatever the element's place."""

    number: int
    x: float
    y: float
    width: float
    height: float
    label_x: float
    label_y: float
    text_x: float
    text_y: float
    description: str


@dataclass(frozen=True, slots=True)
class Picture:
    width: int
    height: int
    marks: Sequence[Mark]
    unseen: int
    dim: str
    alt: str
    found: bool


def picture_of(suggestion: Suggestion, *, description: str) -> Picture:
    """What is drawn over the screenshot. `unseen` counts marked elements that are outside the visible part."""
    width, height = _viewport(suggestion.page)
    boxes = _boxes(suggestion.target or {})
    marks = [
        mark for number, (box, words) in enumerate(boxes, start=1) if (mark := _mark(number, box, words, width, height))
    ]
    # One even-odd path: the whole picture, with a hole for each mark.
    holes = "".join(f"M{m.x:g} {m.y:g}h{m.width:g}v{m.height:g}h{-m.width:g}Z" for m in marks)
    return Picture(
        width=width,
        height=height,
        marks=marks,
        unseen=len(boxes) - len(marks),
        dim=f"M0 0H{width}V{height}H0Z{holes}" if marks else "",
        alt=_alt(suggestion, description, marks),
        found=bool((suggestion.target or {}).get("found")),
    )


def _viewport(page: Mapping[str, Any]) -> tuple[int, int]:
    match page.get("viewport"):
        case [int() | float() as width, int() | float() as height] if width > 0 and height > 0:
            return round(width), round(height)
    return DEFAULT_VIEWPORT


def _boxes(target: Mapping[str, Any]) -> list[tuple[tuple[float, float, float, float], str]]:
    """The target's own box when it was found, else those of the candidates."""
    if target.get("found"):
        box = _box(target.get("box"))
        return [(box, "")] if box else []
    # A candidate without a box keeps its number: the choices beside the picture count the same way.
    return [
        (_box(candidate.get("box")) or NOWHERE, str(candidate.get("description", "")))
        for candidate in target.get("candidates") or []
    ]


def _box(value: Any) -> tuple[float, float, float, float] | None:
    match value:
        case {"x": x, "y": y, "width": width, "height": height}:
            numbers = (x, y, width, height)
        case [x, y, width, height]:
            numbers = (x, y, width, height)
        case _:
            return None
    if not all(isinstance(number, int | float) for number in numbers):
        return None
    return float(x), float(y), float(width), float(height)


def _mark(number: int, box: tuple[float, float, float, float], words: str, width: int, height: int) -> Mark | None:
    x, y, box_width, box_height = box
    left, top = max(0.0, x - MARGIN), max(0.0, y - MARGIN)
    right, bottom = min(float(width), x + box_width + MARGIN), min(float(height), y + box_height + MARGIN)
    if right <= left or bottom <= top or box_width <= 0 or box_height <= 0:
        return None
    # Beside the element where there is room, so that the label above a field stays readable.
    label_x, label_y = left - LABEL, min(top, height - LABEL)
    if left < LABEL:
        label_x, label_y = left, top - LABEL if top >= LABEL else min(bottom, height - LABEL)
    return Mark(
        number, round(left, 1), round(top, 1), round(right - left, 1), round(bottom - top, 1),
        round(label_x, 1), round(label_y, 1), round(label_x + LABEL / 2, 1), round(label_y + LABEL * 0.73, 1), words,
    )  # fmt: skip


def _alt(suggestion: Suggestion, description: str, marks: Sequence[Mark]) -> str:
    title = suggestion.page.get("title") or suggestion.page.get("url") or "the page"
    if not marks:
        return f"Screenshot of {title}. Proposed: {description}"
    places = "; ".join(f"{mark.number} at {mark.x:.0f}, {mark.y:.0f}" for mark in marks)
    return f"Screenshot of {title}. Proposed: {description}. Marked: {places}, in pixels from the top left."
