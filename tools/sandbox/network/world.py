"""The simulated clinic network as a pure function of a seed and a time.

The seed determines all relationships, sessions, answers and planted ruptures; their times are counted back from
`until`. Nothing here does I/O or reads a clock, so the same world can be submitted again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import get_args
from uuid import UUID, uuid5

from shared.events import Aim, Element, EndReason, TalkedAbout, Tension
from tools.sandbox.network.course import (
    ELEMENTS,
    FEEDBACK_WINDOW,
    CancelledBy,
    Clinic,
    Clinician,
    Course,
    Rupture,
    RuptureKind,
    Session,
    SimulatedAnswer,
)
from tools.sandbox.network.parameters import Parameters

NAMESPACE = UUID("5b1c2f0e-6d0c-4b8e-9d0a-2f3f0c7e9a11")
TOWNS = ("Linden", "Harbour", "Mill Lane", "Northgate", "Orchard", "Riverside")
TIME_ZONES = ("Europe/Berlin", "Europe/Lisbon", "America/Toronto", "Europe/Helsinki", "Asia/Tokyo", "Australia/Sydney")
AIMS: tuple[Aim, ...] = get_args(Aim)
CANCELLED_BY_CHOICES: tuple[CancelledBy, ...] = ("client", "client", "client", "clinician", "clinic")
ONE_HOUR = timedelta(hours=1)
MIN_CORRECTION_AGE = timedelta(days=10)
"""Corrections and late entries are older: for recent ones it would depend on timing whether a message is required."""
LIVE_BLOCK_SESSIONS = 12  # after `until`, each block of so many sessions may have a rupture


@dataclass(frozen=True)
class Dyad:
    """How a client and a clinician rate in their relationship, apart from ruptures."""

    index: int
    level: float
    spread: float
    trend_per_session: float
    element_offsets: dict[Element, float]
    clinician_level: float
    has_varied_ratings: bool
    uses_srs: bool


class World:
    """Clinics, clinicians, and the courses of their relationships until `until`."""

    def __init__(self, seed: int, until: datetime, parameters: Parameters) -> None:
        self.seed = seed
        self.until = until
        self.parameters = parameters
        self.clinics = tuple(self._create_clinic(i) for i in range(parameters.clinics))
        self.clinicians = tuple(
            self._create_clinician(clinic, i)
            for clinic in self.clinics
            for i in range(parameters.clinicians_per_clinic)
        )
        self._levels = {c.id: self._rng(c.id).gauss(0, parameters.level_between_clinicians) for c in self.clinicians}
        self._levels |= {c.id: self._rng(c.id).gauss(0, parameters.level_between_clinics) for c in self.clinics}
        self._dyads: dict[UUID, Dyad] = {}
        self.courses = tuple(self._create_course(i) for i in range(parameters.relationships))
        self.ongoing_courses = tuple(c for first in self.courses for c in first.with_successors() if c.ending is None)

    def find_course(self, relationship_id: UUID) -> Course:
        """The course of a relationship, including those after a transfer."""
        return next(
            course for first in self.courses for course in first.with_successors() if course.id == relationship_id
        )

    def next_session(self, session_index: int, ends_before: datetime) -> tuple[Course, Session]:
        """The next session after `until`, of one relationship after the other; it ends just before `ends_before`."""
        round_number, position = divmod(session_index, len(self.ongoing_courses))
        course = self._rng("turn", round_number).sample(self.ongoing_courses, len(self.ongoing_courses))[position]
        number = len(course.sessions) + round_number
        block_number = (number - len(course.sessions)) // LIVE_BLOCK_SESSIONS
        rng = self._rng(course.id, "block", block_number)
        first = len(course.sessions) + block_number * LIVE_BLOCK_SESSIONS
        rupture = self._draw_rupture(rng, first, first + LIVE_BLOCK_SESSIONS, is_ongoing=False)
        session = self._create_session(
            self._dyads[course.id], course.id, number, ends_before - timedelta(minutes=51), rupture
        )
        return course, session

    def _id(self, *parts: object) -> UUID:
        return uuid5(NAMESPACE, "/".join(map(str, (self.seed, *parts))))

    def _rng(self, *parts: object) -> Random:
        return Random("/".join(map(str, (self.seed, *parts))))

    def _create_clinic(self, index: int) -> Clinic:
        return Clinic(
            self._id("clinic", index), f"{TOWNS[index % len(TOWNS)]} Clinic", TIME_ZONES[index % len(TIME_ZONES)]
        )

    def _create_clinician(self, clinic: Clinic, index: int) -> Clinician:
        """Most receive e-mails, some webhooks, some both, and some nothing."""
        name = f"clinician-{index + 1}.{clinic.name.split(maxsplit=1)[0].lower()}"
        email = f"{name}@example.org" if index % 4 != 3 else None
        return Clinician(self._id(clinic.id, "clinician", index), clinic.id, name, email, has_webhook=index % 2 == 1)

    def _create_course(self, index: int) -> Course:
        parameters, rng = self.parameters, self._rng("course", index)
        clinician = rng.choice(self.clinicians)
        scale = parameters.median_sessions / math.log(2) ** (1 / parameters.sessions_shape)
        planned_sessions = min(parameters.max_sessions, 1 + round(rng.weibullvariate(scale, parameters.sessions_shape)))
        started_at = self.until - timedelta(weeks=rng.uniform(*parameters.started_weeks_ago))
        cadence_days = rng.choice((7, 7, 7, 14))
        candidates = (
            started_at + timedelta(days=number * cadence_days, hours=rng.uniform(-12, 12))
            for number in range(planned_sessions)
        )
        starts = [
            candidate
            for candidate in map(_in_office_hours, candidates)
            if started_at < candidate < self.until - 2 * ONE_HOUR
        ]
        has_ended = (
            len(starts) >= planned_sessions - 1
            and starts
            and starts[-1] < self.until - MIN_CORRECTION_AGE - timedelta(days=2)
        )
        course = Course(
            id=self._id("relationship", index),
            clinic_id=clinician.clinic_id,
            clinician_id=clinician.id,
            client_id=self._id("client", index),
            case_code=f"{chr(65 + index % 26)}{rng.randrange(10, 99)}-{index:04}",
            started_at=started_at,
            aims=tuple(rng.sample(AIMS, rng.randint(1, 3))),
            cadence_days=cadence_days,
            sessions=(),
        )
        return self._with_sessions(course, index, rng, starts, has_ended=bool(has_ended))

    def _with_sessions(
        self, course: Course, index: int, rng: Random, starts: Sequence[datetime], *, has_ended: bool
    ) -> Course:
        dyad = self._create_dyad(course, index)
        self._dyads[course.id] = dyad
        rupture = self._draw_rupture(rng, 0, len(starts), is_ongoing=not has_ended)
        sessions = tuple(
            self._create_session(dyad, course.id, number, start, rupture) for number, start in enumerate(starts)
        )
        simulated = replace(
            course, sessions=sessions, spread=dyad.spread, rupture=rupture, has_varied_ratings=dyad.has_varied_ratings
        )
        return self._with_ending(simulated, index, rng, rupture) if has_ended else simulated

    def _with_ending(self, course: Course, index: int, rng: Random, rupture: Rupture | None) -> Course:
        ended_at = course.sessions[-1].ended_at + timedelta(days=2)
        other_clinicians = [
            c for c in self.clinicians if c.clinic_id == course.clinic_id and c.id != course.clinician_id
        ]
        if other_clinicians and rng.random() < self.parameters.transfer_share:
            next_course = replace(
                course,
                id=self._id(course.id, "successor"),
                clinician_id=rng.choice(other_clinicians).id,
                started_at=ended_at,
            )
            weeks = range(1, rng.randint(3, 9))
            starts = [_in_office_hours(ended_at + timedelta(weeks=week)) for week in weeks]
            starts = [start for start in starts if start < self.until - 2 * ONE_HOUR]
            successor = self._with_sessions(
                next_course, index + self.parameters.relationships, rng, starts, has_ended=False
            )
            return replace(course, ending=(ended_at, "transferred"), successor=successor)
        is_unrepaired = rupture is not None and not rupture.is_repaired
        reason: EndReason = "stopped_by_client" if is_unrepaired and rng.random() < 0.6 else "completed"
        return replace(course, ending=(ended_at, reason))

    def _create_dyad(self, course: Course, index: int) -> Dyad:
        parameters, rng = self.parameters, self._rng("dyad", index)
        expected_level = parameters.level + self._levels[course.clinic_id] + self._levels[course.clinician_id]
        level = rng.gauss(expected_level, parameters.level_between_clients)
        return Dyad(
            index=index,
            level=min(10.5, max(4.0, level)),
            spread=min(1.0, max(0.3, parameters.spread * rng.lognormvariate(0, parameters.spread_of_spread))),
            trend_per_session=rng.gauss(parameters.trend_per_session, 0.04),
            element_offsets={element: rng.gauss(0, parameters.element_habit) for element in ELEMENTS},
            clinician_level=parameters.level
            - parameters.clinician_offset
            + parameters.clinician_correlation * (level - parameters.level)
            + rng.gauss(0, 0.6),
            has_varied_ratings=rng.random() >= parameters.constant_rater_share,
            uses_srs=self._rng(course.clinician_id, "srs").random() < parameters.srs_clinician_share,
        )

    def _draw_rupture(self, rng: Random, first_session: int, end_session: int, *, is_ongoing: bool) -> Rupture | None:
        """A rupture in the sessions from `first_session` to before `end_session`, or None."""
        parameters = self.parameters
        if rng.random() >= parameters.rupture_probability or end_session - first_session < 4:
            return None
        rupture_kinds: tuple[RuptureKind, ...] = get_args(RuptureKind)
        # Of the ruptures in all elements 45 % are a dip, 30 % a step and 25 % a slide.
        (rupture_kind,) = rng.choices(rupture_kinds, weights=(30, 20, 17, 15, 10, 8))
        lengths = {"dip": rng.randint(1, 3), "slide": rng.randint(2, 6), "step": 1, "tension_reported": 1}
        length = lengths.get(rupture_kind, 2)
        drop_points = rng.uniform(
            *(
                parameters.deep_drop_points
                if rng.random() < parameters.deep_rupture_share
                else parameters.faint_drop_points
            )
        )
        is_recent = is_ongoing and rng.random() < parameters.recent_rupture_share
        start = (
            max(first_session + 1, end_session - min(length, 2))
            if is_recent
            else rng.randint(
                min(first_session + parameters.min_sessions_before_rupture, end_session - 2), end_session - 2
            )
        )
        return Rupture(
            kind=rupture_kind,
            first_session=start,
            last_session=start + length - 1,
            drop_points={"element": drop_points + 1, "withdrawal": 0.5, "tension_reported": 0.4}.get(
                rupture_kind, drop_points
            ),
            elements=tuple(rng.sample(ELEMENTS, rng.randint(1, 3))) if rupture_kind == "element" else ELEMENTS,
            is_repaired=rupture_kind != "step" and rng.random() < parameters.repair_probability,
        )

    def _create_session(
        self, dyad: Dyad, relationship: UUID, number: int, starts_at: datetime, rupture: Rupture | None
    ) -> Session:
        parameters, rng = self.parameters, self._rng(relationship, "session", number)
        session = Session(
            id=self._id(relationship, "session", number),
            number=number,
            starts_at=starts_at,
            is_entered_late=rng.random() < parameters.late_entry_share and starts_at < self.until - MIN_CORRECTION_AGE,
        )
        is_ruptured = rupture is not None and rupture.covers(number)
        absence_draw = rng.random()
        if (
            rupture is not None
            and rupture.kind == "withdrawal"
            and rupture.first_session <= number <= rupture.last_session
        ):
            absence_draw = 0.0
        if absence_draw < parameters.missed_session_share:
            return replace(session, outcome="missed")
        if absence_draw < parameters.missed_session_share + parameters.cancelled_session_share:
            cancelled_by = rng.choice(CANCELLED_BY_CHOICES)
            notice_period = timedelta(hours=rng.uniform(1, 72))
            return replace(
                session, outcome="cancelled", cancelled_by=cancelled_by, cancelled_at=starts_at - notice_period
            )
        unanswered_probability = parameters.unanswered_share * (2 if is_ruptured else 1)
        client = None if rng.random() < unanswered_probability else self._client_answer(dyad, session, rupture, rng)
        clinician = (
            None if rng.random() < parameters.unanswered_share else self._clinician_answer(dyad, session, rupture, rng)
        )
        return replace(session, client=client, clinician=clinician)

    def _client_answer(self, dyad: Dyad, session: Session, rupture: Rupture | None, rng: Random) -> SimulatedAnswer:
        number = session.number
        session_level = dyad.level + dyad.trend_per_session * number + self._noise(dyad, number)
        if rng.random() < self.parameters.bad_day_share:
            session_level -= rng.uniform(1, 2)
        ratings = {element: self._rating(session_level, dyad, element, rupture, number, rng) for element in ELEMENTS}
        tension, talked_about = _tension(rupture, number, 0.5, rng)
        return self._create_answer(dyad, session, ratings, tension, talked_about, rng)

    def _clinician_answer(self, dyad: Dyad, session: Session, rupture: Rupture | None, rng: Random) -> SimulatedAnswer:
        has_noticed = rng.random() < self.parameters.clinician_notice_probability
        noticed_rupture = rupture if has_noticed else None
        session_level = (
            dyad.clinician_level
            + rng.gauss(0, dyad.spread)
            - (noticed_rupture.drop_at(session.number) / 2 if noticed_rupture else 0)
        )
        ratings = {
            element: _round_rating(session_level + rng.gauss(0, self.parameters.element_noise)) for element in ELEMENTS
        }
        tension, talked_about = _tension(noticed_rupture, session.number, 0.3, rng)
        return self._create_answer(replace(dyad, uses_srs=False), session, ratings, tension, talked_about, rng)

    def _noise(self, dyad: Dyad, number: int) -> float:
        """A moving average, so that the noise of a session depends only on its number."""
        autocorrelation = self.parameters.noise_autocorrelation
        current, previous = (
            self._rng("noise", dyad.index, noise_index).gauss(0, 1) for noise_index in (number, number - 1)
        )
        return dyad.spread * (current + autocorrelation * previous) / math.sqrt(1 + autocorrelation**2)

    def _rating(
        self, session_level: float, dyad: Dyad, element: Element, rupture: Rupture | None, number: int, rng: Random
    ) -> int:
        noise = rng.gauss(0, self.parameters.element_noise)
        if not dyad.has_varied_ratings:
            return _round_rating(dyad.level)
        # A level above the scale is cut off at the ceiling; a rupture lowers the rating from there.
        undisturbed = min(10.0, session_level + dyad.element_offsets[element] + noise)
        drop_points = rupture.drop_at(number) if rupture is not None and element in rupture.elements else 0.0
        return _round_rating(undisturbed - drop_points)

    def _create_answer(
        self,
        dyad: Dyad,
        session: Session,
        ratings: dict[Element, int],
        tension: Tension | None,
        talked_about: TalkedAbout | None,
        rng: Random,
    ) -> SimulatedAnswer:
        parameters = self.parameters
        delay_hours = rng.uniform(80, 120) if rng.random() < parameters.late_answer_share else rng.uniform(0.1, 30)
        srs_total = round(4 * sum(ratings.values()) / len(ratings)) if dyad.uses_srs else None
        given_at = min(session.ended_at + delay_hours * ONE_HOUR, max(self.until, session.ended_at))
        answer = SimulatedAnswer(given_at, {} if dyad.uses_srs else ratings, srs_total, tension, talked_about)
        correction_draw = rng.random()
        if self.until - session.ended_at < FEEDBACK_WINDOW and srs_total is None:
            return replace(answer, given_at=None)  # the form link is still valid
        if self.until - session.ended_at < MIN_CORRECTION_AGE or srs_total is not None:
            return answer
        correction = replace(answer, given_at=given_at + 20 * ONE_HOUR)
        if correction_draw < parameters.misread_answer_share and tension is None:
            return replace(
                answer, ratings={element: 10 - rating for element, rating in ratings.items()}, correction=correction
            )
        if correction_draw < parameters.misread_answer_share + parameters.corrected_answer_share:
            return replace(
                answer, correction=replace(correction, ratings={**ratings, "trust": max(0, ratings["trust"] - 1)})
            )
        return answer


def _tension(
    rupture: Rupture | None, number: int, report_probability: float, rng: Random
) -> tuple[Tension | None, TalkedAbout | None]:
    """Whether there was a tension and whether it was talked about; both questions are optional."""
    if rupture is not None and rupture.kind == "tension_reported" and number == rupture.first_session:
        return "yes", "not"
    draw = rng.random()
    if rupture is not None and rupture.covers(number) and draw < report_probability:
        return rng.choice(("a_little", "yes")), rng.choice(("not", "partly", "yes"))
    if draw > 0.95:
        return "a_little", "yes"
    return ("none" if draw > 0.3 else None), None


def _in_office_hours(moment: datetime) -> datetime:
    """A time on the same day between 8:00 and 18:00 UTC, earlier times first."""
    return moment.replace(hour=8 + moment.hour * 10 // 24, minute=moment.minute // 30 * 30, second=0, microsecond=0)


def _round_rating(rating: float) -> int:
    return min(10, max(0, round(rating)))
