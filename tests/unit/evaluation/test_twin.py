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
    history = ruptured(ORDINAL, count, 16, seed=9)
    seen = history.seen
    none = {name: np.where(np.isnan(getattr(seen, name)), np.nan, 0.0) for name in ("told", "told_by_clinician")}
    return replace(history, seen=replace(seen, clinician_first=np.zeros_like(seen.clinician_first), **none))


def believed(history: Relationships, row: int, policy: Policy) -> dict[int, float]:
    """The highest log-odds at which the service would look, by week."""
    highest: dict[int, float] = {}
    start = None
    for fact, _, after in states(facts_of(history.seen, row), policy):
        if not hasattr(fact, "session_id") or not after.watched:
            continue
        start = start or fact.occurred_at
        week = (fact.occurred_at - start).days // 7
        session = next(s for s in after.recent if s.session_id == fact.session_id)
        if session.outcome == "cancelled" or (session.outcome == "held" and not session.heard_of_client):
            continue
        highest[week] = max(highest.get(week, -99.0), probability.log_odds(after.belief))
    return highest


def test_the_service_believes_what_the_evaluation_believes() -> None:
    history = quiet(150)
    prior = fit(history)
    policy = Policy.model_validate({"prior": asdict(prior), **NOTHING_OPENS})
    twin = DIRECT(history, prior)
    compared = 0
    for row in range(len(history)):
        for week, log_odds in believed(history, row, policy).items():
            if week and not np.isnan(twin[row, week]):
                assert log_odds == pytest.approx(twin[row, week], abs=1e-9), (row, week)
                compared += 1
    assert compared > 1500
