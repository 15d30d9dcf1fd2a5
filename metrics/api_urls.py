"""Addresses of the metrics in the API, below `/api/v1/`."""

from __future__ import annotations

from django.urls import URLPattern, path

from . import api, exports

urlpatterns: list[URLPattern] = [
    path("workflows/<slug:workflow_id>/metrics/", api.WorkflowMetrics.as_view(), name="api-workflow-metrics"),
    path("workflows/<slug:workflow_id>/promote/", api.Promote.as_view(), name="api-promote"),
    path("workflows/<slug:workflow_id>/demote/", api.Demote.as_view(), name="api-demote"),
    path("workflows/<slug:workflow_id>/policy/", api.AutonomyPolicy.as_view(), name="api-policy"),
    path("statistics/", api.Statistics.as_view(), name="api-statistics"),
    path("metrics/", api.Metrics.as_view(), name="api-metrics"),
    path("export/metrics/", exports.ExportMetrics.as_view(), name="api-export-metrics"),
]
