"""The cost of one more event does not depend on the number of events before it."""

from tests.bench.fold import measure_costs


def test_an_event_costs_no_more_after_a_thousand_sessions_than_after_ten() -> None:
    short, middle, long = measure_costs(repeats=15)

    assert long.microseconds_per_event / short.microseconds_per_event < 1.5
    assert long.state_bytes / middle.state_bytes < 1.2  # after ten sessions there is no rupture in the state yet
    assert long.state_bytes < 8_000
