"""Decides whether the signs of a session open an episode."""

from collections.abc import Sequence

from services.alliance.domain.detection import components, episodes
from services.alliance.domain.detection.detectors import DIRECT_DETECTORS, Detector, Observation, stands_alone
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.fast_replace import replace
from shared.events import Evidence

MIN_SIGN_STRENGTH = 0.2  # of what makes an episode of concern; a weaker sign is reported only if there is no other


def detect_rupture(observation: Observation, detectors: Sequence[Detector]) -> Alliance:
    """The alliance after the decision on the signs that `detectors` find, while consent is in force.

    The signs open an episode, are added to the open one, or are remembered until more of them follow. A clinician's
    answer waits for the client's: the two are assessed together, unless a sign stands alone.
    """
    after, session = observation.after, observation.session
    if not after.has_consent or after.ended_at is not None:
        return after
    detected = [sign for detector in DIRECT_DETECTORS for sign in detector(observation)]
    if 1 - after.components[components.CALM] >= components.MIN_TO_KEEP_SIGNS:  # else nothing worth naming has moved it
        detected += [sign for detector in detectors for sign in detector(observation)]
    signs = [sign for sign in detected if sign.strength >= MIN_SIGN_STRENGTH]
    waits_for_client = session.attendance == "held" and not session.is_client_feedback_known
    is_worth_watching = not waits_for_client and observation.probability >= observation.policy.watch
    if is_worth_watching or any(map(stands_alone, signs)):
        # Weak signs can add up; then the strongest of this event is reported, because an episode needs a reason.
        reported = [*after.signs, *(signs or sorted(detected, key=_strength)[-1:])]
        # An open episode does not grow by signs that are in it already.
        if reported and (signs or after.open_episode is None):
            return episodes.add_signs(after, observation.event, reported, observation.probability, observation.policy)
        return after
    if after.open_episode is not None or not signs:
        return after
    return replace(after, signs=episodes.select_signs([*after.signs, *signs]))


def _strength(sign: Evidence) -> float:
    return sign.strength
