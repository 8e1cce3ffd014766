"""What an alliance rests on is counted from what was told, with the client's consent as it was then."""

from shared.events import Event
from tests.support.builders import Told
from tests.system.chaos.checker.counts import History

told = Told()


def counted(*facts: Event) -> tuple[int, int, int]:
    """Answers by the client, answers by the clinician, and silences."""
    counts = History()
    for event in sorted(facts, key=lambda event: event.occurred_at):
        counts.note(event)
    expected = counts.counted()
    return expected.rated.get("client", 0), expected.rated.get("clinician", 0), expected.unanswered[0]


def test_answers_count_from_consent_until_it_is_withdrawn() -> None:
    feedback = [told.felt(week, rater=rater) for week in (1, 3, 5) for rater in ("client", "clinician")]

    assert counted(*feedback) == (0, 0, 0)
    assert counted(*feedback, told.consent(0, given=True)) == (3, 3, 0)
    assert counted(*feedback, told.consent(0, given=True), told.consent(2, given=False)) == (1, 1, 0)
    assert counted(
        told.consent(0, given=True), *feedback, told.consent(2, given=False), told.consent(4, given=True)
    ) == ((2, 2, 0))


def test_silence_counts_with_consent_and_before_an_answer() -> None:
    consent = told.consent(0, given=True)
    late_feedback = told.felt(1).model_copy(update={"occurred_at": told.at(2)})

    assert counted(told.lapsed(1)) == (0, 0, 0)
    assert counted(consent, told.lapsed(1)) == (0, 0, 1)
    assert counted(consent, told.lapsed(1), late_feedback) == (1, 0, 1)
    assert counted(consent, told.lapsed(1), told.felt(1)) == (1, 0, 0)


def test_an_answer_counts_as_it_was_corrected_last() -> None:
    counts = History()
    for event in (told.felt(1, 9), told.amended(1, 3, days_later=1), told.amended(1, 5, days_later=2)):
        counts.note(event)

    assert counts.counted().said == {(told.session(1), "client"): 50.0}


def test_the_total_of_a_questionnaire_is_a_score() -> None:
    counts = History()
    counts.note(told.measured(1, "wai-sr", 36))

    assert counts.counted().said == {(told.session(1), "client"): 50.0}
