"""What one more fact costs does not depend on how many there were."""

from tests.bench.fold import costs


def test_a_fact_costs_no_more_after_a_thousand_sessions_than_after_ten() -> None:
    short, middle, long = costs(repeats=15)

    assert long.microseconds / short.microseconds < 1.5
    assert long.size / middle.size < 1.2  # after ten there was no rupture yet that could be kept
    assert long.size < 8_000
