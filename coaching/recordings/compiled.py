"""What compiling a recording gives, and the way back to a recording."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from coaching.recordings.document import ImportNote
from coaching.recordings.risk import Risk
from coaching.recordings.variables import MASK, fill_known


@dataclass(frozen=True, slots=True)
class VariableSpec:
    """A variable of a workflow. `default` is always empty for a secret; empty otherwise means: must be given."""

    name: str
    label: str
    secret: bool
    default: str


@dataclass(frozen=True, slots=True)
class StepSpec:
    """A step of a workflow; `action` holds placeholders, `description` shows defaults and masks secrets."""

    node_id: str
    action_type: str
    action: dict[str, Any]
    description: str
    risk: Risk
    supported: bool


@dataclass(frozen=True, slots=True)
class CompiledWorkflow:
    """A recording made into a workflow.

    `header` is the document without its steps. `secrets` holds the recorded values in the clear, by variable
    name: for memory only. Nothing else in here contains them; `document` is what may be stored.
    """

    name: str
    start_url: str
    header: dict[str, Any]
    variables: tuple[VariableSpec, ...]
    steps: tuple[StepSpec, ...]
    secrets: dict[str, str] = field(repr=False)
    document: dict[str, Any]
    notes: tuple[ImportNote, ...]


def known_values(variables: Iterable[VariableSpec]) -> dict[str, str]:
    """The defaults of the variables that have one; secrets have none."""
    return {variable.name: variable.default for variable in variables if variable.default and not variable.secret}


def shown_values(variables: Sequence[VariableSpec]) -> dict[str, str]:
    """What may be shown for each variable: its default, or `***` for a secret."""
    return known_values(variables) | {variable.name: MASK for variable in variables if variable.secret}


def export_document(
    header: Mapping[str, Any], steps: Sequence[Mapping[str, Any]], variables: Iterable[VariableSpec]
) -> dict[str, Any]:
    """A user flow of `header` and the actions `steps`, with defaults filled in.

    A secret, and a variable without a default, stays a placeholder, which importing makes a variable again.
    """
    return {**copy.deepcopy(dict(header)), "steps": fill_known([dict(step) for step in steps], known_values(variables))}
