from itertools import islice

from tests.system.chaos import schedule
from tests.system.chaos.fault_points import POINTS
from tests.system.chaos.schedule import Planned

ROUNDS = 60


def test_a_seed_gives_the_same_faults_again() -> None:
    def begins(seed: int) -> list[list[Planned]]:
        return [list(together) for together in islice(schedule.long(seed), ROUNDS)]

    assert begins(1) == begins(1)
    assert begins(1) != begins(2)
    assert list(schedule.short(3)) == list(schedule.short(3))


def test_every_fault_comes_before_any_comes_again() -> None:
    everything = schedule.faults()
    assert len(set(everything)) == len(everything)
    seen: list[Planned] = []
    for together in schedule.long(7):
        seen += together
        if len(seen) >= len(everything):
            break
    assert set(seen) == set(everything)


def test_faults_that_come_together_hit_different_parts() -> None:
    for seed in range(20):
        for together in [*schedule.short(seed), *islice(schedule.long(seed), ROUNDS)]:
            hit = [part for planned in together for part in planned.target.split(" and ")]
            assert len(set(hit)) == len(hit), together


def test_every_point_of_every_service_is_hit() -> None:
    planned = {(p.target, p.point) for p in schedule.faults() if p.kind == "dies at a point"}
    assert planned == {(service, point) for service, points in POINTS.items() for point in points}
