"""The judge of a chaos run finds what is wrong, each thing on the line that names it, and finds nothing else."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid5

import pytest

from shared.events import (
    AlertAcknowledged,
    AlertRaised,
    AlertResolved,
    AllianceUpdated,
    FeedbackAmended,
    FeedbackLapsed,
    FeedbackSubmitted,
    RuptureRepaired,
    RuptureSuspected,
    SessionCompleted,
    SessionMissed,
)
from shared.events.topics import ALLIANCE, FEEDBACK, INTAKE, dead_letters
from tests.unit.system.chaos.recorded_run import (
    LAST,
    MISSED,
    NOW,
    OURS,
    RELATIONSHIP,
    SILENT,
    SINCE,
    Story,
    at,
    fault,
    hook,
    mail,
    session,
    set_aside,
    well,
)

Spoil = Callable[[Story], object]
"""Make one thing wrong."""

LIES_THERE = "every acknowledged fact lies on its topic"
TWO_IDS = "no acknowledged fact lies there under two ids"
NOBODYS = "nothing lies there that nobody told"
SILENCE = "every form whose time ran out was told of"
ACTS = "what clinicians did about alerts lies on their topic, once"
CONTENTS = "no event, and no version of a state, was told with two contents"
REMEMBERED = "alliance keeps every fact once, and no other"
REFOLDED = "every state equals the refold"
SCORES = "every score rests on what was told"
STATES_TOLD = "every state was told, and no other"
STANDS = "every episode has one alert, which stands as it does"
KEPT = "notify keeps exactly these alerts"
OPEN_TWICE = "no relationship has two open alerts"
SHOWN = "every inbox shows its alerts, and no other"
RAISED = "every alert was told once at each severity"
DELIVERED = "every alert was delivered once on each channel, as owed"
REACHED = "every message reached its clinician, and webhooks are signed"
SECRET = "no message says about whom it is"
OWED = "nothing is owed any more"
WITHOUT_STATE = "no event lies on Kafka without its state"
LEARNED = "each service knows of the others what was told"
LETTERS = "the dead letters of alliance are the poison"


def test_a_run_in_which_all_is_well_passes() -> None:
    assert well().amiss() == []


# Facts


def lost(story: Story) -> None:
    story.take_back(story.one(SessionMissed))


def not_as_said(story: Story) -> None:
    story.instead(story.one(FeedbackSubmitted), ratings={"trust": 3.0})


def at_another_time(story: Story) -> None:
    story.instead(story.one(SessionCompleted), occurred_at=at(LAST) + timedelta(days=1))


def corrects_another(story: Story) -> None:
    story.instead(story.one(FeedbackAmended), amends=story.one(FeedbackSubmitted).id)


def injected_and_lost(story: Story) -> None:
    for event in story.injected:
        story.take_back(event)


@pytest.mark.parametrize("spoil", [lost, not_as_said, at_another_time, corrects_another, injected_and_lost])
def test_an_acknowledged_fact_must_lie_there_as_it_was_told(spoil: Spoil) -> None:
    assert LIES_THERE in spoilt(spoil)


def test_a_fact_under_two_ids_is_found() -> None:
    def again(story: Story) -> None:
        story.tell(story.one(SessionCompleted).model_copy(update={"id": OURS}))

    assert TWO_IDS in spoilt(again)


def of_nobody(story: Story) -> None:
    fields = {"id": OURS, "relationship_id": RELATIONSHIP, "session_id": OURS, "occurred_at": at(2)}
    story.tell(SessionMissed.model_validate(fields))


def no_event(story: Story) -> None:
    story.put(INTAKE, b"key", b"{}")


def under_another_key(story: Story) -> None:
    story.records[FEEDBACK.name][0].key = b"another"


def silent_who_answered(story: Story) -> None:
    story.instead(story.one(FeedbackLapsed), session_id=session(LAST))


def silent_at_another_time(story: Story) -> None:
    story.instead(story.one(FeedbackLapsed), occurred_at=NOW)


@pytest.mark.parametrize("spoil", [of_nobody, no_event, under_another_key, silent_who_answered, silent_at_another_time])
def test_what_nobody_told_is_found(spoil: Spoil) -> None:
    assert NOBODYS in spoilt(spoil)


def test_silence_that_was_not_told_is_found() -> None:
    assert SILENCE in spoilt(lambda run: run.take_back(run.one(FeedbackLapsed)))


def test_silence_is_due_later_where_a_wrong_clock_may_have_taken_the_session() -> None:
    run = well()
    run.take_back(run.one(FeedbackLapsed))
    run.faults.append(fault("the clock is wrong", "sessions", SINCE))

    assert SILENCE not in run.amiss()


def test_one_id_with_two_contents_is_found() -> None:
    def otherwise(story: Story) -> None:
        story.tell(story.one(SessionCompleted).model_copy(update={"minutes": 10}))

    assert spoilt(otherwise) == [CONTENTS]


def test_two_contents_of_one_version_are_found() -> None:
    def otherwise(story: Story) -> None:
        story.tell(story.one(AllianceUpdated).model_copy(update={"id": OURS, "sessions": 99}))

    assert CONTENTS in spoilt(otherwise)


def test_a_copy_is_no_fault() -> None:
    def copied(story: Story) -> None:
        story.tell(story.one(SessionCompleted), story.one(AllianceUpdated), story.one(AlertRaised))

    assert spoilt(copied) == []


# States


def forgotten(story: Story) -> None:
    story.kept["alliance"]["facts"].pop(story.one(SessionMissed).id)


def invented(story: Story) -> None:
    story.kept["alliance"]["facts"][OURS] = dict(next(iter(story.kept["alliance"]["facts"].values())))


def kept_otherwise(story: Story) -> None:
    first, second, *_ = story.kept["alliance"]["facts"].values()
    first["event"] = second["event"]


@pytest.mark.parametrize("spoil", [forgotten, invented, kept_otherwise])
def test_alliance_must_keep_every_fact_and_no_other(spoil: Spoil) -> None:
    assert spoilt(spoil) == [REMEMBERED]


def without_late_facts(story: Story) -> None:
    state = story.document("alliance", "alliances", RELATIONSHIP)
    state["state"] = state["state"].replace('"missed":1', '"missed":0')


def without_state(story: Story) -> None:
    story.kept["alliance"]["alliances"].pop(RELATIONSHIP)


@pytest.mark.parametrize("spoil", [without_late_facts, without_state])
def test_a_state_that_is_not_the_refold_is_found(spoil: Spoil) -> None:
    assert REFOLDED in spoilt(spoil)


@pytest.mark.parametrize(
    "shown", [{"sessions": 7}, {"missed": 2}, {"client_ratings": 8}, {"clinician_ratings": 7}, {"unanswered": 0}]
)
def test_a_count_that_is_not_what_was_told_is_found(shown: dict[str, int]) -> None:
    assert spoilt(lambda run: run.alliances[RELATIONSHIP].update(shown)) == [SCORES]


def test_a_score_that_is_not_what_was_said_last_is_found() -> None:
    def otherwise(story: Story) -> None:
        points = story.trajectories[RELATIONSHIP]["points"]
        next(point for point in points if point["rating"] == 80)["rating"] = 90

    assert spoilt(otherwise) == [SCORES]


def test_a_relationship_that_alliance_does_not_know_is_found() -> None:
    assert spoilt(lambda run: run.alliances.update({RELATIONSHIP: None})) == [SCORES]


def written_and_not_told(story: Story) -> None:
    story.document("alliance", "alliances", RELATIONSHIP)["v"] += 1


def told_and_not_written(story: Story) -> None:
    story.document("alliance", "alliances", RELATIONSHIP)["v"] -= 1


def told_otherwise(story: Story) -> None:
    story.instead(story.one(AllianceUpdated), sessions=1)


def episode_not_told(story: Story) -> None:
    story.take_back(story.one(RuptureSuspected))


@pytest.mark.parametrize("spoil", [written_and_not_told, told_and_not_written, told_otherwise, episode_not_told])
def test_a_state_that_was_not_told_as_it_is_is_found(spoil: Spoil) -> None:
    assert STATES_TOLD in spoilt(spoil)


def test_an_episode_that_was_said_to_be_over_last_is_not_told_as_it_is() -> None:
    def over(story: Story) -> None:
        fields = story.one(RuptureSuspected).model_dump(exclude={"id", "type"})
        story.tell(RuptureRepaired.model_validate({**fields, "id": OURS, "version": fields["version"] + 1}))

    assert {STATES_TOLD, STANDS} <= set(spoilt(over))


# Alerts


def alert_of(story: Story) -> UUID:
    (alert_id,) = story.kept["notify"]["alerts"]
    return UUID(str(alert_id))


def never_raised(story: Story) -> None:
    story.kept["notify"]["alerts"].clear()


def for_nothing(story: Story) -> None:
    story.kept["notify"]["alerts"][OURS] = story.document("notify", "alerts", alert_of(story))


def taken_back(story: Story) -> None:
    story.document("notify", "alerts", alert_of(story))["status"] = "retracted"


def of_somebody_else(story: Story) -> None:
    story.document("notify", "alerts", alert_of(story))["clinician_id"] = RELATIONSHIP


def of_an_old_word(story: Story) -> None:
    story.document("notify", "alerts", alert_of(story))["said"]["version"] -= 1


@pytest.mark.parametrize("spoil", [never_raised, for_nothing, taken_back, of_somebody_else, of_an_old_word])
def test_notify_must_keep_one_alert_for_each_episode_as_it_stands(spoil: Spoil) -> None:
    assert KEPT in spoilt(spoil)


def test_an_alert_for_an_episode_that_is_not_there_is_found() -> None:
    def another(story: Story) -> None:
        story.tell(story.one(RuptureSuspected).model_copy(update={"id": OURS, "episode_id": OURS}))
        update = story.one(AllianceUpdated, lambda candidate: candidate.relationship_id == RELATIONSHIP)
        story.instead(update, open_episode_id=OURS)

    assert STANDS in spoilt(another)


def test_two_open_alerts_of_one_relationship_are_found() -> None:
    def another(story: Story) -> None:
        suspected = story.one(RuptureSuspected)
        story.tell(suspected.model_copy(update={"id": OURS, "episode_id": OURS, "version": suspected.version + 1}))

    assert OPEN_TWICE in spoilt(another)


@pytest.mark.parametrize("shown", [{"status": "acknowledged"}, {"severity": "watch"}, {"alert_id": str(OURS)}])
def test_an_inbox_that_shows_something_else_is_found(shown: dict[str, str]) -> None:
    assert spoilt(lambda run: run.inboxes[OURS]["alerts"][0].update(shown)) == [SHOWN]


def raised_in_silence(story: Story) -> None:
    story.take_back(story.one(AlertRaised))


def raised_by_another_id(story: Story) -> None:
    story.instead(story.one(AlertRaised), id=OURS)


def raised_for_nothing(story: Story) -> None:
    raised = story.one(AlertRaised)
    story.tell(raised.model_copy(update={"id": uuid5(raised.alert_id, "raised:watch"), "severity": "watch"}))


def raised_for_somebody_else(story: Story) -> None:
    story.instead(story.one(AlertRaised), clinician_id=RELATIONSHIP)


@pytest.mark.parametrize(
    "spoil", [raised_in_silence, raised_by_another_id, raised_for_nothing, raised_for_somebody_else]
)
def test_an_alert_that_was_not_told_once_is_found(spoil: Spoil) -> None:
    assert RAISED in spoilt(spoil)


def act(story: Story, what: str, told: str = "") -> None:
    """A clinician was told of it, and it lies on the topic."""
    alert_id, raised = alert_of(story), story.one(AlertRaised)
    common_fields = raised.model_dump(exclude={"type", "severity"}) | {
        "id": uuid5(alert_id, f"{what}:{raised.severity}")
    }
    response = {"status": what, "severity": raised.severity}
    paths = {"acknowledged": "acknowledgement", "resolved": "resolution"}
    body = {"useful": True} if what == "resolved" else {}
    last_request = story.taken[-1]
    story.taken.append(replace(last_request, path=f"/alerts/{alert_id}/{paths[what]}", body=body, answer=response))
    if what == "resolved":
        story.tell(AlertResolved.model_validate({**common_fields, "useful": True}))
        story.kept["alliance"].setdefault("judgements", {})[common_fields["id"]] = {"useful": True}
    else:
        story.tell(AlertAcknowledged.model_validate(common_fields))
    story.document("notify", "alerts", alert_id).update({"status": what, what: {}})
    story.inboxes[OURS]["alerts"][0]["status"] = what


@pytest.mark.parametrize("what", ["acknowledged", "resolved"])
def test_what_a_clinician_did_counts_for_the_alert(what: str) -> None:
    assert spoilt(lambda run: act(run, what)) == []


def done_and_not_told(story: Story) -> None:
    act(story, "acknowledged")
    story.take_back(story.one(AlertAcknowledged))


def useful_otherwise(story: Story) -> None:
    act(story, "resolved")
    story.instead(story.one(AlertResolved), useful=False)


def done_by_nobody(story: Story) -> None:
    act(story, "acknowledged")
    story.taken.pop()


def done_twice(story: Story) -> None:
    act(story, "acknowledged")
    story.tell(story.one(AlertAcknowledged).model_copy(update={"id": OURS}))


@pytest.mark.parametrize("spoil", [done_and_not_told, useful_otherwise, done_by_nobody, done_twice])
def test_what_a_clinician_did_must_lie_there_once(spoil: Spoil) -> None:
    assert ACTS in spoilt(spoil)


def test_a_judgement_that_alliance_does_not_keep_is_found() -> None:
    def forgotten(story: Story) -> None:
        act(story, "resolved")
        story.kept["alliance"]["judgements"].clear()

    assert spoilt(forgotten) == [REMEMBERED]


# Messages


def did_not_come(story: Story) -> None:
    story.mails.clear()


def not_even_noted(story: Story) -> None:
    story.hooks.clear()
    story.kept["notify"]["deliveries"].clear()


def about_no_alert(story: Story) -> None:
    story.mails.append(mail(OURS))


def given_up(story: Story) -> None:
    next(iter(story.kept["notify"]["deliveries"].values()))["outcome"] = "failed"


def never_taken_up(story: Story) -> None:
    next(iter(story.kept["notify"]["deliveries"].values()))["next_at"] = NOW


def twice_for_no_reason(story: Story) -> None:
    story.mails.append(mail(alert_of(story)))


def three_times(story: Story) -> None:
    story.mails += [mail(alert_of(story))] * 2
    story.faults.append(fault("one is killed", "notify", NOW))


@pytest.mark.parametrize(
    "spoil",
    [did_not_come, not_even_noted, about_no_alert, given_up, never_taken_up, twice_for_no_reason, three_times],
)
def test_a_message_that_was_owed_comes_once_and_no_other(spoil: Spoil) -> None:
    assert DELIVERED in spoilt(spoil)


@pytest.mark.parametrize(
    ("target", "begun", "explained"),
    [
        ("notify", 10, True),
        ("kafka and mongodb", 10, True),
        ("mail", -10, True),
        ("alliance", 10, False),
        ("notify", -120, False),
        ("notify", 90, False),
    ],
)
def test_a_second_copy_needs_a_fault_between_the_two(target: str, begun: float, explained: bool) -> None:
    run = well()
    run.mails.append(mail(alert_of(run), when=NOW + timedelta(seconds=60)))
    fault_started_at = NOW + timedelta(seconds=begun)
    run.faults.append(fault("is killed", target, fault_started_at))

    assert (DELIVERED not in run.amiss()) is explained


def to_somebody_else(story: Story) -> None:
    story.mails[0] = mail(alert_of(story), to="theirs@example.org")


def signed_long_ago(story: Story) -> None:
    story.hooks[0] = replace(hook(alert_of(story)), at=NOW + timedelta(hours=1))


@pytest.mark.parametrize("spoil", [to_somebody_else, signed_long_ago])
def test_a_message_must_reach_its_clinician_and_be_signed(spoil: Spoil) -> None:
    assert spoilt(spoil) == [REACHED]


def test_a_message_that_says_about_whom_it_is_is_found() -> None:
    assert spoilt(lambda run: run.mails[0].message.set_content("http://here/AB-1234")) == [SECRET]


# Debts


def test_an_event_that_is_still_owed_is_found() -> None:
    def owing(story: Story) -> None:
        story.document("sessions", "sessions", session(MISSED))["owed"] = [{"id": OURS}]

    assert spoilt(owing) == [OWED]


def never_written(story: Story) -> None:
    story.kept["sessions"]["sessions"].pop(session(MISSED))


def not_held(story: Story) -> None:
    story.document("sessions", "sessions", session(LAST))["outcome"] = None


def not_moved(story: Story) -> None:
    story.document("sessions", "sessions", session(LAST))["starts_at"] = at(1)


def not_answered(story: Story) -> None:
    story.document("sessions", "sessions", session(LAST))["feedback"]["client"]["status"] = "awaiting"


def answered_otherwise(story: Story) -> None:
    story.document("sessions", "sessions", session(LAST))["feedback"]["client"]["answer"]["ratings"]["fit"] = 9


def not_lapsed(story: Story) -> None:
    story.document("sessions", "sessions", session(SILENT))["feedback"]["client"]["status"] = "awaiting"


def never_started(story: Story) -> None:
    story.kept["intake"]["relationships"].clear()


def never_agreed(story: Story) -> None:
    story.document("intake", "relationships", RELATIONSHIP)["consents"] = []


@pytest.mark.parametrize(
    "spoil",
    [never_written, not_held, not_moved, not_answered, answered_otherwise, not_lapsed, never_started, never_agreed],
)
def test_an_event_without_its_state_is_found(spoil: Spoil) -> None:
    assert spoilt(spoil) == [WITHOUT_STATE]


def sessions_never_heard(story: Story) -> None:
    story.kept["sessions"]["relationships"].pop(RELATIONSHIP)


def sessions_think_there_is_no_consent(story: Story) -> None:
    story.document("sessions", "relationships", RELATIONSHIP)["consent"] = False


def notify_never_heard_of_the_last_version(story: Story) -> None:
    story.document("notify", "relationships", RELATIONSHIP)["alliance_version"] -= 1


def notify_has_an_appointment_of_its_own(story: Story) -> None:
    appointment = {"session_id": OURS, "starts_at": NOW + timedelta(days=1), "called_off": False}
    story.document("notify", "relationships", RELATIONSHIP)["appointments"].append(appointment)


@pytest.mark.parametrize(
    "spoil",
    [
        sessions_never_heard,
        sessions_think_there_is_no_consent,
        notify_never_heard_of_the_last_version,
        notify_has_an_appointment_of_its_own,
    ],
)
def test_news_that_a_service_did_not_take_in_is_found(spoil: Spoil) -> None:
    assert spoilt(spoil) == [LEARNED]


# Dead letters


def not_set_aside(story: Story) -> None:
    story.records[dead_letters("alliance").name].pop()


def not_byte_for_byte(story: Story) -> None:
    story.records[dead_letters("alliance").name][0].value = b"{}"


def without_cause(story: Story) -> None:
    dead_letter = story.records[dead_letters("alliance").name][0]
    dead_letter.headers = [(name, value) for name, value in dead_letter.headers if name == "attune-origin"]


def set_aside_without_need(story: Story) -> None:
    set_aside(story, "alliance", story.planted[0], f"{ALLIANCE.name}/0/0")


def poison_lost(story: Story) -> None:
    story.records[INTAKE.name] = [record for record in story.records[INTAKE.name] if record.value != b"{not json"]


@pytest.mark.parametrize(
    "spoil", [not_set_aside, not_byte_for_byte, without_cause, set_aside_without_need, poison_lost]
)
def test_dead_letters_must_be_exactly_the_poison(spoil: Spoil) -> None:
    assert LETTERS in spoilt(spoil)


def test_what_is_set_aside_twice_is_the_same_letter() -> None:
    def again(story: Story) -> None:
        dead_letter_records = story.records[dead_letters("alliance").name]
        dead_letter_records.append(dead_letter_records[0])

    assert spoilt(again) == []


# At rest


def test_a_consumer_that_is_behind_and_a_service_that_is_not_ready_are_found() -> None:
    assert spoilt(lambda run: run.behind.update(alliance=3)) == ["every consumer has taken everything"]
    assert spoilt(lambda run: run.not_ready.append("notify")) == ["every service is ready"]


def spoilt(spoil: Spoil) -> list[str]:
    """What the judge finds wrong once `spoil` has made something so."""
    run = well()
    spoil(run)
    return run.amiss()
