from __future__ import annotations

from django.urls import URLPattern, path

from .pages import dashboard

urlpatterns: list[URLPattern] = [path("dashboard/", dashboard, name="dashboard")]
