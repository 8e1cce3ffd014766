"""Refits a clinic's prior to its own history, and suggests thresholds for a target number of alerts."""

from dataclasses import dataclass
from uuid import UUID

from services.alliance.domain.policy.policy import Policy, Prior
from services.alliance.domain.tuning.calibration import (
    CANDIDATE_THRESHOLDS,
    MAX_URGENT_RATIO,
    MIN_ALERTS,
    InsufficientHistory,
    RelationshipSample,
    collect_sample,
    fit_prior,
    suggest_concern_threshold,
    suggest_urgent_threshold,
)
from services.alliance.domain.tuning.replay import ClinicianWeek, ReplayedEpisode, appointment_weeks, replay_episodes
from services.alliance.policies.backtest import ReportProgress, read_histories
from services.alliance.store.protocol import Store


@dataclass(frozen=True, slots=True)
class Calibration:
    """A policy for a clinic, and what it would have raised on the clinic's history."""

    policy: Policy
    relationships: int
    weeks: int
    """Clinician weeks with an appointment."""
    alerts: int
    urgent_alerts: int
    is_target_reached: bool
    """False if no threshold comes close to the target."""

    @property
    def alerts_per_week(self) -> float:
        return self.alerts / self.weeks


async def calibrate_policy(
    store: Store, policy: Policy, clinic: UUID, target_rate: float, report_progress: ReportProgress
) -> Calibration:
    """The policy that raises `target_rate` alerts per clinician and week on the clinic's history, or comes closest.

    Reads the history three times, so that it need not fit into memory. Raises InsufficientHistory; writes nothing.
    """
    samples, clinician_weeks = await _read_samples(store, policy, clinic, report_progress)
    prior = fit_prior(samples, policy.prior)
    target_alerts = target_rate * len(clinician_weeks)
    if target_alerts < MIN_ALERTS:
        raise InsufficientHistory(
            f"{target_rate:g} alerts per clinician and week are {target_alerts:.1f} alerts "
            f"in {len(clinician_weeks)} recorded weeks; a threshold needs at least {MIN_ALERTS:.0f}"
        )
    alert_counts = dict.fromkeys(CANDIDATE_THRESHOLDS, 0)
    async for page in read_histories(store, clinic, report_progress):
        for events in page.values():
            for threshold in CANDIDATE_THRESHOLDS:
                alert_counts[threshold] += len(
                    _only_alerts(replay_episodes(events, _with_thresholds(policy, prior, threshold, 0.0)))
                )
    suggestion = suggest_concern_threshold(alert_counts, target_alerts)
    raised_alerts: list[ReplayedEpisode] = []
    async for page in read_histories(store, clinic, report_progress):
        for events in page.values():
            raised_alerts += _only_alerts(
                replay_episodes(events, _with_thresholds(policy, prior, suggestion.threshold, 0.0))
            )
    peaks = [alert.peak_probability for alert in raised_alerts]
    new_policy = _with_thresholds(
        policy,
        prior,
        suggestion.threshold,
        suggest_urgent_threshold(peaks, target_alerts * MAX_URGENT_RATIO, suggestion.threshold),
    )
    urgent_alerts = sum(new_policy.severity(peak) == "urgent" for peak in peaks)
    return Calibration(
        new_policy, len(samples), len(clinician_weeks), len(raised_alerts), urgent_alerts, suggestion.is_reached
    )


async def _read_samples(
    store: Store, policy: Policy, clinic: UUID, report_progress: ReportProgress
) -> tuple[list[RelationshipSample], set[ClinicianWeek]]:
    samples: list[RelationshipSample] = []
    clinician_weeks: set[ClinicianWeek] = set()
    async for page in read_histories(store, clinic, report_progress):
        for events in page.values():
            samples.append(collect_sample(events, policy.late_hours))
            clinician_weeks |= appointment_weeks(events)
    return samples, clinician_weeks


def _only_alerts(episodes: list[ReplayedEpisode]) -> list[ReplayedEpisode]:
    return [episode for episode in episodes if episode.is_alert]


def _with_thresholds(policy: Policy, prior: Prior, concern: float, urgent: float) -> Policy:
    changes = {"prior": prior.model_dump(), "concern": concern, "urgent": max(concern, urgent)}
    return Policy.model_validate(policy.model_dump() | changes)
