"""Changing several parts of a workflow at once: all of them or none."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from ..exceptions import InvalidInput
from ..models import Workflow
from ..recordings import RecordingError, check_url
from .audit import What, note
from .destinations import checked_hosts
from .holding import hold_ongoing
from .secrecy import keep_secret
from .workflows import set_steps, set_variable_default

MASK = "***"


def change_workflow(
    workflow: Workflow,
    *,
    name: str | None = None,
    description: str | None = None,
    start_url: str | None = None,
    allowed_hosts: Collection[str] | None = None,
    steps: Iterable[Mapping[str, Any]] | None = None,
    defaults: Mapping[str, str] | None = None,
    secret: Collection[str] = (),
    by: User,
) -> None:
    """Changes what is given and leaves the rest. `steps` as in `set_steps`; `defaults` are new defaults of variables by
    name, where `***` leaves a secret as it is; the variables named in
    `secret` are kept encrypted from now on; `allowed_hosts` are where its browser may go beyond its own steps
    (`actions.destinations`). Raises `InvalidInput`, and then nothing has changed.
    """
    _check_start(start_url)
    texts = {"name": name, "description": description, "start_url": start_url}
    given: dict[str, Any] = {field: text for field, text in texts.items() if text is not None}
    if allowed_hosts is not None:
        given["allowed_hosts"] = checked_hosts(allowed_hosts)
    with transaction.atomic():
        # Sessions first, as everywhere; then the workflow and its steps.
        hold_ongoing(workflow)
        if secret:
            keep_secret(workflow, secret)
        for field, text in given.items():
            setattr(workflow, field, text)
        workflow.save(update_fields=[*given, "updated_at"])
        if steps is not None:
            set_steps(workflow, steps, by=by)
        _set_defaults(workflow, defaults or {})
        hosts = {"allowed_hosts": given["allowed_hosts"]} if "allowed_hosts" in given else {}
        changed = [*given, *(["steps"] if steps is not None else []), *(["secrets"] if secret else [])]
        if changed:
            note(What.WORKFLOW_EDITED, workflow.workflow_id, by=by, changed=changed, **hosts)


def _check_start(url: str | None) -> None:
    if url:
        try:
            check_url(url)
        except RecordingError as error:
            raise InvalidInput(str(error), field="start_url") from None


def _set_defaults(workflow: Workflow, defaults: Mapping[str, str]) -> None:
    known = {variable.name: variable for variable in workflow.variables.all()}
    for name, value in defaults.items():
        if name not in known:
            raise InvalidInput(f"This workflow has no variable “{name}”.", field="variables")
        if not (known[name].secret and value == MASK):
            set_variable_default(known[name], value)
