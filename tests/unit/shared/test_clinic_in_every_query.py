"""Every store method that serves a request is confined to a clinic; the few that work for all clinics are listed."""

import importlib
import inspect
from collections.abc import Iterator
from typing import Any, Protocol, get_origin, get_type_hints

from shared.access.clinic_id import ClinicId
from shared.outbox.documents import ClinicDocuments
from tools.contracts.documents import SERVICES

START = "a background task at the start of the service"
EVENTS = "the handler of events, which belong to any clinic"
TIMER = "a timer, which serves all clinics"
WORKER = "the delivery worker, which sends the messages of all clinics"
BACKFILL = "fills in the clinics that are not known yet"
LINK = "the link is the key; what it finds says the clinic"
OWN_WRITE = "the handler of events; a request calls it only for what it has written itself"
FOUND = "the handler of events; a request asks only about relationships that it has found in its clinic"

FOR_ALL_CLINICS = {
    "intake.Store.find_invitee": LINK,
    "intake.Store.list_unpublished_clinics": START,
    "sessions.Store.find_by_link": LINK,
    "sessions.Store.load_relationships": TIMER,
    "sessions.Store.update_relationships": EVENTS,
    "sessions.Store.save_clinics": EVENTS,
    "sessions.Store.erase_sessions": OWN_WRITE,
    "sessions.Store.server_time": TIMER,
    "sessions.Store.find_overdue": TIMER,
    "sessions.Store.save_decisions": TIMER,
    "sessions.Store.count_unknown_clinics": BACKFILL,
    "sessions.Store.list_unknown_clinics": BACKFILL,
    "sessions.Store.fill_in_clinics": BACKFILL,
    "alliance.Store.append": EVENTS,
    "alliance.Store.load": EVENTS,
    "alliance.Store.history": EVENTS,
    "alliance.Store.save": EVENTS,
    "alliance.Store.erase": EVENTS,
    "alliance.Store.record_dispositions": EVENTS,
    "alliance.Store.record_reopenings": EVENTS,
    "alliance.Store.dispositions": FOUND,
    "alliance.Store.reopenings": FOUND,
    "notify.Store.load_relationships": EVENTS,
    "notify.Store.save_relationships": EVENTS,
    "notify.Store.load_versioned_alerts": EVENTS,
    "notify.Store.save_alerts": EVENTS,
    "notify.Store.erase_alerts": EVENTS,
    "notify.Store.save_clinicians": EVENTS,
    "notify.Store.load_channels": WORKER,
    "notify.Store.load_alerts": WORKER,
    "notify.Store.list_active_alerts": START,
    "notify.Store.count_active_alerts": TIMER,
    "notify.Store.remove_past_alerts": TIMER,
    "notify.Store.now": TIMER,
    "notify.Store.count_unknown_clinics": BACKFILL,
    "notify.Store.list_unknown_clinics": BACKFILL,
    "notify.Store.fill_in_clinics": BACKFILL,
    **dict.fromkeys(
        (
            f"notify.DeliveryStore.{name}"
            for name in ("add", "claim", "renew", "complete", "schedule_retry", "cancel", "count_due")
        ),
        WORKER,
    ),
    "notify.DeliveryStore.list_completed": TIMER,
    "notify.DeliveryStore.remove_completed": TIMER,
    "notify.DeliveryStore.list_unknown_clinics": BACKFILL,
    "notify.DeliveryStore.fill_in_clinics": BACKFILL,
}
"""Why each of these does not take a clinic."""


def test_a_store_method_takes_the_clinic_first_or_is_listed_with_the_reason() -> None:
    unconfined = {name for name, member in _members() if not _is_confined(member)}

    assert unconfined == set(FOR_ALL_CLINICS)


def _members() -> Iterator[tuple[str, Any]]:
    """The public methods and properties of the stores of all services."""
    for service in SERVICES:
        module = importlib.import_module(f"services.{service}.store.protocol")
        for protocol in vars(module).values():
            if inspect.isclass(protocol) and protocol.__module__ == module.__name__ and Protocol in protocol.__bases__:
                for name, member in vars(protocol).items():
                    if not name.startswith("_"):
                        yield f"{service}.{protocol.__name__}.{name}", member


def _is_confined(member: Any) -> bool:
    if isinstance(member, property):  # documents that nobody reads or writes without `within(clinic)`
        return get_origin(get_type_hints(member.fget)["return"]) is ClinicDocuments
    _, first, *_ = [*inspect.signature(member).parameters, ""]
    return first == "clinic" and get_type_hints(member)["clinic"] in (ClinicId, ClinicId | None)
