"""What a large network of clinics needs, by the figures of the comparison."""

from statistics import median

from bench.benchmarks import Figures
from bench.registry import OURS

DAILY_SESSIONS, CLINICS = 2_000_000, 10_000
EVENTS_PER_SESSION = 2.5  # as in the simulated network: completed or missed, and the submitted forms
BUSIEST_HOUR_SHARE = 0.15  # of a day's events; clinics are open for ten hours
MAX_UTILIZATION = 0.5  # of a process, so that one may fail
PARTITIONS_PER_PROCESS = 6  # so that the processes can be doubled twice with an equal number of partitions each


def capacity_section(results: Figures) -> str:
    runs = results["comparison"]["runs"][OURS]
    own, mongodb, kafka = (median(run[measure] for run in runs) for measure in ("own", "mongodb", "kafka"))
    daily_events = DAILY_SESSIONS * EVENTS_PER_SESSION
    peak = daily_events * BUSIEST_HOUR_SHARE / 3_600
    cores = {name: peak * us / 1e6 for name, us in (("alliance", own), ("MongoDB", mongodb), ("Kafka", kafka))}
    processes = max(2, -(-int(100 * cores["alliance"] / MAX_UTILIZATION) // 100))
    partitions = processes * PARTITIONS_PER_PROCESS
    sessions, events = f"{DAILY_SESSIONS / 1e6:g} million sessions", f"{daily_events / 1e6:g} million events"
    return f"""\
## {CLINICS:,} clinics and {sessions} a day

At {EVENTS_PER_SESSION:g} events per session, {sessions} are {events} a day. The busiest hour has
{100 * BUSIEST_HOUR_SHARE:.0f}% of them, {peak:,.0f} per second. By the medians above that takes {cores["alliance"]:.2f}
cores for alliance, {cores["MongoDB"]:.2f} for MongoDB and {cores["Kafka"]:.2f} for Kafka. So plan:

- **{processes} processes of alliance**, each used to {100 * MAX_UTILIZATION:.0f}% at most, so that any one may fail.
- **{partitions} partitions** of each topic, so that the processes can be doubled twice with an equal number of
  partitions each. The number cannot change later, because partitions keep the events of a relationship in order.
- **3 brokers** and **one shard, a replica set of three members**, for durability and not for speed: every member
  repeats each write.

{_memory_limit(daily_events, runs[-1]["bytes"])}

The second limit is a single partition: one process handles all events of a partition. One relationship never reaches
that limit. But a clinic that sends years of history at once delays the other relationships on its partitions."""


def _memory_limit(daily_events: float, document_bytes: Figures) -> str:
    weekly_sessions, yearly_events = 5 * DAILY_SESSIONS, 260 * daily_events
    state, event, index = (document_bytes[document] for document in ("state", "event", "index"))
    relationships, events = (
        f"{weekly_sessions / 1e6:g} million relationships",
        f"{yearly_events / 1e9:.1f} billion events",
    )
    states_gb = weekly_sessions * state / 1e9
    events_tb, indexes_tb = (yearly_events * size / 1e12 for size in (event, index))
    return f"""\
The first limit is not CPU time but **the memory of the database**. With five such days a week and one session per
relationship and week there are {relationships}, each with {state:,.0f} bytes of state. All of that,
{states_gb:,.0f} GB, is read within a week. The ids of events are random, so a new event may touch any page of the
index. A year has {events} with {event:,.0f} bytes and {index:,.0f} bytes of indexes each: {events_tb:,.1f} TB
of events and {indexes_tb:,.2f} TB of indexes. When the indexes no longer fit into memory, every event costs a read from
disk. Then shard the collections `alliances` and `facts` by relationship, by which the hot path reads both."""
