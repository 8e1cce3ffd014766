"""How client and clinician of the simulated network rate their sessions."""

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from shared.events import Element, TalkedAbout, Tension
from tools.sandbox.network.course import ELEMENTS, FEEDBACK_WINDOW, Rupture, Session, SimulatedAnswer
from tools.sandbox.network.parameters import Parameters
from tools.sandbox.network.seed import Seed

ONE_HOUR = timedelta(hours=1)
MIN_CORRECTION_AGE = timedelta(days=10)
"""Corrections and late entries are older: for recent ones it would depend on timing whether a message is required."""


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


class Answers:
    """What client and clinician answer about a session, as it is known at the time `until`."""

    def __init__(self, seed: Seed, until: datetime, parameters: Parameters) -> None:
        self._seed = seed
        self._until = until
        self._parameters = parameters

    def client_answer(self, dyad: Dyad, session: Session, rupture: Rupture | None, rng: Random) -> SimulatedAnswer:
        """What the client answers about this session."""
        number = session.number
        session_level = dyad.level + dyad.trend_per_session * number + self._noise(dyad, number)
        if rng.random() < self._parameters.bad_day_share:
            session_level -= rng.uniform(1, 2)
        ratings = {element: self._rating(session_level, dyad, element, rupture, number, rng) for element in ELEMENTS}
        tension, talked_about = _tension(rupture, number, 0.5, rng)
        return self._create_answer(dyad, session, ratings, tension, talked_about, rng)

    def clinician_answer(self, dyad: Dyad, session: Session, rupture: Rupture | None, rng: Random) -> SimulatedAnswer:
        """What the clinician answers, who notices only some ruptures."""
        has_noticed = rng.random() < self._parameters.clinician_notice_probability
        noticed_rupture = rupture if has_noticed else None
        session_level = (
            dyad.clinician_level
            + rng.gauss(0, dyad.spread)
            - (noticed_rupture.drop_at(session.number) / 2 if noticed_rupture else 0)
        )
        ratings = {
            element: _round_rating(session_level + rng.gauss(0, self._parameters.element_noise)) for element in ELEMENTS
        }
        tension, talked_about = _tension(noticed_rupture, session.number, 0.3, rng)
        return self._create_answer(replace(dyad, uses_srs=False), session, ratings, tension, talked_about, rng)

    def _noise(self, dyad: Dyad, number: int) -> float:
        """A moving average, so that the noise of a session depends only on its number."""
        autocorrelation = self._parameters.noise_autocorrelation
        current, previous = (
            self._seed.random("noise", dyad.index, noise_index).gauss(0, 1) for noise_index in (number, number - 1)
        )
        return dyad.spread * (current + autocorrelation * previous) / math.sqrt(1 + autocorrelation**2)

    def _rating(
        self, session_level: float, dyad: Dyad, element: Element, rupture: Rupture | None, number: int, rng: Random
    ) -> int:
        noise = rng.gauss(0, self._parameters.element_noise)
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
        parameters = self._parameters
        delay_hours = rng.uniform(80, 120) if rng.random() < parameters.late_answer_share else rng.uniform(0.1, 30)
        srs_total = round(4 * sum(ratings.values()) / len(ratings)) if dyad.uses_srs else None
        given_at = min(session.ended_at + delay_hours * ONE_HOUR, max(self._until, session.ended_at))
        answer = SimulatedAnswer(given_at, {} if dyad.uses_srs else ratings, srs_total, tension, talked_about)
        correction_draw = rng.random()
        if self._until - session.ended_at < FEEDBACK_WINDOW and srs_total is None:
            return replace(answer, given_at=None)  # the form link is still valid
        if self._until - session.ended_at < MIN_CORRECTION_AGE or srs_total is not None:
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


def _round_rating(rating: float) -> int:
    return min(10, max(0, round(rating)))
