"""docs/monitoring.md: its recipes count what happens, with the real packages."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from adapters import ADAPTERS, ALICE, PAGE, SECRET, SLUG, Host, run_asgi, run_wsgi, serve
from recipes import Recipes

from ensoras_middleware import Outcome
from ensoras_middleware.log import PROBLEMS

RECIPES = Recipes("monitoring.md")
CSS = Host(headers=[("Content-Type", "text/css")])


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENSORAS_WIDGET_SLUG", SLUG)
    monkeypatch.setenv("ENSORAS_WIDGET_SECRET", SECRET)


def test_every_block_is_tried() -> None:
    """A block added there needs a test here."""
    places = [("Where it goes", number) for number in range(3)]
    assert RECIPES.names == {("Prometheus", 0), ("OpenTelemetry", 0), *places, ("The log", 0)}


def test_prometheus() -> None:
    """Each adapter's responses, by outcome; in one test, since a metric is there once."""
    from prometheus_client import REGISTRY

    count = RECIPES.run("Prometheus").count
    for number, adapter in enumerate(ADAPTERS, 1):
        for host, user, outcome in [
            (Host(), ALICE, "identified"),
            (Host(), None, "anonymous"),
            (CSS, None, "not-html"),
        ]:
            serve(adapter, host, user, on_outcome=count).get()
            value = REGISTRY.get_sample_value("ensoras_responses_total", {"outcome": outcome})
            assert value == number


def test_open_telemetry() -> None:
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider

    reader = InMemoryMetricReader()
    meters = MeterProvider([reader])
    metrics.set_meter_provider(meters)
    tracer = TracerProvider().get_tracer("server")
    count = RECIPES.run("OpenTelemetry").count
    for adapter in ADAPTERS:
        with tracer.start_as_current_span("GET /") as span:
            serve(adapter, Host(), ALICE, on_outcome=count).get()
        assert isinstance(span, trace.Span)
        assert dict(span.attributes)["ensoras.outcome"] == "identified"  # type: ignore[attr-defined]
    data = reader.get_metrics_data()
    assert data is not None
    (point,) = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert (dict(point.attributes or {}), getattr(point, "value", None)) == (
        {"ensoras.outcome": "identified"},
        len(ADAPTERS),
    )


@pytest.fixture
def counted() -> dict[str, Any]:
    outcomes: list[Outcome] = []
    return {"count": outcomes.append, "outcomes": outcomes}


def test_flask(counted: dict[str, Any]) -> None:
    app = RECIPES.run("Where it goes", 0, metrics=counted).app
    app.add_url_rule("/", view_func=lambda: PAGE)
    run_wsgi(app, "GET", "/", {})
    assert counted["outcomes"] == ["anonymous"]


def test_django(counted: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    from types import ModuleType

    names = vars(RECIPES.run("Where it goes", 1))
    for name in ("shop", "shop.metrics"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    vars(sys.modules["shop.metrics"]).update(counted)
    serve("django-wsgi", Host(), None, on_outcome=names["ENSORAS_ON_OUTCOME"]).get()
    assert counted["outcomes"] == ["anonymous"]


def test_fastapi(counted: dict[str, Any]) -> None:
    app = RECIPES.run("Where it goes", 2, metrics=counted).app
    run_asgi(app, "GET", "/", {})
    assert counted["outcomes"] == ["not-html"]


def test_log(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("ensoras_middleware")
    level = logger.level
    try:
        RECIPES.run("The log")
        serve("asgi", Host(), None).get()
    finally:
        logger.setLevel(level)
    assert [one.getMessage() for one in caplog.records] == ["anonymous"]


def test_alerts() -> None:
    """What the log calls a problem is worth an alert, or named as expected in small numbers."""
    from recipes import DOCS

    text = (DOCS / "monitoring.md").read_text("utf-8").partition("## What to watch")[2]
    assert {outcome for outcome in PROBLEMS if f"`{outcome}`" not in text} == set()
