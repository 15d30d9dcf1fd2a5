"""What the selectors of an action say about its element: the name people read, its identifiers, its role."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from coaching.recordings.naming import humanise

_PREFIX = re.compile(r"(aria|text|xpath|pierce|css)/(.*)", re.DOTALL)
_ARIA_ATTRIBUTE = re.compile(r"""\[\s*([\w-]+)\s*=\s*["']([^"']*)["']\s*\]""")
_CSS_ATTRIBUTE = re.compile(
    r"""\[\s*([\w-]+)\s*[~|^$*]?=\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\]\s]*))[^\]]*\]"""
)
_CSS_ID = re.compile(r"#((?:\\.|[\w\-\u0080-\U0010ffff])+)")
_CSS_CLASS = re.compile(r"\.((?:\\.|[\w\-\u0080-\U0010ffff])+)")
_XPATH_ATTRIBUTE = re.compile(r"""@([\w-]+)\s*[=,]\s*(?:"([^"]*)"|'([^']*)')""")
_XPATH_TEXT = re.compile(r"""(?:\.|text\(\)|normalize-space\([^)]*\))\s*[=,]\s*(?:"([^"]*)"|'([^']*)')""")
_MAX_READ = 2_000
_LABELS = {"aria-label", "placeholder", "title", "alt"}
_IDENTIFIERS = {"id", "name", "for", "data-testid", "data-test", "data-test-id", "data-qa", "data-cy", "autocomplete"}


@dataclass(slots=True)
class Target:
    """The element of an action, as far as its selectors describe it; each list is in order of appearance."""

    names: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    identifiers: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    surroundings: list[str] = field(default_factory=list)
    roles: set[str] = field(default_factory=set)
    tags: set[str] = field(default_factory=set)
    types: set[str] = field(default_factory=set)
    raw: str = ""

    @property
    def name(self) -> str:
        """The best name for a person: accessible name or text, label, identifier, at last the selector itself."""
        for found in (*self.names, *self.labels, *map(humanise, self.identifiers)):
            if found:
                return found
        return self.raw

    @property
    def label(self) -> str:
        """A label for what is typed here: the name, or the kind of element when it has none."""
        return self.name if self.name != self.raw else humanise(min(self.tags, default="value"))


def selector_kind(selector: str) -> str:
    """`aria`, `text`, `xpath`, `pierce` or `css`."""
    match = _PREFIX.fullmatch(selector)
    return match[1] if match else "css"


def chains(action: Mapping[str, Any]) -> Iterator[list[str]]:
    """Each alternative of an action as a chain of selectors, outermost first; empty ones are left out."""
    for entry in action.get("selectors") or []:
        chain = [entry] if isinstance(entry, str) else list(entry)
        if chain:
            yield chain


def target_of(action: Mapping[str, Any]) -> Target:
    """Read all selectors of an action."""
    target = Target()
    for chain in chains(action):
        _read_chain(chain, target)
    # Accessible names come before texts, whatever the order of the selectors.
    texts = [chain[-1] for chain in chains(action) if chain[-1].startswith("text/")]
    target.names.extend(text.removeprefix("text/").strip() for text in texts)
    target.names = [name for name in target.names if name]
    target.raw = next(chains(action), [""])[-1]
    return target


def _read_chain(chain: list[str], target: Target) -> None:
    *hosts, own = chain
    _read(own, target)
    named = not own.startswith("aria/") or _accessible_name(own)
    for host in reversed(hosts):
        # An icon inside a button has no name: the Recorder then gives the button's before it.
        if not named and host.startswith("aria/"):
            _read(host, target)
            named = _accessible_name(host)
        else:
            target.surroundings.append(host)


def _accessible_name(selector: str) -> str:
    return _ARIA_ATTRIBUTE.sub("", selector.removeprefix("aria/")).strip()


def _read(selector: str, target: Target) -> None:
    if len(selector) > _MAX_READ:
        # What matters stands at either end; the patterns below are not made for megabytes.
        selector = selector[: _MAX_READ // 2] + selector[-_MAX_READ // 2 :]
    match = _PREFIX.fullmatch(selector)
    kind, body = (match[1], match[2]) if match else ("css", selector)
    if kind == "aria":
        target.names.append(_accessible_name(selector))
        target.roles.update(value for name, value in _ARIA_ATTRIBUTE.findall(body) if name == "role")
    elif kind == "xpath":
        _read_xpath(body, target)
    elif kind != "text":
        _read_css(body, target)


def _read_css(css: str, target: Target) -> None:
    *above, own = _compounds(css) or [""]
    target.surroundings.extend(above)
    for name, *values in _CSS_ATTRIBUTE.findall(own):
        _keep_attribute(name.lower(), _unescape("".join(values)), target)
    bare = _CSS_ATTRIBUTE.sub("", own)
    target.identifiers.extend(_unescape(found) for found in _CSS_ID.findall(bare))
    target.classes.extend(_unescape(found) for found in _CSS_CLASS.findall(_CSS_ID.sub("", bare)))
    tag = re.match(r"[A-Za-z][\w-]*", own)
    if tag:
        target.tags.add(tag[0].lower())


def _read_xpath(path: str, target: Target) -> None:
    *above, own = re.split(r"/+(?![^\[]*\])", path)
    target.surroundings.extend(above)
    for name, *values in _XPATH_ATTRIBUTE.findall(own):
        _keep_attribute(name.lower(), "".join(values), target)
    target.labels.extend("".join(values).strip() for values in _XPATH_TEXT.findall(own))
    tag = re.match(r"[A-Za-z][\w-]*", own)
    if tag:
        target.tags.add(tag[0].lower())


def _keep_attribute(name: str, value: str, target: Target) -> None:
    if not value:
        return
    if name in _LABELS:
        target.labels.append(value)
    elif name in _IDENTIFIERS:
        target.identifiers.append(value)
    elif name == "type":
        target.types.add(value.lower())
    elif name == "role":
        target.roles.add(value.lower())


def _compounds(css: str) -> list[str]:
    """The compound selectors of a complex one: `#a > b [c="d e"]` → `#a`, `b`, `[c="d e"]`."""
    token = re.compile(
        r"""(?:\[(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\]])*\]|\((?:[^()]|\([^()]*\))*\)|\\.|[^\s>+~\[(\\])+"""
    )
    return token.findall(css)


def _unescape(text: str) -> str:
    def plain(match: re.Match[str]) -> str:
        if not match[1]:
            return match[2]
        code = int(match[1], 16)
        return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else "�"

    return re.sub(r"\\(?:([0-9a-fA-F]{1,6})\s?|(.))", plain, text, flags=re.DOTALL)
