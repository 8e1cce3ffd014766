"""How long a clinician waits for an alert: from the 2xx for a client's answer until the alert is in the open inbox.

All services run as they ship, on servers of their own, and are used from outside: clients submit forms by their links,
and clinicians' inbox streams are open. The past, relationships with some good sessions, is published directly to Kafka.
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

PAST_SESSIONS = 3  # good sessions before the measured one, so that a fall raises an alert
ANSWERS_PER_ALERT = 5  # one answer in so many raises an alert: far more than in practice, to have enough alerts
GOOD_ANSWER, BAD_ANSWER = ({**dict.fromkeys(ELEMENTS, str(rating)), "tension": "none"} for rating in (9, 2))
LOAD_SHARES = (0.25, 0.5, 0.8)  # of the capacity
MAX_CONCURRENT_REQUESTS = 16  # while forms are created and while the capacity is measured
TIMEOUT_SECONDS = 30.0  # for a response, and for the last alert
KEEPALIVE_SECONDS = 2.0  # less than the five seconds after which a service closes an idle connection
SETTLE_TIMEOUT_SECONDS = 120.0  # until the services have consumed the past
CORES = os.cpu_count() or 1
WHOLE_MACHINE = "whole machine"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
HOUR = timedelta(hours=1)

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Load:
    """How much load is generated."""

    capacity_answers: int = 2_000
    """Answers by which the capacity is measured."""
    seconds_per_share: float = 20.0
    """How long each share of the capacity is measured."""


FULL_LOAD = Load()


@dataclass(frozen=True, slots=True)
class Form:
    """A client's form that waits for an answer."""

    builder: RelationshipBuilder
    clinician_id: UUID
    session_id: UUID
    raises_alert: bool

    @property
    def relationship_id(self) -> UUID:
        return self.builder.relationship_id

    def past_events(self) -> list[Event]:
        """The start of the relationship, and the good sessions."""
        weeks, builder = range(PAST_SESSIONS), self.builder
        started = builder.started().model_copy(update={"clinician_id": self.clinician_id})
        sessions = [event for week in weeks for event in (builder.completed(week), builder.feedback(week))]
        return [started, builder.consent_changed(-0.1, given=True), *sessions]


FormWithLink = tuple[Form, str]
"""A form, and the link by which its client submits it."""


@dataclass(frozen=True, slots=True)
class AnsweredForm:
    """When a form was due, sent and acknowledged, in seconds of `time.perf_counter`."""

    form: Form
    due_at: float
    sent_at: float
    acknowledged_at: float


async def latency(work_dir: Path, size: Size) -> Figures:
    """Measure the capacity, then the latency at some shares of it. Raises RunError, also if an alert never arrives."""
    return await measure_latency(work_dir, size, FULL_LOAD)


async def measure_latency(work_dir: Path, _size: Size, load: Load) -> Figures:
    """As `latency`, with this load."""
    async with _run_stack(work_dir) as stack, LoadGenerator(stack) as generator:
        capacity = await generator.measure_capacity(await generator.create_forms(load.capacity_answers))
        print(
            f"  capacity {capacity['capacity']:.0f} answers/s: {capacity['answer_rate']:.0f} until the last answer, "
            f"{capacity['alert_rate']:.0f} until the last alert",
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
                f"p99 {step['p99']:.0f} ms, p99.9 {step['p99.9']:.0f} ms; {step['stack_share']:.0%} of the machine, "
                f"other processes {step['other_share']:.0%}",
                flush=True,
            )
    return {
        **capacity,
        "seconds": load.seconds_per_share,
        "concurrent_requests": MAX_CONCURRENT_REQUESTS,
        "answers_per_alert": ANSWERS_PER_ALERT,
        "steps": steps,
    }


@asynccontextmanager
async def _run_stack(work_dir: Path) -> AsyncIterator[RunningStack]:
    """Run all services and servers; they are stopped afterwards, also if this is cancelled while they start."""
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
    """Prints nothing: the figures are the report."""


class LoadGenerator:
    """Clinics with clients who submit forms, and clinicians with open inboxes."""

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
        """Create relationships with a past and an open form each; the forms with their links, in random order."""
        now = datetime.now(UTC)
        forms = _make_forms(count, now)
        await self._producer.publish([event for form in forms for event in form.past_events()])
        if not await wait_until(self._sessions_has_caught_up, SETTLE_TIMEOUT_SECONDS):
            raise RunError("The sessions service did not consume the relationships in time")

        async def with_link(form: Form) -> FormWithLink:
            return form, await self._complete_session(form, now)

        links = await _run_concurrently(with_link, [forms[i] for i in self._rng.permutation(count)])
        if not await wait_until_idle(self._topics, (), SETTLE_TIMEOUT_SECONDS):
            raise RunError("The past events were not fully consumed in time")
        return links

    async def _sessions_has_caught_up(self) -> bool:
        return not (await self._topics.lag(await self._topics.end_offsets()))["sessions"]

    async def _complete_session(self, form: Form, now: datetime) -> str:
        """Schedule a session and complete it as of an hour ago; return the link to the client's form."""
        session_url = f"{self._stack.urls['sessions']}/sessions/{form.session_id}"
        starts_at = (now - 2 * HOUR).isoformat()
        body = {"relationship_id": str(form.relationship_id), "starts_at": starts_at, "minutes": 50}
        await self._request("PUT", session_url, json=body)
        completion = {"ended_at": (now - HOUR).isoformat(), "minutes": 50}
        return str(
            (await self._request("POST", f"{session_url}/completion", json=completion)).json()["client_form"]["url"]
        )

    async def measure_capacity(self, links: Sequence[FormWithLink]) -> Figures:
        """Submit all forms as fast as the concurrent requests allow, and measure answers per second."""
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
            "answer_rate": answer_rate,
            "alert_rate": alert_rate,
            "capacity": min(answer_rate, alert_rate),
        }

    async def measure_at_rate(self, links: Sequence[FormWithLink], rate: float) -> Figures:
        """Submit the forms at random times, `rate` per second, without waiting for those before."""
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
            "answer_latency": _percentiles([answer.acknowledged_at - answer.sent_at for answer in answered]),
            "send_delay": _percentiles([answer.sent_at - answer.due_at for answer in answered]),
            "cores": cores,
            "stack_share": stack_cores / CORES,
            "other_share": max(0.0, whole_machine - stack_cores) / CORES,
        }

    async def _answer(self, form_with_link: FormWithLink, due_at: float) -> AnsweredForm:
        (form, link), sent_at = form_with_link, time.perf_counter()
        await self._request("POST", link, data=BAD_ANSWER if form.raises_alert else GOOD_ANSWER)
        return AnsweredForm(form, due_at, sent_at, time.perf_counter())

    async def _request(self, method: str, url: str, **options: Any) -> httpx2.Response:
        try:
            response = await self._http.request(method, url, **options)
        except httpx2.TransportError as error:
            raise RunError(f"A service did not respond: {type(error).__name__}: {error}") from error
        if not response.is_success:
            raise RunError(f"A service responded with {response.status_code}: {response.text[:500]}")
        return response

    @asynccontextmanager
    async def _open_inboxes(self, links: Sequence[FormWithLink]) -> AsyncIterator["InboxStreams"]:
        """Open the inboxes of all clinicians of these forms; yields them when all are open."""
        inboxes = InboxStreams(self._http, self._stack.urls["notify"], [form for form, _ in links])
        try:
            await inboxes.open()
            yield inboxes
        finally:
            await inboxes.close()


class InboxStreams:
    """Open inbox streams, and the time at which each alert first arrived."""

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
            raise RunError(f"Not every inbox stream opened within {TIMEOUT_SECONDS:.0f} s") from None

    async def close(self) -> None:
        for task in self._read_tasks:
            task.cancel()
        await asyncio.gather(*self._read_tasks, return_exceptions=True)

    async def wait_for_alerts(self) -> Mapping[UUID, float]:
        """Wait for all alerts; when the alert of each relationship arrived. Raises RunError."""
        _, missing = await asyncio.wait(self._alert_times.values(), timeout=TIMEOUT_SECONDS)
        if missing:
            ended_count = sum(task.done() for task in self._read_tasks)
            raise RunError(
                f"{len(missing)} of {len(self._alert_times)} alerts did not arrive within {TIMEOUT_SECONDS:.0f} s of "
                f"the last answer; notify closed {ended_count} of {len(self._read_tasks)} inbox streams"
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
            alert_time = self._alert_times.get(UUID(alert["relationship_id"]))  # others are from an earlier share
            if alert_time is not None and not alert_time.done():
                alert_time.set_result(seen_at)


def _make_forms(count: int, now: datetime) -> list[Form]:
    """Forms of as many relationships, a caseload for each clinician."""
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
    """Do `work` for all items, MAX_CONCURRENT_REQUESTS at a time; the results are in no particular order."""
    remaining = iter(items)

    async def run_worker() -> list[T]:
        return [await work(item) for item in remaining]

    results = await _gather_results([asyncio.create_task(run_worker()) for _ in range(MAX_CONCURRENT_REQUESTS)])
    return list(chain.from_iterable(results))


async def _gather_results(tasks: Sequence[asyncio.Task[T]]) -> list[T]:
    """Wait until all tasks have ended, then return their results or raise the first error."""
    await asyncio.gather(*tasks, return_exceptions=True)
    return [task.result() for task in tasks]


def _percentiles(seconds: Sequence[float]) -> Figures:
    """In milliseconds."""
    names, shares = ("p50", "p99", "p99.9", "max"), (50, 99, 99.9, 100)
    return dict(zip(names, (1000 * np.percentile(seconds, shares)).tolist(), strict=True))


def _cpu_seconds_by_server(servers: Sequence[LocalServer]) -> dict[str, float]:
    """The CPU time so far of each server, of this load generator, and of the whole machine."""
    by_server = {server.name: _cpu_seconds(server.process.pid) for server in servers if server.process}
    user, nice, system, _idle, _waiting, *interrupts = Path("/proc/stat").read_text().split()[1:8]
    whole_machine = sum(map(int, (user, nice, system, *interrupts))) / TICKS_PER_SECOND
    return {**by_server, "load": time.process_time(), WHOLE_MACHINE: whole_machine}


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
