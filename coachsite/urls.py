from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from . import prometheus

#: Whatever no view and no middleware has dealt with, wherever it was raised.
handler500 = "coaching.pages.fault.server_error"

urlpatterns: list[URLPattern | URLResolver] = [
    # Before coaching's own, which answers for whatever there is not.
    path("api/v1/", include("metrics.api_urls")),
    path("api/v1/", include("coaching.api.urls")),
    path("metrics", prometheus.metrics, name="metrics"),
    path("admin/", admin.site.urls),
    path("", include("metrics.urls")),
    path("", include("coaching.pages.urls")),
]
if settings.COACHSITE_DEMO:
    urlpatterns.append(path("demo/", include("coaching.demo.urls")))
