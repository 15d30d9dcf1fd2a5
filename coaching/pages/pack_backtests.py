"""A back-test in words: how far it is, and which decisions of the past would have been others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from ..actions.backtests import STALE_AFTER
from ..actions.pack_items import digest_of
from ..actions.secrecy import masked_action
from ..models import BackTest, BackTestFinding, CorrectionPack, PackVersion
from .pack_words import Line, Sentences, difference, sentence

SHOWN_FINDINGS = 50
SHOWN_BROKEN = 500

#: Verdict, heading, what it means.
VERDICTS = (
    ("broken", "Accepted suggestions that it would have changed", "People found these right as they were."),
    ("saved", "Corrections that it would have saved", "It proposes just what the coach put in place."),
    ("altered", "Others that it would have changed", "Refused, corrected otherwise or done by hand at the time."),
)


@dataclass(frozen=True, slots=True)
class Found:
    """A decision of the past: what was proposed, and what would have been."""

    finding: BackTestFinding
    sentences: Sentences
    lines: Sequence[Line]

    @classmethod
    def of(cls, finding: BackTestFinding) -> Found:
        session, suggestion = finding.decision.session, finding.decision.suggestion
        before = masked_action(suggestion.action if suggestion else {}, session)
        after = masked_action(finding.now, session)
        words = (sentence(before), sentence(after)) if session.workflow.is_browser else ("", "")
        return cls(finding, Sentences(*words), difference(before, after))


@dataclass(frozen=True, slots=True)
class Group:
    """The findings with one verdict: the first of `count`."""

    verdict: str
    heading: str
    meaning: str
    count: int
    found: Sequence[Found]


def backtest_context(pack: CorrectionPack, version: PackVersion, *, reviews: bool) -> dict[str, Any]:
    """The latest back-test of a version, and whether it may be published by it."""
    backtest = version.backtests.first()
    groups = []
    fits = backtest is not None and backtest.digest == digest_of(version)
    if backtest and backtest.status == BackTest.Status.DONE:
        groups = [findings(backtest, verdict, limit=SHOWN_FINDINGS) for verdict, *_ in VERDICTS]
    in_review = pack.status == CorrectionPack.Status.IN_REVIEW and version.pk == pack.draft_id
    done = backtest is not None and backtest.status == BackTest.Status.DONE
    return {
        "backtest": backtest,
        "groups": groups,
        "is_outdated": backtest is not None and not fits,
        "is_stuck": _is_stuck(backtest),
        "may_test": reviews and not version.is_published and not _is_running(backtest, fits=fits),
        "may_publish": reviews and in_review and done and fits,
        "in_review": in_review,
    }


def _is_running(backtest: BackTest | None, *, fits: bool) -> bool:
    return backtest is not None and backtest.status == BackTest.Status.RUNNING and fits


def _is_stuck(backtest: BackTest | None) -> bool:
    """Whether its worker has not been heard of; the sweep asks another one."""
    running = backtest is not None and backtest.status == BackTest.Status.RUNNING
    return bool(running and backtest and backtest.progress_at < timezone.now() - STALE_AFTER)


def findings(backtest: BackTest, verdict: str, *, limit: int) -> Group:
    heading, meaning = next((heading, meaning) for name, heading, meaning in VERDICTS if name == verdict)
    count = int(getattr(backtest, verdict))
    rows: Iterable[BackTestFinding] = ()
    if count:
        related = ("decision__session__workflow", "decision__suggestion")
        rows = backtest.findings.filter(verdict=verdict).select_related(*related)[:limit]
    return Group(verdict, heading, meaning, count, [Found.of(finding) for finding in rows])
