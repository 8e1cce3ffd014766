"""The service and the evaluation compute the same probability."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from evaluation.attune_model import DIRECT
from evaluation.events import facts_of
from evaluation.generator import ruptured
from evaluation.prior import fit
from evaluation.relationships import Relationships
from evaluation.settings import load
from services.alliance.domain.detection import probability
from services.alliance.domain.fold import states
from services.alliance.domain.policy.policy import Policy

ORDINAL = next(place for place in load().places if place.name == "ordinal").reported
NOTHING_OPENS = {"concern": 1 - 1e-12, "urgent": 1 - 1e-12, "element_points": 1e9, "apart_points": 1e9}
NOTHING_OPENS |= {"low_level": 0, "withdrawal": 1e9}


def quiet(count: int) -> Relationships:
    """Relationships in which nobody tells of a tension: that would open an episode, and hold the baseline."""
    relationships = ruptured(ORDINAL, count, 16, seed=9)
    observations = relationships.seen
    overrides = {
        name: np.where(np.isnan(getattr(observations, name)), np.nan, 0.0) for name in ("told", "told_by_clinician")
    }
    return replace(
        relationships,
        seen=replace(observations, clinician_first=np.zeros_like(observations.clinician_first), **overrides),
    )


def believed(history: Relationships, row: int, policy: Policy) -> dict[int, float]:
    """The highest log-odds at which the service would look, by week."""
    highest: dict[int, float] = {}
    first_session_at = None
    for event, _, after in states(facts_of(history.seen, row), policy):
        if not hasattr(event, "session_id") or not after.watched:
            continue
        first_session_at = first_session_at or event.occurred_at
        week = (event.occurred_at - first_session_at).days // 7
        session = next(candidate for candidate in after.recent if candidate.session_id == event.session_id)
        if session.outcome == "cancelled" or (session.outcome == "held" and not session.heard_of_client):
            continue
        highest[week] = max(highest.get(week, -99.0), probability.log_odds(after.belief))
    return highest


def test_the_service_believes_what_the_evaluation_believes() -> None:
    relationships = quiet(150)
    prior = fit(relationships)
    policy = Policy.model_validate({"prior": asdict(prior), **NOTHING_OPENS})
    expected = DIRECT(relationships, prior)
    compared_count = 0
    for row in range(len(relationships)):
        for week, log_odds in believed(relationships, row, policy).items():
            if week and not np.isnan(expected[row, week]):
                assert log_odds == pytest.approx(expected[row, week], abs=1e-9), (row, week)
                compared_count += 1
    assert compared_count > 1500
