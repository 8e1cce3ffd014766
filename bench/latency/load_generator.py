"""Clients who submit their forms, as fast as they can or at a given rate."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import chain
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import numpy as np

from bench.benchmarks import Figures
from bench.latency.cpu_time import CORES, WHOLE_MACHINE, cpu_seconds_by_server
from bench.latency.forms import AnsweredForm, Form, FormWithLink, make_forms
from bench.latency.inbox_streams import InboxStreams
from shared.events import ClinicianRegistered, StaffUpdated
from shared.kafka.producer import Producer
from tests.support.builders import ELEMENTS
from tools.sandbox.network.course import Clinic, Clinician
from tools.sandbox.network.credentials import NetworkCredentials
from tools.sandbox.network.entries import DirectEntry
from tools.sandbox.network.identity import IDENTITY_DATABASE
from tools.sandbox.network.staff import clinician_as_staff
from tools.sandbox.servers.inspection import wait_until, wait_until_idle
from tools.sandbox.servers.kafka_inspector import KafkaInspector
from tools.sandbox.servers.process import RunError
from tools.sandbox.servers.stack import RunningStack

GOOD_ANSWER, BAD_ANSWER = ({**dict.fromkeys(ELEMENTS, str(rating)), "tension": "none"} for rating in (9, 2))
MAX_CONCURRENT_REQUESTS = 16  # while forms are created and while the capacity is measured
RESPONSE_TIMEOUT_SECONDS = 30.0
KEEPALIVE_SECONDS = 2.0  # less than the five seconds after which a service closes an idle connection
SETTLE_TIMEOUT_SECONDS = 120.0  # until the services have consumed the past
HOUR = timedelta(hours=1)

S = TypeVar("S")
T = TypeVar("T")


class LoadGenerator:
    """Clinics with clients who submit forms, and clinicians with open inboxes."""

    def __init__(self, stack: RunningStack) -> None:
        self._stack = stack
        self._clinic = Clinic(uuid4(), "Linden Clinic", "UTC")
        self._credentials = _direct_credentials(stack)
        self._producer = Producer(stack.bootstrap_servers, "attune-bench")
        self._rng = np.random.default_rng(7)
        self._exit_stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEEPALIVE_SECONDS)
        self._http = await self._exit_stack.enter_async_context(
            httpx2.AsyncClient(timeout=RESPONSE_TIMEOUT_SECONDS, limits=limits)
        )
        self._topics = await self._exit_stack.enter_async_context(KafkaInspector(self._stack.bootstrap_servers))
        self._exit_stack.push_async_callback(self._producer.stop)
        await self._producer.start()
        await self._credentials.let_in_machine(self._clinic)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit_stack.aclose()

    async def create_forms(self, count: int) -> list[FormWithLink]:
        """Create relationships with a past and an open form each; the forms with their links, in random order."""
        now = datetime.now(UTC)
        forms = make_forms(self._clinic, count, now)
        await self._producer.publish([event for form in forms for event in form.past_events()])
        await _run_concurrently(self._employ, [*{form.clinician_id: form.clinician for form in forms}.values()])
        if not await wait_until(self._sessions_has_caught_up, SETTLE_TIMEOUT_SECONDS):
            raise RunError("The sessions service did not consume the relationships in time")

        async def with_link(form: Form) -> FormWithLink:
            return form, await self._complete_session(form, now)

        links = await _run_concurrently(with_link, [forms[i] for i in self._rng.permutation(count)])
        if not await wait_until_idle(self._topics, (), SETTLE_TIMEOUT_SECONDS):
            raise RunError("The past events were not fully consumed in time")
        return links

    async def _employ(self, clinician: Clinician) -> None:
        """Let in a clinician, and publish what intake would."""
        member, now = clinician_as_staff(clinician), datetime.now(UTC)
        await self._credentials.let_in(member, _invite_nobody)
        fields = {"clinic_id": clinician.clinic_id, "clinician_id": clinician.id, "occurred_at": now}
        registered = ClinicianRegistered(id=uuid4(), time_zone="UTC", **fields)
        employed = StaffUpdated(id=uuid4(), person_id=member.person_id, roles=("clinician",), **fields)
        await self._producer.publish([registered, employed])

    async def _sessions_has_caught_up(self) -> bool:
        return not (await self._topics.lag(await self._topics.end_offsets()))["sessions"]

    async def _complete_session(self, form: Form, now: datetime) -> str:
        """Schedule a session and complete it as of an hour ago; return the link to the client's form."""
        sessions_url, system = self._stack.urls["sessions"], self._credentials.machine(self._clinic.id)
        session_url = f"{sessions_url}/sessions/{form.session_id}"
        starts_at = (now - 2 * HOUR).isoformat()
        body = {"relationship_id": str(form.relationship_id), "starts_at": starts_at, "minutes": 50}
        await self._request("PUT", session_url, auth=system, json=body)
        completion = {"ended_at": (now - HOUR).isoformat(), "minutes": 50}
        await self._request("POST", f"{session_url}/completion", auth=system, json=completion)
        link = (await self._request("POST", f"{session_url}/client-link", auth=system, json={})).json()["url"]
        return f"{sessions_url}{urlsplit(link).path}"  # not through the front door, which is not measured

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
            cpu_seconds_before, started_at = cpu_seconds_by_server(servers), time.perf_counter()
            answer_tasks = []
            for due_at, form_with_link in zip(started_at + intervals.cumsum(), links, strict=True):
                await asyncio.sleep(max(0.0, due_at - time.perf_counter()))
                answer_tasks.append(asyncio.create_task(self._answer(form_with_link, due_at)))
            answered = await _gather_results(answer_tasks)
            alert_times = await inboxes.wait_for_alerts()
            elapsed_seconds = time.perf_counter() - started_at
            cores = {
                name: (cpu_seconds_after - cpu_seconds_before[name]) / elapsed_seconds
                for name, cpu_seconds_after in cpu_seconds_by_server(servers).items()
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
    async def _open_inboxes(self, links: Sequence[FormWithLink]) -> AsyncIterator[InboxStreams]:
        """Open the inboxes of all clinicians of these forms; yields them when all are open."""
        inboxes = InboxStreams(self._http, self._credentials, self._stack.urls["notify"], [form for form, _ in links])
        try:
            await inboxes.open()
            yield inboxes
        finally:
            await inboxes.close()


def _direct_credentials(stack: RunningStack) -> NetworkCredentials:
    """Nobody signs in with a browser: that is not measured."""
    assert stack.issuer is not None
    entry = DirectEntry(stack.issuer.url, stack.mongodb_uri)
    return NetworkCredentials(stack.issuer, entry, stack.mongodb_uri, IDENTITY_DATABASE)


async def _invite_nobody() -> str:
    """An account that is written into the database needs no invitation."""
    return ""


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
