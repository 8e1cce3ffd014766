"""How often an alert is right, in natural frequencies."""

import pytest

from shared.clinical.reliability import describe_reliability
from shared.events import Evidence
from tests.unit.shared.session_signs import sign

DROP = sign("sudden_drop", 9, rating=52)


def test_a_probability_is_a_frequency_with_what_it_rests_on() -> None:
    assert describe_reliability([DROP], 0.34, 0.15) == (
        "In simulations where 15 of 100 relationships were in rupture, about 1 in 3 alerts like this was right. "
        "Not measured on people."
    )


@pytest.mark.parametrize(
    ("probability", "frequency"),
    [
        (0.0, "1 in 100 alerts like this was"),
        (0.02, "1 in 50 alerts like this was"),
        (0.05, "1 in 20 alerts like this was"),
        (0.1, "1 in 10 alerts like this was"),
        (0.2, "1 in 5 alerts like this was"),
        (0.25, "1 in 4 alerts like this was"),
        (0.3, "1 in 3 alerts like this was"),
        (0.45, "1 in 2 alerts like this was"),
        (0.6, "2 in 3 alerts like this were"),
        (0.75, "3 in 4 alerts like this were"),
        (0.85, "9 in 10 alerts like this were"),
        (1.0, "9 in 10 alerts like this were"),
    ],
)
def test_the_nearest_simple_frequency_is_used(probability: float, frequency: str) -> None:
    assert f"about {frequency} right." in str(describe_reliability([DROP], probability, 0.15))


def test_one_relationship_in_a_hundred_is_singular() -> None:
    assert "where 1 of 100 relationships was in rupture" in str(describe_reliability([DROP], 0.3, 0.01))


@pytest.mark.parametrize(
    "said", [sign("told_directly", 9, by_client=1), sign("at_floor", 8, "trust", rating=0), sign("low_again", 7)]
)
def test_what_the_client_said_has_no_ratio(said: Evidence) -> None:
    assert describe_reliability([DROP, said], 0.34, 0.15) is None


def test_what_the_clinician_reported_has_a_ratio() -> None:
    assert describe_reliability([sign("told_directly", 9, by_client=0)], 0.34, 0.15)


@pytest.mark.parametrize(("probability", "base_rate"), [(None, 0.15), (0.34, None), (None, None)])
def test_an_alert_of_an_older_version_has_no_ratio(probability: float | None, base_rate: float | None) -> None:
    assert describe_reliability([DROP], probability, base_rate) is None
