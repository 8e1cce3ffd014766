"""Every metric of the alliance service."""

from collections import Counter as Tally
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter

from services.alliance.domain.facts import Fact
from services.alliance.domain.judgements import Judgement, precision


class Metrics:
    """What becomes of facts, in numbers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._folded = Counter(
            "attune_alliance_facts", "Facts taken in, delivered again or not.", ["type"], registry=registry
        )
        self._refolded = Counter(
            "attune_alliance_refolds",
            "Relationships whose whole history was read again, because a fact was late, amended or came again, "
            "or because it had been read under another policy.",
            registry=registry,
        )
        self._conflicts = Counter(
            "attune_alliance_conflicts",
            "States that another process wrote first; they were read again and written over.",
            registry=registry,
        )
        self._judged = Counter(
            "attune_alliance_judged_alerts",
            "Alerts that clinicians were done with, and whether they said that they were worth the interruption; "
            "each counts for every detector that took part in it.",
            ["detector", "useful"],
            registry=registry,
        )

    def folded(self, facts: Sequence[Fact]) -> None:
        for kind, count in Tally(fact.type for fact in facts).items():
            self._folded.labels(kind).inc(count)

    def refolded(self, relationships: int) -> None:
        self._refolded.inc(relationships)

    def conflicts(self, relationships: int) -> None:
        self._conflicts.inc(relationships)

    def judged(self, judgements: Sequence[Judgement]) -> None:
        for each in precision(judgements):
            for useful, count in (("yes", each.useful), ("no", each.not_useful), ("unsaid", each.unsaid)):
                if count:
                    self._judged.labels(each.detector, useful).inc(count)
