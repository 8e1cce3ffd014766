"""How long a clinician waits for an alert."""

from bench.benchmarks import Figures
from bench.report.markdown import markdown_table


def latency_section(results: Figures) -> str:
    figures = results["latency"]
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

{markdown_table(header, rows)}

With fewer than a thousand alerts, p99.9 says little more than the maximum. Nothing is polled, so the resolution is the
delay of the load generator's event loop: it sent 99 of 100 answers within {send_delay_p99_ms:.0f} ms of their time.
Everything runs on the same two cores, including Kafka, MongoDB, the load generator and other processes (the last
column). A client also opens the form before submitting it; that request was left out."""
