"""How signs become an episode, how it grows, and how it ends."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from services.alliance.domain.detection import components
from services.alliance.domain.detection.baseline import expect_rating, restart_baseline, restart_element_gaps
from services.alliance.domain.detection.detectors import ObservedEvent, stands_alone
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Alliance, EndedEpisode, Episode, Retraction, ShiftedLevel
from services.alliance.domain.state.fast_replace import replace
from services.alliance.domain.state.ratings import Series
from shared.events import AlertResolved, Element, Evidence, FeedbackSubmitted, LevelShift, Severity
from shared.events.intake import EndReason
from shared.events.model import SEVERITY_RANK

LEVEL_SHIFT_AFTER = timedelta(weeks=8)  # a rupture does not become usual within weeks
EXPIRES_AFTER = timedelta(weeks=16)  # without a sign or a rating by the client; no answer may ever come to end it
RATING_DETECTORS = frozenset({"at_floor", "low_again", "sudden_drop", "sustained_slide", "element_drop"})
"""The detectors that find a client's rating low."""
MIN_LEVEL_RATINGS = 4  # ratings in an episode that show another level


def add_signs(
    alliance: Alliance, event: ObservedEvent, signs: Sequence[Evidence], probability: float, policy: Policy
) -> Alliance:
    """Open an episode at its first sign, or add the signs to the one that is open."""
    episode, severity = alliance.open_episode, _severity(signs, probability, policy)
    if episode is None:
        new_episode = Episode(
            id=event.derive_id("rupture"),
            first_sign_at=event.occurred_at,
            last_sign_at=event.occurred_at,
            severity=severity,
            evidence=select_signs(signs),
            recorded_at=_recorded_at(event),
            probability=probability,
            opening_rating=_low_rating(alliance, signs),
        )
        return replace(alliance, open_episode=new_episode, signs=())
    updated = replace(
        episode,
        last_sign_at=event.occurred_at,
        severity=max(episode.severity, severity, key=SEVERITY_RANK.__getitem__),
        evidence=select_signs([*episode.evidence, *signs]),
        change_count=episode.change_count + 1,
        calm_ratings=0,
        recorded_at=_recorded_at(event),
        probability=max(probability, episode.probability or 0.0),
        opening_rating=_low_rating(alliance, signs) if episode.opening_rating is None else episode.opening_rating,
    )
    return replace(alliance, open_episode=updated, signs=())


def _low_rating(alliance: Alliance, signs: Iterable[Evidence]) -> float | None:
    """The client's latest rating that is one of the signs; a usual rating with a reported tension is none."""
    low_ratings = [sign for sign in signs if sign.detector in RATING_DETECTORS and sign.session_id]
    latest = max(low_ratings, key=_time, default=None)
    session = alliance.find_session(latest.session_id) if latest and latest.session_id else None
    return session.client_rating if session else None


def _severity(signs: Iterable[Evidence], probability: float, policy: Policy) -> Severity:
    """The severity at this probability; what the client rated very low, or low again, is of concern at any."""
    severity = policy.severity(probability)
    if severity == "watch" and any(sign.detector in ("at_floor", "low_again") for sign in signs):
        return "concern"
    return severity


def record_calm_rating(alliance: Alliance, episode: Episode, at: datetime, policy: Policy) -> Alliance:
    """One more rating within the relationship's own range; enough of them repair the open `episode`."""
    updated = replace(episode, calm_ratings=episode.calm_ratings + 1)
    if updated.calm_ratings < policy.repair_ratings:
        return replace(alliance, open_episode=updated)
    return replace(start_anew(alliance), open_episode=None, last_repaired=replace(updated, closed_at=at))


def reset_calm_ratings(alliance: Alliance, episode: Episode) -> Alliance:
    """Apply a rating that is no new sign, but not within the relationship's own range either."""
    return replace(alliance, open_episode=replace(episode, calm_ratings=0))


def is_of_concern(episode: Episode | None) -> bool:
    """Whether the episode is more than something to watch."""
    return episode is not None and episode.severity != "watch"


def is_withdrawal_only(episode: Episode) -> bool:
    """Whether absence is the only evidence, so that attending again repairs the episode."""
    return all(sign.detector == "withdrawal" for sign in episode.evidence)


def is_without_client(episode: Episode) -> bool:
    """Whether the client has neither rated nor reported anything in it, so that only the clinician's ratings end it."""
    return episode.ratings == 0 and all(
        sign.detector in ("clinician_drop", "withdrawal") or sign.numbers.get("by_client") == 0
        for sign in episode.evidence
    )


def is_level_shift(episode: Episode, at: datetime) -> bool:
    """Whether the episode has lasted so long that its ratings are another level, and no longer a rupture."""
    return at - episode.first_sign_at >= LEVEL_SHIFT_AFTER and episode.ratings >= MIN_LEVEL_RATINGS


def is_clinician_level_shift(alliance: Alliance, episode: Episode, at: datetime) -> bool:
    """The same of an episode without the client: the clinician has rated low so often in a row."""
    is_lasting = alliance.clinician.below_expected_streak >= MIN_LEVEL_RATINGS
    return at - episode.first_sign_at >= LEVEL_SHIFT_AFTER and is_lasting


def is_low_rating(episode: Episode, event: FeedbackSubmitted) -> bool:
    """Whether the client's answer is one of the low ratings in the episode; a usual rating with a tension is none."""
    return any(s.detector in RATING_DETECTORS and s.session_id == event.session_id for s in episode.evidence)


def is_apart(episode: Episode, event: FeedbackSubmitted) -> bool:
    """Whether client and clinician rated the session apart, and the client's rating is not low."""
    detectors = {sign.detector for sign in episode.evidence if sign.session_id == event.session_id}
    return "apart" in detectors and not detectors & RATING_DETECTORS


def is_said_directly(episode: Episode, event: FeedbackSubmitted) -> bool:
    """Whether the client's answer is worth watching at any probability: it must not end the episode too."""
    return any(stands_alone(s) and s.session_id == event.session_id for s in episode.evidence)


def end_with_level_shift(alliance: Alliance, episode: Episode, at: datetime, policy: Policy) -> Alliance:
    """End the open `episode`, which was not repaired: what its ratings were lately is the baseline from now on."""
    restarted = restart_baselines(alliance, episode, policy)
    direction: LevelShift = "lower" if _is_lower(alliance, episode, restarted, policy) else "higher"
    return end_open_episode(restarted, EndedEpisode(episode, at, "level_shift", shift=direction))


def end_with_clinician_level_shift(alliance: Alliance, episode: Episode, at: datetime, shift: LevelShift) -> Alliance:
    """The same where only the clinician's ratings are at another level; the client's is as it was."""
    restarted = restart_baseline(alliance.clinician, MIN_LEVEL_RATINGS)
    ended = EndedEpisode(episode, at, "level_shift", shift=shift)
    return end_open_episode(replace(start_anew(alliance), clinician=restarted), ended)


def restart_baselines(alliance: Alliance, episode: Episode, policy: Policy) -> Alliance:
    """Start anew from the level of the ratings in the `episode`, and remember since when it is another one."""
    restarted = replace(
        start_anew(alliance),
        client=restart_baseline(alliance.client, episode.ratings),
        clinician=restart_baseline(alliance.clinician, episode.ratings),
        element_gaps=restart_element_gaps(alliance.element_gaps, alliance.element_scores),
    )
    before = expect_rating(usual_series(alliance, episode), policy.prior.client)
    is_lower = _is_lower(alliance, episode, restarted, policy)
    earlier = alliance.shifted_level
    if earlier is not None and (earlier.direction == "lower") == is_lower:
        return restarted  # since the first of them
    limit = before.low if is_lower else before.high
    shifted = ShiftedLevel(episode.first_sign_at, "lower" if is_lower else "higher", limit)
    return replace(restarted, shifted_level=shifted)


def usual_series(alliance: Alliance, episode: Episode) -> Series:
    """The ratings that say what was usual before the episode: of the scale before, if this one is first used in it."""
    if alliance.client.ratings > episode.ratings or not alliance.other_scales:
        return alliance.client
    return next(reversed(alliance.other_scales.values())).client


def _is_lower(before: Alliance, episode: Episode, after: Alliance, policy: Policy) -> bool:
    prior = policy.prior.client
    return expect_rating(after.client, prior).mean < expect_rating(usual_series(before, episode), prior).mean


def expire_episode(alliance: Alliance, at: datetime) -> Alliance:
    """End the open episode if there has been neither a sign nor a rating by the client for long."""
    episode, rated_at = alliance.open_episode, alliance.client.last_at
    if episode is None or at - max(episode.last_sign_at, rated_at or episode.last_sign_at) < EXPIRES_AFTER:
        return alliance
    return end_open_episode(start_anew(alliance), EndedEpisode(episode, at, "expired"))


def end_open_episode(alliance: Alliance, ended: EndedEpisode) -> Alliance:
    """End the open episode, which was neither repaired nor retracted."""
    return replace(alliance, open_episode=None, last_ended=ended)


def resolve_episode(alliance: Alliance, event: AlertResolved) -> Alliance:
    """End the open episode if the resolved alert is about it. The baseline stays as it is, and adapts again.

    What was said before opens nothing by itself, and what is said after counts in full: a clinician cannot mute a
    client. The client's next answer that is as low as the one at which the episode opened opens another (`low_again`).
    """
    episode = alliance.open_episode
    if episode is None or episode.id != event.episode_id:
        return alliance
    level = alliance.resolved_level if episode.opening_rating is None else episode.opening_rating
    return replace(
        start_anew(end_open_episode(alliance, EndedEpisode(episode, event.occurred_at, "resolved"))),
        resolved_level=level,
    )


def retract_open_episode(
    alliance: Alliance,
    at: datetime,
    reason: Literal["ended", "consent_withdrawn"],
    end_reason: EndReason | None = None,
) -> Alliance:
    """Close the open episode, because the relationship ended or the client withdrew consent. Suspicion starts anew."""
    reset = start_anew(alliance)
    if alliance.open_episode is None:
        return reset
    return replace(reset, open_episode=None, last_retraction=Retraction(alliance.open_episode, at, reason, end_reason))


def start_anew(alliance: Alliance) -> Alliance:
    """The alliance without suspicion; what was said before opens nothing by itself."""
    return replace(
        alliance,
        components=components.START,
        signs=(),
        client=replace(alliance.client, below_expected_streak=0),
    )


def _recorded_at(event: ObservedEvent) -> datetime | None:
    return event.recorded_at if isinstance(event, FeedbackSubmitted) else None


def select_signs(signs: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """At most three of each detector, element and reporter, in the order of time.

    The strongest, the newest, and the newest that is worth watching by itself: as long as the episode is open, it says
    that the alert needs no probability.
    """
    by_key: dict[tuple[str, Element | None, float | None], list[Evidence]] = {}
    for sign in signs:
        by_key.setdefault((sign.detector, sign.element, sign.numbers.get("by_client")), []).append(sign)
    selected = {
        id(sign): sign
        for group in by_key.values()
        for sign in (max(group, key=_strength_then_time), max(group, key=_time), *_newest_standing_alone(group))
    }
    return tuple(sorted(selected.values(), key=_time))


def _newest_standing_alone(signs: Iterable[Evidence]) -> list[Evidence]:
    return sorted(filter(stands_alone, signs), key=_time)[-1:]


def stated_probability(episode: Episode) -> float | None:
    """The probability that its alert states; None if the client said it in words or numbers that need none."""
    return None if any(map(stands_alone, episode.evidence)) else episode.probability


def _time(sign: Evidence) -> datetime:
    return sign.occurred_at


def _strength_then_time(sign: Evidence) -> tuple[float, datetime]:
    return sign.strength, sign.occurred_at
