"""What is known while the commands of a Selenium IDE test are compiled one after the other."""

from __future__ import annotations

import copy
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from coaching.recordings.document import ImportNote
from coaching.recordings.naming import slug_name, unique
from coaching.recordings.selenium_locators import recorded_alternatives, selectors_for
from coaching.recordings.variables import placeholder

VARIABLE = re.compile(r"\$\{([^{}]+)\}")
MAIN_PAGE = "main"


class NotSupportedError(Exception):
    """A command has no faithful Recorder equivalent; the message says why."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a test; `alternatives` are the lists of locators recorded beside the target."""

    name: str
    target: str
    value: str
    comment: str
    alternatives: tuple[tuple[str, ...], ...]
    frame_location: str
    opens_window: str


@dataclass(slots=True)
class State:
    """Steps compiled so far, and the page, frame and variables that the next command meets."""

    base_url: str
    reserved: Collection[str]
    steps: list[dict[str, Any]] = field(default_factory=list)
    notes: list[ImportNote] = field(default_factory=list)
    # Indices from the page down to the current frame; None when it cannot be told.
    frame: list[int] | None = field(default_factory=list)
    page: str = MAIN_PAGE
    # Selenium's name of a stored window handle → the page it stands for.
    handles: dict[str, str] = field(default_factory=dict)
    # Selenium's variable name → our placeholder's name, only while its value is a known constant.
    bound: dict[str, str] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    # What the last text command left in its field, for keys typed after it.
    typed: tuple[list[list[str]], str] | None = None

    def emit(self, kind: str, **fields: Any) -> None:
        """Append a step that concerns the current page as a whole."""
        self.steps.append({"type": kind, "target": self.page} | copy.deepcopy(fields))

    def emit_in_frame(self, kind: str, **fields: Any) -> None:
        """Append a step that looks into the current frame; raises NotSupportedError when it is unknown."""
        if self.frame is None:
            raise NotSupportedError("it runs inside a frame that cannot be told")
        self.emit(kind, **({"frame": list(self.frame)} if self.frame else {}), **fields)

    def note(self, message: str, *, about_last_step: bool = False) -> None:
        """Keep a note about the recording, or about the step just emitted."""
        self.notes.append(ImportNote(len(self.steps) - 1 if about_last_step else None, message))

    def selectors(self, command: Command) -> list[list[str]]:
        """Recorder selectors of the command's target; raises NotSupportedError for an unknown locator."""
        alternatives = recorded_alternatives(command.target, command.alternatives)
        found = selectors_for(self.expand(command.target), [self.expand(entry) for entry in alternatives])
        if not found:
            raise NotSupportedError("its locator is of a kind that coachsite does not know")
        return found

    def expand(self, text: str) -> str:
        """`${name}` becomes the placeholder of a constant; raises NotSupportedError for any other variable."""

        def known(match: re.Match[str]) -> str:
            if match[1] not in self.bound:
                raise NotSupportedError(f"it needs the variable ${{{match[1]}}}, which is only known while it runs")
            return placeholder(self.bound[match[1]])

        return VARIABLE.sub(known, text)

    def bind(self, name: str, value: str) -> str:
        """Make Selenium variable `name` the constant `value`; returns our placeholder's name."""
        ours = unique(slug_name(name), {*self.reserved, *self.constants})
        self.constants[ours] = value
        self.bound[name] = ours
        return ours
