"""The expected counts follow from the events and from the client's consent at their time."""

from shared.events import Event
from tests.support.builders import RelationshipBuilder
from tests.system.chaos.checker.counts import RelationshipCounts

builder = RelationshipBuilder()


def count(*events: Event) -> tuple[int, int, int]:
    """The counted answers of the client, those of the clinician, and the counted lapses."""
    counts = RelationshipCounts()
    for event in sorted(events, key=lambda event: event.occurred_at):
        counts.add(event)
    expected = counts.expected_counts()
    return (
        expected.counted_answers.get("client", 0),
        expected.counted_answers.get("clinician", 0),
        expected.unanswered_range[0],
    )


def test_answers_count_from_consent_until_it_is_withdrawn() -> None:
    feedback = [builder.feedback(week, rater=rater) for week in (1, 3, 5) for rater in ("client", "clinician")]

    assert count(*feedback) == (0, 0, 0)
    assert count(*feedback, builder.consent_changed(0, given=True)) == (3, 3, 0)
    assert count(*feedback, builder.consent_changed(0, given=True), builder.consent_changed(2, given=False)) == (
        1,
        1,
        0,
    )
    assert count(
        builder.consent_changed(0, given=True),
        *feedback,
        builder.consent_changed(2, given=False),
        builder.consent_changed(4, given=True),
    ) == ((2, 2, 0))


def test_a_lapse_counts_with_consent_and_without_an_earlier_answer() -> None:
    consent = builder.consent_changed(0, given=True)
    late_feedback = builder.feedback(1).model_copy(update={"occurred_at": builder.at(2)})

    assert count(builder.lapsed(1)) == (0, 0, 0)
    assert count(consent, builder.lapsed(1)) == (0, 0, 1)
    assert count(consent, builder.lapsed(1), late_feedback) == (1, 0, 1)
    assert count(consent, builder.lapsed(1), builder.feedback(1)) == (1, 0, 0)


def test_the_last_correction_of_an_answer_counts() -> None:
    counts = RelationshipCounts()
    for event in (builder.feedback(1, 9), builder.amended(1, 3, days_later=1), builder.amended(1, 5, days_later=2)):
        counts.add(event)

    assert counts.expected_counts().scores == {(builder.session_id(1), "client"): 50.0}


def test_the_total_of_an_instrument_is_converted_to_a_score() -> None:
    counts = RelationshipCounts()
    counts.add(builder.instrument_total(1, "wai-sr", 36))

    assert counts.expected_counts().scores == {(builder.session_id(1), "client"): 50.0}
