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
from bench.workload import RELATIONSHIPS_PER_CLINICIAN
from shared.events import Event
from shared.kafka.producer import Producer
from tests.support.builders import ELEMENTS, RelationshipBuilder
from tools.sandbox.servers.inspection import wait_until, wait_until_idle
from tools.sandbox.servers.kafka_inspector import KafkaInspector
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import LocalServer, RunError
from tools.sandbox.servers.stack import SERVICES, RunningStack, run_stack

PAST_SESSIONS = 3  # good sessions behind each relationship, so that a fall stands out
ANSWERS_PER_ALERT = 5  # of the answers raises an alert; far more than in life, so that there is something to measure
GOOD_ANSWER, BAD_ANSWER = ({**dict.fromkeys(ELEMENTS, str(rating)), "tension": "none"} for rating in (9, 2))
LOAD_SHARES = (0.25, 0.5, 0.8)  # of the capacity
MAX_CONCURRENT_REQUESTS = 16  # requests in flight while links are made and while the capacity is looked for
TIMEOUT_SECONDS = 30.0  # seconds; what has not come by then does not come
KEEPALIVE_SECONDS = (
    2.0  # seconds; services let go of a connection that was idle for five, while we might be sending on it
)
SETTLE_TIMEOUT_SECONDS = 120.0  # seconds, for what was told of the past
CORES = os.cpu_count() or 1
WHOLE_MACHINE = "everybody"  # who has had processor time on this machine
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")  # that make a second
HOUR = timedelta(hours=1)

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Load:
    """How much is asked of it."""

    capacity_answers: int = 2_000
    """By which the capacity is found."""
    seconds_per_share: float = 20.0
    """At each share of it."""


FULL_LOAD = Load()


@dataclass(frozen=True, slots=True)
class Form:
    """A client's form that waits for an answer."""

    builder: RelationshipBuilder
    clinician_id: UUID
    session_id: UUID
    raises_alert: bool
    """Whether the answer will raise an alert."""

    @property
    def relationship_id(self) -> UUID:
        return self.builder.relationship_id

    def past_events(self) -> list[Event]:
        """How the relationship began, and the good sessions."""
        weeks, builder = range(PAST_SESSIONS), self.builder
        started = builder.started().model_copy(update={"clinician_id": self.clinician_id})
        sessions = [event for week in weeks for event in (builder.completed(week), builder.feedback(week))]
        return [started, builder.consent_changed(-0.1, given=True), *sessions]


FormWithLink = tuple[Form, str]
"""A form, and the link by which its client answers it."""


@dataclass(frozen=True, slots=True)
class AnsweredForm:
    """What became of one answer; moments are of our own clock that only goes forward."""

    form: Form
    due_at: float
    sent_at: float
    acknowledged_at: float


async def latency(work_dir: Path, size: Size) -> Figures:
    """At some shares of the capacity, which is found first. Raises CannotRun, also when an alert never comes."""
    return await measure_latency(work_dir, size, FULL_LOAD)


async def measure_latency(work_dir: Path, _size: Size, load: Load) -> Figures:
    """As `latency`, with so much load."""
    async with _run_stack(work_dir) as stack, LoadGenerator(stack) as generator:
        capacity = await generator.measure_capacity(await generator.create_forms(load.capacity_answers))
        print(
            f"  {capacity['capacity']:.0f} answers/s at most: {capacity['taken']:.0f} taken, "
            f"{capacity['reflected']:.0f} until their alerts were seen",
            flush=True,
        )
        counts = {share: round(share * capacity["capacity"] * load.seconds_per_share) for share in LOAD_SHARES}
        forms = iter(await generator.create_forms(sum(counts.values())))
        steps = []
        for share, count in counts.items():
            step = {
                "share": share,
                **await generator.measure_at_rate(list(islice(forms, count)), count / load.seconds_per_share),
            }
            steps.append(step)
            print(
                f"  at {share:.0%}: {step['rate']:.0f} answers/s, {step['alerts']} alerts after {step['p50']:.0f} ms, "
                f"p99 {step['p99']:.0f} ms, p99.9 {step['p99.9']:.0f} ms; {step['ours']:.0%} of the machine, "
                f"others {step['others']:.0%}",
                flush=True,
            )
    return {
        **capacity,
        "seconds": load.seconds_per_share,
        "at_once": MAX_CONCURRENT_REQUESTS,
        "one_in": ANSWERS_PER_ALERT,
        "steps": steps,
    }


@asynccontextmanager
async def _run_stack(work_dir: Path) -> AsyncIterator[RunningStack]:
    """The whole of Attune; ended afterwards, also when we are told to stop while it starts."""
    ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
    exit_stack = ExitStack()
    running_stack = run_stack(work_dir, ports, {"LOG_LEVEL": "warning"}, report=_discard)
    start_task = asyncio.create_task(asyncio.to_thread(exit_stack.enter_context, running_stack))
    try:
        yield await asyncio.shield(start_task)
    finally:
        await asyncio.wait([start_task])
        await asyncio.to_thread(exit_stack.close)


def _discard(_text: str) -> None:
    """It is told of by its figures."""


class LoadGenerator:
    """Clinics, their clients, and their clinicians before open inboxes."""

    def __init__(self, stack: RunningStack) -> None:
        self._stack = stack
        self._producer = Producer(stack.bootstrap_servers, "attune-bench")
        self._rng = np.random.default_rng(7)
        self._exit_stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEEPALIVE_SECONDS)
        self._http = await self._exit_stack.enter_async_context(
            httpx2.AsyncClient(timeout=TIMEOUT_SECONDS, limits=limits)
        )
        self._topics = await self._exit_stack.enter_async_context(KafkaInspector(self._stack.bootstrap_servers))
        self._exit_stack.push_async_callback(self._producer.stop)
        await self._producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit_stack.aclose()

    async def create_forms(self, count: int) -> list[FormWithLink]:
        """Relationships with a past and an open form each, in any order, and the links to the forms."""
        now = datetime.now(UTC)
        forms = _make_forms(count, now)
        await self._producer.publish([event for form in forms for event in form.past_events()])
        if not await wait_until(self._sessions_has_caught_up, SETTLE_TIMEOUT_SECONDS):
            raise RunError("the relationships did not become known to sessions")

        async def with_link(form: Form) -> FormWithLink:
            return form, await self._complete_session(form, now)

        links = await _run_concurrently(with_link, [forms[i] for i in self._rng.permutation(count)])
        if not await wait_until_idle(self._topics, (), SETTLE_TIMEOUT_SECONDS):
            raise RunError("what was told of the past did not come to rest")
        return links

    async def _sessions_has_caught_up(self) -> bool:
        return not (await self._topics.lag(await self._topics.end_offsets()))["sessions"]

    async def _complete_session(self, form: Form, now: datetime) -> str:
        """Have a session that was held an hour ago, and the client asked."""
        session_url = f"{self._stack.urls['sessions']}/sessions/{form.session_id}"
        starts_at = (now - 2 * HOUR).isoformat()
        body = {"relationship_id": str(form.relationship_id), "starts_at": starts_at, "minutes": 50}
        await self._request("PUT", session_url, json=body)
        completion = {"ended_at": (now - HOUR).isoformat(), "minutes": 50}
        return str(
            (await self._request("POST", f"{session_url}/completion", json=completion)).json()["client_form"]["url"]
        )

    async def measure_capacity(self, links: Sequence[FormWithLink]) -> Figures:
        """Answers a second when everybody answers as soon as somebody else is done, until the last alert is seen."""
        async with self._open_inboxes(links) as inboxes:
            started_at = time.perf_counter()
            answered = await _run_concurrently(
                lambda form_with_link: self._answer(form_with_link, time.perf_counter()), links
            )
            last_alert_at = max((await inboxes.wait_for_alerts()).values())
        answer_rate = len(links) / (max(answer.acknowledged_at for answer in answered) - started_at)
        alert_rate = len(links) / (last_alert_at - started_at)
        return {
            "answers": len(links),
            "taken": answer_rate,
            "reflected": alert_rate,
            "capacity": min(answer_rate, alert_rate),
        }

    async def measure_at_rate(self, links: Sequence[FormWithLink], rate: float) -> Figures:
        """Answer the forms at random moments, so many a second, whether those before are taken or not."""
        intervals = self._rng.exponential(1 / rate, len(links))
        servers = [*self._stack.servers, *self._stack.services]
        async with self._open_inboxes(links) as inboxes:
            cpu_seconds_before, started_at = _cpu_seconds_by_server(servers), time.perf_counter()
            answer_tasks = []
            for due_at, form_with_link in zip(started_at + intervals.cumsum(), links, strict=True):
                await asyncio.sleep(max(0.0, due_at - time.perf_counter()))
                answer_tasks.append(asyncio.create_task(self._answer(form_with_link, due_at)))
            answered = await _gather_results(answer_tasks)
            alert_times = await inboxes.wait_for_alerts()
            elapsed_seconds = time.perf_counter() - started_at
            cores = {
                name: (cpu_seconds_after - cpu_seconds_before[name]) / elapsed_seconds
                for name, cpu_seconds_after in _cpu_seconds_by_server(servers).items()
            }
        alert_delays = [
            max(0.0, alert_times[answer.form.relationship_id] - answer.acknowledged_at)
            for answer in answered
            if answer.form.raises_alert
        ]
        whole_machine = cores.pop(WHOLE_MACHINE)
        stack_cores = sum(cores.values())
        return {
            "answers": len(answered),
            "rate": len(answered) / (max(answer.acknowledged_at for answer in answered) - started_at),
            "alerts": len(alert_delays),
            **_percentiles(alert_delays),
            "taken_after": _percentiles([answer.acknowledged_at - answer.sent_at for answer in answered]),
            "sent_late": _percentiles([answer.sent_at - answer.due_at for answer in answered]),
            "cores": cores,
            "ours": stack_cores / CORES,
            "others": max(0.0, whole_machine - stack_cores) / CORES,
        }

    async def _answer(self, form_with_link: FormWithLink, due_at: float) -> AnsweredForm:
        (form, link), sent_at = form_with_link, time.perf_counter()
        await self._request("POST", link, data=BAD_ANSWER if form.raises_alert else GOOD_ANSWER)
        return AnsweredForm(form, due_at, sent_at, time.perf_counter())

    async def _request(self, method: str, url: str, **options: Any) -> httpx2.Response:
        try:
            response = await self._http.request(method, url, **options)
        except httpx2.TransportError as error:
            raise RunError(f"a service gave no answer: {type(error).__name__}: {error}") from error
        if not response.is_success:
            raise RunError(f"a service answered {response.status_code}: {response.text[:500]}")
        return response

    @asynccontextmanager
    async def _open_inboxes(self, links: Sequence[FormWithLink]) -> AsyncIterator["InboxStreams"]:
        """The inboxes of all clinicians of these forms, once all of them are open."""
        inboxes = InboxStreams(self._http, self._stack.urls["notify"], [form for form, _ in links])
        try:
            await inboxes.open()
            yield inboxes
        finally:
            await inboxes.close()


class InboxStreams:
    """Inboxes that stand open, and the moment at which each alert was first seen."""

    def __init__(self, http: httpx2.AsyncClient, notify_url: str, forms: Sequence[Form]) -> None:
        self._http = http
        self._notify_url = notify_url
        self._alert_times = {form.relationship_id: asyncio.Future[float]() for form in forms if form.raises_alert}
        self._opened = {form.clinician_id: asyncio.Event() for form in forms}
        self._read_tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        self._read_tasks = [asyncio.create_task(self._read_stream(*inbox)) for inbox in self._opened.items()]
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await asyncio.gather(*(is_open.wait() for is_open in self._opened.values()))
        except TimeoutError:
            raise RunError(f"not every inbox opened within {TIMEOUT_SECONDS:.0f} s") from None

    async def close(self) -> None:
        for task in self._read_tasks:
            task.cancel()
        await asyncio.gather(*self._read_tasks, return_exceptions=True)

    async def wait_for_alerts(self) -> Mapping[UUID, float]:
        """When the alert of each relationship was seen, once all were. Raises CannotRun."""
        _, missing = await asyncio.wait(self._alert_times.values(), timeout=TIMEOUT_SECONDS)
        if missing:
            ended_count = sum(task.done() for task in self._read_tasks)
            raise RunError(
                f"{len(missing)} of {len(self._alert_times)} alerts did not come within {TIMEOUT_SECONDS:.0f} s of the last answer; "
                f"{ended_count} of {len(self._read_tasks)} inboxes were closed by notify"
            )
        return {relationship: alert_time.result() for relationship, alert_time in self._alert_times.items()}

    async def _read_stream(self, clinician: UUID, is_open: asyncio.Event) -> None:
        url = f"{self._notify_url}/clinicians/{clinician}/inbox/stream"
        async with self._http.stream("GET", url, timeout=None) as response:
            async for line in response.aiter_lines():
                if line.startswith("data:"):
                    self._record_alerts(line.removeprefix("data:"))
                    is_open.set()

    def _record_alerts(self, inbox: str) -> None:
        seen_at = time.perf_counter()
        for alert in json.loads(inbox)["alerts"]:
            alert_time = self._alert_times.get(UUID(alert["relationship_id"]))  # others were raised at an earlier share
            if alert_time is not None and not alert_time.done():
                alert_time.set_result(seen_at)


def _make_forms(count: int, now: datetime) -> list[Form]:
    """Of as many relationships; each clinician has some of them."""
    first_session_at = now - timedelta(weeks=PAST_SESSIONS + 1)
    clinicians = [uuid4() for _ in range(-(-count // RELATIONSHIPS_PER_CLINICIAN))]
    return [
        Form(
            RelationshipBuilder(uuid4(), first_session_at),
            clinicians[i // RELATIONSHIPS_PER_CLINICIAN],
            uuid4(),
            raises_alert=i % ANSWERS_PER_ALERT == 0,
        )
        for i in range(count)
    ]


async def _run_concurrently(work: Callable[[S], Awaitable[T]], items: Sequence[S]) -> list[T]:
    """Do it to all, a few at a time; each of the few goes on as soon as it is done with one."""
    remaining = iter(items)

    async def run_worker() -> list[T]:
        return [await work(item) for item in remaining]

    results = await _gather_results([asyncio.create_task(run_worker()) for _ in range(MAX_CONCURRENT_REQUESTS)])
    return list(chain.from_iterable(results))


async def _gather_results(tasks: Sequence[asyncio.Task[T]]) -> list[T]:
    """What they give, when all have ended, however; raises what the first that failed raised."""
    await asyncio.gather(*tasks, return_exceptions=True)
    return [task.result() for task in tasks]


def _percentiles(seconds: Sequence[float]) -> Figures:
    """In milliseconds."""
    names, shares = ("p50", "p99", "p99.9", "max"), (50, 99, 99.9, 100)
    return dict(zip(names, (1000 * np.percentile(seconds, shares)).tolist(), strict=True))


def _cpu_seconds_by_server(servers: Sequence[LocalServer]) -> dict[str, float]:
    """Seconds that each server has had so far, we who make the load, and everybody on this machine."""
    by_server = {server.name: _cpu_seconds(server.process.pid) for server in servers if server.process}
    user, nice, system, _idle, _waiting, *interrupts = Path("/proc/stat").read_text().split()[1:8]
    whole_machine = sum(map(int, (user, nice, system, *interrupts))) / TICKS_PER_SECOND
    return {**by_server, "load": time.process_time(), WHOLE_MACHINE: whole_machine}


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
