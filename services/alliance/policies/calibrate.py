"""Refits a clinic's prior to its own history, and suggests thresholds for a wished number of alerts."""

from dataclasses import dataclass
from uuid import UUID

from services.alliance.domain.policy.policy import Policy, Prior
from services.alliance.domain.tuning.calibration import (
    LEAST_ALERTS,
    TRIED,
    URGENT,
    Course,
    TooLittle,
    course,
    fit,
    suggest,
    urgent_from,
)
from services.alliance.domain.tuning.replay import Raised, Week, replay, weeks
from services.alliance.policies.backtest import Progress, histories
from services.alliance.store.mongo import Store


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A policy that suits a clinic, and what it would have raised on the clinic's history."""

    policy: Policy
    relationships: int
    weeks: int
    """Of clinicians with an appointment."""
    alerts: int
    urgent: int
    reached: bool
    """False where no threshold comes near the wished number."""

    @property
    def rate(self) -> float:
        return self.alerts / self.weeks


async def calibrate(store: Store, policy: Policy, clinic: UUID, wished: float, report_progress: Progress) -> Calibrated:
    """The policy of a clinic that raises `wished` alerts per clinician and week, as far as its history can say.

    Reads the history three times, so that it need not fit into memory. Raises TooLittle; nothing is written.
    """
    samples, clinician_weeks = await _read(store, policy, clinic, report_progress)
    prior = fit(samples, policy.prior)
    target_alerts = wished * len(clinician_weeks)
    if target_alerts < LEAST_ALERTS:
        raise TooLittle(
            f"{wished:g} alerts per clinician and week are {target_alerts:.1f} in the {len(clinician_weeks)} weeks there are, "
            f"and it takes {LEAST_ALERTS:.0f} to tell a threshold from chance"
        )
    alert_counts = dict.fromkeys(TRIED, 0)
    async for page in histories(store, clinic, report_progress):
        for events in page.values():
            for threshold in TRIED:
                alert_counts[threshold] += len(_alerts(replay(events, _with(policy, prior, threshold, 0.0))))
    suggestion = suggest(alert_counts, target_alerts)
    raised_alerts: list[Raised] = []
    async for page in histories(store, clinic, report_progress):
        for events in page.values():
            raised_alerts += _alerts(replay(events, _with(policy, prior, suggestion.threshold, 0.0)))
    peaks = [alert.peak for alert in raised_alerts]
    new_policy = _with(
        policy, prior, suggestion.threshold, urgent_from(peaks, target_alerts * URGENT, suggestion.threshold)
    )
    urgent_alerts = sum(new_policy.severity(peak) == "urgent" for peak in peaks)
    return Calibrated(
        new_policy, len(samples), len(clinician_weeks), len(raised_alerts), urgent_alerts, suggestion.reached
    )


async def _read(
    store: Store, policy: Policy, clinic: UUID, report_progress: Progress
) -> tuple[list[Course], set[Week]]:
    samples: list[Course] = []
    clinician_weeks: set[Week] = set()
    async for page in histories(store, clinic, report_progress):
        for events in page.values():
            samples.append(course(events, policy.late_hours))
            clinician_weeks |= weeks(events)
    return samples, clinician_weeks


def _alerts(episodes: list[Raised]) -> list[Raised]:
    return [episode for episode in episodes if episode.interrupts]


def _with(policy: Policy, prior: Prior, concern: float, urgent: float) -> Policy:
    changes = {"prior": prior.model_dump(), "concern": concern, "urgent": max(concern, urgent)}
    return Policy.model_validate(policy.model_dump() | changes)
