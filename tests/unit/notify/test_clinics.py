"""A request is confined to its clinic: what belongs to another one is answered as if it did not exist."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar
from uuid import UUID, uuid4

import pytest

from services.notify.domain.alert import Alert, Shown
from services.notify.domain.disposition_requests import DispositionRequest
from services.notify.domain.relationship import Relationship
from services.notify.service import InboxService
from services.notify.service.clinics import create_backfill
from shared.access.clinic_id import ClinicId
from shared.clinics.intake_history import IntakeHistory
from shared.errors import NotFound
from shared.outbox.documents import Versioned
from tests.support.fake_topic import FakeTopic
from tests.support.notify_harness import EMAIL_ADDRESS
from tests.support.rupture_builder import RuptureBuilder
from tests.unit.notify.memory_harness import NOW, InMemoryNotifyHarness

OWN, OTHER = ClinicId(uuid4()), ClinicId(uuid4())
SHOWN = Shown(severity="concern", status="open", evidence_version="0" * 16)
DISPOSITION = DispositionRequest(UUID(int=1), "acknowledged", SHOWN)

Document = TypeVar("Document", Relationship, Alert)
Request = Callable[[InboxService, ClinicId | None, RuptureBuilder], Awaitable[object]]

REQUESTS: dict[str, Request] = {
    "inbox": lambda inbox, clinic, s: inbox.get_inbox(clinic, s.clinician_id),
    "alert": lambda inbox, clinic, s: inbox.get_alert(clinic, s.alert_id()),
    "disposition": lambda inbox, clinic, s: inbox.dispose(clinic, s.alert_id(), DISPOSITION),
    "channels": lambda inbox, clinic, s: inbox.update_channels(clinic, s.clinician_id, EMAIL_ADDRESS),
}


async def raise_alert(service: InMemoryNotifyHarness, clinic: ClinicId) -> RuptureBuilder:
    s = RuptureBuilder(NOW, clinic_id=clinic)
    await service.projector.handle_batch([s.registered(), s.started(), s.suspected(3), s.updated(3, 0)])
    return s


def forget_clinics(service: InMemoryNotifyHarness) -> None:
    """Make the stored documents those of an older version."""
    memory = service.memory
    memory.relationships = {i: _without_clinic(stored) for i, stored in memory.relationships.items()}
    memory.alerts = {i: _without_clinic(stored) for i, stored in memory.alerts.items()}
    for i, delivery in service.delivery_memory.deliveries.items():
        old = delivery.delivery.model_copy(update={"clinic_id": None})
        service.delivery_memory.deliveries[i] = replace(delivery, delivery=old)


def _without_clinic(stored: Versioned[Document]) -> Versioned[Document]:
    return replace(stored, value=stored.value.model_copy(update={"clinic_id": None}))


async def error_of(request: Awaitable[object]) -> tuple[str, str]:
    with pytest.raises(NotFound) as raised:
        await request
    return raised.value.code, str(raised.value)


@pytest.mark.parametrize("name", REQUESTS)
async def test_what_belongs_to_another_clinic_is_answered_as_if_it_did_not_exist(name: str) -> None:
    service, empty = InMemoryNotifyHarness(), InMemoryNotifyHarness()
    await raise_alert(service, OWN)
    foreign = await raise_alert(service, OTHER)
    alerts = dict(service.memory.alerts)

    answer = await error_of(REQUESTS[name](service.inbox, OWN, foreign))

    assert answer == await error_of(REQUESTS[name](empty.inbox, OWN, foreign))
    assert (service.memory.alerts, service.memory.channels) == (alerts, {})
    assert service.memory.pending_events == []


async def test_an_alert_whose_clinic_is_not_known_is_not_found() -> None:
    service = InMemoryNotifyHarness()
    s = await raise_alert(service, OWN)
    forget_clinics(service)

    await error_of(service.inbox.get_alert(OWN, s.alert_id()))
    assert (await service.inbox.get_inbox(OWN, s.clinician_id)).alerts == []
    assert (await service.inbox.get_alert(None, s.alert_id())).alert_id == s.alert_id()


async def test_the_own_clinic_sees_the_inbox_and_sets_the_channels() -> None:
    service = InMemoryNotifyHarness()
    s = await raise_alert(service, OWN)

    await service.inbox.update_channels(OWN, s.clinician_id, EMAIL_ADDRESS)

    assert [alert.alert_id for alert in (await service.inbox.get_inbox(OWN, s.clinician_id)).alerts] == [s.alert_id()]
    assert service.delivery().delivery.clinic_id == OWN


async def test_old_alerts_and_messages_get_the_clinic_of_their_relationship_and_nothing_is_published() -> None:
    """Also a closed alert, which no event would change any more."""
    service = InMemoryNotifyHarness()
    s = await raise_alert(service, OWN)
    await service.inbox.update_channels(OWN, s.clinician_id, EMAIL_ADDRESS)
    await service.resolve(s.alert_id(), useful=True)
    expected = {i: stored.value for i, stored in service.memory.alerts.items()}
    forget_clinics(service)
    published = list(service.published)
    history = IntakeHistory(FakeTopic([s.registered()], [s.started()]).open)
    backfill = create_backfill(service.store, service.delivery_store, service.projector, service.metrics, history)

    await backfill.run()
    await backfill.run()

    assert {i: stored.value for i, stored in service.memory.alerts.items()} == expected
    assert service.memory.relationships[s.relationship_id].value.clinic_id == OWN
    assert service.delivery().delivery.clinic_id == OWN
    assert service.registry.get_sample_value("attune_notify_unknown_clinics") == 0
    assert service.published == published


async def test_an_alert_whose_relationship_is_not_on_the_topic_stays_unknown() -> None:
    service = InMemoryNotifyHarness()
    await raise_alert(service, OWN)
    forget_clinics(service)
    history = IntakeHistory(FakeTopic([]).open)
    backfill = create_backfill(service.store, service.delivery_store, service.projector, service.metrics, history)

    await backfill.run()

    assert service.registry.get_sample_value("attune_notify_unknown_clinics") == 2
