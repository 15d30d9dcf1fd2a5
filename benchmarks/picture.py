"""Line charts as SVG, without a library: the same figures give the same bytes on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

#: Told apart by people with any colour vision (Okabe and Ito 2008).
COLOURS = ("#d55e00", "#e69f00", "#009e73", "#0072b2", "#555555")

_WIDTH, _HEIGHT = 380, 350
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 18, 44, 46
_STYLE = (
    "text{font:12px system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:#222}.title{font-size:14px;font-weight:600}"
)


@dataclass(frozen=True, slots=True)
class Line:
    """`values`: shares from 0 to 1 at 1, 2, 3 …"""

    label: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart of shares over a count from 0 to `most`. `key`: where its legend begins, as parts of width and height."""

    title: str
    axis: str
    most: int
    lines: Sequence[Line]
    key: tuple[float, float]


def draw(panels: Sequence[Panel], *, description: str) -> str:
    """An SVG document with the panels side by side."""
    width = _WIDTH * len(panels)
    size = f'viewBox="0 0 {width} {_HEIGHT}" width="{width}" height="{_HEIGHT}"'
    body = [_panel(panel, number * _WIDTH) for number, panel in enumerate(panels)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="about">',
            f'<title id="about">{escape(description)}</title>',
            f"<style>{_STYLE}</style>",
            f'<rect width="{width}" height="{_HEIGHT}" fill="#fff"/>',
            *body,
            "</svg>\n",
        ]
    )


def _panel(panel: Panel, offset: int) -> str:
    parts = [
        f'<g transform="translate({offset} 0)">',
        f'<text x="{_LEFT}" y="22" class="title">{escape(panel.title)}</text>',
    ]
    for percent in range(0, 101, 20):
        y = _y(percent / 100)
        parts.append(f'<path d="M{_LEFT} {y}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:g}" text-anchor="end">{percent} %</text>')
    for part in range(6):
        count = panel.most * part // 5
        parts.append(f'<text x="{_x(count, panel.most)}" y="{_y(0) + 18:g}" text-anchor="middle">{count}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) // 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(panel.axis)}</text>')
    for number, line in enumerate(panel.lines):
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<path d="{_path(line, panel.most)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x, y = _x(panel.most * panel.key[0], panel.most), _y(panel.key[1]) + 17 * number
        parts.append(f'<path d="M{x} {y:g}h18" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{x + 24:g}" y="{y + 4:g}">{escape(line.label)}</text>')
    return "\n".join([*parts, "</g>"])


def _path(line: Line, most: int) -> str:
    """A curve of 500 counts needs no more than every other one, and none where it runs level."""
    stride = max(1, most // 250)
    values = [0.0, *line.values[:most]]
    points = [(_x(count, most), _y(values[count])) for count in range(0, len(values), stride)]
    levels = [level for _, level in points]
    bends = [n for n in range(1, len(points) - 1) if not levels[n - 1] == levels[n] == levels[n + 1]]
    return "M" + "L".join(f"{points[n][0]:g} {points[n][1]:g}" for n in (0, *bends, len(points) - 1))


def _x(count: float, most: int) -> float:
    return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * count / most, 1)


def _y(share: float) -> float:
    return round(_TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - share), 1)
