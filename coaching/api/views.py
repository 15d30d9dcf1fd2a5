"""What every view of the API is: who may, how large, and what it answers where there is nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, cast

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from django.utils.decorators import method_decorator
from drf_spectacular.renderers import OpenApiJsonRenderer2, OpenApiYamlRenderer2
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import NotFound
from rest_framework.negotiation import BaseContentNegotiation, DefaultContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request, is_form_media_type
from rest_framework.response import Response
from rest_framework.views import APIView

from .. import idempotency, rows
from ..longpoll import HEADER
from ..models import Session, Suggestion, Workflow
from ..roles import VIEW
from .authentication import TokenAuthentication
from .errors import TooLarge
from .parsers import StrictJSONParser
from .permissions import RolePermission
from .throttling import TokenThrottle


class JsonNegotiation(DefaultContentNegotiation):
    """Most callers take JSON or anything, and ask for no other format: then there is nothing to weigh."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        first = renderers[0]
        plain = (
            request.META.get("HTTP_ACCEPT", "*/*") in {"*/*", "application/json"} and not request.META["QUERY_STRING"]
        )
        if plain and format_suffix is None and first.media_type == "application/json":
            return first, first.media_type
        return super().select_renderer(request, renderers, format_suffix)


class ApiView(APIView):
    """A view of the API. `needs` names the permission of each method; `max_body` is in bytes.

    A POST with an `Idempotency-Key` happens once. A GET that gives an `ETag` costs no body where nothing has changed.
    """

    authentication_classes = [TokenAuthentication, SessionAuthentication]
    permission_classes = [RolePermission]
    throttle_classes = [TokenThrottle]
    parser_classes = [StrictJSONParser]
    content_negotiation_class: type[BaseContentNegotiation] = JsonNegotiation
    needs: ClassVar[dict[str, str]] = {}
    max_body: ClassVar[int] = settings.MAX_BODY_BYTES
    post: Callable[..., Any]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # Before anything reads the body, which telling who asks may do.
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdecimal() and int(length) > self.max_body:
            raise TooLarge(self.max_body)
        super().initial(request, *args, **kwargs)
        key = request.headers.get(idempotency.HEADER)
        if request.method == "POST" and key is not None and hasattr(self, "post"):
            self.post = partial(self._post_once, idempotency.key_of(key), self.post)

    def _post_once(self, key: str, post: Callable[..., Any], request: Request, *args: Any, **kwargs: Any) -> Any:
        def keep(response: Any) -> idempotency.Answer:
            body = JSONRenderer().render(response.data).decode()
            headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
            return idempotency.Answer(response.status_code, body, headers)

        # Read before anything is locked: that may take long.
        if not is_form_media_type(request.content_type):
            # Its bytes first: once a parser has read them from the connection they are gone for the fingerprint.
            _ = request._request.body  # noqa: SLF001 - Django's request below DRF's
        _ = request.data
        fingerprint = idempotency.fingerprint_of(request._request)  # noqa: SLF001 - Django's request below DRF's
        return idempotency.once(self.user, key, fingerprint, partial(post, request, *args, **kwargs), keep)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        final = super().finalize_response(request, response, *args, **kwargs)
        if request.method == "GET" and final.status_code == 200 and isinstance(final, Response):
            final.add_post_render_callback(partial(_unless_it_is_known, request._request))  # noqa: SLF001
        return final

    @property
    def user(self) -> User:
        """Who is asking; `RolePermission` lets nobody through who is nobody."""
        return cast("User", self.request.user)


def _unless_it_is_known(request: HttpRequest, response: HttpResponse) -> HttpResponse | None:
    """304 without a body where the caller has just this answer, by its `If-None-Match`."""
    response["ETag"] = etag = f'"{hashlib.blake2b(response.content, digest_size=16).hexdigest()}"'
    response["Cache-Control"] = "private, no-cache"
    conditional = get_conditional_response(request, etag=etag, response=response)
    if conditional is not response and conditional is not None and HEADER in response:
        # The caller wants to wait until it is something else.
        conditional[HEADER] = response[HEADER]
    return conditional


class NothingHere(ApiView):
    """Any address below the API that is none of its resources."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound("There is nothing at this address. The addresses of the API end with a slash.")


class SchemaView(SpectacularAPIView):
    """The OpenAPI document: JSON, or YAML with `?format=yaml`."""

    renderer_classes = [OpenApiJsonRenderer2, OpenApiYamlRenderer2]
    authentication_classes = ApiView.authentication_classes
    permission_classes = [RolePermission]
    needs: ClassVar[dict[str, str]] = {"GET": VIEW}

    @extend_schema(exclude=True)
    def get(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        # Not the library's own, which switches to any language that the caller names.
        answer: Response = self._get_schema_response(request)  # type: ignore[no-untyped-call]
        return answer

    def _get_version_parameter(self, _request: Request) -> None:
        """No version by parameter: the library would put the caller's text into a header, line ends and all."""


@method_decorator(login_required, name="dispatch")
class DocsView(SpectacularSwaggerSplitView):
    """The OpenAPI document as a page. It asks for the login of a page, being one."""

    authentication_classes = [SessionAuthentication]
    permission_classes = [RolePermission]
    template_name = "coaching/api_docs.html"
    url_name = "api-schema"
    needs: ClassVar[dict[str, str]] = {"GET": VIEW}

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        answer: HttpResponse = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        return answer


def workflow_or_404(workflow_id: str) -> Workflow:
    workflow = Workflow.objects.filter(workflow_id=workflow_id).first()
    if workflow is None:
        raise NotFound(f"There is no workflow “{workflow_id}”.")
    return workflow


_session = rows.Read(Session.objects.select_related("workflow"), "session_id")


def session_or_404(session_id: str) -> Session:
    session = _session.get(session_id)
    if session is None:
        raise NotFound(f"There is no session “{session_id}”.")
    return session


def suggestion_or_404(suggestions: QuerySet[Suggestion], n: int) -> Suggestion:
    suggestion = suggestions.filter(n=n).first()
    if suggestion is None:
        raise NotFound(f"This session has no suggestion {n}.")
    return suggestion
