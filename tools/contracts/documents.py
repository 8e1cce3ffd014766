"""Writes the contracts of the services into docs/, generated from the running code.

The schema of an event is not overwritten if the change would break a consumer.
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from deploy.jobs import lag_exporter as lag
from shared.events import EVENT_TYPES
from tools.contracts.access import render_access
from tools.contracts.asyncapi import ServiceEvents, asyncapi
from tools.contracts.metrics import render_catalogue
from tools.contracts.schemas import breaking_changes, wire_schema

DOCS = Path(__file__).parents[2] / "docs"
SERVICES = ("intake", "sessions", "alliance", "notify")
REGENERATE_COMMAND = "make contracts"

_UNREACHABLE_SETTINGS = {"kafka_bootstrap_servers": "kafka.invalid:9092", "mongodb_uri": "mongodb://mongo.invalid"}
"""Enough to create a service, which is described without being run."""


def documents() -> dict[str, Any]:
    """Every document as generated from the current code, by its path under docs/."""
    return {
        **{schema_path(event_type.event_type()): wire_schema(event_type) for event_type in EVENT_TYPES},
        "asyncapi.json": asyncapi({service: service_events(service) for service in SERVICES}),
        **{f"openapi/{service}.json": openapi_document(service) for service in SERVICES},
        "metrics.md": render_catalogue(create_registries()),
        "access.md": render_access(),
    }


def schema_path(type_name: str) -> str:
    """The path of the schema of an event type, under docs/."""
    return f"schemas/{type_name}.json"


def service_events(service: str) -> ServiceEvents:
    """The events that a service declares to consume and publish."""
    subscriptions = import_module(f"services.{service}.subscriptions")
    purpose = import_module(f"services.{service}").__doc__ or ""
    return ServiceEvents(purpose, getattr(subscriptions, "CONSUMED_EVENTS", ()), subscriptions.PUBLISHED_EVENTS)


def openapi_document(service: str) -> Any:
    """The OpenAPI document that the application of a service generates."""
    return create_application(service).openapi()


def create_application(service: str) -> Any:
    """The application of a service, not started."""
    settings = import_module(f"services.{service}.settings").Settings
    return import_module(f"services.{service}.app").create_app(settings(**_UNREACHABLE_SETTINGS))


def create_registries() -> dict[str, CollectorRegistry]:
    """The metrics registry of each process."""
    apps = {service: create_application(service) for service in SERVICES}
    settings = lag.LagSettings(kafka_bootstrap_servers=_UNREACHABLE_SETTINGS["kafka_bootstrap_servers"])
    return {name: app.state.registry for name, app in {**apps, "lag": lag.create_app(settings)}.items()}


def serialize(document: Any) -> str:
    """The text of a document in the repository; deterministic."""
    if isinstance(document, str):
        return document
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=False) + "\n"


def read_committed(path: str) -> str | None:
    """The text of a document in the repository; None if it does not exist."""
    file = DOCS / path
    return file.read_text(encoding="utf-8") if file.exists() else None


def find_incompatibilities(path: str, document: Any) -> list[str]:
    """Why writing `document` to `path` would break a consumer."""
    old = read_committed(path)
    return breaking_changes(json.loads(old), document) if old and path.startswith("schemas/") else []


def removed_event_schemas() -> list[str]:
    """Schemas of event types that the code no longer has, although their events are retained forever."""
    existing = {file.relative_to(DOCS).as_posix() for file in (DOCS / "schemas").glob("*.json")}
    return sorted(existing - {schema_path(event_type.event_type()) for event_type in EVENT_TYPES})


def write() -> None:
    """Write what changed. Exits without writing anything if a change would break a consumer."""
    found = documents()
    reasons = [
        f"{path}: {reason}" for path, document in found.items() for reason in find_incompatibilities(path, document)
    ]
    reasons += [
        f"{path}: the code no longer has this event type, but its events are stored forever"
        for path in removed_event_schemas()
    ]
    if reasons:
        sys.exit("\n".join([*reasons, "nothing was written: a new meaning is a new version (.v2) next to the old one"]))
    for path, document in found.items():
        if read_committed(path) != serialize(document):
            file = DOCS / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(serialize(document), encoding="utf-8")
            print(f"wrote docs/{path}")
