"""Nouns: fields, constraints, legal moves and facts about one row. Verbs are in `coaching.actions`."""

from __future__ import annotations

from .decision import Decision
from .event import SessionEvent
from .recording import Recording
from .session import Session
from .suggestion import Suggestion
from .workflow import Level, LevelChange, Risk, Step, StepVersion, Variable, Workflow

__all__ = [
    "Decision",
    "Level",
    "LevelChange",
    "Recording",
    "Risk",
    "Session",
    "SessionEvent",
    "Step",
    "StepVersion",
    "Suggestion",
    "Variable",
    "Workflow",
]
