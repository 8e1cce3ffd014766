"""What `calibrate` says about the policy that it writes."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.tuning.adaptation import Adaptation
from services.alliance.policies.calibrate import list_warnings, policy_heading

CLINIC = UUID(int=1)


def adaptation_to(concern: float, suggested: float | None, is_bounded: bool) -> Adaptation:
    policy = Policy(concern=concern, watch=concern)
    return Adaptation(policy, 412.5, 0.31, suggested, is_bounded)


def test_the_heading_says_what_the_target_is_and_what_knows_no_threshold() -> None:
    adaptation = adaptation_to(0.2, 0.2, is_bounded=False)

    heading = policy_heading(CLINIC, datetime(2026, 3, 1, tzinfo=UTC), 0.2, adaptation)

    assert max(map(len, heading)) <= 110
    text = " ".join(heading)
    assert f"clinic {CLINIC}, calibrated on 2026-03-01 to its own history: 412 spans of sixteen appointments." in text
    assert "Target: 20% of the stable relationships" in text
    assert "If 15% of all relationships have a rupture, 24% of all are then alarmed." in text
    assert "the policy would have alarmed 31%." in text
    assert "What a client rates very low, and what is reported directly, is shown at any threshold." in text
    assert "Warning" not in text
    assert list_warnings(adaptation) == []


@pytest.mark.parametrize(
    ("adaptation", "warning"),
    [
        (
            adaptation_to(0.2254, 0.3, is_bounded=True),
            "the history suggests a threshold of 0.3 for concern. It is bounded to 0.2254, "
            "because a clinic with poor alliances must not be alerted less for it",
        ),
        (
            adaptation_to(0.0967, 0.08, is_bounded=True),
            "the history suggests a threshold of 0.08 for concern. It is bounded to 0.0967, "
            "because a history with few alarms is no reason to alarm at every doubt",
        ),
        (
            adaptation_to(0.15, None, is_bounded=False),
            "the threshold stays as shipped: the history has 412 spans of sixteen appointments, "
            "and adapting it needs 60",
        ),
    ],
)
def test_a_threshold_that_is_not_what_the_history_suggests_is_explained(adaptation: Adaptation, warning: str) -> None:
    assert list_warnings(adaptation) == [warning]
    assert f"Warning: {warning}" in " ".join(policy_heading(CLINIC, datetime(2026, 3, 1, tzinfo=UTC), 0.2, adaptation))
