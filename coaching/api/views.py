"""What every view of the API is: who may, how large, and what it answers where there is nothing."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils.decorators import method_decorator
from drf_spectacular.renderers import OpenApiJsonRenderer2, OpenApiYamlRenderer2
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ..models import Session, Suggestion, Workflow
from ..roles import VIEW
from .authentication import TokenAuthentication
from .errors import TooLarge
from .parsers import StrictJSONParser
from .permissions import RolePermission


class ApiView(APIView):
    """A view of the API. `needs` names the permission of each method; `max_body` is in bytes."""

    authentication_classes = [TokenAuthentication, SessionAuthentication]
    permission_classes = [RolePermission]
    parser_classes = [StrictJSONParser]
    needs: ClassVar[dict[str, str]] = {}
    max_body: ClassVar[int] = settings.MAX_BODY_BYTES

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # Before anything reads the body, which telling who asks may do.
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdecimal() and int(length) > self.max_body:
            raise TooLarge(self.max_body)
        super().initial(request, *args, **kwargs)

    @property
    def user(self) -> User:
        """Who is asking; `RolePermission` lets nobody through who is nobody."""
        return cast("User", self.request.user)


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


def session_or_404(session_id: str) -> Session:
    session = Session.objects.select_related("workflow").filter(session_id=session_id).first()
    if session is None:
        raise NotFound(f"There is no session “{session_id}”.")
    return session


def suggestion_or_404(suggestions: QuerySet[Suggestion], n: int) -> Suggestion:
    suggestion = suggestions.filter(n=n).first()
    if suggestion is None:
        raise NotFound(f"This session has no suggestion {n}.")
    return suggestion
