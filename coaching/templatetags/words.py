"""Small things in words, for templates."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from uuid import uuid4

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ..models import Suggestion
from ..pages import timeline
from ..pages.doors import KEY_FIELD

register = template.Library()


@register.filter
def percent(share: float) -> str:
    """0.5 → `50 %`"""
    return f"{round(share * 100)} %"


@register.filter
def hundredths(share: float | None) -> str:
    """0.5 → `50`, and a dash where there is nothing to say: a figure in a column headed “%”."""
    return "–" if share is None else f"{share * 100:.3g}"


@register.filter
def milliseconds(value: float | None) -> str:
    return timeline.duration(value)


@register.simple_tag
def moment(at: datetime | None, kind: str = "full") -> SafeString | str:
    """A time in UTC, which the page's script turns into the reader's own. `kind` is `full` or `clock`."""
    if at is None:
        return ""
    shown = f"{at:%H:%M:%S}" if kind == "clock" else f"{at:%-d %b %Y, %H:%M}"
    return format_html(
        '<time datetime="{}" data-show="{}" title="{} UTC">{}</time>',
        at.isoformat(),
        kind,
        f"{at:%Y-%m-%d %H:%M:%S}",
        shown,
    )


@register.simple_tag
@lru_cache(maxsize=2048)
def timeline_line(line: timeline.Line) -> SafeString:
    """One line of a timeline. Of the many that a panel shows one is new."""
    tone = format_html(' class="{}-text"', line.tone) if line.tone else ""
    return format_html("<li{}>{} {}</li>", tone, moment(line.at, "clock"), line.words)


_THEN = {"reject": "then rejected", "skip": "then skipped", "pause": "then the session is paused"}


@register.simple_tag
def expiry(suggestion: Suggestion) -> SafeString:
    """When a question expires, and what happens then."""
    return format_html("expires {}, {}", moment(suggestion.expires_at, "clock"), _THEN[suggestion.on_expiry])


@register.simple_tag
def once(*parts: object) -> SafeString:
    """The hidden field of a form that must not do twice what it does, however often its button is pressed.

    `parts` name what it does, for a form that must read the same each time it is rendered.
    """
    key = "-".join(map(str, parts)) or uuid4()
    return format_html('<input type="hidden" name="{}" value="{}">', KEY_FIELD, key)


@register.filter
def plural(number: int, words: str) -> str:
    """`2|plural:"step,steps"` → `2 steps`"""
    one, many = words.split(",")
    return f"{number} {one if number == 1 else many}"
