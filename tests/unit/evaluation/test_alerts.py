"""Fifty alerts with their truth, for the review of the texts."""

from collections import Counter
from pathlib import Path

from evaluation.alerting import RIGHT_WITHIN_APPOINTMENTS
from evaluation.alerts import ALERTS, choose, find_alerts, render
from evaluation.simulation.settings import KINDS, load_settings
from shared.clinical.openings import CATALOGUE
from shared.clinical.signs import MIN_ABSENCES_IN_A_ROW
from tools.sandbox.servers.process import PROJECT_ROOT

PAGE = Path("docs/evaluation/alerts.md")
CHOSEN = choose(list(find_alerts(load_settings())))


def test_the_page_is_what_the_command_prints() -> None:
    """`python -m evaluation.alerts > docs/evaluation/alerts.md`."""
    assert (PROJECT_ROOT / PAGE).read_text(encoding="utf-8") == render(CHOSEN) + "\n"


def test_the_introduction_says_when_an_alert_is_true_and_what_each_kind_is() -> None:
    introduction = render([])

    assert f"at most {RIGHT_WITHIN_APPOINTMENTS} appointments after" in introduction
    assert all(f"- *{kind}*: " in introduction for kind in KINDS)
    assert "A **spread** is" in introduction


def test_each_alert_has_the_openings_and_the_probability_that_the_inbox_shows() -> None:
    for alert in CHOSEN:
        assert all(f"“{opening}”" in str(alert) for opening in CATALOGUE.suggest(alert.evidence))
        is_absent = any(sign.numbers.get("in_a_row", 0) >= MIN_ABSENCES_IN_A_ROW for sign in alert.evidence)
        assert not is_absent or "In simulations" not in str(alert)


def test_half_are_true_and_all_kinds_worlds_and_severities_are_among_them() -> None:
    assert len(CHOSEN) == ALERTS
    assert Counter(alert.is_true for alert in CHOSEN) == {True: ALERTS // 2, False: ALERTS // 2}
    assert {alert.subject for alert in CHOSEN if alert.is_true} == set(KINDS)
    assert {alert.severity for alert in CHOSEN} == {"watch", "concern", "urgent"}
    assert {alert.world for alert in CHOSEN} == {world.title for world in load_settings().worlds}
