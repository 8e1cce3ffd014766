"""An alert calls somebody, says what is so, leads to a runbook, and does not fall silent with what it rests on."""

import json
import re
from typing import Any

import pytest
import yaml

from tests.system.operate.expressions import DASHBOARDS, RULES, Asked, amiss, rests_on, rules
from tests.system.operate.runbooks import FENCE, RUNBOOKS
from tools.contracts.dashboards import dashboards
from tools.contracts.documents import registries, written
from tools.contracts.metrics import shown
from tools.sandbox.servers.process import HOME

ALERTS = [rule for rule in rules() if rule.alert]
NAMES = sorted({rule.alert for rule in ALERTS})
BORN_WITH_AN_ERROR = {"attune_batch_retries_total", "attune_mongodb_command_errors_total"}
"""Their absence is good news; missing.yml says what stands for them."""

every_alert = pytest.mark.parametrize("rule", ALERTS, ids=[f"{r.alert}-{n}" for n, r in enumerate(ALERTS)])
every_name = pytest.mark.parametrize("name", NAMES)


def runbook(name: str) -> str:
    """Where the runbook of an alert is: DeadLetters has dead-letters.md."""
    return "docs/runbooks/" + re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower() + ".md"


@every_alert
def test_an_alert_says_how_urgent_it_is_what_is_so_and_what_to_do(rule: Asked) -> None:
    labels, annotations = rule.more["labels"], rule.more["annotations"]

    assert labels["severity"] in ("critical", "warning", "none")
    assert annotations["summary"]
    assert rule.alert == "Watchdog" or "{{ $" in annotations["description"]
    assert annotations["runbook_url"] == runbook(rule.alert)
    assert (HOME / annotations["runbook_url"]).exists()


@every_name
def test_a_runbook_can_be_followed_by_somebody_who_was_asleep(name: str) -> None:
    text = (HOME / runbook(name)).read_text(encoding="utf-8")

    for part in ("**What happened.**", "**What it means.**", "**How urgent.**", "## Look"):
        assert part in text
    assert FENCE.search(text), "there is nothing to look at"
    assert "## Over when" in text or "The alert ends" in text


def test_there_is_no_runbook_without_an_alert() -> None:
    assert {f.name for f in RUNBOOKS.glob("*.md")} - {"README.md"} == {runbook(n).rpartition("/")[2] for n in NAMES}


@every_name
def test_an_alert_is_tested(name: str) -> None:
    tests = "".join(file.read_text(encoding="utf-8") for file in (RULES.parent / "tests").glob("*.yml"))
    tested_patterns = set(re.findall(r"alertname(?:: |=~?\")([\w.*|]+)", tests))

    assert any(re.fullmatch(pattern, name) for pattern in tested_patterns)


@every_alert
def test_what_an_alert_rests_on_is_missed_when_it_is_gone(rule: Asked) -> None:
    watched = {name for query in rules() if "absent(" in query.expression for name in query.metrics}

    assert {_as_missed(name) for name in rests_on(rule)} <= watched | BORN_WITH_AN_ERROR


def _as_missed(name: str) -> str:
    """The parts of a histogram come and go together."""
    return re.sub(r"attune_(alliance_scored|notify_raised)_seconds_(count|sum)$", r"attune_\1_seconds_bucket", name)


def test_every_recording_has_a_name_that_says_by_what_and_how() -> None:
    for rule in rules():
        assert not rule.record or re.fullmatch(r"[a-z_]+:attune_\w+:\w+|attune:\w+:\w+", rule.record)


def test_the_dashboards_are_those_that_the_questions_make() -> None:
    committed = {file.name: file.read_text(encoding="utf-8") for file in DASHBOARDS.glob("*.json")}

    assert committed == {name: written(board) for name, board in dashboards().items()}, (
        "run: python -m tools.contracts.dashboards"
    )


def test_grafana_finds_the_dashboards_and_prometheus() -> None:
    def provisioned(file: str) -> Any:
        return yaml.safe_load((DASHBOARDS.parent / "provisioning" / file).read_text(encoding="utf-8"))

    (provider,) = provisioned("dashboards/attune.yml")["providers"]
    (source,) = provisioned("datasources/prometheus.yml")["datasources"]
    boards = [json.loads(file.read_text(encoding="utf-8")) for file in DASHBOARDS.glob("*.json")]

    assert provider["options"]["path"] == "/etc/grafana/dashboards"
    assert {panel["datasource"]["uid"] for board in boards for panel in board["panels"]} == {source["uid"]}


def test_no_number_is_counted_that_nobody_looks_at_and_no_alert_is_about_a_person() -> None:
    labels = {label for registry in registries().values() for metric in shown(registry) for label in metric.labels}

    assert not {label for label in labels if re.search(r"id$|name$|client$|clinician$|relationship|clinic", label)}


def test_what_nobody_shows_is_noticed() -> None:
    labels_by_metric = {"attune_x_total": {"kind"}, "attune:x:ratio_rate1h": {"kind"}}

    def asked(expression: str) -> list[str]:
        return amiss(Asked("here", expression), labels_by_metric)

    assert asked('sum by (service, kind) (rate(attune_x_total{kind=~"a|b", job="attune"}[5m])) > 0') == []
    assert asked('attune:x:ratio_rate1h{kind="a}"} > 2') == []
    assert asked("rate(attune_y_total[5m])") == ["here: nobody shows attune_y_total"]
    assert asked("attune:y:ratio_rate1h > 2") == ["here: nobody shows attune:y:ratio_rate1h"]
    assert asked('attune_x_total{sort="a"}') == ["here: attune_x_total has no label sort"]
    assert asked("sum by (sort) (attune_x_total)") == ["here: no label sort"]
