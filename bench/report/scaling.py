"""How the cost of an event changes with the number of relationships, the length of a history, and the processes."""

from bench.benchmarks import Figures
from bench.report.criteria import microseconds_per_event
from bench.report.markdown import markdown_table


def growth_section(results: Figures) -> str:
    figures = results["growth"]
    figures_by_count = {int(n): row for n, row in figures.items() if n.isdigit()}
    first = min(figures_by_count)
    rows = [
        (
            f"{n:,}",
            f"{row['backlog']:,}",
            f"{row['active']:,}",
            f"{row['rate']:,.0f}",
            *(f"{row[measure]:,.0f}" for measure in ("own", "mongodb", "kafka")),
            f"{microseconds_per_event(row) / microseconds_per_event(figures_by_count[first]):.2f}",
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

{markdown_table(header, rows)}"""


def history_section(results: Figures) -> str:
    figures = results["history"]
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

{markdown_table(header, rows)}"""


def processes_section(results: Figures) -> str:
    figures = results["processes"]
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

{markdown_table(("processes", "events/s", "relative to one", "own µs", "MongoDB µs"), rows)}"""
