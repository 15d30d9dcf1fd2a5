"""`sessions/{id}/events/` and `inbox/`"""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ..events import stream
from ..longpoll import HEADER
from ..models import Suggestion
from ..models.suggestion import INBOX_ORDER
from ..roles import VIEW
from .pagination import PageQuery, page
from .serializers import QuerySerializer, WaitField
from .serializers_sessions import EventsSerializer, InboxItemSerializer, InboxSerializer
from .views import ApiView, session_or_404

MAX_EVENTS = 1000


class EventQuery(QuerySerializer):
    after = serializers.IntegerField(
        min_value=0, max_value=2**63 - 1, default=0, help_text="The last `seq` that you have."
    )
    limit = serializers.IntegerField(
        min_value=1, max_value=MAX_EVENTS, default=MAX_EVENTS, help_text="How many to return."
    )
    wait = WaitField()


class Events(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW}

    @extend_schema(
        operation_id="events_list",
        summary="Read the event log, or wait for news",
        description=(
            "The events after `after`, in order. With `wait`, an empty answer is kept back until there is news or the "
            "time is up. Go on with the last `seq` you got: nothing is missed."
        ),
        tags=["Events"],
        parameters=[EventQuery],
        responses=EventsSerializer,
    )
    def get(self, request: Request, session_id: str) -> Response:
        asked = EventQuery.read(request)
        session = session_or_404(session_id)
        events = [
            event.as_json(session.session_id) for event in stream(session, after=asked["after"], limit=asked["limit"])
        ]
        headers = {HEADER: str(session.pk)} if asked["wait"] and not events else None
        return Response({"results": events}, headers=headers)


class Inbox(ApiView):
    needs: ClassVar[dict[str, str]] = {"GET": VIEW}

    @extend_schema(
        operation_id="inbox_list",
        summary="List what waits for you",
        description=(
            "Open suggestions of active sessions that you may decide: irreversible steps first, then the oldest. In "
            "pages; `count` is how many there are in all."
        ),
        tags=["Overview"],
        parameters=[PageQuery],
        responses=InboxSerializer,
    )
    def get(self, request: Request) -> Response:
        waiting = Suggestion.objects.for_inbox(self.user)

        def serialize(rows: Any) -> Any:
            return InboxItemSerializer(rows, many=True).data

        return Response({"count": waiting.count(), **page(waiting, request, serialize, by=INBOX_ORDER)})
