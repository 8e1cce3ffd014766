"""The service and the evaluation compute the same probability."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from evaluation.attune_model import DIRECT
from evaluation.events import events_of
from evaluation.generator import generate_ruptured
from evaluation.prior import fit_prior
from evaluation.relationships import Relationships
from evaluation.settings import load_settings
from services.alliance.domain.detection import probability
from services.alliance.domain.fold import fold_steps
from services.alliance.domain.policy.policy import Policy

ORDINAL_WORLD = next(world for world in load_settings().worlds if world.name == "ordinal").reported
POLICY_WITHOUT_EPISODES = {"concern": 1 - 1e-12, "urgent": 1 - 1e-12, "element_points": 1e9, "apart_points": 1e9}
POLICY_WITHOUT_EPISODES |= {"low_level": 0, "withdrawal": 1e9}


def without_tension_reports(count: int) -> Relationships:
    """Relationships in which nobody reports tension: a report would open an episode, which freezes the baseline."""
    relationships = generate_ruptured(ORDINAL_WORLD, count, 16, seed=9)
    observations = relationships.observations
    overrides = {
        name: np.where(np.isnan(getattr(observations, name)), np.nan, 0.0)
        for name in ("tension_reported", "tension_reported_by_clinician")
    }
    return replace(
        relationships,
        observations=replace(observations, clinician_first=np.zeros_like(observations.clinician_first), **overrides),
    )


def log_odds_by_week(relationships: Relationships, row: int, policy: Policy) -> dict[int, float]:
    """The highest log-odds at which the service would raise an alarm, by week."""
    highest: dict[int, float] = {}
    first_session_at = None
    for event, _, after in fold_steps(events_of(relationships.observations, row), policy):
        if not hasattr(event, "session_id") or not after.has_consent:
            continue
        first_session_at = first_session_at or event.occurred_at
        week = (event.occurred_at - first_session_at).days // 7
        session = next(candidate for candidate in after.recent_sessions if candidate.session_id == event.session_id)
        if session.attendance == "cancelled" or (session.attendance == "held" and not session.is_client_feedback_known):
            continue
        highest[week] = max(highest.get(week, -99.0), probability.log_odds(after.rupture_probability))
    return highest


def test_the_service_and_the_evaluation_compute_the_same_log_odds() -> None:
    relationships = without_tension_reports(150)
    prior = fit_prior(relationships)
    policy = Policy.model_validate({"prior": asdict(prior), **POLICY_WITHOUT_EPISODES})
    expected = DIRECT(relationships, prior)
    compared_count = 0
    for row in range(len(relationships)):
        for week, log_odds in log_odds_by_week(relationships, row, policy).items():
            if week and not np.isnan(expected[row, week]):
                assert log_odds == pytest.approx(expected[row, week], abs=1e-9), (row, week)
                compared_count += 1
    assert compared_count > 1500
