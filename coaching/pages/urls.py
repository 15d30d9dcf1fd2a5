from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import URLPattern, URLResolver, path

from . import autonomy, health, sessions, workflows
from .inbox import inbox

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("", inbox, name="inbox"),
    path("workflows/", workflows.workflow_list, name="workflow-list"),
    path("workflows/import/", workflows.workflow_import, name="workflow-import"),
    path("workflows/<slug:workflow_id>/", workflows.workflow_detail, name="workflow-detail"),
    path("workflows/<slug:workflow_id>/export/", workflows.workflow_export, name="workflow-export"),
    path("workflows/<slug:workflow_id>/start/", workflows.session_start, name="session-start"),
    path("workflows/<slug:workflow_id>/steps/<int:pk>/", workflows.step_edit, name="step-edit"),
    path("workflows/<slug:workflow_id>/variables/", workflows.variables_edit, name="variables-edit"),
    path("workflows/<slug:workflow_id>/promote/", autonomy.workflow_promote, name="workflow-promote"),
    path("workflows/<slug:workflow_id>/demote/", autonomy.workflow_demote, name="workflow-demote"),
    path("workflows/<slug:workflow_id>/history/", autonomy.level_history, name="level-history"),
    path("workflows/<slug:workflow_id>/policy/", autonomy.policy, name="policy"),
    path("workflows/<slug:workflow_id>/delete/", workflows.workflow_delete, name="workflow-delete"),
    path("sessions/", sessions.session_list, name="session-list"),
    path("sessions/<slug:session_id>/", sessions.session_detail, name="session-detail"),
    path("sessions/<slug:session_id>/decide/", sessions.session_decide, name="session-decide"),
    path("sessions/<slug:session_id>/pause/", sessions.session_pause, name="session-pause"),
    path("sessions/<slug:session_id>/resume/", sessions.session_resume, name="session-resume"),
    path("sessions/<slug:session_id>/complete/", sessions.session_complete, name="session-complete"),
    path("sessions/<slug:session_id>/abandon/", sessions.session_abandon, name="session-abandon"),
    path("sessions/<slug:session_id>/delete/", sessions.session_delete, name="session-delete"),
    path("sessions/<slug:session_id>/screenshots/last.png", sessions.last_picture, name="session-last-picture"),
    path("sessions/<slug:session_id>/screenshots/<int:n>.png", sessions.screenshot, name="suggestion-screenshot"),
]
