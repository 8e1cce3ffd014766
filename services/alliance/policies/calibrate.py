"""Adapts a clinic's policy to its own history, without having all of it in memory."""

from datetime import datetime
from textwrap import wrap
from uuid import UUID

from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.tuning.adaptation import MIN_SPANS, Adaptation, Replays, wanted_share
from services.alliance.domain.tuning.calibration import collect_sample, fit_prior
from services.alliance.policies.backtest import ReportProgress, read_histories
from services.alliance.store.protocol import Store
from shared.access.clinic_id import ClinicId

LINE_WIDTH = 110


async def calibrate_policy(
    store: Store, policy: Policy, clinic: ClinicId, target: float, report_progress: ReportProgress
) -> Adaptation:
    """`adapt_policy`, a page of histories at a time. Raises InsufficientHistory; writes nothing."""
    samples = [
        collect_sample(history, policy.late_hours)
        async for page in read_histories(store, clinic, report_progress)
        for history in page.values()
    ]
    replays = Replays(policy, fit_prior(samples, policy.prior))
    async for page in read_histories(store, clinic, report_progress):
        for history in page.values():
            replays.add(history)
    return replays.adapt(target)


def policy_heading(clinic: UUID, at: datetime, target: float, adaptation: Adaptation) -> list[str]:
    """What a reader of the policy file must know about the adaptation, warnings included."""
    base_rate = adaptation.policy.base_rate
    paragraphs = [
        f"The policy of clinic {clinic}, calibrated on {at:%Y-%m-%d} to its own history: "
        f"{adaptation.spans:.0f} spans of sixteen appointments.",
        f"Target: {target:.0%} of the stable relationships falsely alarmed in sixteen appointments. "
        f"If {base_rate:.0%} of all relationships have a rupture, {wanted_share(base_rate, target):.0%} of all are "
        f"then alarmed. On this history the policy would have alarmed {adaptation.alarmed_share:.0%}.",
        "What a client rates very low, and what is reported directly, is shown at any threshold.",
        *(f"Warning: {warning}" for warning in list_warnings(adaptation)),
    ]
    return [line for paragraph in paragraphs for line in wrap(paragraph, LINE_WIDTH)]


def list_warnings(adaptation: Adaptation) -> list[str]:
    """Why the threshold is not what the history suggests."""
    if adaptation.suggested_threshold is None:
        return [
            f"the threshold stays as shipped: the history has {adaptation.spans:.0f} spans of sixteen appointments, "
            f"and adapting it needs {MIN_SPANS:.0f}"
        ]
    if not adaptation.is_bounded:
        return []
    concern = adaptation.policy.concern
    is_above = adaptation.suggested_threshold > concern
    reason = (
        "a clinic with poor alliances must not be alerted less for it"
        if is_above
        else "a history with few alarms is no reason to alarm at every doubt"
    )
    return [
        f"the history suggests a threshold of {adaptation.suggested_threshold:g} for concern. It is bounded to "
        f"{concern:g}, because {reason}"
    ]
