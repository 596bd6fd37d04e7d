"""`identity`, the identity endpoint; see `ensoras_middleware.endpoint`."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse

from django_ensoras.conf import options
from django_ensoras.middleware import EnsorasMiddleware, marks_of
from ensoras_middleware.environ import RESPONSIBLE
from ensoras_middleware.errors import ConfigurationError


@login_not_required  # LoginRequiredMiddleware would send the page's script to the log-in page
def identity(request: HttpRequest) -> HttpResponse:
    """Answer as the identity endpoint, for the widget of the middleware.

    Raises `ConfigurationError` where the middleware is not there.
    """
    layer = marks_of(request).get(RESPONSIBLE)
    if isinstance(layer, EnsorasMiddleware):
        return layer.identity(request)
    if options().get("enabled") is False:
        raise Http404
    raise ConfigurationError(
        "django_ensoras.views.identity works by the middleware: put "
        '"django_ensoras.middleware.EnsorasMiddleware" into MIDDLEWARE, and no other layer of '
        "ours around Django."
    )
