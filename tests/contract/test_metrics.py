"""The numbers that are shown keep to what Prometheus's users expect, name nobody, and are all in the catalogue."""

import re

import pytest

from tools.contracts.documents import REGENERATE_COMMAND, create_registries, documents, read_committed
from tools.contracts.metrics import MetricDescription, describe_metrics

BOUNDED_LABELS = {
    *("cause", "channel", "command", "detector", "error", "group", "how", "method", "outcome", "page", "partition"),
    *("rater", "route", "severity", "status", "topic", "type", "useful", "version"),
}
"""Labels with as many values as the code, or a deployment, has; each would have to be argued for."""

METRICS = sorted({metric for registry in create_registries().values() for metric in describe_metrics(registry)})
ATTUNE_METRICS = [metric for metric in METRICS if metric.name.startswith("attune_")]

every_metric = pytest.mark.parametrize("metric", ATTUNE_METRICS, ids=[metric.name for metric in ATTUNE_METRICS])


def test_the_catalogue_is_what_the_code_shows() -> None:
    assert read_committed("metrics.md") == documents()["metrics.md"], (
        f"docs/metrics.md is out of date; run: {REGENERATE_COMMAND}"
    )


@every_metric
def test_a_name_says_its_kind_and_its_unit(metric: MetricDescription) -> None:
    assert re.fullmatch(r"attune(_[a-z]+)+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not re.search(r"_(ms|millis|minutes|hours|kb|count|sum|bucket)$", metric.name)
    if metric.kind == "histogram":
        assert metric.name.endswith(("_seconds", "_messages"))


@every_metric
def test_a_metric_says_in_a_sentence_what_it_is(metric: MetricDescription) -> None:
    assert re.fullmatch(r"[1A-Z].{10,}\.", metric.help_text, re.DOTALL)


@every_metric
def test_a_label_has_few_values_and_none_is_about_anybody(metric: MetricDescription) -> None:
    assert set(metric.labels) <= BOUNDED_LABELS


def test_everything_that_we_show_bears_our_name_or_the_librarys() -> None:
    assert {metric.name.partition("_")[0] for metric in METRICS} == {"attune", "process", "python"}
