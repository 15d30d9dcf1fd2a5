"""The admin site: to look at everything, and to change next to nothing.

Rows that a verb writes are shown and never edited; the buttons call the verbs. Lists stay at the same number of queries
however long they are, and pages link to lists instead of holding them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import jsonpointer
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import ngettext

from .actions.destinations import checked_hosts
from .actions.sessions import abandon_session, pause_session, resume_session
from .actions.workflow_changes import change_workflow
from .exceptions import DomainError
from .models import (
    Decision,
    GivenAnswer,
    Host,
    LevelChange,
    Recording,
    Session,
    SessionEvent,
    Step,
    StepVersion,
    Suggestion,
    Variable,
    Workflow,
)
from .roles import DECIDE, EDIT_WORKFLOW

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
else:
    ModelAdmin, TabularInline = admin.ModelAdmin, admin.TabularInline

admin.site.site_header = "coachsite"
admin.site.site_title = "coachsite"
admin.site.index_title = "Everything that is kept"


def pretty(value: Any) -> SafeString:
    """JSON as a person reads it."""
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))


def link(target: Model | None) -> SafeString | str:
    """A link to the admin page of a row; a dash where there is none."""
    if target is None:
        return "-"
    name = f"admin:{target._meta.app_label}_{target._meta.model_name}_change"
    return format_html('<a href="{}">{}</a>', reverse(name, args=[target.pk]), target)


def link_to_list(model: type[Model], text: str, **filters: Any) -> SafeString:
    """A link to the admin list of the rows of `model` that fit."""
    return format_html(
        '<a href="{}">{}</a>',
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist", query=filters),
        text,
    )


def difference_in_words(before: Any, patch: Sequence[Mapping[str, Any]]) -> SafeString | str:
    """An RFC 6902 patch of `before`, a line for each operation: what, where, and old → new."""
    lines = []
    for operation in patch:
        old = jsonpointer.resolve_pointer(before, operation["path"], None)
        values = [json.dumps(value, ensure_ascii=False) for value in (old, operation.get("value")) if value is not None]
        lines.append((operation["op"], operation["path"], " → ".join(values)))
    return format_html_join("", "<div><b>{}</b> <code>{}</code> {}</div>", lines) or "-"


class LookOnly:
    """Nobody adds, changes or deletes these rows here, whatever their permissions."""

    def has_add_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False


class EditedByOwners(LookOnly):
    """Names and descriptions may be changed by whoever may change workflows."""

    def has_change_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        return request.user.has_perm(EDIT_WORKFLOW)


class VariableInline(LookOnly, TabularInline):
    model = Variable
    fields = ["name", "label", "secret", "default"]
    show_change_link = True


class VersionInline(LookOnly, TabularInline):
    model = StepVersion
    readonly_fields = ("number", "action_type", "description", "risk", "supported", "created_at")
    fields = readonly_fields
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[StepVersion]:
        # The name of a version holds the name of its step.
        return super().get_queryset(request).select_related("step")


class WorkflowForm(forms.ModelForm):  # type: ignore[type-arg]
    allowed_hosts = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 4}),
        required=False,
        help_text="Where its browser may go beyond the hosts of its own steps. One a line: host, host:port or *.host.",
    )

    class Meta:
        model = Workflow
        fields = ["name", "description", "allowed_hosts"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["allowed_hosts"] = "\n".join(self.instance.allowed_hosts)

    def clean_allowed_hosts(self) -> list[str]:
        try:
            return checked_hosts(self.cleaned_data["allowed_hosts"].split())
        except DomainError as error:
            raise forms.ValidationError(str(error)) from None


@admin.register(Workflow)
class WorkflowAdmin(EditedByOwners, ModelAdmin):
    form = WorkflowForm
    list_display = ["name", "workflow_id", "executor", "start_url", "updated_at"]
    list_filter = ["executor"]
    search_fields = ["name", "workflow_id", "description"]
    date_hierarchy = "created_at"
    show_full_result_count = False
    readonly_fields = (
        "workflow_id", "executor", "start_url", "recording_header", "created_by", "created_at", "updated_at", "see",
    )  # fmt: skip
    fields = ("name", "description", "allowed_hosts", *readonly_fields)
    inlines = [VariableInline]

    def save_model(self, request: HttpRequest, obj: Workflow, form: Any, change: bool) -> None:  # noqa: ARG002
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        if changes:
            change_workflow(obj, **changes, by=cast("User", request.user))

    @admin.display(description="header of the recording")
    def recording_header(self, workflow: Workflow) -> SafeString:
        return pretty(workflow.header)

    @admin.display(description="see")
    def see(self, workflow: Workflow) -> SafeString:
        lists = ((Step, "steps"), (Recording, "demonstrations"), (Session, "sessions"))
        links = [(link_to_list(model, text, workflow__id__exact=workflow.pk),) for model, text in lists]
        return format_html_join(" · ", "{}", links)


@admin.register(Variable)
class VariableAdmin(EditedByOwners, ModelAdmin):
    list_display = ["name", "label", "workflow", "secret", "default"]
    list_filter = ["secret"]
    list_select_related = ["workflow"]
    search_fields = ["name", "label", "workflow__workflow_id"]
    show_full_result_count = False
    readonly_fields = ("name", "workflow", "secret", "default", "has_a_value")
    fields = ("label", *readonly_fields)

    @admin.display(description="has a default", boolean=True)
    def has_a_value(self, variable: Variable) -> bool:
        return bool(variable.default or variable.encrypted_default)


@admin.register(Step)
class StepAdmin(LookOnly, ModelAdmin):
    list_display = ["node_id", "workflow", "step_index", "level", "action_type", "description", "risk"]
    list_filter = ["level", "current__risk", "current__supported"]
    list_select_related = ["workflow", "current"]
    search_fields = ["node_id", "workflow__workflow_id", "current__description"]
    ordering = ["workflow_id", "step_index"]
    show_full_result_count = False
    fields = ["node_id", "workflow", "step_index", "level", "action_type", "description", "risk"]
    inlines = [VersionInline]

    @admin.display(description="action type", ordering="current__action_type")
    def action_type(self, step: Step) -> str:
        return step.version.action_type

    @admin.display(description="description")
    def description(self, step: Step) -> str:
        return step.version.description

    @admin.display(description="risk", ordering="current__risk")
    def risk(self, step: Step) -> str:
        return step.version.get_risk_display()


@admin.register(StepVersion)
class StepVersionAdmin(LookOnly, ModelAdmin):
    list_display = ["step", "number", "workflow", "action_type", "description", "risk", "supported", "created_at"]
    list_filter = ["risk", "supported"]
    list_select_related = ["step__workflow"]
    search_fields = ["step__node_id", "step__workflow__workflow_id", "=action_type", "description"]
    ordering = ["-pk"]
    show_full_result_count = False
    fields = [
        "step", "number", "workflow", "action_type", "description", "risk", "supported", "content", "created_by",
        "created_at",
    ]  # fmt: skip

    @admin.display(description="workflow", ordering="step__workflow__name")
    def workflow(self, version: StepVersion) -> SafeString | str:
        return link(version.step.workflow)

    @admin.display(description="action")
    def content(self, version: StepVersion) -> SafeString:
        return pretty(version.action)


@admin.register(LevelChange)
class LevelChangeAdmin(LookOnly, ModelAdmin):
    list_display = ["step", "workflow", "from_level", "to_level", "by", "at", "reason"]
    list_filter = ["from_level", "to_level"]
    list_select_related = ["step__workflow"]
    search_fields = ["step__node_id", "step__workflow__workflow_id", "=by", "reason"]
    ordering = ["-pk"]
    show_full_result_count = False
    fields = ["step", "workflow", "from_level", "to_level", "by", "at", "reason", "shown_evidence"]

    @admin.display(description="workflow", ordering="step__workflow__name")
    def workflow(self, change: LevelChange) -> SafeString | str:
        return link(change.step.workflow)

    @admin.display(description="evidence at that moment")
    def shown_evidence(self, change: LevelChange) -> SafeString:
        return pretty(change.evidence)


@admin.register(Recording)
class RecordingAdmin(LookOnly, ModelAdmin):
    list_display = ["title", "workflow", "format", "imported_at", "imported_by"]
    list_filter = ["format"]
    list_select_related = ["workflow", "imported_by"]
    search_fields = ["title", "workflow__workflow_id"]
    date_hierarchy = "imported_at"
    show_full_result_count = False
    fields = ["title", "workflow", "format", "imported_at", "imported_by", "what_the_import_said", "content"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Recording]:
        # Documents are large, and a list shows none of them.
        return super().get_queryset(request).defer("document", "notes")

    @admin.display(description="notes of the import")
    def what_the_import_said(self, recording: Recording) -> SafeString:
        return pretty(recording.notes)

    @admin.display(description="recording")
    def content(self, recording: Recording) -> SafeString:
        return pretty(recording.document)


@admin.register(Session)
class SessionAdmin(LookOnly, ModelAdmin):
    list_display = [
        "session_id", "workflow", "status", "mode", "progress", *Session.COUNTERS, "started_by", "updated_at",
    ]  # fmt: skip
    list_filter = ["status", "mode"]
    list_select_related = ["workflow", "started_by"]
    search_fields = ["session_id", "execution_id", "workflow__workflow_id"]
    date_hierarchy = "updated_at"
    show_full_result_count = False
    actions = ["pause", "resume", "abandon"]
    fieldsets: ClassVar[Any] = [
        (None, {"fields": ["session_id", "workflow", "execution_id", "status", "mode", "progress", "error_message"]}),
        ("See", {"fields": ["see"]}),
        ("Statistics", {"fields": [*Session.COUNTERS, "acceptance_rate", "correction_rate"]}),
        ("Data", {"fields": ["shown_variables", "shown_metadata"]}),
        ("Times", {"fields": ["started_by", "started_at", "updated_at", "completed_at"]}),
        ("Machinery", {"fields": ["last_seq", "host", "lease_owner", "lease_until", "enqueued_at", "shown_browser"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Session]:
        return super().get_queryset(request).defer("plan", "encrypted_secrets")

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(DECIDE)

    @admin.display(description="steps")
    def progress(self, session: Session) -> str:
        return f"{session.current_step_index} of {session.total_steps or '?'}"

    @admin.display(description="variables")
    def shown_variables(self, session: Session) -> SafeString:
        return pretty(session.variables)

    @admin.display(description="metadata")
    def shown_metadata(self, session: Session) -> SafeString:
        return pretty(session.metadata)

    @admin.display(description="browser")
    def shown_browser(self, session: Session) -> SafeString:
        return pretty(session.browser)

    @admin.display(description="see")
    def see(self, session: Session) -> SafeString:
        lists = ((Suggestion, "suggestions"), (Decision, "decisions"), (SessionEvent, "events"))
        links = [(link_to_list(model, text, session__id__exact=session.pk),) for model, text in lists]
        return format_html_join(" · ", "{}", links)

    @admin.action(description="Pause", permissions=["decide"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Session]) -> None:
        self._move_each(request, queryset, pause_session)

    @admin.action(description="Resume", permissions=["decide"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Session]) -> None:
        self._move_each(request, queryset, resume_session)

    @admin.action(description="Abandon", permissions=["decide"])
    def abandon(self, request: HttpRequest, queryset: QuerySet[Session]) -> None:
        self._move_each(request, queryset, abandon_session)

    def _move_each(self, request: HttpRequest, sessions: QuerySet[Session], move: Callable[..., None]) -> None:
        """Moves what can be moved; a session that cannot is named, and holds up none of the others."""
        moved = 0
        for session in sessions:
            try:
                move(session, by=cast("User", request.user))
                moved += 1
            except DomainError as error:
                self.message_user(request, f"{session}: {error}", messages.ERROR)
        if moved:
            done = ngettext("%d session changed.", "%d sessions changed.", moved) % moved
            self.message_user(request, done, messages.SUCCESS)


@admin.register(Suggestion)
class SuggestionAdmin(LookOnly, ModelAdmin):
    list_display = ["description", "session_link", "n", "step_index", "attempt", "status", "outcome", "opened_at"]
    list_filter = ["status", "outcome", "asked_because", "risk"]
    list_select_related = ["session"]
    search_fields = ["=session__session_id", "node_id", "description"]
    ordering = ["-pk"]
    show_full_result_count = False
    fields = [
        "description", "session_link", "decision_link", "n", "step_index", "attempt", "node_id", "action_type",
        "step_version", "content", "confidence", "risk", "rationale", "asked_because", "status", "outcome", "error",
        "opened_at", "expires_at", "performing_since", "shown_provenance", "shown_target", "shown_page",
    ]  # fmt: skip

    @admin.display(description="session", ordering="session__session_id")
    def session_link(self, suggestion: Suggestion) -> SafeString | str:
        return link(suggestion.session)

    @admin.display(description="decision")
    def decision_link(self, suggestion: Suggestion) -> SafeString | str:
        return link(getattr(suggestion, "decision", None))

    @admin.display(description="action")
    def content(self, suggestion: Suggestion) -> SafeString:
        return pretty(suggestion.action)

    @admin.display(description="provenance")
    def shown_provenance(self, suggestion: Suggestion) -> SafeString:
        return pretty(suggestion.provenance)

    @admin.display(description="target")
    def shown_target(self, suggestion: Suggestion) -> SafeString:
        return pretty(suggestion.target)

    @admin.display(description="page")
    def shown_page(self, suggestion: Suggestion) -> SafeString:
        return pretty(suggestion.page)


@admin.register(Decision)
class DecisionAdmin(LookOnly, ModelAdmin):
    list_display = [
        "decision", "node_id", "session_link", "suggestion_link", "decided_by", "reason_code", "execution_success",
        "timestamp",
    ]  # fmt: skip
    list_filter = ["decision", "reason_code", "execution_success"]
    list_select_related = ["session", "suggestion"]
    search_fields = ["=session__session_id", "node_id", "=decided_by", "feedback"]
    ordering = ["-pk"]
    show_full_result_count = False
    fields = [
        "decision", "session_link", "suggestion_link", "step_index", "node_id", "action_type", "difference_shown",
        "suggested", "corrected", "feedback", "reason_code", "decided_by", "timestamp", "latency_ms",
        "execution_success",
    ]  # fmt: skip

    @admin.display(description="session", ordering="session__session_id")
    def session_link(self, decision: Decision) -> SafeString | str:
        return link(decision.session)

    @admin.display(description="suggestion")
    def suggestion_link(self, decision: Decision) -> SafeString | str:
        return link(decision.suggestion)

    @admin.display(description="difference")
    def difference_shown(self, decision: Decision) -> SafeString | str:
        return difference_in_words(decision.suggestion.action if decision.suggestion else {}, decision.difference)

    @admin.display(description="suggested action")
    def suggested(self, decision: Decision) -> SafeString:
        return pretty(decision.suggestion.action if decision.suggestion else None)

    @admin.display(description="correction")
    def corrected(self, decision: Decision) -> SafeString:
        return pretty(decision.correction)


@admin.register(SessionEvent)
class SessionEventAdmin(LookOnly, ModelAdmin):
    list_display = ["type", "seq", "session_link", "at"]
    list_select_related = ["session"]
    search_fields = ["=session__session_id", "=type"]
    ordering = ["-pk"]
    show_full_result_count = False
    fields = ["type", "seq", "session_link", "at", "content"]

    @admin.display(description="session", ordering="session__session_id")
    def session_link(self, event: SessionEvent) -> SafeString | str:
        return link(event.session)

    @admin.display(description="data")
    def content(self, event: SessionEvent) -> SafeString:
        return pretty(event.data)


# At the end: it takes the helpers from here.
from . import admin_audit, admin_deleting, admin_packs, admin_webhooks  # noqa: E402, F401


@admin.register(GivenAnswer)
class GivenAnswerAdmin(LookOnly, ModelAdmin):
    """Which requests came with an `Idempotency-Key`; what was answered is for the caller alone."""

    list_display = ["key", "user", "status", "at"]
    list_select_related = ["user"]
    fields = ["key", "user", "status", "at"]
    search_fields = ["key"]
    ordering = ["-pk"]
    show_full_result_count = False

    def has_view_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        return request.user.has_perm(EDIT_WORKFLOW)


@admin.register(Host)
class HostAdmin(LookOnly, ModelAdmin):
    """Where workers are, in the grown layout; which sessions are whose stands in `Session.host`."""

    list_display = ["name", "seen_at"]
    fields = ["name", "seen_at"]
    search_fields = ["name"]
    ordering = ["name"]

    def has_view_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        return request.user.has_perm(EDIT_WORKFLOW)
