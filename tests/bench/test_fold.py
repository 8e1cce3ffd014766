"""The cost of one more event does not depend on the number of events before it, and a refold is linear in it."""

from tests.bench.fold import measure_costs, measure_refolds


def test_an_event_costs_no_more_after_a_thousand_sessions_than_after_ten() -> None:
    short, middle, long = measure_costs(repeats=15)

    assert long.microseconds_per_event / short.microseconds_per_event < 1.5
    assert long.state_bytes / middle.state_bytes < 1.2  # after ten sessions there is no rupture in the state yet
    assert max(middle.state_bytes, long.state_bytes) < 5_000  # with the evidence of an open episode and the last ones


def test_a_refold_costs_no_more_per_event_after_a_thousand_sessions_than_after_a_hundred() -> None:
    costs = measure_refolds((100, 1_000), repeats=5)
    short, long = costs[: len(costs) // 2], costs[len(costs) // 2 :]

    for after_hundred, after_thousand in zip(short, long, strict=True):
        assert after_thousand.microseconds_per_event / after_hundred.microseconds_per_event < 1.5


def test_a_correction_costs_only_what_it_touches() -> None:
    """Eight amendments of the latest answers cost much less than a second fold."""
    unamended, recently_amended, _ = measure_refolds((1_000,), repeats=5)

    assert recently_amended.milliseconds / unamended.milliseconds < 1.5
