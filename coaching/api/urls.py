"""Addresses of the API, below `/api/v1/`."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path, re_path

from . import overview, sessions, suggestions, workflows
from .views import DocsView, NothingHere, SchemaView

urlpatterns: list[URLPattern | URLResolver] = [
    path("workflows/", workflows.Workflows.as_view(), name="api-workflows"),
    path("workflows/import/", workflows.ImportRecording.as_view(), name="api-import"),
    path("workflows/<slug:workflow_id>/", workflows.WorkflowDetail.as_view(), name="api-workflow"),
    path("workflows/<slug:workflow_id>/export/", workflows.ExportRecording.as_view(), name="api-export"),
    path("sessions/", sessions.Sessions.as_view(), name="api-sessions"),
    path("sessions/<slug:session_id>/", sessions.SessionDetail.as_view(), name="api-session"),
    path("sessions/<slug:session_id>/pause/", sessions.PauseSession.as_view(), name="api-pause"),
    path("sessions/<slug:session_id>/resume/", sessions.ResumeSession.as_view(), name="api-resume"),
    path("sessions/<slug:session_id>/complete/", sessions.CompleteSession.as_view(), name="api-complete"),
    path("sessions/<slug:session_id>/abandon/", sessions.AbandonSession.as_view(), name="api-abandon"),
    path("sessions/<slug:session_id>/suggestions/", suggestions.Suggestions.as_view(), name="api-suggestions"),
    path(
        "sessions/<slug:session_id>/suggestions/<int:n>/",
        suggestions.SuggestionDetail.as_view(),
        name="api-suggestion",
    ),
    path(
        "sessions/<slug:session_id>/suggestions/<int:n>/screenshot/",
        suggestions.Screenshot.as_view(),
        name="api-screenshot",
    ),
    path("sessions/<slug:session_id>/decisions/", suggestions.Decisions.as_view(), name="api-decisions"),
    path("sessions/<slug:session_id>/events/", overview.Events.as_view(), name="api-events"),
    path("statistics/", overview.Statistics.as_view(), name="api-statistics"),
    path("inbox/", overview.Inbox.as_view(), name="api-inbox"),
    path("schema/", SchemaView.as_view(), name="api-schema"),
    path("docs/", DocsView.as_view(), name="api-docs"),
    re_path(r"", NothingHere.as_view(), name="api-nothing"),
]
