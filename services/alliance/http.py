"""What we answer about alliances: how each is now and why, how it came to be so, and who needs somebody."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from services.alliance.domain.alliance import Alliance, Episode
from services.alliance.domain.fold import states
from services.alliance.domain.model import expect
from services.alliance.domain.policy import Policy
from services.alliance.domain.trajectory import Point, point
from services.alliance.store import Kept, Store
from shared.errors import Unknown
from shared.events import CaseCode, Element, Evidence, Score, Severity
from shared.wording import sentence

MOST = 1000
"""The most relationships in one list."""


class EpisodeView(BaseModel):
    """Signs of a rupture, and what speaks for them."""

    episode_id: UUID
    severity: Severity
    first_sign_at: datetime
    last_sign_at: datetime
    closed_at: datetime | None
    why: list[str]
    """One sentence for each sign."""
    evidence: list[Evidence]

    @classmethod
    def of(cls, episode: Episode) -> "EpisodeView":
        return cls(
            episode_id=episode.id,
            severity=episode.severity,
            first_sign_at=episode.first_sign_at,
            last_sign_at=episode.last_sign_at,
            closed_at=episode.closed_at,
            why=[sentence(sign) for sign in episode.evidence],
            evidence=list(episode.evidence),
        )


class RelationshipView(BaseModel):
    """The alliance of one relationship as it is now."""

    relationship_id: UUID
    case_code: CaseCode | None
    clinic_id: UUID | None
    clinician_id: UUID | None
    predecessor_id: UUID | None
    """The client's relationship with the clinician before, after a transfer."""
    ended_at: datetime | None
    watched: bool
    """Whether the client's consent is in force; without it nothing is scored."""
    level: Score | None
    """The rolling score; none before the first rating."""
    low: Score | None
    high: Score | None
    """Between `low` and `high` lie four of five ratings that the relationship's own past leads to expect."""
    elements: dict[Element, Score]
    sessions: int
    missed: int
    client_ratings: int
    clinician_ratings: int
    unanswered: int
    """Feedback the client was asked for and did not give in time."""
    informative: bool
    """False when the ratings never vary: then they say little, and their absence of signs is no reassurance."""
    open_episode: EpisodeView | None
    last_repaired: EpisodeView | None
    explanation: str
    version: int
    policy: str

    @classmethod
    def of(cls, kept: Kept, policy: Policy) -> "RelationshipView":
        alliance = kept.alliance
        expected = expect(alliance.client, policy.prior.client) if alliance.client.ratings else None
        return cls(
            relationship_id=kept.relationship,
            case_code=alliance.case_code,
            clinic_id=alliance.clinic_id,
            clinician_id=alliance.clinician_id,
            predecessor_id=alliance.predecessor_id,
            ended_at=alliance.ended_at,
            watched=alliance.watched,
            level=alliance.client.rolling,
            low=expected.low if expected else None,
            high=expected.high if expected else None,
            elements=alliance.levels,
            sessions=alliance.sessions,
            missed=alliance.missed,
            client_ratings=alliance.client.ratings,
            clinician_ratings=alliance.clinician.ratings,
            unanswered=alliance.lapsed,
            informative=alliance.client.unvaried < UNVARIED,
            open_episode=EpisodeView.of(alliance.open) if alliance.open else None,
            last_repaired=EpisodeView.of(alliance.closed) if alliance.closed else None,
            explanation=explain(alliance, policy),
            version=kept.version,
            policy=policy.digest,
        )


class Trajectory(BaseModel):
    """How an alliance came to be what it is: a point for each answer and each session that was not held."""

    relationship_id: UUID
    points: list[Point]


class Caseload(BaseModel):
    """Relationships, those of most concern first, then those with the lowest score."""

    relationships: list[RelationshipView]


UNVARIED = 5
"""As many ratings in a row that equal the one before say little."""


def explain(alliance: Alliance, policy: Policy) -> str:
    """In words: how it is now against how it usually is, and what speaks for a rupture."""
    if not alliance.watched:
        return "Not watched: the client's consent is not in force."
    if alliance.client.rolling is None:
        return "No rating by the client yet."
    expected = expect(alliance.client, policy.prior.client)
    now = f"Now at {alliance.client.rolling:.0f}, usually {expected.low:.0f} to {expected.high:.0f} here."
    if alliance.open is None:
        return f"{now} No signs of rupture."
    return " ".join([now, "Shows signs of rupture.", *(sentence(sign) for sign in alliance.open.evidence)])


def routes(store: Store, policy: Policy) -> APIRouter:
    """The read API; nothing here changes anything."""
    router = APIRouter(tags=["alliance"])

    @router.get("/relationships/{relationship_id}")
    async def relationship(relationship_id: UUID) -> RelationshipView:
        """The alliance as it is now, and why."""
        kept = (await store.recall([relationship_id]))[relationship_id]
        if kept.alliance.last is None or kept.alliance.erasure is not None:
            raise _unknown(relationship_id)
        return RelationshipView.of(kept, policy)

    @router.get("/relationships/{relationship_id}/trajectory")
    async def trajectory(relationship_id: UUID) -> Trajectory:
        """How it came to be so."""
        facts = (await store.history([relationship_id]))[relationship_id]
        if not facts:
            raise _unknown(relationship_id)
        points = (point(fact, before, policy) for fact, before, _ in states(facts, policy))
        return Trajectory(relationship_id=relationship_id, points=[p for p in points if p is not None])

    @router.get("/clinics/{clinic_id}/relationships")
    async def clinic(clinic_id: UUID) -> Caseload:
        """A clinic's relationships, those of most concern first."""
        return await _caseload("clinic", clinic_id)

    @router.get("/clinicians/{clinician_id}/relationships")
    async def clinician(clinician_id: UUID) -> Caseload:
        """A clinician's relationships, those of most concern first."""
        return await _caseload("clinician", clinician_id)

    async def _caseload(by: str, whose: UUID) -> Caseload:
        kept = await store.caseload(by, whose, MOST)
        return Caseload(relationships=[RelationshipView.of(k, policy) for k in kept])

    return router


def _unknown(relationship_id: UUID) -> Unknown:
    return Unknown("unknown-relationship", f"nothing is known of relationship {relationship_id}; it may be on its way")
