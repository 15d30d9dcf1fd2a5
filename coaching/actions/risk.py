"""The risk of a step, as far as it shows only when the step is performed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.db import transaction

from ..models import Risk, Step, StepVersion
from ..recordings import sending_is_harmless
from .facts import hold_steps
from .holding import hold_ongoing
from .workflows import add_version, spec_of


def sends_a_form(version: StepVersion, *, after: Mapping[str, Any]) -> None:
    """A step was seen to send a form: from now on it counts as irreversible.

    Not where the form signs in or searches (`after` is the action of the step before), nor where a person has chosen
    the risk: an owner knows better.
    """
    if version.risk == Risk.IRREVERSIBLE or sending_is_harmless(version.action, after):
        return
    with transaction.atomic():
        tell = hold_ongoing(version.step.workflow)
        (step,) = hold_steps(Step.objects.filter(pk=version.step_id))
        if step.current_id != version.pk or version.risk_chosen:
            return
        add_version(step, replace(spec_of(step), risk="irreversible"), by=None, tell=tell)
