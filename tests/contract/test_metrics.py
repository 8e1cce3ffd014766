"""Metrics follow the conventions of Prometheus, identify nobody, and are all in the catalogue."""

import re

import pytest

from tools.contracts.documents import REGENERATE_COMMAND, create_registries, documents, read_committed
from tools.contracts.metrics import MetricDescription, describe_metrics

BOUNDED_LABELS = {
    *(
        "cause",
        "channel",
        "command",
        "detector",
        "error",
        "group",
        "kind",
        "limit",
        "method",
        "outcome",
        "page",
        "partition",
    ),
    *("rater", "route", "severity", "status", "topic", "trigger", "type", "useful", "version"),
}
"""Labels whose number of values depends only on the code or the deployment; a new one needs a reason."""

METRICS = sorted({metric for registry in create_registries().values() for metric in describe_metrics(registry)})
ATTUNE_METRICS = [metric for metric in METRICS if metric.name.startswith("attune_")]

every_metric = pytest.mark.parametrize("metric", ATTUNE_METRICS, ids=[metric.name for metric in ATTUNE_METRICS])


def test_the_catalogue_is_up_to_date() -> None:
    assert read_committed("metrics.md") == documents()["metrics.md"], (
        f"docs/metrics.md is out of date; run: {REGENERATE_COMMAND}"
    )


@every_metric
def test_a_metric_name_states_its_type_and_its_unit(metric: MetricDescription) -> None:
    assert re.fullmatch(r"attune(_[a-z]+)+", metric.name)
    assert metric.name.endswith("_total") == (metric.metric_type == "counter")
    assert not re.search(r"_(ms|millis|minutes|hours|kb|count|sum|bucket)$", metric.name)
    if metric.metric_type == "histogram":
        assert metric.name.endswith(("_seconds", "_messages"))


@every_metric
def test_the_help_text_of_a_metric_is_a_sentence(metric: MetricDescription) -> None:
    assert re.fullmatch(r"[1A-Z].{10,}\.", metric.help_text, re.DOTALL)


@every_metric
def test_a_label_has_few_values_and_identifies_nobody(metric: MetricDescription) -> None:
    assert set(metric.labels) <= BOUNDED_LABELS


def test_every_metric_has_our_prefix_or_that_of_the_library() -> None:
    assert {metric.name.partition("_")[0] for metric in METRICS} == {"attune", "process", "python"}
