"""When an alert reached a severity."""

from services.notify.domain.episode import StoredModel
from shared.events import UtcDatetime


class SeverityStep(StoredModel):
    """The first version at which the episode had a severity, and the time of the sign that caused it."""

    version: int
    at: UtcDatetime
    recorded_at: UtcDatetime | None = None
    """When the sign was recorded; None if the sign was not feedback, or was found in retrospect."""
    retrospective: bool = False
    """Whether it was found in retrospect: by a rebuild, or by other rules than those in force when its sign arrived."""
    has_later_sign: bool = False
    """Whether a sign of this severity has arrived since, if it was found in retrospect."""

    @property
    def is_notifiable(self) -> bool:
        """Whether a sign of this severity has arrived, other than in retrospect."""
        return self.has_later_sign or not self.retrospective

    def merge(self, other: "SeverityStep") -> "SeverityStep":
        """The earlier of the two; of one version, one that was not found in retrospect."""
        first = min(self, other, key=lambda s: (s.version, s.retrospective, s.at, str(s.recorded_at)))
        is_notifiable = self.is_notifiable or other.is_notifiable
        return first.model_copy(update={"has_later_sign": first.retrospective and is_notifiable})
