"""The simulated clinic network as a pure function of a seed and of the day on which it is looked at.

Whoever works with whom, every session, every answer and every planted rupture follows from the seed; times are
counted back from `until`. Nothing here does I/O or reads a clock, so the same world can be told of again.
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
    WINDOW,
    By,
    Clinic,
    Clinician,
    Course,
    Kind,
    Rupture,
    Said,
    Session,
)
from tools.sandbox.network.parameters import Parameters

NAMESPACE = UUID("5b1c2f0e-6d0c-4b8e-9d0a-2f3f0c7e9a11")
TOWNS = ("Linden", "Harbour", "Mill Lane", "Northgate", "Orchard", "Riverside")
ZONES = ("Europe/Berlin", "Europe/Lisbon", "America/Toronto", "Europe/Helsinki", "Asia/Tokyo", "Australia/Sydney")
AIMS: tuple[Aim, ...] = get_args(Aim)
CANCELS: tuple[By, ...] = ("client", "client", "client", "clinician", "clinic")
HOUR = timedelta(hours=1)
SETTLED = timedelta(days=10)
"""Nothing that takes a word back is younger: whether a message about it was owed would depend on who was quicker."""
LIVE_BLOCK = 12  # sessions; in what goes on after today, each block of so many may hold a rupture


@dataclass(frozen=True)
class Dyad:
    """What a client is like in this relationship, whatever happens in it."""

    index: int
    level: float
    spread: float
    trend: float
    habits: dict[Element, float]
    clinician_level: float
    varies: bool
    by_srs: bool


class World:
    """Clinics, clinicians, and the courses of their relationships until `until`."""

    def __init__(self, seed: int, until: datetime, parameters: Parameters) -> None:
        self.seed = seed
        self.until = until
        self.parameters = parameters
        self.clinics = tuple(self._clinic(i) for i in range(parameters.clinics))
        self.clinicians = tuple(
            self._clinician(clinic, i) for clinic in self.clinics for i in range(parameters.clinicians)
        )
        self._levels = {c.id: self._rng(c.id).gauss(0, parameters.level_between_clinicians) for c in self.clinicians}
        self._levels |= {c.id: self._rng(c.id).gauss(0, parameters.level_between_clinics) for c in self.clinics}
        self._dyads: dict[UUID, Dyad] = {}
        self.courses = tuple(self._course(i) for i in range(parameters.relationships))
        self.going_on = tuple(c for first in self.courses for c in first.with_successors() if c.ended is None)

    def course(self, relationship_id: UUID) -> Course:
        """One of the courses, those after a transfer among them."""
        return next(c for first in self.courses for c in first.with_successors() if c.id == relationship_id)

    def next_session(self, count: int, at: datetime) -> tuple[Course, Session]:
        """What happens after today, one session of somebody after the other, ended just before `at`."""
        turn, place = divmod(count, len(self.going_on))
        course = self._rng("turn", turn).sample(self.going_on, len(self.going_on))[place]
        number = len(course.sessions) + turn
        block = (number - len(course.sessions)) // LIVE_BLOCK
        rng = self._rng(course.id, "block", block)
        first = len(course.sessions) + block * LIVE_BLOCK
        rupture = self._planted(rng, first, first + LIVE_BLOCK, going_on=False)
        session = self._session(self._dyads[course.id], course.id, number, at - timedelta(minutes=51), rupture)
        return course, session

    def _id(self, *what: object) -> UUID:
        return uuid5(NAMESPACE, "/".join(map(str, (self.seed, *what))))

    def _rng(self, *what: object) -> Random:
        return Random("/".join(map(str, (self.seed, *what))))

    def _clinic(self, index: int) -> Clinic:
        return Clinic(self._id("clinic", index), f"{TOWNS[index % len(TOWNS)]} Clinic", ZONES[index % len(ZONES)])

    def _clinician(self, clinic: Clinic, index: int) -> Clinician:
        """Most are told by e-mail, some by their clinic's own system, some not at all."""
        name = f"clinician-{index + 1}.{clinic.name.split(maxsplit=1)[0].lower()}"
        email = f"{name}@example.org" if index % 4 != 3 else None
        return Clinician(self._id(clinic.id, "clinician", index), clinic.id, name, email, webhook=index % 2 == 1)

    def _course(self, index: int) -> Course:
        p, rng = self.parameters, self._rng("course", index)
        clinician = rng.choice(self.clinicians)
        scale = p.sessions_median / math.log(2) ** (1 / p.sessions_shape)
        planned = min(p.sessions_most, 1 + round(rng.weibullvariate(scale, p.sessions_shape)))
        started = self.until - timedelta(weeks=rng.uniform(*p.started_weeks_ago))
        cadence = rng.choice((7, 7, 7, 14))
        days = (started + timedelta(days=k * cadence, hours=rng.uniform(-12, 12)) for k in range(planned))
        starts = [day for day in map(_in_office_hours, days) if started < day < self.until - 2 * HOUR]
        over = len(starts) >= planned - 1 and starts and starts[-1] < self.until - SETTLED - timedelta(days=2)
        course = Course(
            id=self._id("relationship", index),
            clinic_id=clinician.clinic_id,
            clinician_id=clinician.id,
            client_id=self._id("client", index),
            case_code=f"{chr(65 + index % 26)}{rng.randrange(10, 99)}-{index:04}",
            started_at=started,
            aims=tuple(rng.sample(AIMS, rng.randint(1, 3))),
            cadence_days=cadence,
            sessions=(),
        )
        return self._lived(course, index, rng, starts, over=bool(over))

    def _lived(self, course: Course, index: int, rng: Random, starts: Sequence[datetime], *, over: bool) -> Course:
        dyad = self._dyad(course, index)
        self._dyads[course.id] = dyad
        rupture = self._planted(rng, 0, len(starts), going_on=not over)
        sessions = tuple(self._session(dyad, course.id, k, start, rupture) for k, start in enumerate(starts))
        lived = replace(course, sessions=sessions, spread=dyad.spread, rupture=rupture, varies=dyad.varies)
        return self._ended(lived, index, rng, rupture) if over else lived

    def _ended(self, course: Course, index: int, rng: Random, rupture: Rupture | None) -> Course:
        at = course.sessions[-1].ended_at + timedelta(days=2)
        others = [c for c in self.clinicians if c.clinic_id == course.clinic_id and c.id != course.clinician_id]
        if others and rng.random() < self.parameters.transferred:
            next_one = replace(
                course, id=self._id(course.id, "successor"), clinician_id=rng.choice(others).id, started_at=at
            )
            weeks = range(1, rng.randint(3, 9))
            starts = [_in_office_hours(at + timedelta(weeks=k)) for k in weeks]
            starts = [start for start in starts if start < self.until - 2 * HOUR]
            successor = self._lived(next_one, index + self.parameters.relationships, rng, starts, over=False)
            return replace(course, ended=(at, "transferred"), successor=successor)
        left = rupture is not None and not rupture.repaired
        reason: EndReason = "stopped_by_client" if left and rng.random() < 0.6 else "completed"
        return replace(course, ended=(at, reason))

    def _dyad(self, course: Course, index: int) -> Dyad:
        p, rng = self.parameters, self._rng("dyad", index)
        around = p.level + self._levels[course.clinic_id] + self._levels[course.clinician_id]
        level = rng.gauss(around, p.level_between_clients)
        return Dyad(
            index=index,
            level=min(10.5, max(4.0, level)),
            spread=min(1.0, max(0.3, p.spread * rng.lognormvariate(0, p.spread_of_spread))),
            trend=rng.gauss(p.trend, 0.04),
            habits={element: rng.gauss(0, p.element_habit) for element in ELEMENTS},
            clinician_level=p.level - p.clinician_below + p.clinician_agrees * (level - p.level) + rng.gauss(0, 0.6),
            varies=rng.random() >= p.always_the_same,
            by_srs=self._rng(course.clinician_id, "srs").random() < p.srs,
        )

    def _planted(self, rng: Random, first: int, end: int, *, going_on: bool) -> Rupture | None:
        """A rupture in the sessions from `first` to before `end`, or none."""
        p = self.parameters
        if rng.random() >= p.ruptured or end - first < 4:
            return None
        kinds: tuple[Kind, ...] = get_args(Kind)
        kind = rng.choices(kinds, weights=(30, 20, 17, 15, 10, 8))[0]  # V 45 %, step 30 %, slide 25 % of whole ones
        length = {"dip": rng.randint(1, 3), "slide": rng.randint(2, 6), "step": 1, "told": 1}.get(kind, 2)
        fall = rng.uniform(*(p.deep_fall if rng.random() < p.deep else p.faint_fall))
        fresh = going_on and rng.random() < p.fresh
        start = max(first + 1, end - min(length, 2)) if fresh else rng.randint(min(first + p.onset, end - 2), end - 2)
        return Rupture(
            kind=kind,
            first=start,
            last=start + length - 1,
            fall={"element": fall + 1, "withdrawal": 0.5, "told": 0.4}.get(kind, fall),
            elements=tuple(rng.sample(ELEMENTS, rng.randint(1, 3))) if kind == "element" else ELEMENTS,
            repaired=kind != "step" and rng.random() < p.repaired,
        )

    def _session(
        self, dyad: Dyad, relationship: UUID, number: int, starts_at: datetime, rupture: Rupture | None
    ) -> Session:
        p, rng = self.parameters, self._rng(relationship, "session", number)
        session = Session(
            id=self._id(relationship, "session", number),
            number=number,
            starts_at=starts_at,
            entered_late=rng.random() < p.entered_late and starts_at < self.until - SETTLED,
        )
        ruptured = rupture is not None and rupture.covers(number)
        away = rng.random()
        if rupture is not None and rupture.kind == "withdrawal" and rupture.first <= number <= rupture.last:
            away = 0.0
        if away < p.missed:
            return replace(session, outcome="missed")
        if away < p.missed + p.cancelled:
            by = rng.choice(CANCELS)
            notice = timedelta(hours=rng.uniform(1, 72))
            return replace(session, outcome="cancelled", cancelled_by=by, cancelled_at=starts_at - notice)
        unanswered = p.unanswered * (2 if ruptured else 1)
        client = None if rng.random() < unanswered else self._client_said(dyad, session, rupture, rng)
        clinician = None if rng.random() < p.unanswered else self._clinician_said(dyad, session, rupture, rng)
        return replace(session, client=client, clinician=clinician)

    def _client_said(self, dyad: Dyad, session: Session, rupture: Rupture | None, rng: Random) -> Said:
        number = session.number
        felt = dyad.level + dyad.trend * number + self._noise(dyad, number)
        if rng.random() < self.parameters.bad_days:
            felt -= rng.uniform(1, 2)
        ratings = {element: self._rating(felt, dyad, element, rupture, number, rng) for element in ELEMENTS}
        tension, talked_about = _tension(rupture, number, 0.5, rng)
        return self._said(dyad, session, ratings, tension, talked_about, rng)

    def _clinician_said(self, dyad: Dyad, session: Session, rupture: Rupture | None, rng: Random) -> Said:
        notices = rng.random() < self.parameters.clinician_notices
        noticed = rupture if notices else None
        felt = dyad.clinician_level + rng.gauss(0, dyad.spread) - (noticed.depth(session.number) / 2 if noticed else 0)
        ratings = {element: _whole(felt + rng.gauss(0, self.parameters.element_noise)) for element in ELEMENTS}
        tension, talked_about = _tension(noticed, session.number, 0.3, rng)
        return self._said(replace(dyad, by_srs=False), session, ratings, tension, talked_about, rng)

    def _noise(self, dyad: Dyad, number: int) -> float:
        """A moving average, so that the noise of any session follows from its number alone."""
        carry = self.parameters.carry
        now, before = (self._rng("noise", dyad.index, k).gauss(0, 1) for k in (number, number - 1))
        return dyad.spread * (now + carry * before) / math.sqrt(1 + carry**2)

    def _rating(
        self, felt: float, dyad: Dyad, element: Element, rupture: Rupture | None, number: int, rng: Random
    ) -> int:
        noise = rng.gauss(0, self.parameters.element_noise)
        if not dyad.varies:
            return _whole(dyad.level)
        # A level above the scale is where the ceiling hides; a rupture is felt from what can be said downwards.
        usual = min(10.0, felt + dyad.habits[element] + noise)
        fallen = rupture.depth(number) if rupture is not None and element in rupture.elements else 0.0
        return _whole(usual - fallen)

    def _said(
        self,
        dyad: Dyad,
        session: Session,
        ratings: dict[Element, int],
        tension: Tension | None,
        talked_about: TalkedAbout | None,
        rng: Random,
    ) -> Said:
        p = self.parameters
        after = rng.uniform(80, 120) if rng.random() < p.answered_late else rng.uniform(0.1, 30)
        srs = round(4 * sum(ratings.values()) / len(ratings)) if dyad.by_srs else None
        at = min(session.ended_at + after * HOUR, max(self.until, session.ended_at))
        said = Said(at, {} if dyad.by_srs else ratings, srs, tension, talked_about)
        corrects = rng.random()
        if self.until - session.ended_at < WINDOW and srs is None:
            return replace(said, at=None)  # there is still time to answer by the link
        if self.until - session.ended_at < SETTLED or srs is not None:
            return said
        later = replace(said, at=at + 20 * HOUR)
        if corrects < p.misread and tension is None:
            return replace(said, ratings={e: 10 - rating for e, rating in ratings.items()}, corrected=later)
        if corrects < p.misread + p.corrected:
            return replace(said, corrected=replace(later, ratings={**ratings, "trust": max(0, ratings["trust"] - 1)}))
        return said


def _tension(
    rupture: Rupture | None, number: int, tells: float, rng: Random
) -> tuple[Tension | None, TalkedAbout | None]:
    """Whether there was a moment of tension, and whether it was talked about; nobody has to say."""
    if rupture is not None and rupture.kind == "told" and number == rupture.first:
        return "yes", "not"
    draw = rng.random()
    if rupture is not None and rupture.covers(number) and draw < tells:
        return rng.choice(("a_little", "yes")), rng.choice(("not", "partly", "yes"))
    if draw > 0.95:
        return "a_little", "yes"
    return ("none" if draw > 0.3 else None), None


def _in_office_hours(moment: datetime) -> datetime:
    """On the same day, between eight and six."""
    return moment.replace(hour=8 + moment.hour * 10 // 24, minute=moment.minute // 30 * 30, second=0, microsecond=0)


def _whole(rating: float) -> int:
    return min(10, max(0, round(rating)))
