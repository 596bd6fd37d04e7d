"""The tea shop with Django: addresses, and the caching style of each of the tea notes."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page, last_modified

from examples import shop
from examples.django_shop import views

CACHING = {
    "etag": lambda view: cache_control(no_cache=True)(conditional_page(view)),
    "max-age": lambda view: cache_control(max_age=600)(conditional_page(view)),
    "last-modified": last_modified(lambda request, note: shop.NOTES_CHANGED),
    "public": cache_control(public=True, s_maxage=600),
    "no-store": cache_control(no_store=True),
    "none": lambda view: view,
}

urlpatterns = [
    path("", views.products, name="products"),
    path("login", LoginView.as_view(template_name="login.html"), name="login"),
    path("logout", LogoutView.as_view(), name="logout"),
    path("orders", views.orders, name="orders"),
    path("stream", views.stream, name="stream"),
    path("static/<path:path>", views.static),
    *(path(note.path[1:], CACHING[note.style](views.note), {"note": note}) for note in shop.NOTES),
]
