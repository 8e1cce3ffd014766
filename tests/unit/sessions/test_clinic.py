"""A clinic depends on the events that occurred, not on how they arrived."""

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from services.sessions.domain.clinic import Clinic, evolve
from shared.events import ClinicUpdated
from tests.support.sessions_builders import clinic_updated

EVENTS = st.builds(clinic_updated, st.sampled_from(["Elm", "Oak", "Ash"]), st.integers(0, 2))


def fold(events: list[ClinicUpdated]) -> Clinic | None:
    clinic: Clinic | None = None
    return reduce(evolve, events, clinic)


@given(events=st.lists(EVENTS, min_size=1, max_size=6), data=st.data())
def test_the_order_of_arrival_and_repetition_do_not_matter(events: list[ClinicUpdated], data: st.DataObject) -> None:
    duplicates = data.draw(st.lists(st.sampled_from(events), max_size=3))

    assert fold(data.draw(st.permutations(events + duplicates))) == fold(events)


def test_the_newest_event_decides_everything() -> None:
    old, new = clinic_updated("Elm", 1), clinic_updated("Oak", 2)

    assert fold([new, old]) == fold([old, new]) == Clinic.of(new)
