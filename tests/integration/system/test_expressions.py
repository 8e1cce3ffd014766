"""Rules and dashboards use only metrics and labels that the running services export."""

from collections import defaultdict
from contextlib import AsyncExitStack
from importlib import import_module
from uuid import uuid4

from prometheus_client.parser import text_string_to_metric_families

from deploy.jobs.lag_exporter import LagSettings
from deploy.jobs.lag_exporter import create_app as create_lag
from tests.support.serving import run_app
from tests.system.operate.expressions import add_recorded_metrics, find_problems, panel_expressions, rule_expressions
from tools.contracts.documents import SERVICES
from tools.contracts.metrics import describe_metrics as describe_metrics
from tools.sandbox.servers.kafka_inspector import create_topics


async def test_every_expression_uses_only_exported_metrics_and_labels(kafka_servers: str, mongodb_uri: str) -> None:
    create_topics(kafka_servers, 2)
    apps = {"lag": create_lag(LagSettings(kafka_bootstrap_servers=kafka_servers, lag_check_seconds=0.2))}
    for service in SERVICES:
        settings = import_module(f"services.{service}.settings").Settings(
            kafka_bootstrap_servers=kafka_servers, mongodb_uri=mongodb_uri, mongodb_database=f"test_{uuid4().hex}"
        )
        apps[service] = import_module(f"services.{service}.app").create_app(settings)

    labels_by_metric: defaultdict[str, set[str]] = defaultdict(set)
    async with AsyncExitStack() as exit_stack:
        for app in apps.values():
            client = await exit_stack.enter_async_context(run_app(app))
            exposition = (await client.get_ops("/metrics")).text
            declared_labels = {metric.name: set(metric.labels) for metric in describe_metrics(app.state.registry)}
            for family in text_string_to_metric_families(exposition):
                labels = declared_labels.get(family.name, declared_labels.get(f"{family.name}_total", set()))
                for name in _series_names(family.name, family.type):
                    labels_by_metric[name] |= labels | ({"le"} if name.endswith("_bucket") else set())
                for sample in family.samples:
                    labels_by_metric[sample.name] |= set(sample.labels)

    available = add_recorded_metrics(labels_by_metric)
    problems = [
        problem
        for expression in (*rule_expressions(), *panel_expressions())
        for problem in find_problems(expression, available)
    ]

    assert problems == []


def _series_names(family: str, metric_type: str) -> list[str]:
    """The series names of a metric family, even if it has no series yet."""
    match metric_type:
        case "counter":
            return [f"{family}_total"]
        case "histogram":
            return [f"{family}_bucket", f"{family}_sum", f"{family}_count"]
        case _:
            return [family]
