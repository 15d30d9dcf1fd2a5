"""Correction packs as values: what a correction changes, where it applies, the file of a pack. No Django."""

from __future__ import annotations

from coaching.packs.applying import Applied, Conflict, Rule, Situation, apply_rules
from coaching.packs.backtest import Verdict, judge
from coaching.packs.changes import Change, changes_between, changes_from_json, digest
from coaching.packs.document import PackDocument, PackFileError, PackItem, export_pack, read_pack
from coaching.packs.merging import Comparison, compare, merge_items
from coaching.packs.targets import TargetPrint, target_print

__all__ = [
    "Applied",
    "Change",
    "Comparison",
    "Conflict",
    "PackDocument",
    "PackFileError",
    "PackItem",
    "Rule",
    "Situation",
    "TargetPrint",
    "Verdict",
    "apply_rules",
    "changes_between",
    "changes_from_json",
    "compare",
    "digest",
    "export_pack",
    "judge",
    "merge_items",
    "read_pack",
    "target_print",
]
