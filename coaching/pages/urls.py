from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import URLPattern, URLResolver, path

from . import autonomy, connect, health, hosts, pack_actions, pack_sharing, pack_views, sessions, workflows
from .inbox import inbox
from .packs import pack_list

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
    path("workflows/<slug:workflow_id>/hosts/", hosts.hosts_edit, name="hosts-edit"),
    path("workflows/<slug:workflow_id>/promote/", autonomy.workflow_promote, name="workflow-promote"),
    path("workflows/<slug:workflow_id>/demote/", autonomy.workflow_demote, name="workflow-demote"),
    path("workflows/<slug:workflow_id>/history/", autonomy.level_history, name="level-history"),
    path("workflows/<slug:workflow_id>/policy/", autonomy.policy, name="policy"),
    path("workflows/<slug:workflow_id>/delete/", workflows.workflow_delete, name="workflow-delete"),
    path("connect/", connect.connect, name="connect"),
    path("connect/workflow/", connect.connect_workflow, name="connect-workflow"),
    path("connect/tokens/", connect.token_make, name="token-make"),
    path("connect/tokens/withdraw/", connect.token_withdraw, name="token-withdraw"),
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
    path("packs/", pack_list, name="pack-list"),
    path("packs/import/", pack_sharing.pack_import, name="pack-import"),
    path("packs/<slug:pack_id>/", pack_views.pack_detail, name="pack-detail"),
    path("packs/<slug:pack_id>/export/", pack_views.pack_export, name="pack-export"),
    path("packs/<slug:pack_id>/backtest/", pack_views.pack_backtest, name="pack-backtest"),
    path("packs/<slug:pack_id>/backtest/start/", pack_actions.pack_backtest_start, name="pack-backtest-start"),
    path("packs/<slug:pack_id>/change/", pack_actions.pack_change, name="pack-change"),
    path("packs/<slug:pack_id>/revise/", pack_actions.pack_revise, name="pack-revise"),
    path("packs/<slug:pack_id>/submit/", pack_actions.pack_submit, name="pack-submit"),
    path("packs/<slug:pack_id>/publish/", pack_actions.pack_publish, name="pack-publish"),
    path("packs/<slug:pack_id>/rollback/", pack_actions.pack_rollback, name="pack-rollback"),
    path("packs/<slug:pack_id>/retire/", pack_actions.pack_retire, name="pack-retire"),
    path("packs/<slug:pack_id>/delete/", pack_actions.pack_delete, name="pack-delete"),
    path("packs/<slug:pack_id>/merge/", pack_sharing.pack_merge, name="pack-merge"),
    path("packs/<slug:pack_id>/corrections/", pack_actions.corrections_bulk, name="pack-corrections"),
    path("packs/<slug:pack_id>/corrections/<int:number>/", pack_actions.correction_edit, name="pack-correction-edit"),
    path(
        "packs/<slug:pack_id>/corrections/<int:number>/reject/",
        pack_actions.correction_reject,
        name="pack-correction-reject",
    ),
]
