"""The tea shop with Django: pages."""

from __future__ import annotations

import contextlib

from django.contrib.auth.decorators import login_required
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.static import serve

from examples import shop


def shop_context(request: HttpRequest) -> dict[str, object]:
    """What every template may use. A page is personal unless its view says otherwise."""
    return {"shop": shop, "personal": True}


def products(request: HttpRequest) -> HttpResponse:
    return render(request, "products.html")


@login_required
def orders(request: HttpRequest) -> HttpResponse:
    return render(request, "orders.html", {"orders": shop.orders_of(request.user.email)})


def note(request: HttpRequest, note: shop.Note) -> HttpResponse:
    return render(request, "note.html", {"note": note, "personal": note.personal})


def static(request: HttpRequest, path: str) -> HttpResponseBase:
    response = serve(request, path, document_root=shop.STATIC_DIR)
    if not response.streaming:
        return response
    # Under ASGI a FileResponse would come with a warning: it is read synchronously.
    with contextlib.closing(response):
        return HttpResponse(response.getvalue(), headers=response.headers)


def stream(request: HttpRequest) -> HttpResponseBase:
    pour = shop.pour_async if isinstance(request, ASGIRequest) else shop.pour
    return StreamingHttpResponse(pour(render_to_string("stream.html", request=request)))
