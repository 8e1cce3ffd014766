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


async def calibrate(store: Store, policy: Policy, clinic: UUID, wished: float, progress: Progress) -> Calibrated:
    """The policy of a clinic that raises `wished` alerts per clinician and week, as far as its history can say.

    Reads the history three times, so that it need not fit into memory. Raises TooLittle; nothing is written.
    """
    courses, worked = await _read(store, policy, clinic, progress)
    prior = fit(courses, policy.prior)
    wished_in_all = wished * len(worked)
    if wished_in_all < LEAST_ALERTS:
        raise TooLittle(
            f"{wished:g} alerts per clinician and week are {wished_in_all:.1f} in the {len(worked)} weeks there are, "
            f"and it takes {LEAST_ALERTS:.0f} to tell a threshold from chance"
        )
    alerts = dict.fromkeys(TRIED, 0)
    async for page in histories(store, clinic, progress):
        for facts in page.values():
            for threshold in TRIED:
                alerts[threshold] += len(_alerts(replay(facts, _with(policy, prior, threshold, 0.0))))
    concern = suggest(alerts, wished_in_all)
    raised: list[Raised] = []
    async for page in histories(store, clinic, progress):
        for facts in page.values():
            raised += _alerts(replay(facts, _with(policy, prior, concern.threshold, 0.0)))
    peaks = [alert.peak for alert in raised]
    calibrated = _with(policy, prior, concern.threshold, urgent_from(peaks, wished_in_all * URGENT, concern.threshold))
    urgent = sum(calibrated.severity(peak) == "urgent" for peak in peaks)
    return Calibrated(calibrated, len(courses), len(worked), len(raised), urgent, concern.reached)


async def _read(store: Store, policy: Policy, clinic: UUID, progress: Progress) -> tuple[list[Course], set[Week]]:
    courses: list[Course] = []
    worked: set[Week] = set()
    async for page in histories(store, clinic, progress):
        for facts in page.values():
            courses.append(course(facts, policy.late_hours))
            worked |= weeks(facts)
    return courses, worked


def _alerts(raised: list[Raised]) -> list[Raised]:
    return [one for one in raised if one.interrupts]


def _with(policy: Policy, prior: Prior, concern: float, urgent: float) -> Policy:
    changed = {"prior": prior.model_dump(), "concern": concern, "urgent": max(concern, urgent)}
    return Policy.model_validate(policy.model_dump() | changed)
