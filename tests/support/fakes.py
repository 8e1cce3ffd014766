"""Small stand-ins for pure tests; the suite that says what a store is holds them to the same promises."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from services.alliance.domain.state.history import Fact
from services.alliance.domain.tuning.dispositions import Judgement
from services.alliance.store.mongo import Kept


class AllianceStore:
    """Remembers in memory."""

    def __init__(self) -> None:
        self.facts: dict[UUID, Fact] = {}
        self.kept: dict[UUID, Kept] = {}
        self.judged: dict[UUID, Judgement] = {}

    async def remember(self, facts: Sequence[Fact]) -> None:
        for fact in facts:
            self.facts.setdefault(fact.id, fact)

    async def recall(self, relationships: Collection[UUID]) -> Mapping[UUID, Kept]:
        return {r: self.kept.get(r) or Kept(r) for r in relationships}

    async def history(self, relationships: Collection[UUID]) -> Mapping[UUID, list[Fact]]:
        return {r: [fact for fact in self.facts.values() if fact.relationship_id == r] for r in relationships}

    async def keep(self, changed: Sequence[Kept]) -> set[UUID]:
        lost = {new.relationship for new in changed if self._version(new.relationship) != new.version - 1}
        self.kept.update({new.relationship: new for new in changed if new.relationship not in lost})
        return lost

    async def forget(self, erasures: Mapping[UUID, UUID]) -> None:
        kept = erasures.values()
        self.facts = {i: f for i, f in self.facts.items() if f.relationship_id not in erasures or i in kept}
        self.judged = {i: j for i, j in self.judged.items() if j.relationship not in erasures}

    async def caseload(self, by: str, whose: UUID, most: int) -> list[Kept]:
        attribute = {"clinic": "clinic_id", "clinician": "clinician_id"}[by]
        return [kept for kept in self.kept.values() if getattr(kept.alliance, attribute) == whose][:most]

    async def judge(self, judgements: Sequence[Judgement]) -> list[Judgement]:
        new = list({j.id: j for j in judgements if j.id not in self.judged}.values())
        self.judged.update({judgement.id: judgement for judgement in new})
        return new

    async def judgements(self, relationships: Collection[UUID]) -> list[Judgement]:
        return [judgement for judgement in self.judged.values() if judgement.relationship in relationships]

    async def count(self, clinic: UUID | None) -> int:
        return len(self._theirs(clinic))

    async def page(self, clinic: UUID | None, after: UUID | None, most: int) -> list[UUID]:
        return [r for r in sorted(self._theirs(clinic)) if after is None or r > after][:most]

    def _theirs(self, clinic: UUID | None) -> list[UUID]:
        return [r for r, kept in self.kept.items() if clinic is None or kept.alliance.clinic_id == clinic]

    def _version(self, relationship: UUID) -> int:
        kept = self.kept.get(relationship)
        return kept.version if kept else 0
