"""`packs/…`: captured corrections, packs and what is in them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

from django.db.models import Exists, OuterRef, Q
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from ..actions.correction_packs import add_corrections, change_pack, create_pack, delete_pack
from ..actions.pack_items import change_correction
from ..exceptions import InvalidInput
from ..models import Correction, CorrectionPack, PackEntry
from ..roles import REVIEW_PACKS, VIEW
from .pagination import PageQuery, page
from .schema import error_example
from .serializers import ErrorSerializer
from .serializers_packs import (
    AddedCorrections,
    CorrectionChanges,
    CorrectionPageSerializer,
    CorrectionQuery,
    CorrectionSerializer,
    NewPack,
    PackChanges,
    PackCorrectionSerializer,
    PackPageSerializer,
    PackQuery,
    PackSerializer,
    PackSummarySerializer,
    corrections_json,
    with_latest,
    with_secrets,
)
from .views import ApiView

TAGS = ["Packs"]
ILLEGAL = {409: OpenApiResponse(ErrorSerializer, "The pack’s status does not allow it.")}
NOT_A_DRAFT = error_example(
    "Nothing is worked on",
    "illegal_transition",
    "Nothing of this pack is worked on: start a new version first.",
    status=409,
)


def pack_or_404(pack_id: str) -> CorrectionPack:
    pack = CorrectionPack.objects.with_overview().filter(pack_id=pack_id).first()
    if pack is None:
        raise NotFound(f"There is no correction pack “{pack_id}”.")
    return pack


def answer(pack: CorrectionPack, status: int = 200) -> Response:
    """The pack as it is now: what was read before an action may have changed since."""
    fresh = CorrectionPack.objects.with_overview().get(pk=pack.pk)
    return Response(PackSerializer(fresh).data, status=status)


def captured(correction_ids: Collection[str]) -> list[Correction]:
    """Raises `InvalidInput` for one that there is not."""
    found = {str(row.pk): row for row in Correction.objects.select_related("workflow").filter(pk__in=correction_ids)}
    wanted = {str(int(correction_id)) for correction_id in correction_ids}
    if missing := sorted(wanted - set(found)):
        raise InvalidInput(f"There is no captured correction {missing[0]}.", field="correction_ids")
    return [found[correction_id] for correction_id in sorted(wanted, key=int)]


def captured_json(rows: Any) -> Any:
    context = with_secrets(correction.workflow.workflow_id for correction in rows)
    return CorrectionSerializer(rows, many=True, context=context).data


class Packs(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW, "POST": REVIEW_PACKS}

    @extend_schema(
        operation_id="packs_list",
        summary="List correction packs",
        description="Packs without their corrections, the last changed first, in pages.",
        tags=TAGS,
        parameters=[PackQuery],
        responses=PackPageSerializer,
    )
    def get(self, request: Request) -> Response:
        asked = PackQuery.read(request)
        packs = CorrectionPack.objects.with_overview()
        if "status" in asked:
            packs = packs.filter(status=asked["status"])
        if "workflow_id" in asked:
            shown = Q(version=OuterRef("active")) | Q(version=OuterRef("draft"))
            packs = packs.filter(Exists(PackEntry.objects.filter(shown, workflow_id=asked["workflow_id"])))

        def serialize(rows: Any) -> Any:
            return PackSummarySerializer(rows, many=True).data

        return Response(page(packs, request, serialize, by="updated_at", descending=True))

    @extend_schema(
        operation_id="packs_create",
        summary="Create a correction pack",
        description="A draft, empty or with captured corrections; `packs/suggested/` lists those that ask for one.",
        tags=TAGS,
        request=NewPack,
        responses={201: PackSerializer},
        examples=[
            OpenApiExample(
                "From what coaches corrected", value={"name": "Release 2", "correction_ids": ["12"]}, request_only=True
            )
        ],
    )
    def post(self, request: Request) -> Response:
        given = NewPack.read(request)
        corrections = captured(given.pop("correction_ids", []))
        return answer(create_pack(**given, corrections=corrections, by=self.user), 201)


class SuggestedCorrections(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW}

    @extend_schema(
        operation_id="packs_suggested",
        summary="List corrections that ask for a pack",
        description="Captured corrections that were made at least twice in the same way and that no pack covers.",
        tags=TAGS,
        parameters=[PageQuery],
        responses=CorrectionPageSerializer,
    )
    def get(self, request: Request) -> Response:
        corrections = with_latest(Correction.objects.suggested())
        return Response(page(corrections, request, captured_json, by="last_at", descending=True))


class CapturedCorrections(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW}

    @extend_schema(
        operation_id="packs_captured",
        summary="List captured corrections",
        description="All that coaches corrected, equal corrections gathered as one with a count, the last made first.",
        tags=TAGS,
        parameters=[CorrectionQuery],
        responses=CorrectionPageSerializer,
    )
    def get(self, request: Request) -> Response:
        asked = CorrectionQuery.read(request)
        columns = {"workflow_id": "workflow__workflow_id", "node_id": "node_id"}
        corrections = Correction.objects.filter(**{columns[name]: asked[name] for name in columns if name in asked})
        return Response(page(with_latest(corrections), request, captured_json, by="last_at", descending=True))


class PackDetail(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW, "PATCH": REVIEW_PACKS, "DELETE": REVIEW_PACKS}

    @extend_schema(
        operation_id="packs_retrieve",
        summary="Get a correction pack",
        description=(
            "The pack with the corrections of the version that is worked on, else of the one that is applied, how "
            "often each was right, and what they are in conflict with."
        ),
        tags=TAGS,
        responses=PackSerializer,
    )
    def get(self, _request: Request, pack_id: str) -> Response:
        return Response(PackSerializer(pack_or_404(pack_id)).data)

    @extend_schema(
        operation_id="packs_update",
        summary="Change a correction pack",
        description="Its name, its description; its scope as long as no version of it is applied.",
        tags=TAGS,
        request=PackChanges,
        responses={200: PackSerializer} | ILLEGAL,
        examples=[OpenApiExample("Another name", value={"name": "Release 2 of the portal"}, request_only=True)],
    )
    def patch(self, request: Request, pack_id: str) -> Response:
        changes = PackChanges.read(request)
        pack = pack_or_404(pack_id)
        change_pack(pack, **changes, by=self.user)
        return answer(pack)

    @extend_schema(
        operation_id="packs_destroy",
        summary="Delete a correction pack",
        description="Only one that was never published; one that was stays on record, and is retired instead.",
        tags=TAGS,
        responses={204: None} | ILLEGAL,
        examples=[
            error_example(
                "It was published",
                "illegal_transition",
                "A pack that was published stays on record: retire it.",
                status=409,
            )
        ],
    )
    def delete(self, _request: Request, pack_id: str) -> Response:
        delete_pack(pack_or_404(pack_id), by=self.user)
        return Response(status=204)


class PackCorrections(ApiView):
    needs: ClassVar[dict[str, str]] = {"POST": REVIEW_PACKS}

    @extend_schema(
        operation_id="packs_corrections_add",
        summary="Take captured corrections into a pack",
        description="Into its draft; those that the draft has already stay as they are. Answers with the whole pack.",
        tags=TAGS,
        request=AddedCorrections,
        responses={200: PackSerializer} | ILLEGAL,
        examples=[NOT_A_DRAFT, OpenApiExample("Two more", value={"correction_ids": ["12", "15"]}, request_only=True)],
    )
    def post(self, request: Request, pack_id: str) -> Response:
        given = AddedCorrections.read(request)
        pack = pack_or_404(pack_id)
        add_corrections(pack, captured(given["correction_ids"]), by=self.user)
        return answer(pack)


class PackCorrection(ApiView):
    needs: ClassVar[dict[str, str]] = {"PATCH": REVIEW_PACKS}

    @extend_schema(
        operation_id="packs_corrections_update",
        summary="Change one correction of a pack",
        description=(
            "Does all that is given, or nothing. Edited, noted, left out and rejected are corrections of a draft; "
            "`off` takes one out of use at once, in whatever version it stands. An edited correction is another "
            "one: it gets the next number, and its record begins anew."
        ),
        tags=TAGS,
        request=CorrectionChanges,
        responses={200: PackCorrectionSerializer} | ILLEGAL,
        examples=[
            NOT_A_DRAFT,
            OpenApiExample("Another value", value={"new": {"/value": "45.00"}, "note": "Rounded."}, request_only=True),
            OpenApiExample(
                "Out of use at once", value={"off": True, "reason": "The field is gone."}, request_only=True
            ),
        ],
    )
    def patch(self, request: Request, pack_id: str, number: int) -> Response:
        changes = CorrectionChanges.read(request)
        pack = pack_or_404(pack_id)
        if not pack.shown or not pack.shown.entries.filter(item__number=number).exists():
            raise NotFound(f"The version that is shown of this pack has no correction {number}.")
        (shown,) = corrections_json([change_correction(pack, number, **changes, by=self.user)])
        return Response(shown)
