"""Nouns: fields, constraints, legal moves and facts about one row. Verbs are in `coaching.actions`."""

from __future__ import annotations

from .audit import AuditEntry, NeverChanged
from .correction_pack import (
    BackTest,
    BackTestFinding,
    Correction,
    CorrectionMade,
    CorrectionPack,
    PackChange,
    PackConflict,
    PackEntry,
    PackItem,
    PackUse,
    PackVersion,
)
from .decision import Decision
from .event import SessionEvent
from .host import Host
from .idempotency import GivenAnswer
from .recording import Recording
from .session import Session
from .suggestion import Suggestion
from .webhook import AllowedHost, Webhook, WebhookDelivery
from .workflow import Level, LevelChange, Risk, Step, StepVersion, Variable, Workflow

__all__ = [
    "AllowedHost",
    "AuditEntry",
    "BackTest",
    "BackTestFinding",
    "Correction",
    "CorrectionMade",
    "CorrectionPack",
    "Decision",
    "GivenAnswer",
    "Host",
    "Level",
    "LevelChange",
    "NeverChanged",
    "PackChange",
    "PackConflict",
    "PackEntry",
    "PackItem",
    "PackUse",
    "PackVersion",
    "Recording",
    "Risk",
    "Session",
    "SessionEvent",
    "Step",
    "StepVersion",
    "Suggestion",
    "Variable",
    "Webhook",
    "WebhookDelivery",
    "Workflow",
]
