from itertools import islice

from tests.system.chaos import schedule
from tests.system.chaos.fault_points import FAULT_POINTS
from tests.system.chaos.schedule import PlannedFault

ROUNDS = 60


def test_the_same_seed_gives_the_same_faults() -> None:
    def first_rounds(seed: int) -> list[list[PlannedFault]]:
        return [list(fault_round) for fault_round in islice(schedule.long_schedule(seed), ROUNDS)]

    assert first_rounds(1) == first_rounds(1)
    assert first_rounds(1) != first_rounds(2)
    assert list(schedule.short_schedule(3)) == list(schedule.short_schedule(3))


def test_every_fault_is_injected_before_any_is_repeated() -> None:
    every_fault = schedule.all_faults()
    assert len(set(every_fault)) == len(every_fault)
    seen: list[PlannedFault] = []
    for fault_round in schedule.long_schedule(7):
        seen += fault_round
        if len(seen) >= len(every_fault):
            break
    assert set(seen) == set(every_fault)


def test_faults_of_one_round_have_different_targets() -> None:
    for seed in range(20):
        for fault_round in [*schedule.short_schedule(seed), *islice(schedule.long_schedule(seed), ROUNDS)]:
            targets = [part for fault in fault_round for part in fault.target.split(" and ")]
            assert len(set(targets)) == len(targets), fault_round


def test_every_fault_point_of_every_service_is_planned() -> None:
    planned = {
        (fault.target, fault.fault_point) for fault in schedule.all_faults() if fault.kind == "is killed at a point"
    }
    assert planned == {(service, point) for service, service_points in FAULT_POINTS.items() for point in service_points}
