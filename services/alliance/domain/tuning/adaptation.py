"""Adapting the thresholds to a clinic's own history, so that the false-alarm promise holds there.

In the history nobody marked the ruptures. So the share of *all* relationships with an alarm is compared with the share
that is wanted: the false alarms of the stable ones, and the detected ruptures of the others. The adaptation is bounded:
a clinic with poor alliances must not be alerted less for it. The floor and direct reports know no threshold.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, pairwise
from math import exp
from uuid import UUID

from services.alliance.domain.detection.components import log_odds
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policy, Prior
from services.alliance.domain.state.history import HistoryEvent, apply_corrections, sort_events
from services.alliance.domain.tuning.calibration import collect_sample, fit_prior
from services.alliance.domain.tuning.replay import replay_episodes
from shared.events import ConsentGiven, ConsentWithdrawn, SessionCancelled, SessionCompleted, SessionMissed

DEFAULT_TARGET = 0.20  # share of the stable relationships that may be alarmed in one span
SPAN = 16  # appointments: the span of the promise
MIN_SPAN = 8  # appointments; a shorter rest of a history is left out
EXPECTED_DETECTED = 0.45  # share of the ruptures that cause an alarm at some time in their span: an assumption
MAX_OFFSET = 0.5  # log-odds from the shipped threshold, either way
MAX_SUGGESTED_OFFSET = 2 * MAX_OFFSET  # farther away than this, a straight line through the replays says nothing
MAX_CONCERN = 0.95
MIN_PROBABILITY, MAX_PROBABILITY = 0.0001, 0.9999  # more decimals would be unreadable
OFFSETS = (-0.5, -0.25, 0.0, 0.25, 0.5)
"""In log-odds from the shipped threshold: where a history is replayed. Between them it is interpolated."""
MAX_HAZARD = 20.0  # of an alarm in sixteen appointments; at this, practically all spans are alarmed
MIN_SPANS = 60.0  # of sixteen appointments; with fewer the threshold stays as shipped
SHRINKAGE_SPANS = 80.0
"""How many spans the shipped threshold is worth.

The best weight of a history with n spans is n / (n + k), where k is 200 times the squared ratio of the error with which
200 spans measure the share of false alarms (about 3.5 points) to how much that share differs between clinics with a
refitted prior (about 5.5 points). Both were estimated once, on simulated clinics other than those of the evaluation.
"""


@dataclass(frozen=True, slots=True)
class Adaptation:
    """A policy for a clinic, and what the clinic's history says about it."""

    policy: Policy
    spans: float
    """How many spans of sixteen appointments the history has; a shorter one counts in proportion."""
    alarmed_share: float
    """Share of the relationships, with and without ruptures, that this policy alarms in sixteen appointments."""
    suggested_threshold: float | None
    """What the history suggests for `concern`, whatever the bounds; None if it is too short to say."""
    is_bounded: bool
    """Whether the bounds hold the threshold back from what the history suggests."""


def adapt_policy(
    histories: Collection[Sequence[HistoryEvent]], policy: Policy, target: float = DEFAULT_TARGET
) -> Adaptation:
    """The policy under which about this share of stable relationships is falsely alarmed in sixteen appointments.

    Raises InsufficientHistory if the prior cannot be fitted.
    """
    prior = fit_prior([collect_sample(history, policy.late_hours) for history in histories], policy.prior)
    replays = Replays(policy, prior)
    for history in histories:
        replays.add(history)
    return replays.adapt(target)


class Replays:
    """What each of the thresholds would have raised; histories are added one by one and need not be in memory."""

    def __init__(self, policy: Policy, prior: Prior) -> None:
        self._policy = policy.model_copy(update={"prior": prior})
        self._candidates = {offset: with_offset(self._policy, offset) for offset in OFFSETS}
        self._spans = Counter[int]()  # by their number of appointments
        self._alarmed_spans = {offset: Counter[int]() for offset in OFFSETS}

    def add(self, history: Sequence[HistoryEvent]) -> None:
        times = appointment_times(history)
        lengths = list(span_lengths(len(times)))
        self._spans.update(lengths)
        if not lengths:
            return
        for offset, candidate in self._candidates.items():
            alarmed = {
                max(bisect_right(times, episode.raised_at) - 1, 0) // SPAN
                for episode in replay_episodes(history, candidate)
                if episode.is_alert and episode.peak_probability >= candidate.concern  # the floor knows no budget
            }
            self._alarmed_spans[offset].update(lengths[span] for span in alarmed if span < len(lengths))

    def adapt(self, target: float) -> Adaptation:
        """The adaptation to the histories so far."""
        spans = sum(length * count for length, count in self._spans.items()) / SPAN
        shares = [alarmed_share(self._spans, self._alarmed_spans[offset]) for offset in OFFSETS]
        # By chance a higher threshold may raise an alarm in a span in which a lower one raises none.
        shares = list(accumulate(reversed(shares), max))[::-1]
        if spans < MIN_SPANS:
            return Adaptation(with_offset(self._policy, 0.0), spans, share_at(0.0, shares), None, is_bounded=False)
        suggested = (
            suggest_offset(shares, wanted_share(self._policy.base_rate, target)) * spans / (spans + SHRINKAGE_SPANS)
        )
        offset = min(max(suggested, -MAX_OFFSET), max_offset(DEFAULT_POLICY.concern))
        return Adaptation(
            with_offset(self._policy, offset),
            spans,
            share_at(offset, shares),
            _round(_shift(DEFAULT_POLICY.concern, suggested)),
            is_bounded=offset != suggested,
        )


def wanted_share(base_rate: float, target: float) -> float:
    """The share of all relationships that is alarmed if `target` of the stable ones is, and ruptures as assumed."""
    return (1 - base_rate) * target + base_rate * EXPECTED_DETECTED


def appointment_times(history: Iterable[HistoryEvent]) -> list[datetime]:
    """When the appointments were held, missed or cancelled, as far as an alarm was possible then, sorted."""
    times, has_consent = dict[UUID, datetime](), False
    for event in apply_corrections(sort_events(history)):
        match event:
            case ConsentGiven() | ConsentWithdrawn():
                has_consent = isinstance(event, ConsentGiven)
            case SessionMissed(source_gap=True) | SessionCancelled(source_gap=True):
                pass
            case SessionCompleted() | SessionMissed() | SessionCancelled() if has_consent:
                times.setdefault(event.session_id, event.occurred_at)
            case _:
                pass
    return list(times.values())


def span_lengths(appointments: int) -> Iterator[int]:
    """The spans of so many consecutive appointments."""
    full, rest = divmod(appointments, SPAN)
    yield from [SPAN] * full
    if rest >= MIN_SPAN:
        yield rest


def alarmed_share(spans: Counter[int], alarmed_spans: Counter[int]) -> float:
    """The share of spans of sixteen appointments with an alarm, given how many there are, and are alarmed, by length.

    With a constant hazard, a span is alarmed with the probability 1 - exp(-hazard * length / 16). The slope of the
    log-likelihood falls with the hazard, so the most likely hazard is found by bisection.
    """
    exposure_without_alarm = sum((spans[length] - alarmed_spans[length]) * length / SPAN for length in spans)
    if exposure_without_alarm == 0:
        return 1.0 if spans else 0.0
    low, high = 0.0, MAX_HAZARD
    while high - low > 1e-6:
        hazard = (low + high) / 2
        exposure_with_alarm = sum(
            count * length / SPAN / (exp(hazard * length / SPAN) - 1) for length, count in alarmed_spans.items()
        )
        low, high = (hazard, high) if exposure_with_alarm > exposure_without_alarm else (low, hazard)
    return 1 - exp(-low)


def suggest_offset(shares: Sequence[float], wanted: float) -> float:
    """The offset at which the wanted share is alarmed, given the falling `shares` at OFFSETS."""
    for (low, high), (at_low, at_high) in zip(pairwise(OFFSETS), pairwise(shares), strict=True):
        if at_high <= wanted <= at_low:
            return low if at_low == at_high else low + (high - low) * (at_low - wanted) / (at_low - at_high)
    nearest, share = (OFFSETS[0], shares[0]) if wanted > shares[0] else (OFFSETS[-1], shares[-1])
    fall = (shares[0] - shares[-1]) / (OFFSETS[-1] - OFFSETS[0])
    distance = abs(share - wanted) / max(fall, 1e-9)
    beyond = min(abs(nearest) + distance, MAX_SUGGESTED_OFFSET)
    return beyond if nearest > 0 else -beyond


def share_at(offset: float, shares: Sequence[float]) -> float:
    """The share at an offset between the bounds, given the `shares` at OFFSETS."""
    segments = zip(pairwise(OFFSETS), pairwise(shares), strict=True)
    (low, high), (at_low, at_high) = next(segment for segment in segments if offset <= segment[0][1])
    return at_low + (at_high - at_low) * (offset - low) / (high - low)


def max_offset(shipped: float) -> float:
    """How far above the shipped threshold a clinic's may be."""
    return min(MAX_OFFSET, log_odds(MAX_CONCERN) - log_odds(shipped))


def with_offset(policy: Policy, offset: float) -> Policy:
    """The policy with `concern` at this offset from the shipped one; `watch` and `urgent` move by the same log-odds."""
    concern = _shift(DEFAULT_POLICY.concern, offset)
    change = log_odds(concern) - log_odds(policy.concern)
    changes = {
        "watch": _round(_shift(policy.watch, change)),
        "concern": _round(concern),
        "urgent": _round(_shift(policy.urgent, change)),
    }
    return Policy.model_validate(policy.model_dump() | changes)


def _shift(probability: float, offset: float) -> float:
    """The probability whose log-odds are higher by `offset`."""
    return 1 / (1 + exp(-log_odds(probability) - offset))


def _round(probability: float) -> float:
    """Round as in the policy file, so that the policy that was tried is the one that is written."""
    return min(max(round(probability, 4), MIN_PROBABILITY), MAX_PROBABILITY)
