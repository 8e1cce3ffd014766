"""A healthy run passes all checks; lag and a service that is not ready are detected."""

from tests.unit.system.chaos.checker.corruption import failed_checks_after
from tests.unit.system.chaos.checker.healthy_run import healthy_run


def test_a_healthy_run_passes_all_checks() -> None:
    assert healthy_run().failed_checks() == []


def test_a_consumer_with_lag_and_a_service_that_is_not_ready_are_detected() -> None:
    assert failed_checks_after(lambda run: run.lag.update(alliance=3)) == ["no consumer has any lag"]
    assert failed_checks_after(lambda run: run.unready_services.append("notify")) == ["every service is ready"]
