"""What an older version stored without a clinic gets it from the events of intake."""

from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

import pytest

from shared.access.clinic_id import ClinicId
from shared.clinics.backfill import PAGE_SIZE, ClinicBackfill, Following, UnknownClinics
from shared.clinics.intake_history import IntakeHistory
from shared.errors import BrokerUnavailable, StoreUnavailable
from shared.events import Event, RelationshipStarted
from tests.support.builders import RelationshipBuilder
from tests.support.fake_topic import FakeTopic


def started() -> RelationshipStarted:
    return RelationshipBuilder().started()


class FakeView:
    """Relationships and documents that have their clinic."""

    def __init__(self, relationships: Sequence[RelationshipStarted], documents: Sequence[UUID]) -> None:
        self.clinics: dict[UUID, ClinicId | None] = {r.relationship_id: None for r in relationships}
        self.documents: dict[UUID, ClinicId | None] = dict.fromkeys(documents)
        self.failures = 0
        self.reported: list[int] = []

    async def count(self) -> UnknownClinics:
        return UnknownClinics(*(list(known.values()).count(None) for known in (self.clinics, self.documents)))

    async def fold(self, events: Sequence[Event]) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the database is unavailable")
        for event in events:
            assert isinstance(event, RelationshipStarted)
            self.clinics[event.relationship_id] = ClinicId(event.clinic_id)

    async def find_clinics(self, ids: Sequence[UUID]) -> Mapping[UUID, ClinicId]:
        return {i: clinic for i in ids if (clinic := self.clinics.get(i)) is not None}

    async def list_unknown_clinics(self, after: UUID | None, limit: int) -> list[UUID]:
        unknown = sorted(i for i, clinic in self.documents.items() if clinic is None)
        return [i for i in unknown if after is None or i > after][:limit]

    async def fill_in_clinics(self, clinics: Mapping[UUID, ClinicId]) -> None:
        self.documents |= clinics


def create_backfill(view: FakeView, topic: FakeTopic) -> ClinicBackfill:
    following = [Following(view, view.find_clinics)]
    return ClinicBackfill(view.count, IntakeHistory(topic.open).read, view.fold, following, view.reported.append)


async def test_relationships_and_what_follows_them_get_the_clinic_of_the_events() -> None:
    events = [started() for _ in range(3)]
    view = FakeView(events, [event.relationship_id for event in events])

    await create_backfill(view, FakeTopic([events[0], events[1]], [events[2]])).run()

    clinics = {event.relationship_id: event.clinic_id for event in events}
    assert (view.clinics, view.documents) == (clinics, clinics)
    assert view.reported == [6, 0]


async def test_what_the_topic_does_not_say_stays_unknown_and_is_reported() -> None:
    known, lost = started(), started()
    view = FakeView([known, lost], [known.relationship_id, lost.relationship_id])

    await create_backfill(view, FakeTopic([known])).run()

    assert view.documents == {known.relationship_id: known.clinic_id, lost.relationship_id: None}
    assert view.reported == [4, 2]


async def test_all_pages_are_filled_in_although_some_documents_stay_unknown() -> None:
    event, lost = started(), [uuid4() for _ in range(PAGE_SIZE + 1)]
    last = RelationshipBuilder(UUID(int=2**128 - 1)).started()
    view = FakeView([event, last], [*lost, event.relationship_id, last.relationship_id])

    await create_backfill(view, FakeTopic([event, last])).run()

    assert await view.count() == UnknownClinics(0, len(lost))


async def test_the_topic_is_not_read_when_every_relationship_has_its_clinic() -> None:
    event = started()
    view, topic = FakeView([event], [event.relationship_id]), FakeTopic([event])
    await view.fold([event])

    await create_backfill(view, topic).run()

    assert topic.read_events == []
    assert view.documents == {event.relationship_id: event.clinic_id}


async def test_a_second_run_reads_only_what_was_published_since() -> None:
    first, second, lost = started(), started(), started()
    view, topic = FakeView([first, second, lost], []), FakeTopic([first], [])
    backfill = create_backfill(view, topic)

    await backfill.run()
    topic.partitions[1].append(second)
    await backfill.run()

    assert topic.read_events == [first, second]


async def test_a_partition_is_read_again_after_an_error() -> None:
    event = started()
    view, topic = FakeView([event], []), FakeTopic([event])
    view.failures = 1
    backfill = create_backfill(view, topic)

    with pytest.raises(StoreUnavailable):
        await backfill.run()
    await backfill.run()

    assert view.clinics == {event.relationship_id: event.clinic_id}


async def test_what_is_unknown_is_reported_while_the_topic_cannot_be_read() -> None:
    event = started()
    view, topic = FakeView([event], []), FakeTopic([event])
    topic.is_available = False

    with pytest.raises(BrokerUnavailable):
        await create_backfill(view, topic).run()

    assert view.reported == [1]
