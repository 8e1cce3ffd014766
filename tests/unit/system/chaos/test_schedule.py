from itertools import islice

from tests.system.chaos import schedule
from tests.system.chaos.fault_points import POINTS
from tests.system.chaos.schedule import Planned

ROUNDS = 60


def test_a_seed_gives_the_same_faults_again() -> None:
    def begins(seed: int) -> list[list[Planned]]:
        return [list(fault_round) for fault_round in islice(schedule.long(seed), ROUNDS)]

    assert begins(1) == begins(1)
    assert begins(1) != begins(2)
    assert list(schedule.short(3)) == list(schedule.short(3))


def test_every_fault_comes_before_any_comes_again() -> None:
    every_fault = schedule.faults()
    assert len(set(every_fault)) == len(every_fault)
    seen: list[Planned] = []
    for fault_round in schedule.long(7):
        seen += fault_round
        if len(seen) >= len(every_fault):
            break
    assert set(seen) == set(every_fault)


def test_faults_that_come_together_hit_different_parts() -> None:
    for seed in range(20):
        for fault_round in [*schedule.short(seed), *islice(schedule.long(seed), ROUNDS)]:
            targets = [part for fault in fault_round for part in fault.target.split(" and ")]
            assert len(set(targets)) == len(targets), fault_round


def test_every_point_of_every_service_is_hit() -> None:
    planned = {(fault.target, fault.point) for fault in schedule.faults() if fault.kind == "dies at a point"}
    assert planned == {(service, point) for service, service_points in POINTS.items() for point in service_points}
