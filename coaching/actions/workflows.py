"""Making and changing workflows: by hand, by import, by another demonstration."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from .. import evidence, rows, signals
from ..exceptions import IllegalTransition, InvalidInput
from ..models import Recording, Risk, Session, Step, StepVersion, Variable, Workflow
from ..models.session import MAX_STEPS
from ..recordings import (
    CompiledWorkflow,
    ImportNote,
    RecordingError,
    StepSpec,
    VariableSpec,
    check_json,
    compile_workflow,
    describe,
    export_document,
    guess_risk,
    merge_demonstration,
    names_in,
    parse_recording,
    target_of,
    types_a_secret,
    validate_step,
)
from ..secrets import encrypt
from .audit import What, note
from .autonomy import settle_levels, start_anew
from .facts import count_fact, hold_steps
from .holding import hold, hold_ongoing
from .naming import free_name, slug_of
from .secrecy import new_secret_variable
from .sessions import delete_session


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    workflow: Workflow
    recording: Recording
    notes: Sequence[ImportNote]


def create_workflow(
    *,
    workflow_id: str,
    name: str,
    executor: str,
    description: str = "",
    steps: Iterable[Mapping[str, Any]] = (),
    by: User | None,
) -> Workflow:
    """A workflow made by hand or by a program. `steps` as in `set_steps`. Raises `InvalidInput`."""
    with transaction.atomic():
        workflow = _insert_workflow(
            Workflow(workflow_id=workflow_id, name=name, executor=executor, description=description, created_by=by)
        )
        set_steps(workflow, steps, by=by)
        note(What.WORKFLOW_MADE, workflow_id, by=by, executor=executor)
    return workflow


def _insert_workflow(workflow: Workflow) -> Workflow:
    try:
        with transaction.atomic():
            workflow.save(force_insert=True)
    except IntegrityError:
        message = f"There is already a workflow with the id “{workflow.workflow_id}”."
        raise InvalidInput(message, field="workflow_id") from None
    return workflow


def import_recording(
    data: bytes, *, workflow_id: str | None = None, name: str | None = None, by: User | None
) -> Imported:
    """A recording becomes a workflow, or another demonstration of the one that `workflow_id` names.

    Values typed into password fields are encrypted; they are in the clear neither in the stored recording nor in the
    steps. Raises `InvalidInput` with the fault of the file; then nothing is stored.
    """
    try:
        parsed = parse_recording(data)
        compiled = compile_workflow(parsed)
    except RecordingError as error:
        raise InvalidInput(str(error), field="file") from None
    return keep_demonstration(compiled, format=parsed.format, workflow_id=workflow_id, name=name, by=by)


def keep_demonstration(
    compiled: CompiledWorkflow,
    *,
    format: str,  # noqa: A002 - the model's word
    workflow_id: str | None = None,
    name: str | None = None,
    by: User | None,
) -> Imported:
    """Stores what a recording compiled to, as `import_recording` does."""
    with transaction.atomic():
        existing = Workflow.objects.filter(workflow_id=workflow_id).first() if workflow_id else None
        if existing:
            workflow, notes = existing, [*compiled.notes, *_add_demonstration(existing, compiled, by=by)]
        else:
            workflow, notes = _make_workflow(compiled, workflow_id=workflow_id, name=name, by=by), [*compiled.notes]
        recording = Recording.objects.create(
            workflow=workflow,
            format=format,
            title=compiled.name[:200],
            document=compiled.document,
            notes=[{"step_index": note.step_index, "message": note.message} for note in notes],
            imported_by=by,
        )
        settle_levels(workflow)
        note(What.WORKFLOW_IMPORTED, workflow.workflow_id, by=by, title=compiled.name[:200], new=existing is None)
    return Imported(workflow=workflow, recording=recording, notes=notes)


def _make_workflow(
    compiled: CompiledWorkflow, *, workflow_id: str | None, name: str | None, by: User | None
) -> Workflow:
    title = (name or compiled.name)[:200]
    workflow = _insert_workflow(
        Workflow(
            workflow_id=workflow_id or _free_workflow_id(title),
            name=title,
            start_url=compiled.start_url,
            header=compiled.header,
            created_by=by,
        )
    )
    _save_variables(workflow, compiled.variables, compiled.secrets)
    _save_steps(workflow, compiled.steps, by=by)
    return workflow


def _free_workflow_id(title: str) -> str:
    base = slug_of(title, otherwise="workflow")
    taken = Workflow.objects.filter(workflow_id__startswith=base).values_list("workflow_id", flat=True)
    return free_name(base, taken, joiner="-")


def _add_demonstration(workflow: Workflow, compiled: CompiledWorkflow, *, by: User | None) -> Sequence[ImportNote]:
    if not workflow.is_browser:
        raise InvalidInput("An external workflow has no recordings.", field="workflow_id")
    # Holding the row: of two imports at once, the second merges into what the first left.
    Workflow.objects.filter(pk=workflow.pk).update(updated_at=timezone.now())
    steps = [spec_of(step) for step in workflow.current_steps()]
    if not steps:
        _save_variables(workflow, compiled.variables, compiled.secrets)
        _save_steps(workflow, compiled.steps, by=by)
        return ()
    variables = [
        VariableSpec(name=v.name, label=v.label, secret=v.secret, default=v.default) for v in workflow.variables.all()
    ]
    merged = merge_demonstration(steps, variables, compiled)
    _save_variables(workflow, merged.variables, compiled.secrets)
    _save_steps(workflow, merged.steps, by=by)
    return merged.notes


def spec_of(step: Step) -> StepSpec:
    version = step.version
    return StepSpec(
        node_id=step.node_id,
        action_type=version.action_type,
        action=version.action,
        description=version.description,
        risk="irreversible" if version.risk == Risk.IRREVERSIBLE else "reversible",
        supported=version.supported,
    )


def _save_variables(workflow: Workflow, specs: Iterable[VariableSpec], secrets: Mapping[str, str]) -> None:
    """Adds the variables that the workflow does not have; the defaults of those it has stay as they are."""
    known = set(workflow.variables.values_list("name", flat=True))
    Variable.objects.bulk_create(
        Variable(
            workflow=workflow,
            name=spec.name,
            label=spec.label[:200],
            secret=spec.secret,
            default="" if spec.secret else spec.default,
            encrypted_default=encrypt({spec.name: secrets[spec.name]}) if secrets.get(spec.name) else "",
        )
        for spec in specs
        if spec.name not in known
    )


def set_variable_default(variable: Variable, value: str) -> None:
    """Changes what a session starts with; a secret is kept encrypted."""
    if variable.secret:
        variable.encrypted_default = encrypt({variable.name: value}) if value else ""
    else:
        variable.default = value
    with transaction.atomic():
        variable.save(update_fields=["default", "encrypted_default"])
        note(What.WORKFLOW_EDITED, variable.workflow.workflow_id, variable=variable.name)


def set_steps(workflow: Workflow, steps: Iterable[Mapping[str, Any]], *, by: User | None) -> None:
    """Makes `steps` the workflow's steps: `[{node_id, action, action_type?, description?, risk?}, …]`, in order.

    A step whose content differs from its current version gets a new version; one that is left out is removed from
    later sessions and keeps its history. Raises `InvalidInput`.
    """
    given = list(steps)
    known = {step.node_id: step.version for step in workflow.steps.select_related("current") if step.current}
    specs: list[StepSpec] = []
    for index, step in enumerate(given):
        before = specs[-1].action if specs else {}
        specs.append(_checked_spec(workflow, index, step, known=known.get(step["node_id"]), before=before))
    names = [spec.node_id for spec in specs]
    if len(set(names)) != len(names):
        raise InvalidInput("Each node_id may occur only once.", field="steps")
    with transaction.atomic():
        _save_steps(workflow, specs, by=by, chosen={step["node_id"] for step in given if step.get("risk")})


def _risk_of(
    workflow: Workflow, action: Mapping[str, Any], *, known: StepVersion | None, before: Mapping[str, Any]
) -> Literal["reversible", "irreversible"]:
    """The risk of a step for which none is given: what it was, or a guess as on import."""
    if known is not None:
        return "irreversible" if known.risk == Risk.IRREVERSIBLE else "reversible"
    return guess_risk(action, target_of(before)) if workflow.is_browser else "reversible"


def _checked_spec(
    workflow: Workflow,
    index: int,
    step: Mapping[str, Any],
    *,
    known: StepVersion | None = None,
    before: Mapping[str, Any] = MappingProxyType({}),
) -> StepSpec:
    action = dict(step.get("action") or {})
    try:
        check_json(action, "The action")
        action = validate_step(action) if workflow.is_browser else action
    except RecordingError as error:
        raise InvalidInput(f"Step {index + 1}: {error}", field="steps") from None
    action_type = str(action["type"] if workflow.is_browser else step.get("action_type") or "")
    described = describe(action) if workflow.is_browser else step_in_words(action_type, step["node_id"])
    return StepSpec(
        node_id=step["node_id"],
        action_type=action_type,
        action=action,
        description=step.get("description") or described,
        risk=step.get("risk") or _risk_of(workflow, action, known=known, before=before),
        supported=not workflow.is_browser or action_type != "customStep",
    )


def step_in_words(action_type: str, node_id: str) -> str:
    """A step of an outside program: its name, and what it does where the name does not say so already."""
    return (
        node_id
        if slug_of(action_type, otherwise="") in {slug_of(node_id, otherwise=""), ""}
        else f"{action_type} {node_id}"
    )


def _save_steps(
    workflow: Workflow, specs: Iterable[StepSpec], *, by: User | None, chosen: Collection[str] = ()
) -> None:
    """Must run in a transaction. `chosen` are the steps for which a person has said the risk."""
    specs = list(specs)
    tell = hold_ongoing(workflow)
    Workflow.objects.filter(pk=workflow.pk).update(updated_at=timezone.now())
    known = {step.node_id: step for step in hold_steps(workflow.steps.all())}
    # Out of the way first: while steps change places, two must never stand at the same index.
    workflow.steps.filter(step_index__isnull=False).update(step_index=None)
    for index, given in enumerate(specs):
        spec = _without_typed_secret(workflow, given)
        step = known.get(spec.node_id) or Step.objects.create(workflow=workflow, node_id=spec.node_id)
        if step.current is None or spec_of(step) != spec:
            add_version(step, spec, by=by, risk_given=spec.node_id in chosen, tell=tell)
        step.step_index = index
        step.save(update_fields=["step_index"])
    settle_levels(workflow)


def _without_typed_secret(workflow: Workflow, spec: StepSpec) -> StepSpec:
    """A value that a step types into a password field becomes the default of a secret variable."""
    value = spec.action.get("value")
    if not workflow.is_browser or not value or not types_a_secret(spec.action) or names_in(value):
        return spec
    variable = new_secret_variable(workflow, spec.node_id, value)
    action = {**spec.action, "value": f"{{{{ {variable.name} }}}}"}
    return replace(spec, action=action, description=describe(action))


def add_version(
    step: Step, spec: StepSpec, *, by: User | None, risk_given: bool = False, tell: Iterable[Session] = ()
) -> None:
    """The step is this from now on. If it does something else than before, its evidence starts anew.

    `risk_given`: a person has said the risk. The sessions in `tell`, which must be held, hear of a change of level.
    """
    before = step.current
    known = evidence.standing(step).as_evidence() if before else {}
    step.last_fact = count_fact(step.pk).last_fact if before else 1
    step.current = StepVersion.objects.create(
        step=step,
        number=_last_number(step) + 1 if before else 1,
        fact=step.last_fact,
        action_type=spec.action_type,
        action=spec.action,
        description=spec.description,
        risk=spec.risk,
        # Sending back what was read is no choice.
        risk_chosen=before.risk_chosen or (risk_given and before.risk != spec.risk) if before else risk_given,
        supported=spec.supported,
        created_by=by,
    )
    step.save(update_fields=["current", "last_fact"])
    if before is None:
        return
    anew = not step.current.keeps_evidence_of(before)
    signals.step_versioned.send(sender=Step, step=step, anew=anew)
    if anew:
        same = step.current.action == before.action
        reason = (
            f"It counts as irreversible since version {step.current.number}."
            if same
            else f"Version {step.current.number} does something else than what was decided on before."
        )
        start_anew(step, by=by, reason=reason, evidence=known, tell=tell)


def _last_number(step: Step) -> int:
    return step.versions.aggregate(last=Max("number"))["last"] or 0


def change_step(step: Step, *, by: User | None, **changes: Any) -> StepVersion:
    """A new version of one step with `action`, `description` or `risk` changed. Raises `InvalidInput`."""
    spec = spec_of(step)
    content = {"node_id": spec.node_id, "action": spec.action, "action_type": spec.action_type, "risk": spec.risk}
    if "action" not in changes:
        content["description"] = spec.description
    checked = _checked_spec(step.workflow, step.step_index or 0, content | changes)
    with transaction.atomic():
        tell = hold_ongoing(step.workflow)
        changed = _without_typed_secret(step.workflow, checked)
        Workflow.objects.filter(pk=step.workflow_id).update(updated_at=timezone.now())
        (held,) = hold_steps(Step.objects.filter(pk=step.pk))
        if spec_of(held) != changed:
            add_version(held, changed, by=by, risk_given="risk" in changes, tell=tell)
            settle_levels(step.workflow)
            note(What.WORKFLOW_EDITED, step.workflow.workflow_id, by=by, step=step.node_id, changed=sorted(changes))
    step.refresh_from_db()
    return step.version


_STEP_BY_NAME = rows.Read(Step.objects.select_related("workflow", "current"), "workflow_id", "node_id")


def step_named(
    workflow: Workflow, node_id: str, *, action_type: str, action: Mapping[str, Any], risk: str | None = None
) -> Step:
    """The step of an external workflow with this name; it comes into being when it is named for the first time.

    One that was removed is back. Raises `InvalidInput` when the workflow has too many.
    """
    step = _STEP_BY_NAME.get(workflow.pk, node_id)
    if step and step.step_index is not None:
        return step
    with transaction.atomic():
        Workflow.objects.filter(pk=workflow.pk).update(updated_at=timezone.now())
        step, created = Step.objects.get_or_create(
            workflow=workflow,
            node_id=node_id,
            defaults={"step_index": _next_index(workflow)},
        )
        if step.step_index is None:
            step.step_index = _next_index(workflow)
            step.save(update_fields=["step_index"])
        if created:
            spec = _checked_spec(
                workflow,
                step.step_index or 0,
                {"node_id": node_id, "action_type": action_type, "action": action, "risk": risk},
            )
            add_version(step, spec, by=None)
            settle_levels(workflow)
    return step


def _next_index(workflow: Workflow) -> int:
    last = workflow.steps.aggregate(last=Max("step_index"))["last"]
    if last is not None and last + 1 >= MAX_STEPS:
        raise InvalidInput(
            f"This workflow has {MAX_STEPS} steps already: name the kind of step, not each single case.",
            field="node_id",
        )
    return 0 if last is None else last + 1


def export_recording(workflow: Workflow) -> dict[str, Any]:
    """The workflow as a Chrome Recorder user flow: defaults filled in, secrets left as `{{ name }}`.

    Raises `InvalidInput` for an external workflow, whose actions are not browser steps.
    """
    if not workflow.is_browser:
        raise InvalidInput("Only browser workflows can be exported as a recording.")
    variables = [
        VariableSpec(name=v.name, label=v.label, secret=v.secret, default=v.default) for v in workflow.variables.all()
    ]
    return export_document(workflow.header, [step.version.action for step in workflow.current_steps()], variables)


def delete_workflow(workflow: Workflow) -> None:
    """Deletes the workflow with all that belongs to it, its ended sessions included.

    Raises `IllegalTransition` while a session of it is still going on.
    """
    with transaction.atomic():
        # Whoever starts a session or decides in one holds these first.
        for session in workflow.sessions.order_by("pk"):
            hold(session.pk)
        Workflow.objects.filter(pk=workflow.pk).update(updated_at=timezone.now())
        hold_steps(workflow.steps.all())
        if count := Session.objects.filter(workflow=workflow).ongoing().count():
            raise IllegalTransition(f"{count} sessions of this workflow are still going on: end or delete them first.")
        for session in workflow.sessions.all():
            delete_session(session)
        note(What.WORKFLOW_DELETED, workflow.workflow_id, name=workflow.name)
        workflow.delete()
