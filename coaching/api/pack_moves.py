"""`packs/{id}/…`: the life of a pack, from draft to retired."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from ..actions.backtests import start_backtest
from ..actions.correction_packs import publish, retire, revise, rollback, submit
from ..actions.pack_items import digest_of
from ..models import BackTest, CorrectionPack, PackVersion
from ..roles import REVIEW_PACKS, VIEW
from .packs import ILLEGAL, NOT_A_DRAFT, TAGS, answer, pack_or_404
from .pagination import PageQuery, page
from .schema import error_example
from .serializers import NoFields
from .serializers_packs import (
    BackTestDetailSerializer,
    BackTestSerializer,
    BreaksAcceptedSerializer,
    FindingQuery,
    FindingSerializer,
    PackChangePageSerializer,
    PackChangeSerializer,
    PackSerializer,
    Publication,
    Rollback,
    VersionPageSerializer,
    VersionSerializer,
)
from .views import ApiView

NOT_TESTED = error_example(
    "Not back-tested",
    "backtest_needed",
    "Back-test this version first: it was not replayed yet, or has changed since.",
    status=409,
)
BREAKS = error_example(
    "It would have changed accepted suggestions",
    "breaks_accepted",
    "This version would have changed 3 accepted suggestions: look at them, and confirm.",
    status=409,
    backtest={
        "backtest_id": "7", "version": 2, "status": "done", "done": 812, "total": 812, "percent": 100, "saved": 40,
        "broken": 3, "altered": 0, "error": None, "started_by": "rita", "started_at": "2031-01-07T09:30:00.000000Z",
        "finished_at": "2031-01-07T09:30:04.000000Z",
    },
)  # fmt: skip


class RevisePack(ApiView):
    needs: ClassVar[dict[str, str]] = {"POST": REVIEW_PACKS}

    @extend_schema(
        operation_id="packs_revise",
        summary="Work on a pack",
        description=(
            "Starts the next version as a copy of the applied one. Where there is a draft it is that one; a pack in "
            "review goes back to draft."
        ),
        tags=TAGS,
        request=NoFields,
        responses={200: PackSerializer} | ILLEGAL,
        examples=[
            error_example(
                "A retired pack",
                "illegal_transition",
                "A retired pack stays as it is: import or merge it into another.",
                status=409,
            )
        ],
    )
    def post(self, request: Request, pack_id: str) -> Response:
        NoFields.read(request)
        pack = pack_or_404(pack_id)
        revise(pack, by=self.user)
        return answer(pack)


class SubmitPack(ApiView):
    needs: ClassVar[dict[str, str]] = {"POST": REVIEW_PACKS}

    @extend_schema(
        operation_id="packs_submit",
        summary="Submit a pack for review",
        description="Draft → in review. The draft must have a correction that is neither left out nor rejected.",
        tags=TAGS,
        request=NoFields,
        responses={200: PackSerializer} | ILLEGAL,
        examples=[NOT_A_DRAFT],
    )
    def post(self, request: Request, pack_id: str) -> Response:
        NoFields.read(request)
        pack = pack_or_404(pack_id)
        submit(pack, by=self.user)
        return answer(pack)


class BackTestPack(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW, "POST": REVIEW_PACKS}

    @extend_schema(
        operation_id="packs_backtest_retrieve",
        summary="Get the latest back-test of a pack",
        description=(
            "How far it is, what it counted, and which decisions would have been others, in pages: `findings.next` is "
            "the address of the next one."
        ),
        tags=TAGS,
        parameters=[FindingQuery],
        responses=BackTestDetailSerializer,
    )
    def get(self, request: Request, pack_id: str) -> Response:
        asked = FindingQuery.read(request)
        pack = pack_or_404(pack_id)
        test = BackTest.objects.filter(version__pack=pack).select_related("version__pack").order_by("-pk").first()
        if test is None:
            raise NotFound("This pack was not back-tested yet.")
        findings = test.findings.select_related("decision__session", "decision__suggestion")
        if "verdict" in asked:
            findings = findings.filter(verdict=asked["verdict"])

        def serialize(rows: Any) -> Any:
            return FindingSerializer(rows, many=True).data

        current = test.version_id == (pack.shown.pk if pack.shown else None) and digest_of(test.version) == test.digest
        beside = {"current": current, "findings": page(findings, request, serialize)}
        return Response(BackTestSerializer(test).data | beside)

    @extend_schema(
        operation_id="packs_backtest",
        summary="Back-test a pack",
        description=(
            "Asks for a replay of the version that is worked on, else of the one that is applied, over all recorded "
            "decisions, without a browser. One that is under way for the same corrections is returned. Ask again with "
            "GET until `status` is `done`."
        ),
        tags=TAGS,
        request=NoFields,
        responses={202: BackTestSerializer} | ILLEGAL,
        examples=[
            error_example(
                "Nothing to test",
                "illegal_transition",
                "There is no correction in this version that could be tested.",
                status=409,
            )
        ],
    )
    def post(self, request: Request, pack_id: str) -> Response:
        NoFields.read(request)
        version = pack_or_404(pack_id).shown
        if version is None:
            raise NotFound("This pack has no version.")
        return Response(BackTestSerializer(start_backtest(version, by=self.user)).data, status=202)


class PublishPack(ApiView):
    needs: ClassVar[dict[str, str]] = {"POST": REVIEW_PACKS}

    @extend_schema(
        operation_id="packs_publish",
        summary="Publish a pack",
        description=(
            "The version in review changes suggestions from now on. It must have been back-tested as it is. One that "
            "would have changed accepted suggestions is refused with its back-test; look at the findings "
            "(`backtest/?verdict=broken`), then send `confirm: true`."
        ),
        tags=TAGS,
        request=Publication,
        responses={
            200: PackSerializer,
            409: OpenApiResponse(
                BreaksAcceptedSerializer,
                "Not in review; not back-tested as it is; or it breaks accepted suggestions: see `backtest`.",
            ),
        },
        examples=[
            NOT_TESTED,
            BREAKS,
            OpenApiExample("With the findings in view", value={"confirm": True}, request_only=True),
        ],
    )
    def post(self, request: Request, pack_id: str) -> Response:
        given = Publication.read(request)
        pack = pack_or_404(pack_id)
        publish(pack, confirmed=given["confirm"], by=self.user)
        return answer(pack)


class RetirePack(ApiView):
    needs: ClassVar[dict[str, str]] = {"POST": REVIEW_PACKS}

    @extend_schema(
        operation_id="packs_retire",
        summary="Retire a pack",
        description="It changes nothing any more and cannot be worked on; its versions and their record stay.",
        tags=TAGS,
        request=NoFields,
        responses={200: PackSerializer} | ILLEGAL,
        examples=[
            error_example("Retired already", "illegal_transition", "This pack is retired already.", status=409)
        ],
    )  # fmt: skip
    def post(self, request: Request, pack_id: str) -> Response:
        NoFields.read(request)
        pack = pack_or_404(pack_id)
        retire(pack, by=self.user)
        return answer(pack)


class RollBackPack(ApiView):
    needs: ClassVar[dict[str, str]] = {"POST": REVIEW_PACKS}

    @extend_schema(
        operation_id="packs_rollback",
        summary="Roll back a pack",
        description="An earlier published version is applied again at once. A draft stays as it is.",
        tags=TAGS,
        request=Rollback,
        responses={200: PackSerializer} | ILLEGAL,
        examples=[
            OpenApiExample("To the first version", value={"version": 1}, request_only=True),
            error_example("The first version", "illegal_transition", "There is no earlier version.", status=409),
        ],
    )
    def post(self, request: Request, pack_id: str) -> Response:
        given = Rollback.read(request)
        pack = pack_or_404(pack_id)
        rollback(pack, to=given.get("version"), by=self.user)
        return answer(pack)


class PackVersions(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW}

    @extend_schema(
        operation_id="packs_versions",
        summary="List the versions of a pack",
        description="The newest first, in pages. `export/?version=` gives the corrections of any of them.",
        tags=TAGS,
        parameters=[PageQuery],
        responses=VersionPageSerializer,
    )
    def get(self, request: Request, pack_id: str) -> Response:
        versions = PackVersion.objects.filter(pack=pack_or_404(pack_id)).select_related("pack")

        def serialize(rows: Any) -> Any:
            return VersionSerializer(rows, many=True).data

        return Response(page(versions, request, serialize, descending=True))


class PackChangeLog(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW}

    @extend_schema(
        operation_id="packs_changes",
        summary="Read the change log of a pack",
        description="Who did what to it and when, the latest first, in pages.",
        tags=TAGS,
        parameters=[PageQuery],
        responses=PackChangePageSerializer,
    )
    def get(self, request: Request, pack_id: str) -> Response:
        pack: CorrectionPack = pack_or_404(pack_id)

        def serialize(rows: Any) -> Any:
            return PackChangeSerializer(rows, many=True).data

        return Response(page(pack.changes.all(), request, serialize, descending=True))
