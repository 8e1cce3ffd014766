"""Writes docs/performance.md and its picture from the stored results."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median

import matplotlib as mpl
from matplotlib import pyplot as plt

from bench.benchmarks import PICTURES_DIR, Figures
from bench.registry import BYTEWAX, FAUST, LIMITATIONS, NAIVE, OURS, PER_MESSAGE, PLAIN, QUIX
from bench.runner import REPOSITORY

REPORT = REPOSITORY / "docs" / "performance.md"
RESULTS = PICTURES_DIR / "measured.json"
BEFORE_TUNING = json.loads(Path(__file__).with_name("before_tuning.json").read_text())

DAILY_SESSIONS, CLINICS = 2_000_000, 10_000
EVENTS_PER_SESSION = 2.5  # as in the simulated network: completed or missed, and the submitted forms
BUSIEST_HOUR_SHARE = 0.15  # of a day's events; clinics are open for ten hours
MAX_UTILIZATION = 0.5  # of a process, so that one may fail
PARTITIONS_PER_PROCESS = 6  # so that the processes can be doubled twice with an equal number of partitions each

mpl.use("svg")
mpl.rcParams.update({"svg.hashsalt": "attune", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False})
mpl.rcParams.update({"axes.spines.right": False, "figure.constrained_layout.use": True})


def speed_ratio(figures: Figures, implementation: str) -> float:
    """How many times as fast ours is: the median over the rounds that both ran."""
    runs = figures["runs"]
    return median(
        float(our_run["rate"] / their_run["rate"])
        for our_run, their_run in zip(runs[OURS], runs[implementation], strict=False)
    )


def write_report() -> None:
    """Write the report of all benchmarks measured so far; it names those that are missing."""
    results: Figures = json.loads(RESULTS.read_text())
    sections: dict[str, Callable[[Figures, Figures], str]] = {
        "comparison": _comparison_section,
        "profile": _profile_section,
        "rebuild": _rebuild_section,
        "growth": _growth_section,
        "history": _history_section,
        "processes": _processes_section,
        "latency": _latency_section,
    }
    texts = [
        render(results[name], results) if name in results else _not_measured_section(name)
        for name, render in sections.items()
    ]
    if "comparison" in results:
        _plot_comparison(results)
    REPORT.write_text("\n\n".join([_introduction(results), *texts, _capacity_section(results)]).strip() + "\n")


def _not_measured_section(name: str) -> str:
    return f"## Not measured: {name}\n\n`python -m bench {name}` measures it and writes it here."


def _introduction(results: Figures) -> str:
    rows = [(criterion, value, _met_text(is_met)) for criterion, value, is_met in _criteria(results)]
    return f"""\
<!-- Written by `python -m bench`; not by hand. -->
# Performance: speed, the cost of the guarantees, and capacity

The alliance service, one process with all its guarantees, is compared with other implementations of the same work: read
each event, store it, fold it into the state of its relationship, write the state, publish the derived events. All
handle the same bytes, in turns, each with its own Kafka and MongoDB that start with the same data. Everything runs on
one machine with two cores. **Compare numbers only within one table**: the times are from that machine on that day, and
it had other work. CPU time per event is steadier than events per second. `docs/adr/0011-speed.md` says what each
optimization gained.

## Criteria

{_markdown_table(("criterion", "measured", "met"), rows)}"""


def _met_text(is_met: bool | None) -> str:
    return "not measured" if is_met is None else "yes" if is_met else "**no**"


def _criteria(results: Figures) -> list[tuple[str, str, bool | None]]:
    comparison = results.get("comparison")
    criteria: list[tuple[str, str, bool | None]] = []
    for implementation, min_ratio in (
        (PLAIN, 1.2),
        (NAIVE, 30.0),
        (PER_MESSAGE, 1.0),
        (QUIX, 1.0),
        (FAUST, 1.0),
        (BYTEWAX, 1.0),
    ):
        criterion = (
            f"{min_ratio:g} times as fast as {implementation}" if min_ratio != 1 else f"faster than {implementation}"
        )
        ratio = speed_ratio(comparison, implementation) if comparison and implementation in comparison["runs"] else None
        criteria.append(
            (criterion, "" if ratio is None else f"{ratio:.2f} times", None if ratio is None else ratio >= min_ratio)
        )
    for case, condition in (
        ("correct database", "with a correct database"),
        ("empty database", "with an empty database"),
    ):
        ratio_to_live = (
            results["rebuild"][case]["rate"] / results["rebuild"]["live"]["rate"] if "rebuild" in results else None
        )
        is_met = None if ratio_to_live is None else ratio_to_live >= 3
        criteria.append(
            (
                f"a rebuild 3 times as fast as live, {condition}",
                "" if ratio_to_live is None else f"{ratio_to_live:.2f} times",
                is_met,
            )
        )
    criterion = "an event costs at most 20% more with 1,000,000 relationships"
    if "growth" in results:
        costs = {int(n): _microseconds_per_event(figures) for n, figures in results["growth"].items() if n.isdigit()}
        largest, (first, second, *_) = max(costs), sorted(costs)
        growth, growth_from_second = (
            max(costs[n] for n in costs if n >= smallest) / costs[smallest] - 1 for smallest in (first, second)
        )
        measured = (
            f"{100 * growth:+.0f}% from {first:,} to {largest:,}, {100 * growth_from_second:+.0f}% from {second:,}"
        )
        is_met = growth <= 0.2 and (largest >= 1_000_000 or None)  # fewer relationships can only show a miss
        criteria.append((criterion, measured, is_met))
    else:
        criteria.append((criterion, "", None))
    criterion = "at half of the capacity, 99 of 100 alerts are in the inbox within a second"
    if "latency" in results:
        p99_ms = next(step["p99"] for step in results["latency"]["steps"] if step["share"] == 0.5)
        criteria.append((criterion, f"{p99_ms:,.0f} ms", p99_ms < 1_000))
    else:
        criteria.append((criterion, "", None))
    return criteria


def _comparison_section(figures: Figures, _results: Figures) -> str:
    rows = []
    for name, runs in figures["runs"].items():
        rates = sorted(run["rate"] for run in runs)
        spread = f"{rates[0]:,.0f} to {rates[-1]:,.0f}" if len(rates) > 1 else ""
        medians = [f"{median(run[measure] for run in runs):,.0f}" for measure in ("own", "mongodb", "kafka", "memory")]
        rows.append(
            (name, str(len(rates)), f"{median(rates):,.0f}", spread, f"{speed_ratio(figures, name):.2f}", *medians)
        )
    header = (
        "implementation",
        "runs",
        "events/s",
        "range",
        "speed of ours relative to it",
        "own µs",
        "MongoDB µs",
        "Kafka µs",
        "MiB",
    )
    limitations = "\n".join(
        f"- **{name}**: {limitation}"
        for name, limitation in LIMITATIONS.items()
        if limitation and name in figures["runs"]
    )
    failed = "".join(f"\n- **{name}** failed and was left out: {reason}." for name, reason in figures["failed"].items())
    backlog, relationships, rounds = figures["backlog"], figures["relationships"], len(figures["runs"][OURS])
    return f"""\
## Comparison

{backlog:,} events of {relationships:,} relationships are on twelve partitions. A run ends when all are handled or when
its time is over; slow implementations have less time. There are {rounds} rounds in alternating order, and the relative
speed is the median over the rounds. Measured on {figures["on"]}.

{_markdown_table(header, rows)}

![Events per second](performance/comparison.svg)

What the others cannot do, or need our code for:

{limitations}{failed}

The other frameworks run in an environment of their own (`deploy/lock/bench.txt`), with the pydantic version that they
allow. The progress of those that do not commit after each batch is counted by the events that they stored. Storing is
the first step of the work, so that is in their favour."""


def _profile_section(figures: Figures, results: Figures) -> str:
    explanation = _explain_missed_criterion(figures, results)
    microseconds_now, microseconds_before = figures["run"]["own"], BEFORE_TUNING["own"]
    stages = sorted(
        {*figures["shares"], *BEFORE_TUNING["shares"]}, key=lambda stage: -figures["shares"].get(stage, 0.0)
    )
    rows = [
        (
            stage,
            f"{100 * BEFORE_TUNING['shares'].get(stage, 0.0):.1f}%",
            f"{microseconds_before * BEFORE_TUNING['shares'].get(stage, 0.0):.0f}",
            f"{100 * figures['shares'].get(stage, 0.0):.1f}%",
            f"{microseconds_now * figures['shares'].get(stage, 0.0):.0f}",
        )
        for stage in stages
    ]
    rows.append(("total", "", f"{microseconds_before:.0f}", "", f"{microseconds_now:.0f}"))
    return f"""\
## Where the microseconds of one event go

{figures["samples"]:,} samples of the alliance service at work (py-spy, {figures["run"]["events"]:,} events), before and
after the optimizations. Waiting is left out, and the costs of a batch are spread over its events. "Before" was measured
on another day with other load (`bench/before_tuning.json`), so compare the shares.{explanation}

{_markdown_table(("stage", "before", "µs", "after", "µs"), rows)}

![Flame graph](performance/flame.svg)"""


def _explain_missed_criterion(figures: Figures, results: Figures) -> str:
    """What the profile says about a missed speed criterion; empty if it is met."""
    comparison = results.get("comparison")
    if not comparison or speed_ratio(comparison, PLAIN) >= 1.2:
        return ""
    shared_stages = ("fold", "derive events", "state from JSON", "state to JSON", "decode and validate", "encode")
    share = sum(figures["shares"].get(stage, 0.0) for stage in shared_stages)
    return (
        f" It shows why ours is not faster relative to the plain loop: {100 * share:.0f}% of the time is spent in code "
        "that both run, the fold and the JSON of events and states. What ours does differently (cached states, one "
        "transaction, parts of a batch in parallel) can only gain in the rest and in the waiting for MongoDB."
    )


def _rebuild_section(figures: Figures, _results: Figures) -> str:
    live = figures["live"]["rate"]
    rows = [("live, one process", f"{live:,.0f}", "1.00")] + [
        (label, f"{figures[name]['rate']:,.0f}", f"{figures[name]['rate'] / live:.2f}")
        for name, label in (
            ("correct database", "rebuild, correct database"),
            ("empty database", "rebuild, empty database"),
            ("empty database, two processes", "rebuild, empty database, two processes"),
        )
    ]
    hours = 100_000_000 / figures["correct database"]["rate"] / 3_600
    return f"""\
## Rebuild

{figures["backlog"]:,} events, eight weeks of each relationship, are handled live by the service and then by
`python -m services.alliance rebuild`, whose start is included. With an empty database a rebuild has to write every
event again, as the live service does. With a correct database it reads, compares and folds the events.

{_markdown_table(("", "events/s", "relative to live"), rows)}

At that speed one process rebuilds from 100 million events in {hours:.1f} hours. Several processes share the work."""


def _growth_section(figures: Figures, _results: Figures) -> str:
    figures_by_count = {int(n): row for n, row in figures.items() if n.isdigit()}
    first = min(figures_by_count)
    rows = [
        (
            f"{n:,}",
            f"{row['backlog']:,}",
            f"{row['active']:,}",
            f"{row['rate']:,.0f}",
            *(f"{row[measure]:,.0f}" for measure in ("own", "mongodb", "kafka")),
            f"{_microseconds_per_event(row) / _microseconds_per_event(figures_by_count[first]):.2f}",
        )
        for n, row in sorted(figures_by_count.items())
    ]
    header = (
        "relationships",
        "events",
        "active relationships",
        "events/s",
        "own µs",
        "MongoDB µs",
        "Kafka µs",
        "total relative to the first",
    )
    return f"""\
## With more and more relationships

Only the active relationships have events on the topics. The others are stored with a state and one event each, with
ids of their own, so that collections and indexes have their real size. MongoDB has a cache of 4 GB. Each row is the
median of three runs by total cost. The {first:,} relationships have eight weeks of events instead of one, to have
enough to measure. So a batch holds many events of each relationship, whose state is read, written and published only
once: the step from the first row to the second says little about size.

{_markdown_table(header, rows)}"""


def _microseconds_per_event(figures: Figures) -> float:
    return float(figures["own"] + figures["mongodb"] + figures["kafka"])


def _history_section(figures: Figures, _results: Figures) -> str:
    first = figures["costs"][0]
    rows = [
        (
            f"{cost['sessions']:,}",
            f"{cost['microseconds_per_event']:.0f}",
            f"{cost['microseconds_per_event'] / first['microseconds_per_event']:.2f}",
            f"{cost['state_bytes']:,}",
            f"{cost['state_bytes'] / first['state_bytes']:.2f}",
        )
        for cost in figures["costs"]
    ]
    header = ("sessions", "µs per event", "relative to the first", "state, bytes", "relative to the first")
    return f"""\
## With a longer and longer history

The cost of folding one more event, and the size of the state that is read and written for it. An event that arrives
late needs a refold of the whole history, whose cost grows with the length of the history.

{_markdown_table(header, rows)}"""


def _processes_section(figures: Figures, _results: Figures) -> str:
    figures_by_count = {int(n): each for n, each in figures.items() if n.isdigit()}
    rows = [
        (
            str(n),
            f"{row['rate']:,.0f}",
            f"{row['rate'] / figures_by_count[1]['rate']:.2f}",
            *(f"{row[measure]:,.0f}" for measure in ("own", "mongodb")),
        )
        for n, row in sorted(figures_by_count.items())
    ]
    return f"""\
## More processes

Processes share the partitions and nothing else. Kafka and MongoDB run on the same two cores, so there is little CPU
time left: a second process uses the time in which the first one waits. The cost per event shows whether the processes
slow each other down.

{_markdown_table(("processes", "events/s", "relative to one", "own µs", "MongoDB µs"), rows)}"""


def _latency_section(figures: Figures, _results: Figures) -> str:
    names = ("p50", "p99", "p99.9", "max")
    rows = [
        (
            f"{step['share']:.0%}",
            f"{step['rate']:,.0f}",
            f"{step['alerts']:,}",
            *(f"{step[name]:,.0f}" for name in names),
            f"{step['answer_latency']['p99']:,.0f}",
            f"{step['stack_share']:.0%}",
            f"{step['other_share']:.0%}",
        )
        for step in figures["steps"]
    ]
    wait_headers = [f"{name}, ms" for name in (*names, "2xx p99")]
    header = ("load", "answers/s", "alerts", *wait_headers, "CPU of this test", "CPU of others")
    answers_per_alert, clients = figures["answers_per_alert"], figures["concurrent_requests"]
    send_delay_p99_ms = max(step["send_delay"]["p99"] for step in figures["steps"])
    return f"""\
## From an answer to the alert

The time from the 2xx for a client's form until its alert arrives on the event stream of its clinician's inbox. All
four services run, one process each, with four partitions, and the clinicians' inboxes are open. Every form belongs to
another relationship with good past sessions, and one answer in {answers_per_alert} is bad. The capacity is the rate at
which {clients} clients without a pause submit forms, measured until the last alert: {figures["capacity"]:,.0f} answers
per second ({figures["answer_rate"]:,.0f} until the last answer). At each load, answers are sent at random times for
{figures["seconds"]:g} seconds, without waiting for those before. Measured on {figures["on"]}.

{_markdown_table(header, rows)}

With fewer than a thousand alerts, p99.9 says little more than the maximum. Nothing is polled, so the resolution is the
delay of the load generator's event loop: it sent 99 of 100 answers within {send_delay_p99_ms:.0f} ms of their time.
Everything runs on the same two cores, including Kafka, MongoDB, the load generator and other processes (the last
column). A client also opens the form before submitting it; that request was left out."""


def _capacity_section(results: Figures) -> str:
    if "comparison" not in results:
        return ""
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


def _plot_comparison(results: Figures) -> None:
    runs = results["comparison"]["runs"]
    figure, axis = plt.subplots(figsize=(7, 3))
    for row, name in enumerate(reversed(runs)):
        rates = sorted(run["rate"] for run in runs[name])
        axis.barh(row, median(rates), color="#2a9d6f" if name == OURS else "#c9c9c9")
        axis.plot([rates[0], rates[-1]], [row, row], color="#222222", linewidth=1.2)
    axis.set_yticks(range(len(runs)), list(reversed(runs)))
    axis.set_xlabel("events per second, median and spread")
    figure.savefig(PICTURES_DIR / "comparison.svg", metadata={"Date": None})
    plt.close(figure)


def _markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
