"""How long a clinician waits for an alert: from an answer's 2xx until it stands in an inbox that is open.

Everything runs as it ships, on servers of its own, and is used from outside: clients answer forms by their links, and
clinicians' inboxes are listened to. What lies before that, relationships with some good sessions behind them, is told
straight on Kafka.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID, uuid4

import httpx2
import numpy as np

from bench.benchmarks import Figures, Size
from bench.workload import CASELOAD
from shared.events import Event
from shared.kafka.producer import Producer
from tests.support.builders import ELEMENTS, Told
from tools.sandbox.servers.inspection import still, until
from tools.sandbox.servers.kafka_inspector import Topics
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import CannotRun, LocalServer
from tools.sandbox.servers.stack import SERVICES, Stack, stack

KNOWN = 3  # good sessions behind each relationship, so that a fall stands out
ONE_IN_FALLS = 5  # of the answers raises an alert; far more than in life, so that there is something to measure
GOOD, BAD = ({**dict.fromkeys(ELEMENTS, str(rating)), "tension": "none"} for rating in (9, 2))
SHARES = (0.25, 0.5, 0.8)  # of the capacity
AT_ONCE = 16  # requests in flight while links are made and while the capacity is looked for
WITHIN = 30.0  # seconds; what has not come by then does not come
KEPT = 2.0  # seconds; services let go of a connection that was idle for five, while we might be sending on it
REST_WITHIN = 120.0  # seconds, for what was told of the past
CORES = os.cpu_count() or 1
EVERYBODY = "everybody"  # who has had processor time on this machine
TICKS = os.sysconf("SC_CLK_TCK")  # that make a second
HOUR = timedelta(hours=1)

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Load:
    """How much is asked of it."""

    answers: int = 2_000
    """By which the capacity is found."""
    seconds: float = 20.0
    """At each share of it."""


WHOLE = Load()


@dataclass(frozen=True, slots=True)
class Form:
    """A client's form that waits for an answer."""

    told: Told
    clinician: UUID
    session: UUID
    falls: bool
    """Whether the answer will raise an alert."""

    @property
    def relationship(self) -> UUID:
        return self.told.relationship

    def past(self) -> list[Event]:
        """How the relationship began, and the good sessions."""
        weeks, builder = range(KNOWN), self.told
        started = builder.started().model_copy(update={"clinician_id": self.clinician})
        sessions = [event for week in weeks for event in (builder.held(week), builder.felt(week))]
        return [started, builder.consent(-0.1, given=True), *sessions]


Linked = tuple[Form, str]
"""A form, and the link by which its client answers it."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one answer; moments are of our own clock that only goes forward."""

    form: Form
    due: float
    sent: float
    acknowledged: float


async def latency(work_dir: Path, size: Size) -> Figures:
    """At some shares of the capacity, which is found first. Raises CannotRun, also when an alert never comes."""
    return await measured(work_dir, size, WHOLE)


async def measured(work_dir: Path, _size: Size, load: Load) -> Figures:
    """As `latency`, with so much load."""
    async with _running(work_dir) as attune, Clinics(attune) as generator:
        found = await generator.capacity(await generator.prepare(load.answers))
        print(
            f"  {found['capacity']:.0f} answers/s at most: {found['taken']:.0f} taken, "
            f"{found['reflected']:.0f} until their alerts were seen",
            flush=True,
        )
        counts = {share: round(share * found["capacity"] * load.seconds) for share in SHARES}
        forms = iter(await generator.prepare(sum(counts.values())))
        steps = []
        for share, count in counts.items():
            step = {"share": share, **await generator.arrive(list(islice(forms, count)), count / load.seconds)}
            steps.append(step)
            print(
                f"  at {share:.0%}: {step['rate']:.0f} answers/s, {step['alerts']} alerts after {step['p50']:.0f} ms, "
                f"p99 {step['p99']:.0f} ms, p99.9 {step['p99.9']:.0f} ms; {step['ours']:.0%} of the machine, "
                f"others {step['others']:.0%}",
                flush=True,
            )
    return {**found, "seconds": load.seconds, "at_once": AT_ONCE, "one_in": ONE_IN_FALLS, "steps": steps}


@asynccontextmanager
async def _running(work_dir: Path) -> AsyncIterator[Stack]:
    """The whole of Attune; ended afterwards, also when we are told to stop while it starts."""
    ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
    exit_stack = ExitStack()
    running_stack = stack(work_dir, ports, {"LOG_LEVEL": "warning"}, say=_nothing)
    start_task = asyncio.create_task(asyncio.to_thread(exit_stack.enter_context, running_stack))
    try:
        yield await asyncio.shield(start_task)
    finally:
        await asyncio.wait([start_task])
        await asyncio.to_thread(exit_stack.close)


def _nothing(_text: str) -> None:
    """It is told of by its figures."""


class Clinics:
    """Clinics, their clients, and their clinicians before open inboxes."""

    def __init__(self, attune: Stack) -> None:
        self._attune = attune
        self._producer = Producer(attune.kafka, "attune-bench")
        self._draw = np.random.default_rng(7)
        self._ends = AsyncExitStack()

    async def __aenter__(self) -> Self:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEPT)
        self._http = await self._ends.enter_async_context(httpx2.AsyncClient(timeout=WITHIN, limits=limits))
        self._topics = await self._ends.enter_async_context(Topics(self._attune.kafka))
        self._ends.push_async_callback(self._producer.stop)
        await self._producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._ends.aclose()

    async def prepare(self, count: int) -> list[Linked]:
        """Relationships with a past and an open form each, in any order, and the links to the forms."""
        now = datetime.now(UTC)
        forms = _forms(count, now)
        await self._producer.tell([event for form in forms for event in form.past()])
        if not await until(self._sessions_has_heard, REST_WITHIN):
            raise CannotRun("the relationships did not become known to sessions")

        async def linked(form: Form) -> Linked:
            return form, await self._link(form, now)

        links = await _at_once(linked, [forms[i] for i in self._draw.permutation(count)])
        if not await still(self._topics, (), REST_WITHIN):
            raise CannotRun("what was told of the past did not come to rest")
        return links

    async def _sessions_has_heard(self) -> bool:
        return not (await self._topics.lag(await self._topics.ends()))["sessions"]

    async def _link(self, form: Form, now: datetime) -> str:
        """Have a session that was held an hour ago, and the client asked."""
        session_url = f"{self._attune.urls['sessions']}/sessions/{form.session}"
        starts_at = (now - 2 * HOUR).isoformat()
        body = {"relationship_id": str(form.relationship), "starts_at": starts_at, "minutes": 50}
        await self._ask("PUT", session_url, json=body)
        completion = {"ended_at": (now - HOUR).isoformat(), "minutes": 50}
        return str((await self._ask("POST", f"{session_url}/completion", json=completion)).json()["client_form"]["url"])

    async def capacity(self, links: Sequence[Linked]) -> Figures:
        """Answers a second when everybody answers as soon as somebody else is done, until the last alert is seen."""
        async with self._inboxes(links) as inboxes:
            started_at = time.perf_counter()
            answered = await _at_once(lambda form_with_link: self._answer(form_with_link, time.perf_counter()), links)
            last_alert_at = max((await inboxes.seen()).values())
        answer_rate = len(links) / (max(answer.acknowledged for answer in answered) - started_at)
        alert_rate = len(links) / (last_alert_at - started_at)
        return {
            "answers": len(links),
            "taken": answer_rate,
            "reflected": alert_rate,
            "capacity": min(answer_rate, alert_rate),
        }

    async def arrive(self, links: Sequence[Linked], rate: float) -> Figures:
        """Answer the forms at random moments, so many a second, whether those before are taken or not."""
        intervals = self._draw.exponential(1 / rate, len(links))
        servers = [*self._attune.servers, *self._attune.services]
        async with self._inboxes(links) as inboxes:
            cpu_seconds_before, started_at = _processor_time(servers), time.perf_counter()
            answer_tasks = []
            for due_at, form_with_link in zip(started_at + intervals.cumsum(), links, strict=True):
                await asyncio.sleep(max(0.0, due_at - time.perf_counter()))
                answer_tasks.append(asyncio.create_task(self._answer(form_with_link, due_at)))
            answered = await _all(answer_tasks)
            alert_times = await inboxes.seen()
            elapsed_seconds = time.perf_counter() - started_at
            cores = {
                name: (cpu_seconds_after - cpu_seconds_before[name]) / elapsed_seconds
                for name, cpu_seconds_after in _processor_time(servers).items()
            }
        alert_delays = [
            max(0.0, alert_times[answer.form.relationship] - answer.acknowledged)
            for answer in answered
            if answer.form.falls
        ]
        whole_machine = cores.pop(EVERYBODY)
        stack_cores = sum(cores.values())
        return {
            "answers": len(answered),
            "rate": len(answered) / (max(answer.acknowledged for answer in answered) - started_at),
            "alerts": len(alert_delays),
            **_percentiles(alert_delays),
            "taken_after": _percentiles([answer.acknowledged - answer.sent for answer in answered]),
            "sent_late": _percentiles([answer.sent - answer.due for answer in answered]),
            "cores": cores,
            "ours": stack_cores / CORES,
            "others": max(0.0, whole_machine - stack_cores) / CORES,
        }

    async def _answer(self, form_with_link: Linked, due_at: float) -> Answered:
        (form, link), sent_at = form_with_link, time.perf_counter()
        await self._ask("POST", link, data=BAD if form.falls else GOOD)
        return Answered(form, due_at, sent_at, time.perf_counter())

    async def _ask(self, method: str, url: str, **what: Any) -> httpx2.Response:
        try:
            response = await self._http.request(method, url, **what)
        except httpx2.TransportError as error:
            raise CannotRun(f"a service gave no answer: {type(error).__name__}: {error}") from error
        if not response.is_success:
            raise CannotRun(f"a service answered {response.status_code}: {response.text[:500]}")
        return response

    @asynccontextmanager
    async def _inboxes(self, links: Sequence[Linked]) -> AsyncIterator["Inboxes"]:
        """The inboxes of all clinicians of these forms, once all of them are open."""
        inboxes = Inboxes(self._http, self._attune.urls["notify"], [form for form, _ in links])
        try:
            await inboxes.open()
            yield inboxes
        finally:
            await inboxes.close()


class Inboxes:
    """Inboxes that stand open, and the moment at which each alert was first seen."""

    def __init__(self, http: httpx2.AsyncClient, notify_url: str, forms: Sequence[Form]) -> None:
        self._http = http
        self._notify = notify_url
        self._seen = {form.relationship: asyncio.Future[float]() for form in forms if form.falls}
        self._opened = {form.clinician: asyncio.Event() for form in forms}
        self._reading: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        self._reading = [asyncio.create_task(self._read(*inbox)) for inbox in self._opened.items()]
        try:
            async with asyncio.timeout(WITHIN):
                await asyncio.gather(*(is_open.wait() for is_open in self._opened.values()))
        except TimeoutError:
            raise CannotRun(f"not every inbox opened within {WITHIN:.0f} s") from None

    async def close(self) -> None:
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)

    async def seen(self) -> Mapping[UUID, float]:
        """When the alert of each relationship was seen, once all were. Raises CannotRun."""
        _, missing = await asyncio.wait(self._seen.values(), timeout=WITHIN)
        if missing:
            ended_count = sum(task.done() for task in self._reading)
            raise CannotRun(
                f"{len(missing)} of {len(self._seen)} alerts did not come within {WITHIN:.0f} s of the last answer; "
                f"{ended_count} of {len(self._reading)} inboxes were closed by notify"
            )
        return {relationship: alert_time.result() for relationship, alert_time in self._seen.items()}

    async def _read(self, clinician: UUID, is_open: asyncio.Event) -> None:
        url = f"{self._notify}/clinicians/{clinician}/inbox/stream"
        async with self._http.stream("GET", url, timeout=None) as response:
            async for line in response.aiter_lines():
                if line.startswith("data:"):
                    self._note(line.removeprefix("data:"))
                    is_open.set()

    def _note(self, inbox: str) -> None:
        seen_at = time.perf_counter()
        for alert in json.loads(inbox)["alerts"]:
            alert_time = self._seen.get(UUID(alert["relationship_id"]))  # others were raised at an earlier share
            if alert_time is not None and not alert_time.done():
                alert_time.set_result(seen_at)


def _forms(count: int, now: datetime) -> list[Form]:
    """Of as many relationships; each clinician has some of them."""
    first_session_at = now - timedelta(weeks=KNOWN + 1)
    clinicians = [uuid4() for _ in range(-(-count // CASELOAD))]
    return [
        Form(Told(uuid4(), first_session_at), clinicians[i // CASELOAD], uuid4(), falls=i % ONE_IN_FALLS == 0)
        for i in range(count)
    ]


async def _at_once(work: Callable[[S], Awaitable[T]], items: Sequence[S]) -> list[T]:
    """Do it to all, a few at a time; each of the few goes on as soon as it is done with one."""
    remaining = iter(items)

    async def go_on() -> list[T]:
        return [await work(item) for item in remaining]

    results = await _all([asyncio.create_task(go_on()) for _ in range(AT_ONCE)])
    return list(chain.from_iterable(results))


async def _all(tasks: Sequence[asyncio.Task[T]]) -> list[T]:
    """What they give, when all have ended, however; raises what the first that failed raised."""
    await asyncio.gather(*tasks, return_exceptions=True)
    return [task.result() for task in tasks]


def _percentiles(seconds: Sequence[float]) -> Figures:
    """In milliseconds."""
    names, shares = ("p50", "p99", "p99.9", "max"), (50, 99, 99.9, 100)
    return dict(zip(names, (1000 * np.percentile(seconds, shares)).tolist(), strict=True))


def _processor_time(servers: Sequence[LocalServer]) -> dict[str, float]:
    """Seconds that each server has had so far, we who make the load, and everybody on this machine."""
    by_server = {server.name: _of(server.process.pid) for server in servers if server.process}
    user, nice, system, _idle, _waiting, *interrupts = Path("/proc/stat").read_text().split()[1:8]
    whole_machine = sum(map(int, (user, nice, system, *interrupts))) / TICKS
    return {**by_server, "load": time.process_time(), EVERYBODY: whole_machine}


def _of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
