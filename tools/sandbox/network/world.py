"""The simulated clinic network as a pure function of a seed and a time.

The seed determines all relationships, sessions, answers and planted ruptures; their times are counted back from
`until`. Nothing here does I/O or reads a clock, so the same world can be submitted again.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import get_args
from uuid import UUID

from shared.events import Aim, EndReason
from tools.sandbox.network.answers import MIN_CORRECTION_AGE, ONE_HOUR, Answers, Dyad
from tools.sandbox.network.course import (
    ELEMENTS,
    CancelledBy,
    Clinic,
    Clinician,
    Course,
    Rupture,
    RuptureKind,
    Session,
)
from tools.sandbox.network.parameters import Parameters
from tools.sandbox.network.seed import Seed

TOWNS = ("Linden", "Harbour", "Mill Lane", "Northgate", "Orchard", "Riverside")
TIME_ZONES = ("Europe/Berlin", "Europe/Lisbon", "America/Toronto", "Europe/Helsinki", "Asia/Tokyo", "Australia/Sydney")
AIMS: tuple[Aim, ...] = get_args(Aim)
CANCELLED_BY_CHOICES: tuple[CancelledBy, ...] = ("client", "client", "client", "clinician", "clinic")
CADENCE_DAYS_CHOICES = (7, 7, 7, 14)
RUPTURE_KIND_WEIGHTS: Mapping[RuptureKind, int] = {
    "dip": 30,
    "step": 20,
    "slide": 17,
    "element": 15,
    "withdrawal": 10,
    "tension_reported": 8,
}
"""In percent of all ruptures. The first three lower all elements: of these 45 % are dips, 30 % steps, 25 % slides."""
LIVE_BLOCK_SESSIONS = 12
"""After `until`, each block of so many sessions of a relationship may have a rupture."""
LIVE_SESSION_DURATION = timedelta(minutes=Session.minutes + 1)
"""From the start of a session until a minute after its end: a session after `until` has ended when it is submitted."""


class World:
    """Clinics, clinicians, and the courses of their relationships until `until`."""

    def __init__(self, seed: int, until: datetime, parameters: Parameters) -> None:
        self._seed = Seed(seed)
        self.until = until
        self.parameters = parameters
        self._answers = Answers(self._seed, until, parameters)
        self.clinics = tuple(self._create_clinic(i) for i in range(parameters.clinics))
        self.clinicians = tuple(
            self._create_clinician(clinic, i)
            for clinic in self.clinics
            for i in range(parameters.clinicians_per_clinic)
        )
        self._levels = {
            c.id: self._seed.random(c.id).gauss(0, parameters.level_between_clinicians) for c in self.clinicians
        }
        self._levels |= {c.id: self._seed.random(c.id).gauss(0, parameters.level_between_clinics) for c in self.clinics}
        self._dyads: dict[UUID, Dyad] = {}
        """By relationship, for the sessions after `until`."""
        self.courses = tuple(self._create_course(i) for i in range(parameters.relationships))
        self.ongoing_courses = tuple(course for course in self._all_courses() if course.ending is None)

    def find_course(self, relationship_id: UUID) -> Course:
        """The course of a relationship, including those after a transfer."""
        return next(course for course in self._all_courses() if course.id == relationship_id)

    def next_session(self, session_index: int, ends_before: datetime) -> tuple[Course, Session]:
        """The next session after `until`, of one relationship after the other; it ends just before `ends_before`."""
        round_number, position = divmod(session_index, len(self.ongoing_courses))
        shuffled = self._seed.random("turn", round_number).sample(self.ongoing_courses, len(self.ongoing_courses))
        course = shuffled[position]
        past_sessions = len(course.sessions)
        block_number = round_number // LIVE_BLOCK_SESSIONS
        block_start = past_sessions + block_number * LIVE_BLOCK_SESSIONS
        rng = self._seed.random(course.id, "block", block_number)
        rupture = self._draw_rupture(rng, block_start, block_start + LIVE_BLOCK_SESSIONS, is_ongoing=False)
        session = self._create_session(
            self._dyads[course.id],
            course.id,
            past_sessions + round_number,
            ends_before - LIVE_SESSION_DURATION,
            rupture,
        )
        return course, session

    def _all_courses(self) -> Iterator[Course]:
        return (course for first_course in self.courses for course in first_course.with_successors())

    def _create_clinic(self, index: int) -> Clinic:
        return Clinic(
            self._seed.id("clinic", index), f"{TOWNS[index % len(TOWNS)]} Clinic", TIME_ZONES[index % len(TIME_ZONES)]
        )

    def _create_clinician(self, clinic: Clinic, index: int) -> Clinician:
        """Most receive e-mails, some webhooks, some both, and some nothing."""
        name = f"clinician-{index + 1}.{clinic.name.split(maxsplit=1)[0].lower()}"
        email = f"{name}@example.org" if index % 4 != 3 else None
        return Clinician(
            self._seed.id(clinic.id, "clinician", index), clinic.id, name, email, has_webhook=index % 2 == 1
        )

    def _create_course(self, index: int) -> Course:
        parameters, rng = self.parameters, self._seed.random("course", index)
        clinician = rng.choice(self.clinicians)
        scale = parameters.median_sessions / math.log(2) ** (1 / parameters.sessions_shape)
        planned_sessions = min(parameters.max_sessions, 1 + round(rng.weibullvariate(scale, parameters.sessions_shape)))
        started_at = self.until - timedelta(weeks=rng.uniform(*parameters.started_weeks_ago))
        cadence_days = rng.choice(CADENCE_DAYS_CHOICES)
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
            id=self._seed.id("relationship", index),
            clinic_id=clinician.clinic_id,
            clinician_id=clinician.id,
            client_id=self._seed.id("client", index),
            case_code=f"{chr(65 + index % 26)}{rng.randrange(10, 99)}-{index:04}",
            started_at=started_at,
            aims=tuple(rng.sample(AIMS, rng.randint(1, 3))),
            cadence_days=cadence_days,
            sessions=(),
        )
        self._dyads[course.id] = dyad = self._create_dyad(course, index)
        return self._with_sessions(course, dyad, rng, starts, has_ended=bool(has_ended))

    def _with_sessions(
        self, course: Course, dyad: Dyad, rng: Random, starts: Sequence[datetime], *, has_ended: bool
    ) -> Course:
        rupture = self._draw_rupture(rng, 0, len(starts), is_ongoing=not has_ended)
        sessions = tuple(
            self._create_session(dyad, course.id, number, start, rupture) for number, start in enumerate(starts)
        )
        simulated = replace(
            course, sessions=sessions, spread=dyad.spread, rupture=rupture, has_varied_ratings=dyad.has_varied_ratings
        )
        return self._with_ending(simulated, dyad, rng, rupture) if has_ended else simulated

    def _with_ending(self, course: Course, dyad: Dyad, rng: Random, rupture: Rupture | None) -> Course:
        ended_at = course.sessions[-1].ended_at + timedelta(days=2)
        other_clinicians = [
            c for c in self.clinicians if c.clinic_id == course.clinic_id and c.id != course.clinician_id
        ]
        if other_clinicians and rng.random() < self.parameters.transfer_share:
            next_course = replace(
                course,
                id=self._seed.id(course.id, "successor"),
                clinician_id=rng.choice(other_clinicians).id,
                started_at=ended_at,
            )
            weeks = range(1, rng.randint(3, 9))
            starts = [_in_office_hours(ended_at + timedelta(weeks=week)) for week in weeks]
            starts = [start for start in starts if start < self.until - 2 * ONE_HOUR]
            next_dyad = self._create_dyad(next_course, dyad.index + self.parameters.relationships)
            self._dyads[next_course.id] = next_dyad
            successor = self._with_sessions(next_course, next_dyad, rng, starts, has_ended=False)
            return replace(course, ending=(ended_at, "transferred"), successor=successor)
        is_unrepaired = rupture is not None and not rupture.is_repaired
        reason: EndReason = "stopped_by_client" if is_unrepaired and rng.random() < 0.6 else "completed"
        return replace(course, ending=(ended_at, reason))

    def _create_dyad(self, course: Course, index: int) -> Dyad:
        parameters, rng = self.parameters, self._seed.random("dyad", index)
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
            uses_srs=self._seed.random(course.clinician_id, "srs").random() < parameters.srs_clinician_share,
        )

    def _draw_rupture(self, rng: Random, first_session: int, end_session: int, *, is_ongoing: bool) -> Rupture | None:
        """A rupture in the sessions from `first_session` to before `end_session`, or None."""
        parameters = self.parameters
        if rng.random() >= parameters.rupture_probability or end_session - first_session < 4:
            return None
        (rupture_kind,) = rng.choices([*RUPTURE_KIND_WEIGHTS], weights=[*RUPTURE_KIND_WEIGHTS.values()])
        lengths = {
            "dip": rng.randint(1, 3),
            "slide": rng.randint(2, 6),
            "step": 1,
            "tension_reported": 1,
            "withdrawal": 3,
        }
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
        parameters, rng = self.parameters, self._seed.random(relationship, "session", number)
        session = Session(
            id=self._seed.id(relationship, "session", number),
            number=number,
            starts_at=starts_at,
            is_entered_late=rng.random() < parameters.late_entry_share and starts_at < self.until - MIN_CORRECTION_AGE,
        )
        is_ruptured = rupture is not None and rupture.covers(number)
        absence_draw = rng.random()
        if rupture is not None and rupture.keeps_client_away(number):
            absence_draw = 0.0  # missed
        if absence_draw < parameters.missed_session_share:
            return replace(session, outcome="missed")
        if absence_draw < parameters.missed_session_share + parameters.cancelled_session_share:
            cancelled_by = rng.choice(CANCELLED_BY_CHOICES)
            notice_period = timedelta(hours=rng.uniform(1, 72))
            return replace(
                session, outcome="cancelled", cancelled_by=cancelled_by, cancelled_at=starts_at - notice_period
            )
        answers, unanswered_probability = self._answers, parameters.unanswered_share * (2 if is_ruptured else 1)
        client = None if rng.random() < unanswered_probability else answers.client_answer(dyad, session, rupture, rng)
        if rng.random() < parameters.unanswered_share:
            return replace(session, client=client)
        return replace(session, client=client, clinician=answers.clinician_answer(dyad, session, rupture, rng))


def _in_office_hours(moment: datetime) -> datetime:
    """A time between 8:00 and 18:00 UTC of the same day; the later `moment` is in the day, the later it is."""
    return moment.replace(hour=8 + moment.hour * 10 // 24, minute=moment.minute // 30 * 30, second=0, microsecond=0)
