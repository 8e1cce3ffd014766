"""What an alliance is, whatever the order in which its facts arrive."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.alliance.domain.fold import evolve, fold, read_again, read_on
from services.alliance.domain.policy.policy import DEFAULT
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import Fact, in_order
from tests.support.builders import Told

TOLD = Told(UUID("6f1de7f1-3f0c-4a39-9d39-7a6a9a4f7a10"))


def week(number: int) -> st.SearchStrategy[list[Fact]]:
    """What may become of one week: held and rated, held and silent, missed, called off, amended."""
    rating = st.integers(0, 10).map(float)
    tensions = st.sampled_from([("none", None), ("a_little", "yes"), ("yes", "not")])
    rated = st.builds(
        lambda r, t: [TOLD.held(number), TOLD.felt(number, r, tension=t[0], talked_about=t[1])], rating, tensions
    )
    both = st.builds(
        lambda a, b: [TOLD.held(number), TOLD.felt(number, a), TOLD.felt(number, b, "clinician")], rating, rating
    )
    amended = st.builds(
        lambda a, b, days: [TOLD.held(number), TOLD.felt(number, a), TOLD.amended(number, b, days)],
        rating,
        rating,
        st.sampled_from([0.5, 1.0, 9.0, 30.0]),
    )
    lapsed = st.sampled_from([50, 20]).map(lambda minutes: [TOLD.held(number, minutes), TOLD.lapsed(number)])
    late_answer = st.builds(lambda r: [TOLD.held(number), TOLD.lapsed(number), TOLD.felt(number, r)], rating)
    absent = st.sampled_from([[TOLD.missed(number)], [TOLD.cancelled(number, 3)], [TOLD.cancelled(number, 90)]])
    instrument_names = st.sampled_from(["srs", "ors", "unheard-of"])
    instrument = st.builds(
        lambda n, t: [TOLD.held(number), TOLD.measured(number, n, t)], instrument_names, st.integers(0, 50)
    )
    with_outcome = st.builds(
        lambda r, t: [TOLD.held(number), TOLD.faring(TOLD.felt(number, r), t)], rating, st.integers(0, 50)
    )
    disagree = st.builds(
        lambda a, b, t: [TOLD.felt(number, b, "clinician", t[0], t[1]), TOLD.held(number), TOLD.felt(number, a)],
        rating,
        rating,
        tensions,
    )
    return st.one_of(rated, rated, both, amended, lapsed, late_answer, absent, instrument, with_outcome, disagree)


@st.composite
def histories(draw: st.DrawFn) -> list[Fact]:
    events: list[Fact] = [TOLD.started(), TOLD.consent(-0.5, given=True)]
    weeks = draw(st.integers(0, 12))
    for number in range(weeks):
        events += draw(week(number))
    if draw(st.booleans()):
        events.append(TOLD.consent(draw(st.integers(0, 12)) + 0.3, given=False))
        events.append(TOLD.consent(draw(st.integers(0, 12)) + 0.6, given=True))
    if draw(st.booleans()):
        events.append(TOLD.ended(draw(st.integers(0, 14)) + 0.5))
    if draw(st.integers(0, 9)) == 0:
        events.append(TOLD.erased(draw(st.integers(0, 14)) + 0.7))
    return events


@given(facts=histories(), data=st.data())
def test_the_order_of_arrival_does_not_matter(facts: list[Fact], data: st.DataObject) -> None:
    assert fold(data.draw(st.permutations(facts)), DEFAULT) == fold(facts, DEFAULT)


@given(facts=histories(), data=st.data())
def test_a_fact_that_comes_again_changes_nothing(facts: list[Fact], data: st.DataObject) -> None:
    duplicates = data.draw(st.lists(st.sampled_from(facts)))

    assert fold([*facts, *duplicates], DEFAULT) == fold(facts, DEFAULT)


@given(facts=histories(), data=st.data())
def test_taking_in_what_is_newer_is_the_same_as_reading_everything_again(
    facts: list[Fact], data: st.DataObject
) -> None:
    """The fast path against the full refold, for every way of cutting a history into batches."""
    remaining = data.draw(st.permutations(facts))
    seen: list[Fact] = []
    alliance = Alliance()
    while remaining:
        size = data.draw(st.integers(1, len(remaining)))
        batch, remaining = remaining[:size], remaining[size:]
        seen += batch
        if all(alliance.precedes(event) for event in batch):
            alliance = read_on(alliance, batch, DEFAULT).alliance
        else:
            alliance = fold(seen, DEFAULT)

    assert alliance == fold(facts, DEFAULT)


@given(facts=histories())
def test_one_fact_after_the_other_is_the_same_as_all_at_once(facts: list[Fact]) -> None:
    alliance = Alliance()
    seen: list[Fact] = []
    for event in in_order(facts):
        seen.append(event)
        alliance = evolve(alliance, event, DEFAULT) if alliance.precedes(event) else fold(seen, DEFAULT)

    assert alliance == fold(facts, DEFAULT)


def test_no_facts_give_an_empty_alliance() -> None:
    assert fold([], DEFAULT) == Alliance()


def test_an_episode_that_begins_and_ends_within_one_batch_is_told() -> None:
    ratings = [9, 9, 9, 9, 9, 2, 9, 9, 9, 9, 2, 9, 9]
    events = [TOLD.consent(-0.5, given=True), *(TOLD.felt(week, rating) for week, rating in enumerate(ratings))]

    assert len(read_again(events, DEFAULT).repaired) == 2
