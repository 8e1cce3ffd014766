"""Attune itself on simulated relationships: the service's own fold, event by event.

Only `trajectories` knows the service too, and shows one relationship; `alerts` knows only the texts of `shared`.
"""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from multiprocessing import get_context
from uuid import UUID, uuid5

import numpy as np

from evaluation.simulation.events import events_of
from evaluation.simulation.truth import BoolArray, FloatArray, IntArray, Relationships
from services.alliance.domain.detection import episodes, floor
from services.alliance.domain.detection.components import rupture_log_odds, rupture_probability
from services.alliance.domain.fold import fold_steps
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policy
from services.alliance.domain.state.alliance import Alliance, Episode
from services.alliance.domain.state.history import HISTORY_EVENTS, HistoryEvent
from services.alliance.domain.tuning import adaptation
from services.alliance.domain.tuning.calibration import InsufficientHistory
from services.alliance.store.stored_names import dump_alliance
from shared.events.model import SEVERITY_RANK

PROCESSES = 2
ROWS_PER_TASK = 250
CLIENT_NAMESPACE = UUID(int=15)
NOT_OPEN = -1
FLOOR_TOTAL, FLOOR_ELEMENT = floor.WHOLE_LEVELS[0], 10 * floor.ELEMENT_LEVELS[0]  # points of 0 to 100
SHIPPED_POLICY, SHIPPED_BASE_RATE = DEFAULT_POLICY, DEFAULT_POLICY.base_rate
REPAIRED, LEVEL_SHIFT, SUPERSEDED = 1, 2, 3
"""How an episode ended."""
WATCH, CONCERN, URGENT = (1 + rank for rank in SEVERITY_RANK.values())
"""Severities as in the arrays; 0 is none."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What the service knew and said after each appointment: relationships by appointments."""

    score: FloatArray
    """The highest log-odds of a rupture at which it decided; NaN where nothing arrived that it decides on."""
    probability: FloatArray
    """The calibrated probability of a rupture after the last event of the appointment."""
    reached: IntArray
    """The severity to which an alert rose with this appointment; 0 where none did."""
    severity: IntArray
    """The severity of the open episode; 0 without one."""
    open_since: IntArray
    """The appointment at which the open episode began; NOT_OPEN without one."""
    ended: IntArray
    """How an episode ended with this appointment; 0 where none did."""
    is_exempt: BoolArray
    """Where an alert rose to concern below its threshold: by an answer at the floor, which no budget limits."""

    @property
    def is_alarmed(self) -> BoolArray:
        """Where an alert is messaged because of its probability: it begins, or rises to concern or more."""
        return np.asarray((self.reached >= CONCERN) & ~self.is_exempt)


def fold_all(relationships: Relationships, policy: Policy = DEFAULT_POLICY) -> Folded:
    """Fold every relationship. A transfer makes a new relationship, whose alliance begins anew."""
    parts = [slice(start, start + ROWS_PER_TASK) for start in range(0, len(relationships), ROWS_PER_TASK)]
    samples = [relationships.select(part) for part in parts]
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("fork")) as pool:
        folded = list(pool.map(partial(_fold_rows, policy=policy), samples))
    return Folded(*(np.concatenate([getattr(part, field.name) for part in folded]) for field in fields(Folded)))


def is_at_floor(relationships: Relationships) -> BoolArray:
    """Where the client answers so low, as a whole or on an element, that it is of concern in any relationship."""
    observed = relationships.observations
    return np.asarray((observed.total <= FLOOR_TOTAL) | (observed.elements <= FLOOR_ELEMENT).any(axis=-1))


def policy_at(base_rate: float) -> Policy:
    """The shipped policy, with probabilities for this base rate."""
    return DEFAULT_POLICY.model_copy(update={"base_rate": base_rate})


def adapt_policy(histories: Collection[Sequence[HistoryEvent]], policy: Policy) -> Policy:
    """The policy that `calibrate` would write for a clinic with these histories; if they are too few, as it was."""
    try:
        return adaptation.adapt_policy(histories, policy).policy
    except InsufficientHistory:
        return policy


def state_sizes(relationships: Relationships, policy: Policy = DEFAULT_POLICY) -> list[int]:
    """The bytes of the stored state after each event of every relationship."""
    sizes: list[int] = []
    for row in range(len(relationships)):
        for history in _split_by_relationship(history_of(relationships, row)):
            sizes += [len(dump_alliance(after)) for _, _, after in fold_steps(history, policy)]
    return sizes


def rises_of(relationships: Relationships, row: int, policy: Policy = DEFAULT_POLICY) -> Iterator[tuple[int, Episode]]:
    """The episode each time it opens or rises, and the appointment with which it does."""
    client_id = uuid5(CLIENT_NAMESPACE, str(row))
    sessions = _sessions_of(relationships, client_id)
    for event, before, after in fold_steps(history_of(relationships, row, client_id), policy):
        was, now, t = before.open_episode, after.open_episode, sessions.get(getattr(event, "session_id", client_id))
        if now and t is not None and (was is None or was.id != now.id or _is_higher(now, was)):
            yield t, now


def stated_probability(episode: Episode) -> float | None:
    """The probability that an alert about the episode states."""
    return episodes.stated_probability(episode)


def _sessions_of(relationships: Relationships, client_id: UUID) -> dict[UUID, int]:
    """The appointment of each session."""
    return {uuid5(client_id, f"session {t}"): t for t in range(relationships.observations.total.shape[1])}


def _is_higher(now: Episode, was: Episode) -> bool:
    return SEVERITY_RANK[now.severity] > SEVERITY_RANK[was.severity]


def history_of(relationships: Relationships, row: int, client_id: UUID | None = None) -> list[HistoryEvent]:
    """The events of one simulated client that the service folds."""
    return [event for event in events_of(relationships, row, client_id) if isinstance(event, HISTORY_EVENTS)]


def _fold_rows(relationships: Relationships, policy: Policy) -> Folded:
    shape = relationships.observations.total.shape
    folded = Folded(
        np.full(shape, np.nan),
        np.zeros(shape),
        np.zeros(shape, int),
        np.zeros(shape, int),
        np.full(shape, NOT_OPEN),
        np.zeros(shape, int),
        np.zeros(shape, bool),
    )
    for row in range(shape[0]):
        client_id = uuid5(CLIENT_NAMESPACE, str(row))
        sessions = _sessions_of(relationships, client_id)
        for history in _split_by_relationship(history_of(relationships, row, client_id)):
            _fold_one(folded, row, history, sessions, policy)
    return folded


def _split_by_relationship(events: Sequence[HistoryEvent]) -> Iterator[list[HistoryEvent]]:
    by_relationship: dict[UUID, list[HistoryEvent]] = {}
    for event in events:
        by_relationship.setdefault(event.relationship_id, []).append(event)
    yield from by_relationship.values()


def _fold_one(
    folded: Folded, row: int, events: Sequence[HistoryEvent], sessions: dict[UUID, int], policy: Policy
) -> None:
    t, first_sessions = 0, dict[UUID, int]()
    for event, before, after in fold_steps(events, policy):
        t = sessions.get(getattr(event, "session_id", UUID(int=0)), t)
        if not after.components:
            continue
        if _is_decided(after, event):
            folded.score[row, t] = np.fmax(folded.score[row, t], rupture_log_odds(after.components))
        folded.probability[row, t] = rupture_probability(after.components, policy.base_rate)
        if (ended := _how_it_ended(before, after)) is not None:
            folded.ended[row, t] = ended
        episode = after.open_episode
        folded.open_since[row, t] = first_sessions.setdefault(episode.id, t) if episode else NOT_OPEN
        folded.severity[row, t] = 1 + SEVERITY_RANK[episode.severity] if episode else 0
        if episode is not None:
            was = before.open_episode
            if was is None or was.id != episode.id or _is_higher(episode, was):
                folded.reached[row, t] = 1 + SEVERITY_RANK[episode.severity]
                folded.is_exempt[row, t] = (episode.probability or 0.0) < policy.concern


def _is_decided(alliance: Alliance, event: HistoryEvent) -> bool:
    """Whether the service decides after this event: of a held session, it waits for the client's answer or lapse."""
    session = alliance.find_session(getattr(event, "session_id", UUID(int=0)))
    if session is None or session.attendance == "cancelled" or not alliance.client.ratings:
        return False
    return session.attendance != "held" or session.is_client_feedback_known


def _how_it_ended(before: Alliance, after: Alliance) -> int | None:
    if after.last_repaired != before.last_repaired:
        return REPAIRED
    if after.last_ended is None or after.last_ended == before.last_ended:
        return None
    return {"level_shift": LEVEL_SHIFT, "superseded": SUPERSEDED}.get(after.last_ended.reason)
