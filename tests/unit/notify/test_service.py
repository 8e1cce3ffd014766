"""What clinicians see in their inbox, and what they do about an alert."""

from datetime import UTC, timedelta
from uuid import uuid4

import pytest

from services.notify.domain.alert import Shown
from services.notify.domain.disposition_requests import DispositionRequest
from services.notify.service import MAX_PAGE_ALERTS
from shared.errors import NotFound, Rejected
from tests.support.rupture_builder import RuptureBuilder
from tests.unit.notify.memory_harness import NOW, InMemoryNotifyHarness

SHOWN = Shown(severity="concern", status="open", evidence_version="0" * 16)


@pytest.fixture
def service() -> InMemoryNotifyHarness:
    return InMemoryNotifyHarness()


async def raise_alert(service: InMemoryNotifyHarness) -> RuptureBuilder:
    s = RuptureBuilder(NOW)
    await service.projector.handle_batch([s.started(), s.scheduled(2), s.suspected(3), s.updated(3, 0)])
    return s


def count_acknowledgements(service: InMemoryNotifyHarness) -> float | None:
    return service.registry.get_sample_value(
        "attune_notify_alert_acknowledgement_seconds_count", {"severity": "concern"}
    )


async def test_an_alert_says_why_and_when_the_next_session_is(service: InMemoryNotifyHarness) -> None:
    s = await raise_alert(service)

    alert = await service.inbox.get_alert(None, s.alert_id())

    assert (await service.inbox.get_inbox(None, s.clinician_id)).alerts == [alert]
    assert (alert.case_code, alert.severity, alert.status) == ("AB-12", "concern", "open")
    assert alert.why == ["Sunday 1 March: the client's rating fell to 5.4 of 10 (usually around 8.6 with this client)."]
    assert alert.openings
    assert alert.next_session_at == NOW + timedelta(days=2)


async def test_the_dates_of_an_alert_are_those_of_its_clinician(service: InMemoryNotifyHarness) -> None:
    s = RuptureBuilder(NOW.replace(hour=23, minute=30))
    started = [s.registered(), s.started()]  # in Berlin it is half an hour after midnight
    await service.projector.handle_batch([*started, s.suspected(3), s.updated(3, 0)])

    (listed,) = (await service.inbox.get_inbox(None, s.clinician_id)).alerts
    for alert in (listed, await service.inbox.get_alert(None, s.alert_id())):
        assert alert.why[0].startswith("Monday 2 March: ")


@pytest.mark.parametrize("name", ["Mars/Olympus_Mons", "../etc", ""])
async def test_dates_are_in_utc_while_the_time_zone_cannot_be_found(service: InMemoryNotifyHarness, name: str) -> None:
    s = RuptureBuilder(NOW)
    await service.projector.handle_batch([s.registered().model_copy(update={"time_zone": name})])

    assert await service.inbox.find_zone(None, s.clinician_id) is UTC
    assert await service.inbox.find_zone(None, uuid4()) is UTC


async def test_an_alert_says_how_often_it_is_right_unless_consent_is_withdrawn(service: InMemoryNotifyHarness) -> None:
    s = RuptureBuilder(NOW)
    suspected = s.suspected(3).model_copy(update={"probability": 0.34, "base_rate": 0.15})
    await service.projector.handle_batch([s.started(), suspected, s.updated(3, 0)])
    alert = await service.inbox.get_alert(None, s.alert_id())

    retracted = s.retracted(4, reason="consent_withdrawn").model_copy(update={"probability": 0.34, "base_rate": 0.15})
    await service.projector.handle_batch([retracted, s.updated(4)])
    stored = service.memory.alerts[s.alert_id()].value.episode

    assert alert.reliability is not None
    assert "about 1 in 3 alerts like this was right" in alert.reliability
    assert (stored.evidence, stored.probability, stored.base_rate) == ((), None, None)


async def test_an_alert_is_acknowledged_and_resolved_once_however_often_the_request_is_sent(
    service: InMemoryNotifyHarness,
) -> None:
    s = await raise_alert(service)

    for _ in range(2):
        assert (await service.acknowledge(s.alert_id())).status == "acknowledged"
    for _ in range(2):
        resolved = await service.resolve(s.alert_id(), useful=True)
        assert (resolved.status, resolved.useful) == ("resolved", True)

    events = [type(event).__name__ for event in service.memory.pending_events]
    assert events == ["AlertAcknowledged", "AlertResolved"]
    assert count_acknowledgements(service) == 1
    labels = {"severity": "concern", "outcome": "useful"}
    assert service.registry.get_sample_value("attune_notify_alerts_closed_total", labels) == 1


async def test_an_alert_that_was_resolved_differently_is_not_changed(service: InMemoryNotifyHarness) -> None:
    s = await raise_alert(service)
    await service.resolve(s.alert_id(), useful=True)

    with pytest.raises(Rejected, match="already resolved"):
        await service.resolve(s.alert_id(), useful=False)

    assert (await service.inbox.get_alert(None, s.alert_id())).useful is True


async def test_resolving_an_open_alert_counts_as_its_acknowledgement(service: InMemoryNotifyHarness) -> None:
    s = await raise_alert(service)

    await service.resolve(s.alert_id(), useful=None)

    assert count_acknowledgements(service) == 1


async def test_an_unknown_alert_is_not_found(service: InMemoryNotifyHarness) -> None:
    for request in (
        service.inbox.get_alert(None, uuid4()),
        service.inbox.dispose(None, uuid4(), DispositionRequest(uuid4(), "acknowledged", SHOWN)),
    ):
        with pytest.raises(NotFound):
            await request


async def test_an_alert_whose_relationship_has_not_arrived_is_not_shown(service: InMemoryNotifyHarness) -> None:
    s = RuptureBuilder(NOW)
    await service.projector.handle_batch([s.suspected(3)])

    with pytest.raises(NotFound):
        await service.inbox.get_alert(None, s.alert_id())
    with pytest.raises(NotFound):
        await service.inbox.dispose(None, s.alert_id(), DispositionRequest(uuid4(), "acknowledged", SHOWN))


async def test_an_inbox_of_which_nothing_is_known_is_not_found(service: InMemoryNotifyHarness) -> None:
    s = RuptureBuilder(NOW)
    with pytest.raises(NotFound):
        await service.inbox.get_inbox(None, s.clinician_id)

    await service.projector.handle_batch([s.registered()])

    assert (await service.inbox.get_inbox(None, s.clinician_id)).alerts == []


async def test_no_alert_is_left_out_of_an_inbox_and_the_open_ones_come_first(service: InMemoryNotifyHarness) -> None:
    clinician = uuid4()
    relationships = [RuptureBuilder(NOW, clinician) for _ in range(MAX_PAGE_ALERTS + 2)]
    await service.projector.handle_batch(
        [e for s in relationships for e in (s.started(), s.suspected(3), s.updated(3, 0))]
    )
    await service.acknowledge(relationships[0].alert_id())

    await service.resolve(relationships[1].alert_id(), useful=True)

    first, second = [await service.inbox.get_inbox(None, clinician, page) for page in (1, 2)]
    assert [alert.status for alert in first.alerts] == ["open"] * MAX_PAGE_ALERTS
    assert [alert.status for alert in second.alerts] == ["acknowledged", "resolved"]
    for inbox in (first, second):
        assert (inbox.active, inbox.total, inbox.pages) == (MAX_PAGE_ALERTS + 1, MAX_PAGE_ALERTS + 2, 2)
