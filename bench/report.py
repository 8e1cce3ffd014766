"""docs/performance.md and its pictures, from what was measured."""

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
EVENTS_PER_SESSION = 2.5  # as in the network that is simulated: held or not, and the forms that were given back
BUSIEST_HOUR_SHARE = 0.15  # of a day's facts; clinics are open for ten hours
MAX_UTILIZATION = 0.5  # of what a process can, at most, so that one may fail
PARTITIONS_PER_PROCESS = 6  # so that processes can be doubled twice, and shares stay even

mpl.use("svg")
mpl.rcParams.update({"svg.hashsalt": "attune", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False})
mpl.rcParams.update({"axes.spines.right": False, "figure.constrained_layout.use": True})


def speed_ratio(figures: Figures, implementation: str) -> float:
    """How many times as fast we are: the median over the rounds that both ran."""
    runs = figures["laps"]
    return median(
        float(our_run["rate"] / their_run["rate"])
        for our_run, their_run in zip(runs[OURS], runs[implementation], strict=False)
    )


def write_report() -> None:
    """Of all parts that were measured so far; what is missing is said."""
    results: Figures = json.loads(RESULTS.read_text())
    sections: dict[str, Callable[[Figures, Figures], str]] = {
        "side by side": _comparison_section,
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
    if "side by side" in results:
        _plot_comparison(results)
    REPORT.write_text("\n\n".join([_introduction(results), *texts, _capacity_section(results)]).strip() + "\n")


def _not_measured_section(name: str) -> str:
    return f'## Not measured: {name}\n\n`python -m bench "{name}"` measures it and writes it here.'


def _introduction(results: Figures) -> str:
    return f"""\
<!-- Written by `python -m bench`; not by hand. -->
# How fast it is, what the guarantees cost, and where the limit is

One process of the alliance service with everything on beside others that do the same work: read each fact, keep it,
fold it into the state of its relationship, write the state, tell what follows. All take the same bytes, in turns,
each with a Kafka and a MongoDB of its own that begin with the same data, everything on one machine of two cores.
**Compare within a table only**: seconds are those of that machine on that day, and it had other work; processor time
for each event is steadier than events per second. What each lever bought is in `docs/adr/0011-speed.md`.

## What had to be reached

{_markdown_table(("bar", "measured", "reached"), [(criterion, value, _met_text(is_met)) for criterion, value, is_met in _criteria(results)])}"""


def _met_text(is_met: bool | None) -> str:
    return "not measured" if is_met is None else "yes" if is_met else "**no**"


def _criteria(results: Figures) -> list[tuple[str, str, bool | None]]:
    comparison = results.get("side by side")
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
        ratio = speed_ratio(comparison, implementation) if comparison and implementation in comparison["laps"] else None
        criteria.append(
            (criterion, "" if ratio is None else f"{ratio:.2f} times", None if ratio is None else ratio >= min_ratio)
        )
    for case, condition in (("right", "where the facts are kept"), ("nothing", "of an empty database")):
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
    if "growth" in results:
        costs = {int(n): _microseconds_per_event(figures) for n, figures in results["growth"].items() if n.isdigit()}
        largest, (first, second, *_) = max(costs), sorted(costs)
        spread, spread_from_second = (
            max(costs[n] for n in costs if n >= min_ratio) / costs[min_ratio] - 1 for min_ratio in (first, second)
        )
        measured = f"{100 * spread:+.0f}% since {first:,}, {100 * spread_from_second:+.0f}% since {second:,}, up to {largest:,}"
        is_met = spread <= 0.2 and (largest >= 1_000_000 or None)  # a smaller number cannot say yes
        criteria.append(("an event costs at most 20% more among 1,000,000 relationships", measured, is_met))
    else:
        criteria.append(("an event costs at most 20% more among 1,000,000 relationships", "", None))
    criterion = "at half of the capacity 99 of 100 alerts are in the inbox within a second"
    if "latency" in results:
        p99_ms = next(step["p99"] for step in results["latency"]["steps"] if step["share"] == 0.5)
        criteria.append((criterion, f"{p99_ms:,.0f} ms", p99_ms < 1_000))
    else:
        criteria.append((criterion, "", None))
    return criteria


def _comparison_section(figures: Figures, _results: Figures) -> str:
    rows = []
    for name, runs in figures["laps"].items():
        rates = sorted(run["rate"] for run in runs)
        spread = f"{rates[0]:,.0f} to {rates[-1]:,.0f}" if len(rates) > 1 else ""
        medians = [f"{median(run[measure] for run in runs):,.0f}" for measure in ("own", "mongodb", "kafka", "memory")]
        rows.append(
            (name, str(len(rates)), f"{median(rates):,.0f}", spread, f"{speed_ratio(figures, name):.2f}", *medians)
        )
    header = (
        "who",
        "laps",
        "events/s",
        "from, to",
        "ours is so many times as fast",
        "own µs",
        "MongoDB µs",
        "Kafka µs",
        "MiB",
    )
    limitations = "\n".join(
        f"- **{name}**: {limitation}"
        for name, limitation in LIMITATIONS.items()
        if limitation and name in figures["laps"]
    )
    failed = "".join(f"\n- **{name}** was left out: {reason}." for name, reason in figures["failed"].items())
    rounds = len(figures["laps"][OURS])
    return f"""\
## Side by side

{figures["facts"]:,} facts of {figures["relationships"]:,} relationships lay on twelve partitions; a lap ends when they are
taken or its seconds are over, and slow ones get fewer seconds. {rounds} rounds in alternating order; the ratio is the
median of those of each round. Measured on {figures["on"]}.

{_markdown_table(header, rows)}

![Events per second](performance/side-by-side.svg)

What they cannot do, or need our help for:

{limitations}{failed}

The frameworks run in an environment of their own (`deploy/lock/bench.txt`), with the pydantic that they allow. Those
that know no batch commit behind their work are followed by the facts that they wrote, which they do before anything
else with them: that is in their favour."""


def _profile_section(figures: Figures, results: Figures) -> str:
    microseconds_now, microseconds_before = figures["lap"]["own"], BEFORE_TUNING["own"]
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
    rows.append(("together", "", f"{microseconds_before:.0f}", "", f"{microseconds_now:.0f}"))
    return f"""\
## Where the microseconds of one event go

{figures["samples"]:,} samples of our process at work (py-spy, {figures["lap"]["events"]:,} events), before and after the
levers; waiting is left out, a batch's costs are spread over its events. Before was another day with other load
(`bench/before_tuning.json`): compare the shares. {_explain_missed_criterion(figures, results)}

{_markdown_table(("stage", "before", "µs", "after", "µs"), rows)}

![Flame graph](performance/flame.svg)"""


def _explain_missed_criterion(figures: Figures, results: Figures) -> str:
    """What the profile says of a bar that is missed."""
    comparison = results.get("side by side")
    if not comparison or speed_ratio(comparison, PLAIN) >= 1.2:
        return ""
    shared_stages = ("fold", "what follows", "state from JSON", "state to JSON", "decode and validate", "encode")
    share = sum(figures["shares"].get(stage, 0.0) for stage in shared_stages)
    return (
        f"It says why we are not further ahead of the plain loop: {100 * share:.0f}% of our time is spent in code that "
        "both run, the fold and the JSON of facts and states, because the plain loop was given ours. What we do "
        "otherwise (no read of states that we wrote last, one transaction, parts side by side) can only win in the "
        "rest and in the waiting for MongoDB."
    )


def _rebuild_section(figures: Figures, _results: Figures) -> str:
    live = figures["live"]["rate"]
    rows = [("live, one process", f"{live:,.0f}", "1.00")] + [
        (label, f"{figures[name]['rate']:,.0f}", f"{figures[name]['rate'] / live:.2f}")
        for name, label in (
            ("right", "rebuild, where all is right"),
            ("nothing", "rebuild of an empty database"),
            ("nothing, two processes", "the same, two processes"),
        )
    ]
    hours = 100_000_000 / figures["right"]["rate"] / 3_600
    return f"""\
## Rebuild

{figures["facts"]:,} facts, eight weeks of each relationship, taken in live by the service and then by
`python -m services.alliance rebuild`, whose start is counted. Of an empty database every fact has to be written
anew, which is what live does; where the facts are kept they are read, compared and folded.

{_markdown_table(("", "events/s", "of live"), rows)}

At that speed one process reads a history of 100 million facts again in {hours:.1f} hours; processes share it."""


def _growth_section(figures: Figures, _results: Figures) -> str:
    figures_by_count = {int(n): row for n, row in figures.items() if n.isdigit()}
    first = min(figures_by_count)
    rows = [
        (
            f"{n:,}",
            f"{row['facts']:,}",
            f"{row['told']:,}",
            f"{row['rate']:,.0f}",
            *(f"{row[measure]:,.0f}" for measure in ("own", "mongodb", "kafka")),
            f"{_microseconds_per_event(row) / _microseconds_per_event(figures_by_count[first]):.2f}",
        )
        for n, row in sorted(figures_by_count.items())
    ]
    header = (
        "relationships",
        "facts",
        "of so many",
        "events/s",
        "own µs",
        "MongoDB µs",
        "Kafka µs",
        "together, of the first",
    )
    return f"""\
## Among more and more relationships

Where there are more than those told of, the others are only there: a state and one fact each, under ids of their own,
so that indexes and collections are as large as they would be. MongoDB had 4 GB of memory. The median of three laps by
their cost. The fewest are told of eight weeks instead of one, or there would be nothing to measure: a batch then holds
many facts of each, which is read, written and told once for all of them. So the step after the first says little of
size.

{_markdown_table(header, rows)}"""


def _microseconds_per_event(figures: Figures) -> float:
    return float(figures["own"] + figures["mongodb"] + figures["kafka"])


def _history_section(figures: Figures, _results: Figures) -> str:
    first = figures["costs"][0]
    rows = [
        (
            f"{cost['sessions']:,}",
            f"{cost['microseconds']:.0f}",
            f"{cost['microseconds'] / first['microseconds']:.2f}",
            f"{cost['size']:,}",
            f"{cost['size'] / first['size']:.2f}",
        )
        for cost in figures["costs"]
    ]
    return f"""\
## After a longer and longer history

What it costs to fold one more fact, and what is read and written for it. A fact that comes late has the whole history
read again, which grows with its length.

{_markdown_table(("sessions", "µs per fact", "of the first", "state, bytes", "of the first"), rows)}"""


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

They share the partitions and nothing else. On two cores that also carry Kafka and MongoDB there is little left to
share: a second process fills what one leaves idle while it waits, and what an event costs shows whether they are in
each other's way.

{_markdown_table(("processes", "events/s", "of one", "own µs", "MongoDB µs"), rows)}"""


def _latency_section(figures: Figures, _results: Figures) -> str:
    names = ("p50", "p99", "p99.9", "max")
    rows = [
        (
            f"{step['share']:.0%}",
            f"{step['rate']:,.0f}",
            f"{step['alerts']:,}",
            *(f"{step[name]:,.0f}" for name in names),
            f"{step['taken_after']['p99']:,.0f}",
            f"{step['ours']:.0%}",
            f"{step['others']:.0%}",
        )
        for step in figures["steps"]
    ]
    wait_headers = [f"{name}, ms" for name in (*names, "2xx p99")]
    header = ("load", "answers/s", "alerts", *wait_headers, "of the machine", "others")
    send_delay_p99_ms = max(step["sent_late"]["p99"] for step in figures["steps"])
    return f"""\
## From an answer to the alert

The time from the 2xx for a client's form until its alert arrives on the event stream of its clinician's inbox. All
four services run, one process each, with four partitions; clinicians' inboxes are open; every form is of another
relationship with good sessions behind it, and one answer in {figures["one_in"]} is bad. The capacity is what
{figures["at_once"]} clients without a pause get through until the last alert is seen: {figures["capacity"]:,.0f} answers
a second ({figures["taken"]:,.0f} were taken). At each load answers come for {figures["seconds"]:g} seconds at random
moments, whether those before them are taken or not. Measured on {figures["on"]}.

{_markdown_table(header, rows)}

Where there are fewer than a thousand alerts, p99.9 says little more than the longest. Nothing is polled: the grain is
how late our own event loop is, and it sent 99 of 100 answers within {send_delay_p99_ms:.0f} ms of their moment. Everything shares
two cores, Kafka, MongoDB and who makes the load included, and with what others had of them at the time (the last
column). Opening a form before it is sent would cost another request and was left out."""


def _capacity_section(results: Figures) -> str:
    if "side by side" not in results:
        return ""
    runs = results["side by side"]["laps"][OURS]
    own, mongodb, kafka = (median(run[measure] for run in runs) for measure in ("own", "mongodb", "kafka"))
    bytes_per_document = runs[-1]["bytes"]
    daily_events, weekly_sessions = DAILY_SESSIONS * EVENTS_PER_SESSION, 5 * DAILY_SESSIONS
    peak = daily_events * BUSIEST_HOUR_SHARE / 3_600
    cores = {name: peak * us / 1e6 for name, us in (("alliance", own), ("MongoDB", mongodb), ("Kafka", kafka))}
    processes = max(2, -(-int(100 * cores["alliance"] / MAX_UTILIZATION) // 100))
    return f"""\
## {CLINICS:,} clinics and {DAILY_SESSIONS / 1e6:g} million sessions a day

{DAILY_SESSIONS / 1e6:g} million sessions are {daily_events / 1e6:g} million facts a day at {EVENTS_PER_SESSION:g} each, and
{peak:,.0f} a second in the busiest hour, if that has {100 * BUSIEST_HOUR_SHARE:.0f}% of the day. From the medians
above that is {cores["alliance"]:.2f} cores of alliance, {cores["MongoDB"]:.2f} of MongoDB and {cores["Kafka"]:.2f} of
Kafka. So **{processes} processes of alliance**, filled to {100 * MAX_UTILIZATION:.0f}% at most so that any may fail,
**{processes * PARTITIONS_PER_PROCESS} partitions** of each topic, so that processes can be doubled twice with even
shares, **3 brokers** and **one shard, a replica set of three**: for their durability, not for their speed; their
secondaries repeat each write. Partitions are chosen for good, since they fix the order of a relationship's facts.

What breaks first is not the processor but **memory of the database**. With five such days a week and a session a week
that is {weekly_sessions / 1e6:g} million relationships, each with {bytes_per_document["state"]:,.0f} bytes of state:
{weekly_sessions * bytes_per_document["state"] / 1e9:,.0f} GB that are all touched within a week. The ids of facts are random, so a new one
may touch any page of the index, and
{daily_events * 260 / 1e9:.1f} billion facts a year, {bytes_per_document["fact"]:,.0f} bytes and {bytes_per_document["index"]:,.0f} of indexes each, are
{daily_events * 260 * bytes_per_document["fact"] / 1e12:,.1f} TB and {daily_events * 260 * bytes_per_document["index"] / 1e12:,.2f} TB of indexes. When those no
longer fit, a fact costs a read from disk. Then shard `alliances` and `facts` by relationship, by which the hot path
reads both. After that, one partition: a relationship is on one, and one
process takes all of it; a single relationship never comes near to it, but a clinic that sends years of history at once
makes its neighbours on the partition wait."""


def _plot_comparison(results: Figures) -> None:
    runs = results["side by side"]["laps"]
    figure, axis = plt.subplots(figsize=(7, 3))
    for row, name in enumerate(reversed(runs)):
        rates = sorted(run["rate"] for run in runs[name])
        axis.barh(row, median(rates), color="#2a9d6f" if name == OURS else "#c9c9c9")
        axis.plot([rates[0], rates[-1]], [row, row], color="#222222", linewidth=1.2)
    axis.set_yticks(range(len(runs)), list(reversed(runs)))
    axis.set_xlabel("events per second, median and spread")
    figure.savefig(PICTURES_DIR / "side-by-side.svg", metadata={"Date": None})
    plt.close(figure)


def _markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
