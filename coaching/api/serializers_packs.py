"""Correction packs: what is sent and what is answered."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django.db.models import Prefetch, Q, QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from .. import evidence
from ..actions.secrecy import masked_action, secret_names_of
from ..models import (
    BackTest,
    BackTestFinding,
    Correction,
    CorrectionMade,
    CorrectionPack,
    Decision,
    PackChange,
    PackConflict,
    PackEntry,
    PackVersion,
)
from ..packs import PackItem, Verdict
from ..packs.merging import SIDES
from ..recordings import mask
from .pagination import PageQuery
from .serializers import (
    LONG_TEXT,
    MAX_COUNT,
    NOTHING_SAID,
    ErrorSerializer,
    JSONObject,
    Moment,
    QuerySerializer,
    Slug,
    StrictSerializer,
    TextOrNull,
)

#: How many of the latest decisions a captured correction brings along.
LATEST = 10
NEXT_PAGE = "Address of the following page, null on the last."


# ---- what is answered


class ChangeSerializer(serializers.Serializer[Any]):
    """One field of an action. Without `old` there is no such field before, without `new` none afterwards."""

    path = serializers.CharField(help_text="JSON pointer (RFC 6901) to the field.")
    old = serializers.JSONField(required=False, help_text="What must stand there for the correction to apply.")
    new = serializers.JSONField(required=False, help_text="What stands there afterwards.")


class TargetSerializer(serializers.Serializer[Any]):
    role = serializers.CharField(allow_blank=True)
    name = serializers.CharField(allow_blank=True)
    label = serializers.CharField(allow_blank=True)  # type: ignore[assignment]
    path = serializers.CharField(allow_blank=True, help_text="Of the page.")


class Masked:
    """Reads columns of actions with the secrets of their workflow as `***`; `secrets` in the context says which."""

    context: Any

    def masked(self, value: Any, workflow_id: str) -> Any:
        return mask(value, self.context["secrets"].get(workflow_id, frozenset()))


def with_secrets(workflow_ids: Iterable[str]) -> dict[str, Any]:
    """The context that `Masked` serializers need: one query."""
    return {"secrets": secret_names_of(set(workflow_ids))}


class MadeSerializer(serializers.Serializer[CorrectionMade]):
    session_id = serializers.CharField(source="decision.session.session_id")
    step_index = serializers.IntegerField(source="decision.step_index", help_text="0-based.")
    decision = serializers.ChoiceField(source="decision.decision", choices=Decision.Kind.choices)
    decided_by = serializers.CharField(source="decision.decided_by")
    feedback = TextOrNull(source="decision.feedback")
    reason_code = serializers.SerializerMethodField()
    timestamp = Moment(source="decision.timestamp")

    @extend_schema_field(serializers.ChoiceField(choices=Decision.Reason.choices, allow_null=True))
    def get_reason_code(self, made: CorrectionMade) -> str | None:
        return made.decision.reason_code or None


def with_latest(corrections: QuerySet[Correction]) -> QuerySet[Correction]:
    """Brings what `CorrectionSerializer` needs, in three queries however many corrections."""
    made = CorrectionMade.objects.select_related("decision__session").order_by("-pk")[:LATEST]
    return corrections.select_related("workflow").prefetch_related(Prefetch("made", made, to_attr="latest"))


class CorrectionSerializer(Masked, serializers.Serializer[Correction]):
    """A captured correction: equal ones are one, with a count."""

    correction_id = serializers.CharField(source="pk")
    workflow_id = serializers.CharField(source="workflow.workflow_id")
    node_id = serializers.CharField()
    action_type = serializers.CharField()
    target = serializers.SerializerMethodField(help_text="The original target; empty texts where it is not known.")
    original = serializers.SerializerMethodField(help_text="The action as it was proposed, secrets as `***`.")
    corrected = serializers.SerializerMethodField(help_text="The full corrected action, secrets as `***`.")
    changes = serializers.SerializerMethodField(help_text="The fields that differ.")
    difference = serializers.SerializerMethodField(help_text="Original → corrected, as an RFC 6902 patch.")
    count = serializers.IntegerField(help_text="How often it was made.")
    latest = MadeSerializer(many=True, help_text=f"The last {LATEST} times that it was made, newest first.")
    first_at = Moment()
    last_at = Moment()

    def _read(self, correction: Correction, column: str) -> Any:
        return self.masked(getattr(correction, column), correction.workflow.workflow_id)

    @extend_schema_field(TargetSerializer())
    def get_target(self, correction: Correction) -> Any:
        return self._read(correction, "target")

    @extend_schema_field(JSONObject())
    def get_original(self, correction: Correction) -> Any:
        return self._read(correction, "original")

    @extend_schema_field(JSONObject())
    def get_corrected(self, correction: Correction) -> Any:
        return self._read(correction, "corrected")

    @extend_schema_field(ChangeSerializer(many=True))
    def get_changes(self, correction: Correction) -> Any:
        return self._read(correction, "changes")

    @extend_schema_field(serializers.ListField(child=JSONObject()))
    def get_difference(self, correction: Correction) -> Any:
        return self._read(correction, "difference")


class CorrectionPageSerializer(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True, help_text=NEXT_PAGE)
    results = CorrectionSerializer(many=True)


class UsesSerializer(serializers.Serializer[Any]):
    """How often changed suggestions were right: accepted, of those that a person has judged."""

    right = serializers.IntegerField()
    wrong = serializers.IntegerField(help_text="Rejected, or corrected again.")
    uses = serializers.IntegerField(help_text="right + wrong")
    success_rate = serializers.FloatField(allow_null=True, help_text="0 to 1; null: not used yet.")
    wilson_low = serializers.FloatField(allow_null=True, help_text="The rate's 95 % Wilson interval.")
    wilson_high = serializers.FloatField(allow_null=True)


def uses_of(right: int, wrong: int) -> dict[str, Any]:
    uses = right + wrong
    low, high = evidence.source().interval(right, wrong) or (None, None)
    return {
        "right": right,
        "wrong": wrong,
        "uses": uses,
        "success_rate": right / uses if uses else None,
        "wilson_low": low,
        "wilson_high": high,
    }


class PackSummarySerializer(serializers.Serializer[CorrectionPack]):
    """Of packs read with `with_overview`."""

    pack_id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    scope = serializers.ChoiceField(
        choices=CorrectionPack.Scope.choices,
        help_text="`target`: its corrections serve the same target on the same page in other workflows too.",
    )
    status = serializers.ChoiceField(choices=CorrectionPack.Status.choices)
    active_version = serializers.IntegerField(
        source="active.number", default=None, allow_null=True, help_text="The version that is applied, if one is."
    )
    draft_version = serializers.IntegerField(
        source="draft.number", default=None, allow_null=True, help_text="The version that is worked on, if one is."
    )
    applied = serializers.IntegerField(help_text="How many of its corrections are applied now.")
    reach = serializers.IntegerField(help_text="In how many workflows.")
    open_conflicts = serializers.IntegerField(
        help_text="In how many places a correction of it and another that is applied contradict each other."
    )
    stats = serializers.SerializerMethodField()
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    created_at = Moment()
    updated_at = Moment()

    @extend_schema_field(UsesSerializer())
    def get_stats(self, pack: CorrectionPack) -> Any:
        return uses_of(pack.right_uses, pack.wrong_uses)  # type: ignore[attr-defined]


class PackPageSerializer(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True, help_text=NEXT_PAGE)
    results = PackSummarySerializer(many=True)


class PackCorrectionSerializer(Masked, serializers.Serializer[PackEntry]):
    """A correction as it stands in one version of a pack."""

    number = serializers.IntegerField(source="item.number", help_text="The same through all versions of the pack.")
    correction_id = serializers.SerializerMethodField(help_text="The captured correction that it comes from, if any.")
    workflow_id = serializers.CharField()
    node_id = serializers.CharField()
    action_type = serializers.CharField()
    target = serializers.SerializerMethodField()
    changes = serializers.SerializerMethodField(help_text="Old → new by field, secrets as `***`.")
    note = serializers.CharField(allow_blank=True)
    enabled = serializers.BooleanField(help_text="False: left out of this version.")
    rejected = TextOrNull(help_text="Why a reviewer will not have it; null: not rejected.")
    off_since = Moment(source="item.off_since", allow_null=True, help_text="Switched off, in whatever version.")
    off_by = TextOrNull(source="item.off_by", help_text="A user name, or `policy`.")
    off_reason = TextOrNull(source="item.off_reason")
    is_on = serializers.BooleanField(help_text="Enabled, not rejected and not switched off.")
    stats = serializers.SerializerMethodField()

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_correction_id(self, entry: PackEntry) -> str | None:
        return str(entry.item.correction_id) if entry.item.correction_id else None

    @extend_schema_field(TargetSerializer())
    def get_target(self, entry: PackEntry) -> Any:
        return self.masked(entry.target, entry.workflow_id)

    @extend_schema_field(ChangeSerializer(many=True))
    def get_changes(self, entry: PackEntry) -> Any:
        return self.masked(entry.changes, entry.workflow_id)

    @extend_schema_field(UsesSerializer())
    def get_stats(self, entry: PackEntry) -> Any:
        return uses_of(entry.item.right, entry.item.wrong)


class ConflictSerializer(serializers.Serializer[PackConflict]):
    """Two corrections that are applied and would change the same field of the same step differently: neither does."""

    correction = serializers.IntegerField(source="item.number")
    pack_id = serializers.CharField(source="item.pack.pack_id")
    other_correction = serializers.IntegerField(source="other.number")
    other_pack_id = serializers.CharField(source="other.pack.pack_id")
    workflow_id = serializers.CharField(source="workflow.workflow_id")
    node_id = serializers.CharField()
    path = serializers.CharField(help_text="JSON pointer to the field.")
    seen = serializers.IntegerField(help_text="How often a coach was asked because of it.")
    last_at = Moment()


class VersionSerializer(serializers.Serializer[PackVersion]):
    number = serializers.IntegerField()
    active = serializers.SerializerMethodField(help_text="It is the one that is applied.")
    draft = serializers.SerializerMethodField(help_text="It is the one that is worked on.")
    created_at = Moment()
    published_at = Moment(allow_null=True)
    published_by = TextOrNull()

    def get_active(self, version: PackVersion) -> bool:
        return version.pk == version.pack.active_id

    def get_draft(self, version: PackVersion) -> bool:
        return version.pk == version.pack.draft_id


class VersionPageSerializer(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True, help_text=NEXT_PAGE)
    results = VersionSerializer(many=True)


class PackSerializer(PackSummarySerializer):
    """A pack with the corrections of the version that is worked on, else of the one that is applied."""

    version = serializers.SerializerMethodField(help_text="The version that `corrections` are of.")
    corrections = serializers.SerializerMethodField()
    conflicts = serializers.SerializerMethodField(help_text="Those that are open, the latest first.")

    @extend_schema_field(VersionSerializer(allow_null=True))
    def get_version(self, pack: CorrectionPack) -> Any:
        return VersionSerializer(pack.shown).data if pack.shown else None

    @extend_schema_field(PackCorrectionSerializer(many=True))
    def get_corrections(self, pack: CorrectionPack) -> Any:
        version = pack.shown
        return corrections_json(list(version.entries.select_related("item")) if version else [])

    @extend_schema_field(ConflictSerializer(many=True))
    def get_conflicts(self, pack: CorrectionPack) -> Any:
        theirs = PackConflict.objects.open().filter(Q(item__pack=pack) | Q(other__pack=pack))
        conflicts: Any = theirs.select_related("item__pack", "other__pack", "workflow")
        return ConflictSerializer(conflicts, many=True).data


def corrections_json(entries: Any) -> Any:
    context = with_secrets(entry.workflow_id for entry in entries)
    return PackCorrectionSerializer(entries, many=True, context=context).data


class PackChangeSerializer(serializers.Serializer[PackChange]):
    at = Moment()
    by = serializers.CharField(help_text="A user name, or `policy`.")
    what = serializers.CharField(help_text="`created`, `submitted`, `published`, `switched off` …")
    version = serializers.IntegerField(source="version_number", allow_null=True)
    words = serializers.CharField(allow_blank=True)


class PackChangePageSerializer(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True, help_text=NEXT_PAGE)
    results = PackChangeSerializer(many=True)


class BackTestSerializer(serializers.Serializer[BackTest]):
    backtest_id = serializers.CharField(source="pk")
    version = serializers.IntegerField(source="version.number", help_text="The version that is replayed.")
    status = serializers.ChoiceField(choices=BackTest.Status.choices)
    done = serializers.IntegerField(help_text="How many decisions were replayed.")
    total = serializers.IntegerField()
    percent = serializers.IntegerField()
    saved = serializers.IntegerField(help_text="Corrections that would not have been needed.")
    broken = serializers.IntegerField(help_text="Accepted suggestions that would have been others.")
    altered = serializers.IntegerField(
        help_text="Suggestions refused, corrected otherwise or done by hand that would have been others."
    )
    error = TextOrNull()
    started_by = serializers.CharField()
    started_at = Moment()
    finished_at = Moment(allow_null=True)


class FindingSerializer(serializers.Serializer[BackTestFinding]):
    """A decision that the pack would have changed."""

    verdict = serializers.ChoiceField(choices=[verdict.value for verdict in Verdict if verdict != Verdict.SAME])
    session_id = serializers.CharField(source="decision.session.session_id")
    step_index = serializers.IntegerField(source="decision.step_index", help_text="0-based.")
    node_id = serializers.CharField(source="decision.node_id")
    decision = serializers.ChoiceField(source="decision.decision", choices=Decision.Kind.choices)
    correction = serializers.IntegerField(source="item_number", help_text="The correction that changes it.")
    proposed = serializers.SerializerMethodField(help_text="What was proposed; null where it is not known.")
    now = serializers.SerializerMethodField(help_text="What would have been proposed.")
    done = serializers.SerializerMethodField(help_text="What the person put in its place, if anything.")

    @extend_schema_field(JSONObject(allow_null=True))
    def get_proposed(self, finding: BackTestFinding) -> Any:
        suggestion = finding.decision.suggestion
        return masked_action(suggestion.action, finding.decision.session) if suggestion else None

    @extend_schema_field(JSONObject())
    def get_now(self, finding: BackTestFinding) -> Any:
        return masked_action(finding.now, finding.decision.session)

    @extend_schema_field(JSONObject(allow_null=True))
    def get_done(self, finding: BackTestFinding) -> Any:
        return masked_action(finding.decision.correction, finding.decision.session)


class FindingPageSerializer(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True, help_text=NEXT_PAGE)
    results = FindingSerializer(many=True)


class BackTestDetailSerializer(BackTestSerializer):
    current = serializers.BooleanField(help_text="False: the version has changed since, so it must be tested again.")
    findings = FindingPageSerializer()


class FileCorrectionSerializer(serializers.Serializer[Any]):
    """A correction as it stands in a file or another pack."""

    number = serializers.IntegerField()
    workflow_id = serializers.CharField()
    node_id = serializers.CharField()
    action_type = serializers.CharField(allow_blank=True)
    target = TargetSerializer()
    changes = ChangeSerializer(many=True)
    note = serializers.CharField(allow_blank=True)
    enabled = serializers.BooleanField()


class PairSerializer(serializers.Serializer[Any]):
    """Two corrections of the same fields of the same step, of which one can hold; choose by the number of `ours`."""

    ours = FileCorrectionSerializer()
    theirs = FileCorrectionSerializer()


class PreviewSerializer(serializers.Serializer[Any]):
    pack_id = serializers.CharField()
    name = serializers.CharField()
    version = serializers.IntegerField(help_text="Of the file.")
    exists = serializers.BooleanField(help_text="There is a pack with this id here, into which it would be merged.")
    new = FileCorrectionSerializer(many=True)
    conflicts = PairSerializer(many=True)
    equal = FileCorrectionSerializer(many=True)


def items_json(items: Iterable[PackItem]) -> list[dict[str, Any]]:
    """Corrections of files as they may be shown."""
    items = list(items)
    secrets = secret_names_of({item.workflow_id for item in items})
    return [mask(item.as_json() | {"picture": ""}, secrets[item.workflow_id]) for item in items]


def pairs_json(pairs: Iterable[tuple[PackItem, PackItem]]) -> Any:
    rows = list(pairs)
    both = zip(items_json(ours for ours, _ in rows), items_json(theirs for _, theirs in rows), strict=True)
    return PairSerializer([{"ours": ours, "theirs": theirs} for ours, theirs in both], many=True).data


# ---- errors with what they are about beside them


class BreaksAcceptedSerializer(ErrorSerializer):
    """The error; with `breaks_accepted` the back-test stands beside it."""

    backtest = BackTestSerializer(required=False)


class UndecidedConflictsSerializer(ErrorSerializer):
    """The error; with `undecided_conflicts` the pairs that need a choice stand beside it."""

    conflicts = PairSerializer(many=True, required=False)


# ---- what is sent


class PackQuery(PageQuery):
    status = serializers.ChoiceField(choices=CorrectionPack.Status.choices, required=False)
    workflow_id = serializers.CharField(
        required=False, help_text="Only packs whose applied or draft version has corrections of this workflow."
    )


class CorrectionQuery(PageQuery):
    workflow_id = serializers.CharField(required=False, help_text="Only corrections of this workflow.")
    node_id = serializers.CharField(required=False, trim_whitespace=False, help_text="Only corrections of this step.")


class FindingQuery(PageQuery):
    verdict = serializers.ChoiceField(
        choices=[verdict.value for verdict in Verdict if verdict != Verdict.SAME],
        required=False,
        help_text="Only findings of this kind.",
    )


class VersionQuery(QuerySerializer):
    version = serializers.IntegerField(
        min_value=1, max_value=MAX_COUNT, required=False, help_text="Else the applied one, else the one worked on."
    )


class ExportQuery(VersionQuery):
    pictures = serializers.BooleanField(default=False, help_text="true: with the page of each correction.")


class CorrectionIds(serializers.ListField):
    """`correction_id`s of captured corrections."""

    child = serializers.RegexField(r"^[0-9]{1,18}\Z")

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=10_000, **options)


class NewPack(StrictSerializer):
    pack_id = Slug(required=False, help_text="Made from the name when absent.")
    name = serializers.CharField(max_length=200)
    description = serializers.CharField(max_length=LONG_TEXT, required=False, allow_blank=True)
    scope = serializers.ChoiceField(choices=CorrectionPack.Scope.choices, required=False)
    correction_ids = CorrectionIds(required=False, help_text="Captured corrections to begin with.")


class PackChanges(StrictSerializer):
    name = serializers.CharField(max_length=200, required=False)
    description = serializers.CharField(max_length=LONG_TEXT, required=False, allow_blank=True)
    scope = serializers.ChoiceField(
        choices=CorrectionPack.Scope.choices, required=False, help_text="Only before it is first published."
    )


class AddedCorrections(StrictSerializer):
    correction_ids = CorrectionIds(help_text="Captured corrections; those that the draft has stay as they are.")


class CorrectionChanges(StrictSerializer):
    together = {
        "allOf": [
            {
                "anyOf": [
                    {"properties": {"off": {"type": "boolean", "enum": [True]}}, "required": ["off"]},
                    {"properties": {"reason": NOTHING_SAID}},
                ]
            },
            {
                "anyOf": [
                    {"properties": {"enabled": {"type": "boolean", "enum": [False]}}},
                    {"not": {"required": ["rejected"]}},
                ]
            },
        ]
    }

    new = serializers.DictField(
        child=serializers.JSONField(allow_null=True),
        required=False,
        help_text="New values by `path`; `***` leaves a secret as it is. The correction gets another number.",
    )
    note = serializers.CharField(max_length=LONG_TEXT, required=False, allow_blank=True)
    enabled = serializers.BooleanField(
        required=False, help_text="False leaves it out of the draft; true takes it in again, rejected or not."
    )
    rejected = serializers.CharField(
        max_length=LONG_TEXT, required=False, help_text="Why you will not have it in the draft."
    )
    off = serializers.BooleanField(
        required=False, help_text="True: out of use at once, in whatever version. False: in use, counted anew."
    )
    reason = serializers.CharField(
        max_length=LONG_TEXT, required=False, allow_blank=True, help_text="Why it is switched off."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("reason") and not attrs.get("off"):
            raise serializers.ValidationError({"reason": "A reason goes with off: true."})
        if attrs.get("enabled") and "rejected" in attrs:
            raise serializers.ValidationError({"rejected": "Either take it in or reject it."})
        return attrs


class Publication(StrictSerializer):
    confirm = serializers.BooleanField(
        default=False, help_text="True: publish although it would have changed accepted suggestions."
    )


class Rollback(StrictSerializer):
    version = serializers.IntegerField(
        min_value=1, max_value=MAX_COUNT, required=False, help_text="An earlier published one; else the one before."
    )


class ChoicesField(serializers.DictField):
    """Which side holds in each conflict, by the number of our correction."""

    child = serializers.ChoiceField(choices=list(SIDES))

    def __init__(self, **options: Any) -> None:
        words = 'By the number of our correction, e.g. `{"3": "theirs"}`.'
        super().__init__(required=False, help_text=words, **options)

    def to_internal_value(self, data: Any) -> dict[Any, Any]:
        choices = super().to_internal_value(data)
        if not all(isinstance(key, str) and key.isdecimal() and key.isascii() and len(key) < 10 for key in choices):
            raise serializers.ValidationError("Choices are by the number of a correction.")
        return {int(key): side for key, side in choices.items()}


class ChoicesText(serializers.CharField):
    """The same as JSON text, where only text can be sent."""

    def __init__(self, **options: Any) -> None:
        words = 'Which side holds in each conflict, by the number of our correction, as JSON: `{"3": "theirs"}`.'
        super().__init__(required=False, max_length=1024 * 1024, help_text=words, **options)

    def to_internal_value(self, data: Any) -> Any:
        text = super().to_internal_value(data)
        try:
            choices = json.loads(text)
        except (ValueError, RecursionError):
            raise serializers.ValidationError("This is not JSON.") from None
        return ChoicesField().run_validation(choices)


class Merge(StrictSerializer):
    other = serializers.CharField(max_length=100, help_text="The `pack_id` of the pack to take corrections from.")
    choices = ChoicesField()


class PackImportQuery(StrictSerializer):
    only_texts = True

    preview = serializers.BooleanField(required=False, help_text="true: only say what it would do, and store nothing.")
    choices = ChoicesText()


class PackFileInput(StrictSerializer):
    file = serializers.FileField(help_text="A pack as it was exported, at most 10 MiB.")
    choices = ChoicesText()
