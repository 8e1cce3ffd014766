"""What becomes of a batch of events on MongoDB with either driver, whatever dies in between."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, cast
from uuid import UUID, uuid4

import pytest
from prometheus_client import CollectorRegistry

from services.notify.channels import AddressRefused, AnswerLost, NotDelivered, Notice, email
from services.notify.delivery import SEND_SECONDS, Deliver
from services.notify.domain.routing import MOST_UNSURE, WAIT_WHEN_UNSURE, Channels
from services.notify.handlers import Alerting
from services.notify.metrics import Metrics
from services.notify.service import Inbox
from services.notify.store import ALERTS, Deliveries, Store
from services.notify.store.deliveries import AT_ONCE
from shared.errors import BrokerUnavailable, StoreUnavailable
from shared.events import AlertRaised, Event
from shared.kafka import Kafka
from shared.kafka.metrics import KafkaMetrics
from shared.mongo.client import Document, Mongo
from shared.outbox.relay import Outbox
from tests.support.rupture_builder import Strained
from tests.support.serving import until

EMAIL = Channels(email="someone@clinic.example")


class Letterbox:
    """A channel that keeps what it is sent; what it raises first can be said."""

    def __init__(self) -> None:
        self.sent: list[Notice] = []
        self.refusals: list[Exception] = []
        self.tries = 0
        self.given_up = 0
        """Tries that their sender ended."""
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, notice: Notice, to: Channels) -> None:
        self.tries += 1
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        if self.refusals:
            raise self.refusals.pop(0)
        self.sent.append(notice)


class Service:
    """The notify service without Kafka and HTTP; several may share a database, each with a clock of its own."""

    def __init__(
        self,
        mongo: Mongo,
        letterbox: Letterbox,
        ahead: timedelta = timedelta(0),
        first_wait: timedelta = timedelta(milliseconds=50),
    ) -> None:
        self.mongo = mongo
        self.told: list[Event] = []
        self.fail_to_tell = 0
        self.ahead = ahead
        registry = CollectorRegistry()
        self.registry = registry
        metrics = Metrics(registry)
        outbox = Outbox(
            Kafka("unused:1", "notify", KafkaMetrics(registry), self.clock), [mongo[ALERTS]], registry, self.clock
        )
        self.store = Store(mongo, outbox, self.clock)
        self.owed = Deliveries(mongo)
        self.deliver = Deliver(
            self.store,
            self.owed,
            {"email": letterbox, "webhook": letterbox},
            metrics,
            self.clock,
            inbox_of=lambda clinician: f"https://attune.example/inbox/{clinician}",
            fresh_within=timedelta(days=7),
            first_wait=first_wait,
            give_up_after=timedelta(days=3),
            parallel=4,
        )
        self.inbox = Inbox(self.store, self.clock, metrics)
        self.hear = Alerting(self.store, self.deliver, self._tell, metrics)

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    async def _tell(self, events: Sequence[Event]) -> None:
        if self.fail_to_tell:
            self.fail_to_tell -= 1
            raise BrokerUnavailable("away")
        self.told += events

    def raised(self) -> set[tuple[UUID, str]]:
        return {(e.id, e.severity) for e in self.told if isinstance(e, AlertRaised)}

    def counted(self, outcome: str) -> float | None:
        labels = {"channel": "email", "outcome": outcome}
        return self.registry.get_sample_value("attune_notify_deliveries_total", labels)

    async def statuses(self, clinician: UUID) -> list[tuple[str, str]]:
        return [(a.severity, a.status) for a in (await self.inbox.of(clinician)).alerts]

    async def all_settled(self) -> bool:
        return (await self.owed.due())[0] == 0

    async def is_due_now(self) -> None:
        """Whatever was put off has waited long enough."""
        await self.mongo["deliveries"].update_many({"next_at": {"$exists": True}}, {"$set": {"next_at": AT_ONCE}})

    async def is_put_off(self, unsure: int) -> bool:
        """Whether the message waits, after so many tries whose answer was lost."""
        found = await self.delivery()
        return "held" not in found and found.get("unsure") == unsure

    async def delivery(self) -> Document:
        (found,) = await self.mongo["deliveries"].find({}).to_list(2)
        return found


@pytest.fixture(params=["motor", "pymongo"])
async def mongo(request: pytest.FixtureRequest, mongodb_uri: str) -> AsyncIterator[Mongo]:
    mongo = Mongo(mongodb_uri, f"test_{uuid4().hex}", cast("Literal['motor', 'pymongo']", request.param))
    yield mongo
    await mongo.close()


@pytest.fixture
def letterbox() -> Letterbox:
    return Letterbox()


@pytest.fixture
def service(mongo: Mongo, letterbox: Letterbox) -> Service:
    return Service(mongo, letterbox)


async def test_a_batch_delivered_again_raises_nothing_again(service: Service, letterbox: Letterbox) -> None:
    s = Strained()
    batch = [s.started(), s.suspected(3), s.updated(3, 0)]
    await service.deliver.reach(s.clinician, EMAIL)

    async with service.deliver.running():
        for _ in range(3):
            await service.hear(batch)
        await until(service.all_settled)

    assert await service.statuses(s.clinician) == [("concern", "open")]
    assert len(letterbox.sent) == 1
    assert len(service.raised()) == 1
    assert service.registry.get_sample_value("attune_notify_alerts_raised_total", {"severity": "concern"}) == 1


async def test_what_a_try_before_could_not_tell_is_told_the_next_time(service: Service) -> None:
    s = Strained()
    batch = [s.started(), s.suspected(3), s.updated(3, 0)]
    service.fail_to_tell = 1

    with pytest.raises(BrokerUnavailable):
        await service.hear(batch)
    await service.hear(batch)

    assert len(service.raised()) == 1


async def test_what_later_changes_is_not_told_over_and_over(service: Service) -> None:
    s = Strained()
    await service.hear([s.started(), s.suspected(3), s.updated(3, 0)])

    await service.hear([s.changed(4), s.updated(4, 0), s.updated(5, 0)])

    assert len(service.told) == 1


async def test_an_alert_waits_for_its_relationship(service: Service, letterbox: Letterbox) -> None:
    s = Strained()
    await service.deliver.reach(s.clinician, EMAIL)

    async with service.deliver.running():
        await service.hear([s.suspected(3), s.updated(3, 0)])
        assert (service.told, letterbox.sent) == ([], [])

        await service.hear([s.started()])
        await until(service.all_settled)

    assert await service.statuses(s.clinician) == [("concern", "open")]
    assert (len(service.told), len(letterbox.sent)) == (1, 1)


async def test_channels_that_are_set_later_hear_of_what_stands_open(service: Service, letterbox: Letterbox) -> None:
    s = Strained()
    await service.hear([s.started(), s.suspected(3), s.updated(3, 0)])

    async with service.deliver.running():
        await service.deliver.reach(s.clinician, EMAIL)
        await service.deliver.reach(s.clinician, EMAIL)
        await until(service.all_settled)

    assert len(letterbox.sent) == 1


async def test_what_a_crash_left_unowed_is_owed_at_the_next_start(service: Service, letterbox: Letterbox) -> None:
    s = Strained()
    await service.hear([s.started(), s.suspected(3), s.updated(3, 0)])
    await service.store.keep_channels(s.clinician, EMAIL)  # and died before it looked for alerts

    async with service.deliver.running():
        await until(lambda: _true(len(letterbox.sent) == 1))


async def test_watch_is_shown_and_not_told(service: Service, letterbox: Letterbox) -> None:
    s = Strained()
    await service.deliver.reach(s.clinician, EMAIL)

    await service.hear([s.started(), s.suspected(3, "watch"), s.updated(3, 0)])

    assert await service.statuses(s.clinician) == [("watch", "open")]
    assert (await service.owed.due())[0] == 0
    assert {severity for _, severity in service.raised()} == {"watch"}


async def test_history_is_shown_and_never_told_until_a_newer_sign_comes(service: Service, letterbox: Letterbox) -> None:
    s = Strained()
    await service.deliver.reach(s.clinician, EMAIL)
    await service.hear([s.started(), s.suspected(3, days_ago=30), s.updated(3, 0)])
    await service.deliver.reach(s.clinician, EMAIL)
    await service.deliver.catch_up()

    assert await service.statuses(s.clinician) == [("concern", "open")]
    assert (await service.owed.due())[0] == 0

    async with service.deliver.running():
        await service.hear([s.changed(4, days_ago=1), s.updated(4, 0)])
        await until(service.all_settled)

    assert len(letterbox.sent) == 1


async def test_a_rise_is_told_once_more(service: Service, letterbox: Letterbox) -> None:
    s = Strained()
    await service.deliver.reach(s.clinician, EMAIL)

    async with service.deliver.running():
        await service.hear([s.started(), s.suspected(3), s.updated(3, 0)])
        await until(service.all_settled)
        await service.inbox.acknowledge(s.alert())
        await service.hear([s.changed(4), s.updated(4, 0)])
        assert await service.statuses(s.clinician) == [("concern", "acknowledged")]
        await service.hear([s.changed(5, "urgent"), s.updated(5, 0)])
        await until(service.all_settled)

    assert await service.statuses(s.clinician) == [("urgent", "open")]
    assert [notification.change for notification in letterbox.sent] == ["raised", "rose"]
    assert [severity for _, severity in sorted(service.raised(), key=lambda r: r[1])] == ["concern", "urgent"]


async def test_repair_and_retraction_are_shown_in_the_inbox_only(service: Service, letterbox: Letterbox) -> None:
    a = Strained()
    b = Strained(clinician=a.clinician)
    await service.hear([e for s in (a, b) for e in (s.started(), s.suspected(3), s.updated(3, 0))])

    await service.hear([a.repaired(4), a.updated(4), b.updated(4)])

    assert sorted(await service.statuses(a.clinician)) == [("concern", "repaired"), ("concern", "retracted")]


async def test_a_message_that_nobody_needs_any_more_is_not_sent(service: Service, letterbox: Letterbox) -> None:
    s = Strained()
    await service.deliver.reach(s.clinician, EMAIL)
    await service.hear([s.started(), s.suspected(3), s.updated(3, 0)])
    assert (await service.owed.due())[0] == 1
    await service.hear([s.updated(4)])

    async with service.deliver.running():
        await until(service.all_settled)
        assert letterbox.sent == []

        await service.hear([s.changed(5), s.updated(5, 0)])  # it does show signs after all
        await until(service.all_settled)

    assert len(letterbox.sent) == 1


async def test_several_workers_never_send_the_same_twice(mongo: Mongo, letterbox: Letterbox) -> None:
    clinician = uuid4()
    relationships = [Strained(clinician=clinician) for _ in range(40)]
    one, other = Service(mongo, letterbox), Service(mongo, letterbox)
    await one.deliver.reach(clinician, EMAIL)
    batch = [e for s in relationships for e in (s.started(), s.suspected(3), s.updated(3, 0))]

    async with one.deliver.running(), other.deliver.running():
        await asyncio.gather(one.hear(batch), other.hear(batch))
        await until(one.all_settled)

    assert sorted(n.alert_id for n in letterbox.sent) == sorted(s.alert() for s in relationships)


async def test_two_who_write_the_same_alerts_at_once_come_to_the_same_end(mongo: Mongo, letterbox: Letterbox) -> None:
    clinician = uuid4()
    relationships = [Strained(clinician=clinician) for _ in range(20)]
    one, other = Service(mongo, letterbox), Service(mongo, letterbox)
    first = [e for s in relationships for e in (s.started(), s.suspected(3), s.updated(3, 0))]
    later = [e for s in relationships for e in (s.changed(4, "urgent"), s.updated(4, 0), s.updated(5))]

    await asyncio.gather(one.hear(first), other.hear(later), other.hear(first), one.hear(later))

    assert await one.statuses(clinician) == [("urgent", "retracted")] * 20


async def test_what_a_clinician_did_and_what_alliance_says_at_once_are_both_kept(service: Service) -> None:
    relationships = [Strained() for _ in range(10)]
    await service.hear([e for s in relationships for e in (s.started(), s.suspected(3), s.updated(3, 0))])

    await asyncio.gather(
        service.hear([e for s in relationships for e in (s.changed(4), s.updated(4, 0))]),
        *(service.inbox.acknowledge(s.alert()) for s in relationships),
    )

    for s in relationships:
        stored = await service.mongo[ALERTS].find_one({"_id": s.alert()})
        assert stored is not None
        assert (stored["status"], stored["said"]["version"]) == ("acknowledged", 4)
        assert len(stored["owed"]) == 1


async def test_the_alerts_of_an_erased_client_are_gone_for_good(service: Service, letterbox: Letterbox) -> None:
    s = Strained()
    await service.deliver.reach(s.clinician, EMAIL)
    await service.hear([s.started(), s.suspected(3), s.updated(3, 0)])

    await service.hear([s.erased()])
    await service.hear([s.started(), s.suspected(3), s.updated(3, 0)])

    assert await service.statuses(s.clinician) == []
    assert await service.mongo[ALERTS].count_documents({}) == 0
    async with service.deliver.running():
        await until(service.all_settled)
    assert letterbox.sent == []


async def test_a_message_that_is_not_taken_is_tried_until_it_is(service: Service, letterbox: Letterbox) -> None:
    s = Strained()
    letterbox.refusals = [NotDelivered("SMTP 451"), TimeoutError(), RuntimeError("a bug"), StoreUnavailable("away")]
    await service.deliver.reach(s.clinician, EMAIL)
    await service.hear([s.started(), s.suspected(3), s.updated(3, 0)])

    async with service.deliver.running():
        await until(service.all_settled)

    assert (len(letterbox.sent), letterbox.tries) == (1, 5)


async def test_a_message_on_its_way_may_finish_when_the_service_ends(service: Service, letterbox: Letterbox) -> None:
    s = Strained()
    letterbox.open.clear()
    await service.deliver.reach(s.clinician, EMAIL)
    await service.hear([s.started(), s.suspected(3), s.updated(3, 0)])

    async with service.deliver.running():
        await until(lambda: _true(letterbox.tries == 1))
        asyncio.get_running_loop().call_later(0.2, letterbox.open.set)

    assert len(letterbox.sent) == 1
    assert await service.all_settled()


async def test_a_message_that_is_never_taken_is_given_up_and_counted(service: Service, letterbox: Letterbox) -> None:
    s = Strained()
    await service.deliver.reach(s.clinician, EMAIL)
    await service.hear([s.started(), s.suspected(3), s.updated(3, 0)])
    letterbox.refusals = [NotDelivered("SMTP 451")]
    service.ahead = timedelta(days=3, minutes=1)

    async with service.deliver.running():
        await until(service.all_settled)

    assert (await service.delivery())["outcome"] == "failed"
    assert letterbox.tries == 1
    assert service.counted("failed") == 1


async def test_a_message_that_may_have_arrived_is_sent_again_only_much_later(
    service: Service, letterbox: Letterbox
) -> None:
    s = Strained()
    letterbox.refusals = [AnswerLost("SMTPReadTimeoutError")]
    await service.deliver.reach(s.clinician, EMAIL)
    await service.hear([s.started(), s.suspected(3), s.updated(3, 0)])

    async with service.deliver.running():
        await until(lambda: service.is_put_off(1))
        waiting = await service.delivery()
        assert waiting["next_at"] > service.clock() + WAIT_WHEN_UNSURE - timedelta(minutes=1)
        assert (letterbox.sent, letterbox.tries) == ([], 1)

        await service.is_due_now()
        await until(service.all_settled)

    assert (len(letterbox.sent), letterbox.tries) == (1, 2)


async def test_a_message_that_may_have_arrived_is_sent_a_few_times_at_most(
    service: Service, letterbox: Letterbox
) -> None:
    s = Strained()
    letterbox.refusals = [NotDelivered("SMTP 451"), *[AnswerLost("SMTPReadTimeoutError")] * 5]
    await service.deliver.reach(s.clinician, EMAIL)
    await service.hear([s.started(), s.suspected(3), s.updated(3, 0)])

    async with service.deliver.running():
        for unknown_attempts in range(1, MOST_UNSURE):
            await until(lambda unknown_attempts=unknown_attempts: service.is_put_off(unknown_attempts))  # type: ignore[misc]
            await service.is_due_now()
        await until(service.all_settled)

    assert (await service.delivery())["outcome"] == "unsure"
    assert letterbox.tries == MOST_UNSURE + 1


async def test_a_try_may_take_as_long_as_a_mail_server() -> None:
    responses = 10  # greeting, EHLO, STARTTLS, EHLO, a log-in in three steps, MAIL, RCPT, DATA

    assert responses * email.ANSWER_SECONDS + email.LAST_ANSWER_SECONDS < SEND_SECONDS


async def test_a_refused_address_is_tried_once_and_the_next_address_hears_of_it(
    service: Service, letterbox: Letterbox
) -> None:
    s = Strained()
    letterbox.refusals = [AddressRefused("SMTP 550")]
    await service.deliver.reach(s.clinician, EMAIL)
    await service.hear([s.started(), s.suspected(3), s.updated(3, 0)])

    async with service.deliver.running():
        await until(service.all_settled)
        assert (letterbox.sent, letterbox.tries) == ([], 1)

        await service.deliver.reach(s.clinician, Channels(email="another@clinic.example"))
        await until(lambda: _true(len(letterbox.sent) == 1))


async def test_a_batch_is_a_few_round_trips_however_large(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted at the store: what it offers takes a batch at a time."""
    calls: list[str] = []

    def counted(name: str) -> None:
        method = getattr(service.store, name)

        async def call(*args: object) -> object:
            calls.append(name)
            return await method(*args)

        monkeypatch.setattr(service.store, name, call)

    for name in ("relationships", "keep_relationships", "alerts_of", "keep_alerts", "channels", "know"):
        counted(name)
    relationships = [Strained() for _ in range(300)]

    await service.hear([e for s in relationships for e in (s.started(), s.suspected(3), s.updated(3, 0))])

    assert len(calls) == 6


async def _true(value: bool) -> bool:
    return value
