"""How fast the view is rebuilt from the topics."""

from bench.benchmarks import Figures
from bench.report.markdown import markdown_table


def rebuild_section(results: Figures) -> str:
    figures = results["rebuild"]
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

{markdown_table(("", "events/s", "relative to live"), rows)}

At that speed one process rebuilds from 100 million events in {hours:.1f} hours. Several processes share the work."""
