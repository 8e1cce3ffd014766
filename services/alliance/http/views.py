"""What the HTTP API returns."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from pydantic import Field

from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.presentation.explanation import explain
from services.alliance.domain.presentation.summary import Summary, summarize
from services.alliance.domain.presentation.trajectory import Point, TrajectoryPage
from services.alliance.domain.state.alliance import EndedEpisode, Episode
from services.alliance.domain.tuning.dispositions import Disposition
from services.alliance.store.protocol import VersionedState
from shared.clinical.openings import CATALOGUE
from shared.clinical.wording import describe_evidence
from shared.events import CaseCode, Element, EpisodeEndReason, Evidence, LevelShift, Score, Severity
from shared.runtime.model import Model


class EpisodeView(Model):
    """Signs of a rupture, the evidence, and ways to start a conversation about them."""

    episode_id: UUID
    severity: Severity
    first_sign_at: datetime
    last_sign_at: datetime
    closed_at: datetime | None
    why: list[str]
    """At most three sentences, the strongest sign first."""
    openings: list[str]
    """One or two ways to begin, from a reviewed catalogue."""
    evidence: list[Evidence]

    @classmethod
    def from_episode(cls, episode: Episode) -> "EpisodeView":
        return cls(
            episode_id=episode.id,
            severity=episode.severity,
            first_sign_at=episode.first_sign_at,
            last_sign_at=episode.last_sign_at,
            closed_at=episode.closed_at,
            why=describe_evidence(episode.evidence),
            openings=CATALOGUE.suggest(episode.evidence),
            evidence=list(episode.evidence),
        )


class EndedEpisodeView(EpisodeView):
    """Signs of a rupture that ended without a repair or a retraction."""

    reason: EpisodeEndReason
    superseded_by: UUID | None
    """The episode that took its place, if it was superseded."""
    shift: LevelShift | None
    """Whether the ratings are lower or higher since, if the reason is a level shift."""

    @classmethod
    def from_ended(cls, ended: EndedEpisode) -> "EndedEpisodeView":
        fields = dict(EpisodeView.from_episode(ended.episode)) | {"closed_at": ended.at}
        return cls(**fields, reason=ended.reason, superseded_by=ended.superseded_by, shift=ended.shift)


class DispositionView(Model):
    """What the clinician decided about the alert of an episode when resolving it."""

    disposition_id: UUID
    episode_id: UUID
    at: datetime
    useful: bool | None
    """Whether the alert was worth the interruption; null if that was not stated."""


class RelationshipView(Summary):
    """The current alliance of one relationship.

    `level` is the rolling score; it is null before the first rating. In four of five cases the next rating is expected
    between `low` and `high`, given the relationship's own past.
    """

    relationship_id: UUID
    case_code: CaseCode | None
    clinic_id: UUID | None
    clinician_id: UUID | None
    predecessor_id: UUID | None
    """After a transfer, the client's relationship with the previous clinician."""
    ended_at: datetime | None
    watched: bool
    """Whether the client's consent is in force; without it nothing is scored."""
    elements: dict[Element, Score]
    """Each element's rolling score."""
    sessions: int
    missed: int
    client_ratings: int
    clinician_ratings: int
    unanswered: int
    """Forms that the client was asked to fill in and did not answer in time."""
    open_episode: EpisodeView | None
    last_repaired: EpisodeView | None
    last_ended: EndedEpisodeView | None
    dispositions: list[DispositionView]
    """The resolutions of its alerts that were not taken back, the latest first."""
    explanation: str
    version: int
    policy: str
    """The digest of the policy that the alliance was computed under."""

    @classmethod
    def from_versioned(
        cls, versioned: VersionedState, policy: Policy, dispositions: Sequence[Disposition] = ()
    ) -> "RelationshipView":
        alliance = versioned.alliance
        return cls(
            **dict(summarize(alliance, policy)),
            relationship_id=versioned.relationship,
            case_code=alliance.case_code,
            clinic_id=alliance.clinic_id,
            clinician_id=alliance.clinician_id,
            predecessor_id=alliance.predecessor_id,
            ended_at=alliance.ended_at,
            watched=alliance.has_consent,
            elements=alliance.element_scores,
            sessions=alliance.sessions,
            missed=alliance.missed,
            client_ratings=alliance.client.ratings,
            clinician_ratings=alliance.clinician.ratings,
            unanswered=alliance.feedback_lapsed,
            open_episode=EpisodeView.from_episode(alliance.open_episode) if alliance.open_episode else None,
            last_repaired=EpisodeView.from_episode(alliance.last_repaired) if alliance.last_repaired else None,
            last_ended=EndedEpisodeView.from_ended(alliance.last_ended) if alliance.last_ended else None,
            dispositions=[
                DispositionView(disposition_id=d.id, episode_id=d.episode, at=d.at, useful=d.useful)
                for d in dispositions
            ],
            explanation=explain(alliance, policy),
            version=versioned.version,
            policy=versioned.result.policy_digest,
        )


class Trajectory(Model):
    """The course of an alliance: a point for each answer and each session that was not held."""

    relationship_id: UUID
    points: list[Point]
    """One page of them, the oldest first."""
    next_page: int | None
    """The number of the page with later points; null if there is none."""
    predecessors: list["Trajectory"] = Field(default=[])
    """The client's relationships with previous clinicians, the latest first; each has a baseline of its own.

    Each has the page of the same number, and its own next one.
    """

    @classmethod
    def from_page(cls, relationship_id: UUID, page: TrajectoryPage, number: int) -> "Trajectory":
        return cls(relationship_id=relationship_id, points=page.points, next_page=number + 1 if page.has_next else None)


class Caseload(Model):
    """Relationships, those of most concern first, then those with the lowest score."""

    relationships: list[RelationshipView]
    """One page of them."""
    next_page: int | None
    """The number of the page that follows; null if there is none."""
