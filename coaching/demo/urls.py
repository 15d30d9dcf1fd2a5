"""The demo application, to be included under `/demo/`."""

from __future__ import annotations

from django.urls import path

from . import views

app_name = "demo"

urlpatterns = [
    path("", views.home, name="home"),
    path("sign-out/", views.sign_out, name="sign-out"),
    path("claims/", views.claims, name="claims"),
    path("claims/new/", views.new_claim, name="new-claim"),
    path("claims/<int:number>/", views.claim, name="claim"),
]
