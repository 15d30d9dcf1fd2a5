"""Addresses of the API, below `/api/v1/`."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path, re_path

from . import exports, overview, pack_files, pack_moves, packs, sessions, suggestions, webhooks, workflows
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
        "sessions/<slug:session_id>/suggestions/<int:n>/performing/",
        suggestions.BeginPerforming.as_view(),
        name="api-performing",
    ),
    path(
        "sessions/<slug:session_id>/suggestions/<int:n>/outcome/",
        suggestions.ReportOutcome.as_view(),
        name="api-outcome",
    ),
    path(
        "sessions/<slug:session_id>/suggestions/<int:n>/withdraw/",
        suggestions.TakeBack.as_view(),
        name="api-withdraw",
    ),
    path(
        "sessions/<slug:session_id>/suggestions/<int:n>/screenshot/",
        suggestions.Screenshot.as_view(),
        name="api-screenshot",
    ),
    path("sessions/<slug:session_id>/decisions/", suggestions.Decisions.as_view(), name="api-decisions"),
    path("sessions/<slug:session_id>/events/", overview.Events.as_view(), name="api-events"),
    path("packs/", packs.Packs.as_view(), name="api-packs"),
    path("packs/suggested/", packs.SuggestedCorrections.as_view(), name="api-packs-suggested"),
    path("packs/corrections/", packs.CapturedCorrections.as_view(), name="api-packs-captured"),
    path("packs/import/", pack_files.ImportPack.as_view(), name="api-packs-import"),
    path("packs/<slug:pack_id>/", packs.PackDetail.as_view(), name="api-pack"),
    path("packs/<slug:pack_id>/corrections/", packs.PackCorrections.as_view(), name="api-pack-corrections"),
    path(
        "packs/<slug:pack_id>/corrections/<int:number>/",
        packs.PackCorrection.as_view(),
        name="api-pack-correction",
    ),
    path("packs/<slug:pack_id>/revise/", pack_moves.RevisePack.as_view(), name="api-pack-revise"),
    path("packs/<slug:pack_id>/submit/", pack_moves.SubmitPack.as_view(), name="api-pack-submit"),
    path("packs/<slug:pack_id>/backtest/", pack_moves.BackTestPack.as_view(), name="api-pack-backtest"),
    path("packs/<slug:pack_id>/publish/", pack_moves.PublishPack.as_view(), name="api-pack-publish"),
    path("packs/<slug:pack_id>/retire/", pack_moves.RetirePack.as_view(), name="api-pack-retire"),
    path("packs/<slug:pack_id>/rollback/", pack_moves.RollBackPack.as_view(), name="api-pack-rollback"),
    path("packs/<slug:pack_id>/versions/", pack_moves.PackVersions.as_view(), name="api-pack-versions"),
    path("packs/<slug:pack_id>/changes/", pack_moves.PackChangeLog.as_view(), name="api-pack-changes"),
    path("packs/<slug:pack_id>/export/", pack_files.ExportPack.as_view(), name="api-pack-export"),
    path("packs/<slug:pack_id>/merge/", pack_files.MergePack.as_view(), name="api-pack-merge"),
    path("webhooks/", webhooks.Webhooks.as_view(), name="api-webhooks"),
    path("webhooks/allowed-hosts/", webhooks.AllowedHosts.as_view(), name="api-allowed-hosts"),
    path(
        "webhooks/allowed-hosts/<int:allowed_host_id>/",
        webhooks.AllowedHostDetail.as_view(),
        name="api-allowed-host",
    ),
    path("webhooks/<int:webhook_id>/", webhooks.WebhookDetail.as_view(), name="api-webhook"),
    path("webhooks/<int:webhook_id>/rotate/", webhooks.RotateSecret.as_view(), name="api-webhook-rotate"),
    path("webhooks/<int:webhook_id>/test/", webhooks.SendTest.as_view(), name="api-webhook-test"),
    path("webhooks/<int:webhook_id>/deliveries/", webhooks.Deliveries.as_view(), name="api-webhook-deliveries"),
    path(
        "webhooks/<int:webhook_id>/deliveries/<slug:message_id>/",
        webhooks.DeliveryDetail.as_view(),
        name="api-webhook-delivery",
    ),
    path(
        "webhooks/<int:webhook_id>/deliveries/<slug:message_id>/resend/",
        webhooks.ResendDelivery.as_view(),
        name="api-webhook-resend",
    ),
    path("export/sessions/", exports.ExportSessions.as_view(), name="api-export-sessions"),
    path("export/decisions/", exports.ExportDecisions.as_view(), name="api-export-decisions"),
    path("inbox/", overview.Inbox.as_view(), name="api-inbox"),
    path("schema/", SchemaView.as_view(), name="api-schema"),
    path("docs/", DocsView.as_view(), name="api-docs"),
    re_path(r"", NothingHere.as_view(), name="api-nothing"),
]
