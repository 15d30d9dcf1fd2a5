"""`packs/import/`, `packs/{id}/export/` and `packs/{id}/merge/`: packs that come from elsewhere, and go there."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from ..actions.correction_packs import export, import_pack, merge, preview_import
from ..models import CorrectionPack, PackVersion
from ..packs import PackDocument, PackItem, export_pack
from ..roles import REVIEW_PACKS, VIEW
from .errors import TooLarge
from .packs import TAGS, answer, pack_or_404
from .parsers import RecordingParser
from .schema import error_example
from .serializers_packs import (
    ExportQuery,
    Merge,
    PackFileInput,
    PackImportQuery,
    PackSerializer,
    PreviewSerializer,
    UndecidedConflictsSerializer,
    items_json,
    pairs_json,
)
from .views import ApiView

#: Boundaries and the other field of a form.
FORM_OVERHEAD = 64 * 1024
NEEDS_CHOICES = OpenApiResponse(
    UndecidedConflictsSerializer, "The pack’s status does not allow it; or `conflicts` need a choice each."
)


def _correction(number: int, new: str) -> dict[str, Any]:
    return {
        "number": number,
        "workflow_id": "expense-claim",
        "node_id": "change-amount",
        "action_type": "change",
        "target": {"role": "textbox", "name": "Amount", "label": "Amount", "path": "/claims/new"},
        "changes": [{"path": "/value", "old": "42.50", "new": new}],
        "note": "",
        "enabled": True,
    }


UNDECIDED = error_example(
    "Two corrections contradict each other",
    "undecided_conflicts",
    "1 corrections contradict each other: say for each which one holds.",
    status=409,
    conflicts=[{"ours": _correction(3, "45"), "theirs": _correction(1, "45.00")}],
)


FILE = export_pack(
    PackDocument(
        pack_id="release-2",
        name="Release 2",
        description="",
        scope=CorrectionPack.Scope.STEP.value,
        version=1,
        items=(PackItem.from_json(_correction(1, "45.00")),),
    )
)


class ExportPack(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW}

    @extend_schema(
        operation_id="packs_export",
        summary="Export a pack",
        description=(
            "One version as a file that another site can import, with the SHA-256 of its content: `version`, else the "
            "one that is applied, else the one that is worked on. Secrets stand in it as `{{ name }}`. "
            "`pictures=true` brings the page of each correction along, as far as there is room."
        ),
        tags=TAGS,
        parameters=[ExportQuery],
        responses={200: OpenApiResponse({"type": "object", "additionalProperties": {}}, "The file of the pack.")},
    )
    def get(self, request: Request, pack_id: str) -> Response:
        asked = ExportQuery.read(request)
        pack = pack_or_404(pack_id)
        version = _version(pack, asked.get("version"))
        attachment = f'attachment; filename="{pack.pack_id}-v{version.number}.json"'
        return Response(export(version, pictures=asked["pictures"]), headers={"Content-Disposition": attachment})


def _version(pack: CorrectionPack, number: int | None) -> PackVersion:
    version = pack.versions.filter(number=number).first() if number else pack.active or pack.shown
    if version is None:
        raise NotFound(f"This pack has no version {number}.")
    return version


class ImportPack(ApiView):
    parser_classes = [MultiPartParser, RecordingParser]
    max_body = settings.MAX_UPLOAD_BYTES + FORM_OVERHEAD
    needs: ClassVar[dict[str, str]] = {"POST": REVIEW_PACKS}

    @extend_schema(
        operation_id="packs_import",
        summary="Import a pack",
        description=(
            "An exported pack becomes a draft: of a new pack, or of the pack here that has its id, merged with what "
            "that has. Send it as the part `file` of a form, or as the JSON body itself. `preview=true` answers 200 "
            "with what is new, equal and in conflict, and stores nothing. Each conflict needs a choice. A file "
            "that was changed after its export is refused. At most 10 MiB."
        ),
        tags=TAGS,
        parameters=[PackImportQuery],
        request={"multipart/form-data": PackFileInput, "application/json": {"type": "object"}},
        responses={200: PreviewSerializer, 201: PackSerializer, 409: NEEDS_CHOICES},
        examples=[
            UNDECIDED,
            OpenApiExample(
                "An exported pack as the body", value=FILE, request_only=True, media_type="application/json"
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        query = PackImportQuery(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        data, form = _file(request)
        if asked.get("preview"):
            return Response(_preview(data))
        choices = asked.get("choices", {}) | form.get("choices", {})
        return answer(import_pack(data, choices=choices, by=self.user), 201)


def _preview(data: bytes) -> Any:
    document, pack, comparison = preview_import(data)
    body = {
        "pack_id": document.pack_id,
        "name": document.name,
        "version": document.version,
        "exists": pack is not None,
        "new": items_json(comparison.theirs),
        "conflicts": pairs_json(comparison.conflicts),
        "equal": items_json(comparison.equal),
    }
    return PreviewSerializer(body).data


def _file(request: Request) -> tuple[bytes, dict[str, Any]]:
    """The file's bytes, and what the form says beside it. Raises `ValidationError`, `TooLarge`."""
    body: object = request.data
    form: dict[str, Any] = {}
    if isinstance(body, bytes):
        data = body
    elif body:
        form = PackFileInput.read(request)
        file = form.pop("file")
        if file.size > settings.MAX_UPLOAD_BYTES:
            raise TooLarge(settings.MAX_UPLOAD_BYTES)
        data = file.read()
    else:
        raise ValidationError({"file": ["Send a pack: as the part “file” of a form, or as the JSON body."]})
    if len(data) > settings.MAX_UPLOAD_BYTES:
        raise TooLarge(settings.MAX_UPLOAD_BYTES)
    return data, form


class MergePack(ApiView):
    needs: ClassVar[dict[str, str]] = {"POST": REVIEW_PACKS}

    @extend_schema(
        operation_id="packs_merge",
        summary="Merge another pack into a pack",
        description=(
            "Takes the corrections of the other pack into this one’s draft; the other stays as it is. Where two "
            "contradict each other nothing is done until `choices` say for each which one holds."
        ),
        tags=TAGS,
        request=Merge,
        responses={200: PackSerializer, 409: NEEDS_CHOICES},
        examples=[
            UNDECIDED,
            OpenApiExample(
                "With a choice", value={"other": "release-3", "choices": {"3": "theirs"}}, request_only=True
            ),
        ],
    )
    def post(self, request: Request, pack_id: str) -> Response:
        given = Merge.read(request)
        pack = pack_or_404(pack_id)
        merge(pack, pack_or_404(given["other"]), choices=given.get("choices"), by=self.user)
        return answer(pack)
