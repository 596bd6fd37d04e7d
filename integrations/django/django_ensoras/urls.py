"""The URL of the identity endpoint: `path("ensoras/", include("django_ensoras.urls"))`."""

from __future__ import annotations

from django.urls import path

from django_ensoras.views import identity

app_name = "ensoras"
urlpatterns = [path("identity", identity, name="identity")]
